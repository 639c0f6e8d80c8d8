"""`scorefield import`: models that were trained elsewhere."""

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
    """Make a published checkpoint a model: sampled by any sampler, on any process. No code of the file is run.

    Arguments:
        kind: What wrote it: ncsnv2 (and ncsn), score-sde, or diffusers (a folder that holds a UNet2DModel).
        path: The checkpoint.
        output: The folder of the run to make.
        preset: For score-sde: the name of the configuration it was trained with, where the file leaves it open.
        size: The side of its images, where neither the file nor the data say it.
        ladder: For ncsnv2: the largest level, the smallest and their number, where the file does not hold them.
        weights: The averaged weights, or those of the optimizer: ema or raw.
        centred: For ncsnv2: it was trained on images from -1 to 1, not from 0 to 1.
        data: Images like those it was trained on: their mean and variance become those of the model.
        config: A TOML file of these options, at its top or in a table [import]; the command line comes first.
    """
    from ..interop import import_diffusers, import_ncsnv2, import_score_sde

    asked = {
        "preset": preset is not None,
        "ladder": ladder is not None,
        "centred": centred,
        "weights": weights != "ema",
    }
    known = {"ncsnv2": {"ladder", "centred", "weights"}, "score-sde": {"preset", "weights"}, "diffusers": set()}
    for name, is_given in asked.items():
        if is_given and name not in known[kind]:
            raise ValueError(f"--{name} says nothing of {kind}: leave it out")
    given: dict[str, Any] = {} if size is None else {"size": size}
    if data is not None:
        given |= {"x": reading.read(data), "source": reading.source(data)}
    if kind == "ncsnv2":
        import_ncsnv2(path, output, ladder=ladder, weights=weights, centred=centred, **given)
    elif kind == "score-sde":
        import_score_sde(path, output, preset=preset, weights=weights, **given)
    else:
        import_diffusers(path, output, **given)
    say(f"next: scorefield sample {shlex.quote(str(output))} -n 64 -o new/")
    print(output / "model.safetensors")
