"""`scorefield sample`: new samples from a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .inputs import described
from .launching import first, shares_work
from .options import NAMES, Conditions, Drawing
from .terminal import say
from .verbs import Config, Device, Overwrite, app, device_of, flat, model_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..model import Model

__all__ = ["sample"]


@app.command(
    sort_key=1,
    help_epilogue="""Examples:

  scorefield sample run -n 1000 -o new.npy
  scorefield sample run -n 1000000 -o new.parquet --seed 1
  scorefield sample run -n 1000 -o north.csv --given region=North age=40
  scorefield sample run -n 64 -o pictures/ --sampler heun --steps 40
  scorefield sample run -n 64 -o pictures/ --sampler "ddim(eta=1, steps=200)"
  scorefield sample run -n 64 -o pictures/ --process vp --schedule karras
  scorefield sample run -n 64 -o threes/ --given label=3 --guidance 2
  torchrun --nproc-per-node 4 -m scorefield sample run -n 1000000 -o new.npy

"""
    + NAMES,
)
@shares_work
def sample(
    run: Path,
    /,
    *,
    count: Annotated[int, Parameter(alias="-n")],
    output: Annotated[Path, Parameter(alias="-o")],
    seed: int = 0,
    drawing: Annotated[Drawing, flat("Sampling")] = Drawing(),  # noqa: B008
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    batch: int | None = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    config: Config = None,
) -> None:
    """Draw samples from a run, in the form of its training data.

    Sample i depends only on the seed and on i, not on how many are drawn, on the batch or on the number of processes.
    Processes that torchrun has started keep what they have drawn; if they are killed, the same command goes on.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        count: How many samples to draw.
        output: A file .npy .npz .csv .parquet .xlsx .h5 .nc .zarr, or a folder/ for images as .png.
        seed: The random seed.
        batch: How many samples are drawn at once; memory grows with it.
    """
    from ..data import check
    from ..overwriting import refuse_existing
    from ..runs import drawn

    sampling = drawing.sampling()
    model = model_of(run)
    check(output, model.schema)
    refuse_existing(output, overwrite)
    model = conditions.applied(model.to(device_of(device)))
    asked = described(run=run, drawing=drawing, conditions=conditions, device=model.device.type)
    with drawn(model, count, output, asked, seed, sampling, batch) as batches:
        if first():
            _write(model, batches, count, output)
            print(output)


def _write(model: Model, batches: Iterator[Tensor], count: int, output: Path) -> None:
    """Writes samples, a batch at a time; of readings all at once, as their rows are numbered."""
    import torch

    from ..data import lost, write

    if model.schema.readings is not None:
        whole = model.schema.pack(torch.cat(list(batches)))
        write(output, [whole], len(whole), model.schema)
        return
    missing = lost(output, model.schema)
    if missing is not None:
        say(missing)
    write(output, map(model.schema.pack, batches), count, model.schema)
