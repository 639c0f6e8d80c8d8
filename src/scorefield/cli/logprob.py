"""`scorefield logprob`: log-densities of data under a model, with their errors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .launching import first, shares_work
from .options import Conditions, Reading
from .terminal import say
from .verbs import Config, Device, Overwrite, Seed, app, device_of, flat, model_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..likelihood import LogProb
    from ..model import Model

__all__ = ["logprob"]

_ERRORS = ("standard_error", "solver_error", "end_error", "truncation")
_FITTED = 4096  # data that the mixture of the self-check is fitted to


@app.command(
    sort_key=8,
    help_epilogue="""Examples:

  scorefield logprob run data.npy -o densities.csv
  scorefield logprob run new.csv -o densities.parquet --target-error 0.001
  scorefield logprob run digits.npz -n 100 --draws 2 --check
  torchrun --nproc-per-node 4 -m scorefield logprob run data.npy -o d.csv""",
)
@shares_work
def logprob(
    run: Path,
    data: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    probes: int | None = None,
    tolerance: float | None = None,
    target_error: float | None = None,
    extrapolate: bool = False,
    draws: int | None = None,
    check: bool = False,
    batch: int | None = None,
    seed: Seed = 0,
    conditions: Annotated[Conditions, flat("Context")] = Conditions(),  # noqa: B008
    device: Device = "auto",
    reading: Annotated[Reading, flat("Reading")] = Reading(),  # noqa: B008
    overwrite: Overwrite = False,
    config: Config = None,
) -> None:
    """Compute the log-density of each example under a model, in nats and in the units of the data, with its errors.

    Densities of dates are per step of their column, a day of whole days or an hour of whole hours, and those of times of day
    and durations in text per second. Categories, and numbers or dates that are values by themselves, have probabilities.

    Arguments:
        run: The folder of a run, or a model.safetensors.
        data: A file of data in the form of the training data, or a folder of files or of images.
        output: A table to write, .csv or .parquet: log_prob, its errors, evaluations of the network.
        count: Use only the first so many examples; by default all.
        probes: The number of random probes for the divergence, 0 for the exact one; by default exact up to 64 dimensions.
        tolerance: The error allowed in each step of the solver. [default: 1e-5; 1e-3 for tables with categories, atoms or
            missing values, where the mean over places in cells leaves a larger error]
        target_error: Instead of a tolerance: the largest error of a log-density, in nats.
        extrapolate: Correct the density for the noise of the smallest level, to second order.
        draws: For whole or rounded numbers: also bits per dimension, from this many random points in each example's cell.
        check: First run the same settings on a known distribution, two Gaussians fitted to the data, and print the error.
        batch: How many examples are computed at once; memory grows with it.
        seed: The seed of the probes and the random points.
    """
    import torch

    _writable(output, overwrite)
    model = conditions.applied((model_of(run)).to(device_of(device)))
    if count is not None and count < 1:
        raise ValueError(f"log-densities are of at least one row, got count={count}")
    x = reading.read(data, run)
    if count is not None or check or draws is not None:
        model.schema.require_one_length("--count, --check or --draws", "leave it out")
    solver: dict[str, Any] = {"probes": probes, "tolerance": tolerance, "target_error": target_error, "batch": batch}
    if check:
        some = model.schema.unpack(model.schema.first(x, _FITTED), torch.float64)
        _check(model, some, {**solver, "seed": seed, "extrapolate": extrapolate})
    x = x if count is None else model.schema.first(x, count)
    if not model.schema.count(x):
        raise ValueError(f"{data} has no rows: give one or more")
    found = model.log_prob(x, seed=seed, extrapolate=extrapolate, **solver, shared=True)
    columns = {"log_prob": found.value, **{name: getattr(found, name) for name in (*_ERRORS, "evaluations")}}
    size = math.prod(model.schema.inner_shape)
    each = "" if model.schema.readings is not None else f", {_mean(found.value / size)} a dimension"
    beyond = int(found.value.isinf().sum())
    if beyond > 0:
        what = "lies" if beyond == 1 else "lie"
        say(f"{beyond:,} of {len(found):,} data {what} where the model has probability 0: log-density -inf")
    say(f"{len(found):,} data: log-density {_mean(found.value)} nats{each}")
    say(f"their errors: {_median(found)}")
    if per := [f"{column.name} per {column.density_unit}" for column in model.schema.table if column.density_unit]:
        say(f"units of the densities of dates and times: {', '.join(per)}")
    if draws is not None:
        bits = model.density(seed=seed, **solver, shared=True).bits_per_dim(x, draws)
        columns |= {"bits_per_dim": bits.value, "bits_per_dim_error": bits.standard_error}
        columns |= {"bits_per_dim_tight": bits.tight}
        places = f"{draws} point{'s' * (draws > 1)} in each cell"
        say(f"bits per dimension, by uniform dequantization at {places}: {_mean(bits.value)}")
    if output is not None and first():
        _write(output, columns, x)
        print(output)


def _mean(values: Tensor) -> str:
    """A mean and its standard error."""
    spread = len(values) > 1 and bool(values.isfinite().all())
    error = f" ± {float(values.std()) / len(values) ** 0.5:.2g}" if spread else ""
    return f"{float(values.mean()):.6g}{error}"


def _median(found: LogProb) -> str:
    parts = [f"{name.replace('_', ' ')} {float(getattr(found, name).abs().median()):.2g}" for name in _ERRORS]
    evaluations = f"{float(found.evaluations.double().mean()):.0f} evaluations each"
    return f"{', '.join(parts)} nats (medians), {evaluations}"


def _check(model: Model, x: Tensor, settings: dict[str, Any]) -> None:
    """The same settings on a known distribution."""
    from ..likelihood import self_check

    found, true = self_check(model.density(**settings).inner, x)
    off = (found.value - true).abs()
    share = float((off <= found.error).double().mean())
    sizes = f"{float(off.median()):.2g} (median), {float(off.max()):.2g} (largest)"
    print(f"self-check on two Gaussians fitted to the data: error {sizes} nats")
    reported = f"reported {float(found.error.median()):.2g} (median)"
    print(f"  {reported}; it covers the error at {100 * share:.0f} % of {len(off)} points")


def _writable(output: Path | None, overwrite: bool) -> None:
    """Raises if a table cannot be written there, before it is computed."""
    from ..destinations import check_writable
    from ..overwriting import refuse_existing

    if output is None:
        return
    if output.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"log-densities are written as .csv or .parquet, got {output}")
    check_writable(output)
    refuse_existing(output, overwrite)


def _write(output: Path, columns: dict[str, Tensor], x: Any) -> None:
    """Writes columns, as text in the form of the data."""
    from ..data import Schema, TextForm, write
    from ..data.optional import need

    frame = need("pandas", "writing tables").DataFrame({name: values.numpy() for name, values in columns.items()})
    form = TextForm.of(x)
    frame.attrs.update({} if form is None else form.attributes)
    types = tuple(str(dtype) for dtype in frame.dtypes)  # results, -inf among them, and not data to be learned
    schema = Schema("dataframe", (len(types),), "float64", "vector", columns=tuple(columns), column_dtypes=types)
    write(output, [frame], len(frame), schema)
