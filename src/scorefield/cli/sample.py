"""`scorefield sample`: new samples from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import NAMES, Conditions, Drawing
from .terminal import say
from .verbs import Config, Device, app, device_of, flat, model_of

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

"""
    + NAMES,
)
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
    config: Config = None,
) -> None:
    """Draw samples from a run, in the form of its training data.

    Sample i depends only on the seed and on i, not on how many are drawn or on the batch.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        count: How many samples to draw.
        output: A file .npy .npz .csv .parquet .xlsx .h5 .nc .zarr, or a folder/ for images as .png.
        seed: The random seed.
        batch: How many samples are drawn at once; memory grows with it.
    """
    import torch

    from ..data import check, lost, write

    sampling = drawing.sampling()
    model = model_of(run)
    check(output, model.schema)
    model = conditions.applied(model.to(device_of(device)))
    batches = model.batches(count, seed, sampling, batch=batch)
    if model.schema.readings is not None:  # their rows are numbered: all at once
        whole = model.schema.pack(torch.cat(list(batches)))
        write(output, [whole], len(whole), model.schema)
        print(output)
        return
    missing = lost(output, model.schema)
    if missing is not None:
        say(missing)
    write(output, map(model.schema.pack, batches), count, model.schema)
    print(output)
