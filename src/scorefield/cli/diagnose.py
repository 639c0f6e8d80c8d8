"""`scorefield diagnose`: checks of a learned score."""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

from .options import Conditions, Reading
from .terminal import table
from .verbs import Config, Device, Fitted, RunFolder, app, flat

if TYPE_CHECKING:
    from ..diagnostics import Diagnosis, ScoreCheck

__all__ = ["diagnose"]

_AXES = {
    "error": "error of the score / its size",
    "Stein tests": "-log₁₀ p of the worst identity; above the line: broken",
    "excess loss": "held-out loss / that of the best formula, less 1",
    "memory": "held-out loss / training loss, less 1",
    "curl": "antisymmetric part of the Jacobian",
    "heat equation": "residual / size of the score",
}


@app.command(
    sort_key=4,
    help_epilogue="""Examples:

  scorefield diagnose run
  scorefield diagnose run moved/data.npy""",
)
def diagnose(
    run: RunFolder,
    data: Fitted = None,
    /,
    *,
    seed: int = 0,
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    device: Device = "auto",
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    config: Config = None,
) -> None:
    """Check the learned score itself, level by level, for errors an exact score would not have.

    Stein tests on held-out data (with a p-value), the loss compared with that of closed-form denoisers and with the
    training loss, the curl; for up to 64 columns also whether all levels belong to one distribution. Prints the results
    and what each check means, and writes diagnosis.png and diagnosis.json to the folder of the run.

    Arguments:
        seed: The seed of the noise.
    """
    from ..checkpoint import write_atomically
    from ..diagnostics import diagnose_run
    from ..evaluation import RunData
    from ..runs import Run

    folder = Run(run)
    folder.check_writable()
    opened = conditions.applied_to(RunData.of(folder, reading.given(data, run), device), needs=True)
    found = diagnose_run(opened, seed=seed)
    rows: list[tuple[Any, ...]] = [
        (check.name, check.value, "" if check.level is None else check.level, "flagged" if check.flagged else "")
        for check in found.checks
    ]
    table(f"The score on {found.count:,} held-out data", ("", "worst", "at level", ""), rows)
    for check in found.checks:
        print(f"{check.name}: {check.said}\n  {check.meaning}\n")
    print(found.verdict)
    picture = folder.file("diagnosis.png")
    write_atomically(picture, _draw(found))
    print(picture)


def _draw(found: Diagnosis) -> bytes:
    """A panel for each check: its number at each level, or what was said."""
    from ..reporting.base import LIGHT, canvas, family

    columns, width, cell, head = 3, 980, 236, 52
    rows = math.ceil(len(found.checks) / columns)
    height = head + cell * rows
    figure = canvas(width, height)
    figure.text(40 / width, 1 - 30 / height, found.verdict, color=LIGHT.ink, fontsize=14, va="center", family=family())
    for i, check in enumerate(sorted(found.checks, key=lambda check: not check.by_level)):
        left, bottom = 40 + i % columns * 318, (rows - 1 - i // columns) * cell + 44
        axes = figure.add_axes((left / width, bottom / height, 264 / width, (cell - 104) / height))
        colour = LIGHT.accent if check.flagged else LIGHT.ink
        title = f"{check.name}: flagged" if check.flagged else check.name
        words: dict[str, Any] = {"transform": axes.transAxes, "family": family()}
        axes.text(0, 1.24, title, fontsize=12.5, color=colour, **words)
        if check.by_level:
            axes.text(0, 1.09, _AXES.get(check.name, ""), fontsize=9.5, color=LIGHT.muted, **words)
            _panel(axes, found, check)
        else:
            axes.axis("off")
            said = textwrap.fill(check.said.replace(" ± ", "\u00a0±\u00a0"), 46)
            axes.text(0, 1.0, said, fontsize=9.5, color=LIGHT.muted, va="top", linespacing=1.6, **words)
    content = io.BytesIO()
    figure.savefig(content, format="png", facecolor=LIGHT.paper)
    return content.getvalue()


def _panel(axes: Any, found: Diagnosis, check: ScoreCheck) -> None:
    from ..reporting.base import LIGHT, dress, family, log_scale, number

    tests = check.name == "Stein tests"
    values = [min(99.0, -math.log10(max(v, 1e-99))) for v in check.by_level] if tests else list(check.by_level)
    bound = 3.0 if tests else check.bound
    low, high = min(0.0, *values, bound), max(*values, bound)
    dress(axes, LIGHT, 10)
    log_scale(axes, "x")
    wide = low == 0 and high > 30 * (bound or 1.0)
    if wide:
        axes.set_yscale("symlog", linthresh=max(bound, 0.1))
        axes.yaxis.set_major_formatter(lambda value, _: number(value))
        axes.yaxis.minorticks_off()
    colour = LIGHT.accent if check.flagged else LIGHT.real
    axes.axhline(bound, color=LIGHT.muted, linewidth=1, dashes=(4, 3))
    axes.plot(found.levels, values, color=colour, linewidth=1.8, marker="o", markersize=3.5)
    ends = (-0.3 * max(bound, 0.1), 1.6 * high) if wide else (1.06 * low - 0.06 * high, 1.12 * high - 0.12 * low)
    axes.set_ylim(ends)
    axes.set_xlabel("noise level", fontsize=9.5, color=LIGHT.muted, family=family())
