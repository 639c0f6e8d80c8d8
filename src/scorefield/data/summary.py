"""One pass over all the data: moments and ranges, and whatever would prevent training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .lattice import Lattice
from .rows import Rows

__all__ = ["Summary", "summarize"]

FIRST = 5  # how many rows or columns an error names


@dataclass(frozen=True)
class Summary:
    """What one pass over the data finds; tensors of the internal shape of an example, in float64.

    Arguments:
        count: The number of rows.
        mean: The mean over the rows.
        variance: The variance over the rows, the sum of squares divided by `count`.
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
    """Count, mean, sum of squares and range of what has been added so far (Chan et al., 1979, eq. 2.1)."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.count = 0
        self.mean, self.squares = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        self.minimum = torch.full(shape, math.inf, dtype=torch.float64)
        self.maximum = torch.full(shape, -math.inf, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        n, total, mean = len(x), self.count + len(x), x.mean(0)
        delta = mean - self.mean
        self.squares += (x - mean).square_().sum(0) + delta.square() * (self.count * n / total)
        self.mean += delta * (n / total)
        self.minimum = torch.minimum(self.minimum, x.amin(0))
        self.maximum = torch.maximum(self.maximum, x.amax(0))
        self.count = total


def summarize(rows: Rows, names: Sequence[object] | None = None, memory: int = 8 << 20) -> Summary:
    """Reads all rows once, in order, and checks that a model can learn from them.

    Arguments:
        rows: The data.
        names: The names of the columns, for the messages.
        memory: The bytes of float64 held at a time.

    Returns:
        The moments, ranges and lattice of the data.

    Raises:
        ValueError: If there are fewer than two rows, rows with NaN or infinities, columns of a vector that are
            constant, or channels of a grid that are (a constant pixel is fine).

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
    moments, lattice = _Moments(shape), Lattice(shape, rows.dtype)
    for x in rows.chunks(size, torch.float64):
        x = x.cpu()
        moments.add(x)
        if not bool((moments.minimum.isfinite() & moments.maximum.isfinite()).all()):
            raise ValueError(_not_finite(rows, names, size))
        lattice.add(x)
    _varies(moments.minimum, moments.maximum, names)
    variance = moments.squares / moments.count
    return Summary(
        moments.count, moments.mean, variance, moments.minimum, moments.maximum, lattice.integer, lattice.step
    )


def _not_finite(rows: Rows, names: Sequence[object] | None, size: int) -> str:
    """Which rows and features hold NaN or infinities, and what to do."""
    count, first, infinite = 0, list[int](), False
    bad_features = torch.zeros(math.prod(rows.shape[1:]), dtype=torch.bool)
    for i, x in enumerate(rows.chunks(size, torch.float64)):
        bad = ~x.isfinite().flatten(1).cpu()
        bad_rows = bad.any(1).nonzero()[:, 0]
        count += len(bad_rows)
        first += (bad_rows[: FIRST - len(first)] + i * size).tolist()
        bad_features |= bad.any(0)
        infinite |= bool(x.isinf().any())
    features = bad_features.nonzero()[:, 0].tolist()
    vector = len(rows.shape) == 2
    where = f" in {_columns(features, names)}" if vector else f", in {len(features)} of {len(bad_features)} values"
    if count == len(rows):
        advice = "fill them (numpy.nan_to_num(x)) or leave these values out: every row has some"
    elif names is not None:
        advice = "drop them: df.replace([numpy.inf, -numpy.inf], numpy.nan).dropna()"
    else:
        advice = "drop them: x[numpy.isfinite(x).reshape(len(x), -1).all(1)]"
    what = "NaN or infinite values" if infinite else "NaN"
    which = f"row{'s' * (count > 1)} {', '.join(map(str, first))}" + ", …" * (count > FIRST)
    return f"{count} of {len(rows)} rows hold {what}{where} ({which}): {advice}"


def _columns(columns: Sequence[int], names: Sequence[object] | None) -> str:
    shown = [repr(names[c]) if names is not None else str(c) for c in columns[:FIRST]]
    rest = f" and {len(columns) - FIRST} more" if len(columns) > FIRST else ""
    return f"column{'s' * (len(columns) > 1)} {', '.join(shown)}{rest}"


def _varies(minimum: Tensor, maximum: Tensor, names: Sequence[object] | None) -> None:
    """Raises an error that names the constant columns of a vector or channels of a grid."""
    vector = minimum.ndim == 1
    low = minimum if vector else minimum.flatten(1).amin(1)
    high = maximum if vector else maximum.flatten(1).amax(1)
    constant = np.flatnonzero((low == high).numpy()).tolist()
    if not constant:
        return
    values = ", ".join(f"{low[c].item():g}" for c in constant[:FIRST])
    if len(constant) == len(low):
        raise ValueError(
            f"all data are the same, {values} in every row: there is nothing to learn, check how they were made"
        )
    verb, them = ("never vary", "them") if len(constant) > 1 else ("never varies", "it")
    if vector:
        advice = "df.drop(columns=[…])" if names is not None else "numpy.delete(x, […], axis=1)"
        raise ValueError(f"{_columns(constant, names)} {verb} (always {values}): drop {them}, {advice}")
    which = _columns(constant, None).replace("column", "channel")
    raise ValueError(f"{which} {verb} (always {values}): leave {them} out of the data")
