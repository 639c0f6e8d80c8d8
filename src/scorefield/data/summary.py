"""One pass over all the data: moments and ranges, and whatever would prevent training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..distributed import stacked
from ..progress import report
from .chunks import over_chunks
from .columns import Column
from .lattice import Lattice
from .rows import Rows

__all__ = ["Summary", "summarize"]

FIRST = 5  # how many rows or columns an error names
_LARGEST, _SMALLEST = 1e140, 1e-140  # the squares of larger values, and of smaller differences, are not numbers


@dataclass(frozen=True)
class Summary:
    """What one pass over the data finds; tensors of the internal shape of an example, in float64.

    In a table, the rows of a column are those in which its value is not missing; without any, its moments are 0.

    Arguments:
        count: The number of rows.
        mean: The mean over the rows.
        variance: The variance over the rows, the sum of squares divided by their number.
        minimum: The smallest value.
        maximum: The largest value.
        integer: Where all values are whole numbers (bool).
        step: The spacing where all values lie on a lattice of few points, as k/255 does; 0 where they do not.
    """

    count: int
    mean: Tensor
    variance: Tensor
    minimum: Tensor
    maximum: Tensor
    integer: Tensor
    step: Tensor


class _Moments:
    """Counts, means, sums of squares and ranges of what has been added so far (Chan et al., 1979, eq. 2.1)."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.count = torch.zeros(tuple(shape), dtype=torch.float64)
        self.mean, self.squares = torch.zeros_like(self.count), torch.zeros_like(self.count)
        self.minimum = torch.full_like(self.count, math.inf)
        self.maximum = torch.full_like(self.count, -math.inf)

    def add(self, found: Tensor) -> None:
        """Takes what `_moments` found of a chunk into account."""
        n, mean, squares, least, most = found
        total = (self.count + n).clamp(min=1)
        delta = mean - self.mean
        self.squares += squares + delta.square() * (self.count * n / total)
        self.mean += delta * (n / total)
        self.minimum, self.maximum = torch.minimum(self.minimum, least), torch.maximum(self.maximum, most)
        self.count += n


def _moments(x: Tensor, missing: bool = False) -> Tensor:
    """Count, mean, sum of squares, minimum and maximum of a chunk, `(5, *shape)`, without NaN if they are `missing` values."""
    lost = x.isnan() if missing else None
    if lost is None or not bool(lost.any()):
        n, mean = torch.full_like(x[0], len(x)), x.mean(0)
        return torch.stack([n, mean, (x - mean).square_().sum(0), x.amin(0), x.amax(0)])
    n, mean = (~lost).sum(0).double(), x.nansum(0)
    mean = mean / n.clamp(min=1)
    least, most = (x.where(~lost, fill) for fill in (math.inf, -math.inf))
    return torch.stack([n, mean, (x - mean).square_().nansum(0), least.amin(0), most.amax(0)])


def summarize(
    rows: Rows,
    names: Sequence[object] | None = None,
    memory: int = 8 << 20,
    table: Sequence[Column] = (),
    shared: bool = False,
) -> Summary:
    """Reads all rows once, in order, and checks that a model can learn from them.

    Arguments:
        rows: The data.
        names: The names of the columns, for the messages.
        memory: The bytes of float64 held at a time.
        table: What the columns of a table hold: their NaN are missing values, and they may be constant.
        shared: Whether each process reads a part of the rows, to the same bits; all must call it.

    Returns:
        The moments, ranges and lattice of the data.

    Raises:
        ValueError: If there are fewer than two rows, rows with NaN or infinities, columns of a vector that are
            constant, or channels of a grid that are (a constant pixel is fine); or if all columns of a table are constant;
            if values are beyond 1e140, or those of a column differ by less than 1e-140.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> summary = summarize(ArrayRows(torch.tensor([[0.0, 1.5], [2.0, 2.5]])))
        >>> summary.mean, summary.variance, summary.integer
        (tensor([1., 2.], dtype=torch.float64), tensor([1.0000, 0.2500], dtype=torch.float64), tensor([ True, False]))
    """
    if len(rows) < 2:
        raise ValueError(
            f"a distribution cannot be learned from {len(rows)} row{'s' * (len(rows) != 1)}: give 2 or more"
        )
    shape = rows.shape[1:]
    size = max(1, memory // (8 * max(1, math.prod(shape))))
    moments, lattice, done = _Moments(shape), Lattice(shape, rows.dtype), 0
    start = rows.take(np.arange(min(size, len(rows))), torch.float64).cpu()
    filler = _first_present(start) if table else None
    lattice.begin(start if filler is None else start.where(~start.isnan(), filler))

    def read(x: Tensor) -> Tensor:
        lattice.add(x if filler is None else x.where(~x.isnan(), filler))
        return _moments(x, missing=bool(table))

    for found in over_chunks(read, rows, size, shared):
        report(done / (2 * len(rows)))
        done += size
        moments.add(found)
        if not bool(((moments.minimum.isfinite() & moments.maximum.isfinite()) | (moments.count == 0)).all()):
            raise ValueError(_not_finite(rows, names, size))
    if shared:
        lattice.meet(stacked(lattice.known()))
    present = moments.count > 0
    minimum, maximum = (torch.where(present, end, 0.0) for end in (moments.minimum, moments.maximum))
    _squares(minimum, maximum, names)
    if not table or bool((minimum == maximum).all()):
        _varies(minimum, maximum, names)
    variance = moments.squares / moments.count.clamp(min=1)
    return Summary(len(rows), moments.mean, variance, minimum, maximum, lattice.integer, lattice.step)


def _first_present(x: Tensor) -> Tensor:
    """A value of each column that is not missing; 0 where all are. It stands for missing ones where lattices are found."""
    present = ~x.isnan()
    return x.gather(0, present.int().argmax(0, keepdim=True))[0].nan_to_num()


def _not_finite(rows: Rows, names: Sequence[object] | None, size: int) -> str:
    """Which rows and features hold NaN or infinities, and what to do."""
    count, first, infinite = 0, list[int](), False
    bad_features = torch.zeros(math.prod(rows.shape[1:]), dtype=torch.bool)
    always = ~bad_features
    for i, x in enumerate(rows.chunks(size, torch.float64)):
        bad = ~x.isfinite().flatten(1).cpu()
        bad_rows = bad.any(1).nonzero()[:, 0]
        count += len(bad_rows)
        first += (bad_rows[: FIRST - len(first)] + i * size).tolist()
        bad_features |= bad.any(0)
        always &= bad.all(0)
        infinite |= bool(x.isinf().any())
    features = bad_features.nonzero()[:, 0].tolist()
    vector = len(rows.shape) == 2
    where = f" in {_columns(features, names)}" if vector else f", in {len(features)} of {len(bad_features)} values"
    if infinite:
        advice = _ALL if count == len(rows) else _DROP if names is None else _DROP_TABLE
    elif vector:
        advice = _TABLE + ("" if count == len(rows) else f"; or {_DROP if names is None else _DROP_TABLE}")
    elif bool((always == bad_features).all()):
        advice = "these values miss in every row: fill them with one number, numpy.nan_to_num(x)"
    else:
        advice = (_SERIES if len(rows.shape) == 3 else "") + (_FIELDS_ALL if count == len(rows) else _FIELDS)
    what = "NaN or infinite values" if infinite else "NaN"
    which = f"row{'s' * (count > 1)} {', '.join(map(str, first))}" + ", …" * (count > FIRST)
    return f"{count} of {len(rows)} rows hold {what}{where} ({which}): {advice}"


_DROP = "drop them: x[numpy.isfinite(x).reshape(len(x), -1).all(1)]"
_DROP_TABLE = "drop them: df.replace([numpy.inf, -numpy.inf], numpy.nan).dropna()"
_ALL = "leave these values out, or replace what is infinite by NaN: every row has some"
_TABLE = "give a table, pandas.DataFrame(x), or a file of one, whose missing values are learned"
_FIELDS = (
    "fit whole ones, x[numpy.isfinite(x).reshape(len(x), -1).all(1)], and take what is known of others as a measurement, "
    'model.observe(Measurement("mask", y, noise)): zeros in place of NaN would be learned as data'
)
_FIELDS_ALL = (
    "fit whole ones, and take these as measurements; or say where they miss by a context, "
    "fit(numpy.nan_to_num(x), context=numpy.isnan(x)): zeros alone would be learned as data"
)
_EXACT = 2.0**53  # beyond which float64 does not hold every whole number
_SERIES = (
    "series with gaps are rows of different length, scorefield.data.Ragged(values, times) with values (N, T) or (N, T, C) and "
    "times (N, T) (--rows and --time on the command line); or "
)


def _columns(columns: Sequence[int], names: Sequence[object] | None) -> str:
    shown = [repr(names[c]) if names is not None else str(c) for c in columns[:FIRST]]
    rest = f" and {len(columns) - FIRST} more" if len(columns) > FIRST else ""
    return f"column{'s' * (len(columns) > 1)} {', '.join(shown)}{rest}"


def _squares(minimum: Tensor, maximum: Tensor, names: Sequence[object] | None) -> None:
    """Raises an error that names columns, or channels, whose variance would overflow or vanish."""
    large = torch.maximum(minimum.abs(), maximum.abs()) > _LARGEST
    near = (minimum < maximum) & (maximum / 2 - minimum / 2 < _SMALLEST / 2)
    wrong = large if bool(large.any()) else near
    vector = wrong.ndim == 1
    columns = (wrong if vector else wrong.flatten(1).any(1)).nonzero()[:, 0].tolist()
    if not columns:
        return
    which = _columns(columns, names if vector else None)
    which = which if vector else which.replace("column", "channel")
    what = f"values beyond {_LARGEST:g}" if bool(large.any()) else f"values that differ by less than {_SMALLEST:g}"
    raise ValueError(
        f"{which} hold{'s' * (len(columns) == 1)} {what}, whose variance cannot be computed: change the units"
    )


def _varies(minimum: Tensor, maximum: Tensor, names: Sequence[object] | None) -> None:
    """Raises an error that names the constant columns of a vector or channels of a grid."""
    vector = minimum.ndim == 1
    low = minimum if vector else minimum.flatten(1).amin(1)
    high = maximum if vector else maximum.flatten(1).amax(1)
    constant = np.flatnonzero((low == high).numpy()).tolist()
    if not constant:
        return
    values = ", ".join(f"{low[c].item():g}" for c in constant[:FIRST])
    rounded = any(abs(low[c].item()) >= _EXACT for c in constant)
    lost = ", as far as float64 holds it; if whole numbers differ in later digits, subtract the smallest first, x - x.min(0)"
    lost = lost if rounded else ""
    if len(constant) == len(low):
        same = "all data are the same" + ("" if names is not None else f", {values} in every row")
        raise ValueError(f"{same}{lost}: there is nothing to learn, check how they were made")
    verb, them = ("never vary", "them") if len(constant) > 1 else ("never varies", "it")
    if vector:
        advice = "df.drop(columns=[…])" if names is not None else "numpy.delete(x, […], axis=1)"
        raise ValueError(f"{_columns(constant, names)} {verb} (always {values}{lost}): drop {them}, {advice}")
    which = _columns(constant, None).replace("column", "channel")
    raise ValueError(f"{which} {verb} (always {values}{lost}): leave {them} out of the data")
