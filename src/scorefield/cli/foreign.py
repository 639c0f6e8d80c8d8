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


@app.command(
    name="import",
    sort_key=7,
    help_epilogue="""Examples:

  scorefield import ncsnv2 cifar10.pth -o run
  scorefield import ncsnv2 mine.pth -o run --size 96 --ladder 140 0.01 788
  scorefield import score-sde checkpoint_24.pth -o run --preset vp/cifar10_ddpmpp_continuous
  scorefield import diffusers ddpm-cifar10-32/ -o run --data photos/""",
)
def import_(
    kind: Literal["ncsnv2", "score-sde", "diffusers"],
    path: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    preset: str | None = None,
    size: int | None = None,
    ladder: tuple[float, float, int] | None = None,
    weights: Literal["ema", "raw"] = "ema",
    centred: bool = False,
    data: Path | None = None,
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    config: Config = None,
) -> None:
    """Import a published checkpoint as a model, for any sampler and any process. Code in the file is never run.

    Arguments:
        kind: The code that wrote it: ncsnv2 (also ncsn), score-sde, or diffusers (a folder with a UNet2DModel).
        path: The checkpoint.
        output: The run folder to create.
        preset: For score-sde: the name of its training configuration, where the file does not determine it.
        size: The side of its images, where neither file nor data determine it.
        ladder: For ncsnv2: the largest noise level, the smallest and their number, where they are not in the file.
        weights: The averaged weights (ema) or the raw ones.
        centred: For ncsnv2: whether it was trained on images from -1 to 1, not from 0 to 1.
        data: Images like those it was trained on, which give the model its mean and variance.
    """
    from ..interop import import_diffusers, import_ncsnv2, import_score_sde

    given = {"preset": preset is not None, "ladder": ladder is not None}
    given |= {"centred": centred, "weights": weights != "ema"}
    known = {"ncsnv2": {"ladder", "centred", "weights"}, "score-sde": {"preset", "weights"}, "diffusers": set()}
    for name, used in given.items():
        if used and name not in known[kind]:
            raise ValueError(f"--{name} does not apply to {kind}: leave it out")
    arguments: dict[str, Any] = {} if size is None else {"size": size}
    if data is not None:
        arguments |= {"x": reading.read(data), "source": reading.source(data)}
    if kind == "ncsnv2":
        import_ncsnv2(path, output, ladder=ladder, weights=weights, centred=centred, **arguments)
    elif kind == "score-sde":
        import_score_sde(path, output, preset=preset, weights=weights, **arguments)
    else:
        import_diffusers(path, output, **arguments)
    say(f"next: scorefield sample {shlex.quote(str(output))} -n 64 -o new/")
    print(output / "model.safetensors")
