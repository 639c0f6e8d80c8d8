"""`scorefield import`: models trained with other code."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from .options import Reading
from .terminal import say
from .verbs import Config, app, flat

__all__ = ["import_"]

_KNOWN = {
    "ncsnv2": {"ladder", "centred", "weights", "activation"},
    "score-sde": {"preset", "weights", "activation", "groups"},
    "tutorial": {"base"},
    "diffusers": set[str](),
}


@app.command(
    name="import",
    sort_key=7,
    help_epilogue="""Examples:

  scorefield import auto cifar10.pth -o run --data photos/
  scorefield import ncsnv2 mine.pth -o run --size 96 --ladder 140 0.01 788
  scorefield import score-sde checkpoint_24.pth -o run \\
    --preset vp/cifar10_ddpmpp_continuous
  scorefield import diffusers ddpm-cifar10-32/ -o run --data photos/""",
)
def import_(
    kind: Literal["auto", "ncsnv2", "score-sde", "tutorial", "diffusers"],
    path: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    preset: str | None = None,
    size: int | None = None,
    ladder: tuple[float, float, int] | None = None,
    weights: Literal["ema", "raw"] = "ema",
    centred: bool | None = None,
    activation: Literal["elu", "relu", "lrelu", "silu"] | None = None,
    groups: int | None = None,
    base: float | None = None,
    data: Path | None = None,
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    config: Config = None,
) -> None:
    """Import a published checkpoint as a model, for any sampler and any process. Code in the file is never run.

    It says what was assumed because the file does not hold it. With --data, images like those of its training, it checks the
    import: the network must denoise them better than a linear filter.

    Arguments:
        kind: The code that wrote it: ncsnv2 (also ncsn), score-sde, tutorial, or diffusers (a folder with a UNet2DModel); auto
            finds out.
        path: The checkpoint.
        output: The run folder to create.
        preset: For score-sde: the name of its training configuration, where the file does not determine it.
        size: The side of its images, where neither file nor data determine it.
        ladder: For ncsnv2: the largest noise level, the smallest and their number, where they are not in the file.
        weights: The averaged weights (ema) or the raw ones.
        centred: For ncsnv2: whether it was trained on images from -1 to 1, not from 0 to 1.
        activation: For ncsnv2 and score-sde: the activation function, which the weights do not show.
        groups: For score-sde: the number of groups of its norms, which the weights do not show.
        base: For tutorial: its sigma, the number whose power is the diffusion coefficient.
        data: Images like those it was trained on, which give the model its mean and variance, and check it.
    """
    from ..interop.importing import kind_of
    from ..runs import Run

    Run(output).check_writable()
    given: dict[str, Any] = {"preset": preset, "ladder": ladder, "centred": centred, "activation": activation}
    given |= {"weights": None if weights == "ema" else weights, "groups": groups, "base": base}
    known = kind_of(path) if kind == "auto" else kind
    for name, value in given.items():
        if value is not None and name not in _KNOWN[known]:
            raise ValueError(f"--{name} does not apply to {known}: leave it out")
    given |= {"size": size}
    if data is not None:
        given |= {"x": reading.read(data), "source": reading.source(data)}
    for note in _notes(known, path, output, given):
        say(f"note: {note}")
    if (found := _origin(output)) != kind:
        say(f"note: {path} was imported as {found}, by the names in it")
    say(f"next: scorefield sample {shlex.quote(str(output))} -n 64 -o new/")
    print(output / "model.safetensors")


def _notes(kind: str, path: Path, output: Path, given: dict[str, Any]) -> list[str]:
    """Imports; what was assumed, and how the check went."""
    import warnings

    from ..interop.importing import import_as
    from ..runs import Run

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        import_as(kind, path, output, given)
    choices = Run(output).read("run.json")["choices"]
    said = [str(note.message) for note in notes]
    return said or [reason for name, _, reason in choices if name == "check"]  # a warning has the check in it


def _origin(output: Path) -> str:
    """The code that wrote what was imported."""
    from ..runs import Run

    return str(Run(output).read("run.json")["imported"]["kind"])
