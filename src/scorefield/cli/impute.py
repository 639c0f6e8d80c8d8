"""`scorefield impute`: fills the gaps of a table with draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from .inputs import check_output
from .options import NAMES, Drawing, Reading, names_among
from .terminal import notes, say
from .verbs import Config, Device, Overwrite, app, device_of, flat, model_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..data import Readings
    from ..model import Model

__all__ = ["impute"]


@app.command(
    sort_key=2,
    help_epilogue="""Examples:

  scorefield impute run gaps.csv -o filled.csv
  scorefield impute run gaps.csv -o filled.csv --draws 5
  scorefield impute run gaps.csv -o filled.csv --fill income,age
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
    fill: tuple[str, ...] | None = None,
    seed: int = 0,
    drawing: Annotated[Drawing, flat("Sampling")] = Drawing(),  # noqa: B008
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    device: Device = "auto",
    overwrite: Overwrite = False,
    config: Config = None,
) -> None:
    """Fill the missing values of a table with draws from their distribution given all others of the row.

    All other cells of a table of text are written as they stand in the file. With several draws the files get numbers,
    filled_1.csv, filled_2.csv, …: how they differ shows how uncertain values are.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        data: A table like the one that was fitted, with gaps.
        output: A file .csv .parquet .npy .npz .h5.
        draws: How many times the gaps are filled.
        fill: The columns that are filled: income,age. The others keep their gaps, and what is known of them is used. By default
            all are filled.
        seed: The random seed.
    """
    from ..data import check, with_cells, write
    from ..overwriting import refuse_existing

    model = model_of(run)
    names = [output] if draws == 1 else [output.with_stem(f"{output.stem}_{k + 1}") for k in range(draws)]
    for name in names:
        check_output({"output": name, "run": run, "data": data})
        check(name, model.schema)
        refuse_existing(name, overwrite)
    x = reading.read(data, run)
    sampling = drawing.sampling()
    with notes():
        asked = _asked(fill, model)
        found = model.to(device_of(device)).impute(x, draws, seed, sampling, asked)
    gaps = _gaps(x, model, asked)
    for name, table in zip(names, [found] if draws == 1 else found):
        whole = gaps is None or not hasattr(x, "iloc")
        written = table if whole else with_cells(table, _in_table(gaps, table, model), data, name)
        write(name, [written], len(table), model.schema)
        print(name)
    say(_filled(x, gaps, model, fill is not None) + (f", {draws} times" if draws > 1 else ""))


def _asked(fill: tuple[str, ...] | None, model: Model) -> list[Any] | None:
    """The columns that are filled, by the names that the data have."""
    if fill is None:
        return None
    names = {str(name): name for name in model.schema.columns or range(model.schema.inner_shape[0])}
    return [names.get(name, name) for name in names_among(fill, [*names])]


def _gaps(x: Any, model: Model, asked: list[Any] | None) -> Tensor | None:
    """Which values are filled, `(N, C)`; None of readings."""
    from ..data import gaps_to_fill, rows_with_gaps

    if model.schema.readings is not None:
        return None
    return gaps_to_fill(model.schema, rows_with_gaps(model.schema, x)[0].isnan(), asked)


def _in_table(gaps: Tensor | None, table: Any, model: Model) -> Any:
    """Which cells of a table are filled: gaps, but for those that a constraint says are missing."""
    found = table.isna() & False
    for name, values in zip(model.schema.columns or (), () if gaps is None else gaps.T):
        found[name] = values.numpy() & table[name].notna().to_numpy(bool)
    return found


def _filled(x: Any, gaps: Tensor | None, model: Model, some: bool) -> str:
    """How many values were filled in."""
    if gaps is None:
        form = cast("Readings", model.schema.readings)
        values = sum(int(x[name].isna().sum()) for name in form.values)
        return f"drew {values:,} value{'s' * (values != 1)} of {len(x):,} readings"
    values, rows = int(gaps.sum()), int(gaps.any(1).sum())
    if not values:
        return f"no value misses{' in these columns' * some} in {len(gaps):,} rows: nothing was filled"
    return f"filled {values:,} missing value{'s' * (values > 1)} in {rows:,} of {len(gaps):,} rows"
