"""`scorefield impute`: fills the gaps of a table with draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .inputs import check_output
from .options import NAMES, Drawing, Reading
from .terminal import notes, say
from .verbs import Config, Device, Overwrite, app, device_of, flat, model_of

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["impute"]


@app.command(
    sort_key=2,
    help_epilogue="""Examples:

  scorefield impute run gaps.csv -o filled.csv
  scorefield impute run gaps.csv -o filled.csv --draws 5
  scorefield impute run gaps.parquet -o filled.parquet --seed 1

"""
    + NAMES,
)
def impute(
    run: Path,
    data: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    draws: int = 1,
    seed: int = 0,
    drawing: Annotated[Drawing, flat("Sampling")] = Drawing(),  # noqa: B008
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    device: Device = "auto",
    overwrite: Overwrite = False,
    config: Config = None,
) -> None:
    """Fill the missing values of a table with draws from their distribution given all others of the row.

    With several draws the files get numbers, filled_1.csv, filled_2.csv, …: how they differ shows how uncertain values are.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        data: A table like the one that was fitted, with gaps.
        output: A file .csv .parquet .npy .npz .h5.
        draws: How many times the gaps are filled.
        seed: The random seed.
    """
    from ..data import check, write
    from ..overwriting import refuse_existing

    model = model_of(run)
    names = [output] if draws == 1 else [output.with_stem(f"{output.stem}_{k + 1}") for k in range(draws)]
    for name in names:
        check_output({"output": name, "run": run, "data": data})
        check(name, model.schema)
        refuse_existing(name, overwrite)
    x = reading.read(data)
    sampling = drawing.sampling()
    with notes():
        found = model.to(device_of(device)).impute(x, draws, seed, sampling)
    tables = [found] if draws == 1 else found
    for name, table in zip(names, tables):
        write(name, [table], len(table), model.schema)
        print(name)
    say(_filled(x, model) + (f", {draws} times" if draws > 1 else ""))


def _filled(x: Any, model: Model) -> str:
    """How many values were filled in."""
    from ..data import rows_with_gaps

    if (form := model.schema.readings) is not None:
        values = sum(int(x[name].isna().sum()) for name in form.values)
        return f"drew {values:,} value{'s' * (values != 1)} of {len(x):,} readings"
    gaps = rows_with_gaps(model.schema, x)[0].isnan()
    values, rows = int(gaps.sum()), int(gaps.any(1).sum())
    if not values:
        return f"no value misses in {len(gaps):,} rows: nothing was filled"
    return f"filled {values:,} missing value{'s' * (values > 1)} in {rows:,} of {len(gaps):,} rows"
