"""`scorefield distill`: from a run to one that draws in a few evaluations."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .terminal import say
from .verbs import Config, Device, RunFolder, app, say_ended, stoppable_fit

if TYPE_CHECKING:
    from ..fitting import Distillation

__all__ = ["distill"]


@app.command(
    sort_key=1,
    help_epilogue="""Examples:

  scorefield distill run -o fast
  scorefield distill run -o fast --steps 1 --minutes 5
  scorefield distill run -o fast --guidance 2""",
)
def distill(
    run: RunFolder,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    steps: int = 2,
    minutes: float | None = None,
    train_steps: int | None = None,
    guidance: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    matching: bool | None = None,
    seed: int = 0,
    device: Device = "auto",
    config: Config = None,
) -> None:
    """Teach a model of a run to draw samples in one to four evaluations of its network, as a run of its own.

    It needs no data. If it is interrupted, the same command resumes it and gives the same result. The new run is sampled,
    evaluated, compared and reported as any other; densities and posteriors are those of the run that it comes from.

    Arguments:
        output: The folder of the new run.
        steps: How many evaluations a sample takes by default: 1, 2 or 4; scorefield sample --steps asks for another number.
        minutes: The budget in minutes. [default: a fourth of the steps of the fit]
        train_steps: The budget in steps of training.
        guidance: The weight of guidance that is distilled in, for a model with a context; 1 for none.
        guidance_interval: The noise levels between which guidance acts, in standard deviations of the data; by default all.
        matching: Whether samples are brought to the distribution of the model's once the flow map is roughly known. [default:
            for images of 8 bits]
        seed: The random seed.
    """
    from ..runs import Run, distill
    from ..settings import Training

    teacher, folder = Run(run), Run(output)
    folder.check_writable()
    complete = folder.ended
    with stoppable_fit(output):
        distill(
            teacher.model,
            output,
            steps,
            minutes=minutes,
            training=Training(steps=train_steps),
            guidance=guidance,
            interval=guidance_interval,
            matching=matching,
            seed=seed,
            device=device,
            begin=_introduce,
        )
    about = say_ended(folder, complete)
    say(f"error of the flow map on held-out paths {about['held_out_loss']:.3g} ({about['weights']})")
    if "energy_distance" in about:
        before, after = (about["energy_distance"][name] for name in ("before", "after"))
        what = "energy distance of samples to held-out ones of the teacher"
        say(f"{what} {after:.3g}, before their distributions were matched {before:.3g}")
    place = shlex.quote(str(folder.path))
    say(
        f"next: scorefield compare {place}, which shows it next to {run}, or: scorefield sample {place} -n 1000 -o new.npy"
    )
    print(folder.file("model.safetensors"))


def _introduce(planned: Distillation) -> None:
    """Says what was chosen."""
    how = planned.training
    budget = next(f"{getattr(how, n):g} {n}" for n in ("minutes", "steps") if getattr(how, n))
    say(f"teacher: {planned.name}; paths of its probability flow by {planned.path.replace(process=None)}")
    say(f"budget: {budget}, batches of {how.batch}, on {planned.device}")
