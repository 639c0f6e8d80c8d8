"""`scorefield sample`: new realizations from a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .given import conditioned
from .terminal import counted, say
from .verbs import Config, Device, app, device_of

__all__ = ["sample"]


@app.command(
    sort_key=1,
    help_epilogue="""Examples:

  scorefield sample run -n 1000 -o new.npy
  scorefield sample run -n 1000000 -o new.parquet --seed 1
  scorefield sample run -n 64 -o pictures/ --sampler heun --steps 40
  scorefield sample run -n 64 -o pictures/ --sampler "ddim(eta=1, steps=200)"
  scorefield sample run -n 64 -o threes/ --given label=3

Samplers are those of scorefield.samplers (ddim, heun, dpm, unipc, churn, …),
schedules those of scorefield.schedules (karras, loglevel, …). A wrong name lists them all.""",
)
def sample(
    run: Path,
    /,
    *,
    count: Annotated[int, Parameter(alias="-n")],
    output: Annotated[Path, Parameter(alias="-o")],
    seed: int = 0,
    sampler: str | None = None,
    steps: int | None = None,
    given: tuple[str, ...] | None = None,
    guidance: float = 1.0,
    batch: int | None = None,
    device: Device = "auto",
    config: Config = None,
) -> None:
    """Draw new realizations from a run, in the form of its data.

    Sample i depends on the seed and on i alone: not on how many are drawn, nor on the batch.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        count: How many.
        output: A file .npy .npz .csv .tsv .parquet .h5 .nc .zarr, or a folder/ for images as .png.
        seed: The seed.
        sampler: The way from noise to data, as name or name(key=value, …): heun, "ddim(eta=1)"; by default the model's own.
        steps: How many steps it takes, if its call does not say it; by default the model's own number.
        given: What is given, if the model was fitted with a context: name=value for each, values in their order, or a file
            with a row for each sample.
        guidance: Sharpens what is given; 1 leaves the law as it is.
        batch: How many are drawn at once; memory grows with it.
        device: auto, cpu, cuda, …
        config: A TOML file of these options, at its top or in a table [sample]; the command line comes first.
    """
    from ..model import load
    from ..runs import Run
    from ..samplers import Sampling
    from .output import check, lost, write

    sampling = Sampling.of(sampler, steps)
    model = load(run) if run.is_file() else Run(run).model
    check(output, model.schema)
    model = conditioned(model.to(device_of(device)), given, guidance)
    batches = model.batches(count, seed, sampling, batch=batch)
    missing = lost(output, model.schema)
    if missing is not None:
        say(missing)
    write(output, counted(map(model.schema.pack, batches), count), count, model.schema)
    print(output)
