"""Whether rows are overlapping windows of one long series, so that neighbouring rows share values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .rows import Rows

__all__ = ["Overlap", "overlap_of"]

_PAIRS = 64  # of neighbouring rows that are compared, at most
_NUMBERS = 2**22  # that are compared, at most, but for the fewest pairs
_FEWEST = 8  # pairs that say something, below which nothing is said
_SHARE = 0.5  # of these pairs that have to overlap: series may end in between
_DIFFERENT = 4  # values that an overlap has at least


@dataclass(frozen=True)
class Overlap:
    """How neighbouring rows overlap: row i from a position on is row i + 1 from its beginning on, or the other way round.

    Arguments:
        shift: By how many positions a row is further than the one before.
        length: The number of positions of a row.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> series = np.random.default_rng(0).normal(size=400)
        >>> windows = np.lib.stride_tricks.sliding_window_view(series, 32)[::8]
        >>> found = overlap_of(ArrayRows(windows))
        >>> found, found.reach
        (Overlap(shift=8, length=32), 3)
        >>> overlap_of(ArrayRows(windows[::4])) is None
        True
    """

    shift: int
    length: int

    @property
    def reach(self) -> int:
        """How many of the rows that follow a row share values with it."""
        return (self.length - 1) // self.shift


def overlap_of(rows: Rows) -> Overlap | None:
    """Looks for values of a row that recur in the next one, shifted along an axis.

    A pair of rows overlaps where all values of so many positions are exactly equal in both, four different ones at least. At
    least half of up to 64 pairs have to, among those whose values could show it: flat images and dry weeks say nothing.

    Arguments:
        rows: The rows, in the order in which they were recorded.

    Returns:
        The smallest shift; None if there is none, or fewer than eight pairs say something.
    """
    size = max(1, math.prod(rows.shape[1:]))
    count = min(len(rows) - 1, max(_FEWEST, min(_PAIRS, _NUMBERS // size)))
    if count < _FEWEST:
        return None
    first = np.unique(np.linspace(0, len(rows) - 2, count).round().astype(np.int64))
    x, y = (rows.take(first + i, torch.float64).cpu().nan_to_num(nan=math.inf) for i in (0, 1))
    new = ~(x == y).flatten(1).all(1)  # copies of a row are not windows
    found = []
    for axis in range(1 if x.ndim == 2 else 2, x.ndim):
        length = x.shape[axis]
        a, b = (each[new].movedim(axis, -1).reshape(int(new.sum()), size // length, length) for each in (x, y))
        shifts = (_shift(a, b), _shift(b, a))
        found += [Overlap(shift, length) for shift in shifts if shift is not None]
    return min(found, key=lambda each: each.shift / each.length, default=None)


def _shift(x: Tensor, y: Tensor) -> int | None:
    """The smallest shift by which most pairs of rows `(N, M, T)` overlap; None if there is none."""
    likely = (x == y[:, :, :1]).all(1)  # the first position of y, anywhere in x
    least = -(-_DIFFERENT // x.shape[1])  # positions that hold so many
    for shift in range(1, x.shape[2] - least + 1):
        if 2 * int(likely[:, shift].sum()) < _FEWEST:
            continue
        part = y[:, :, : x.shape[2] - shift]
        says = _different(part.flatten(1))
        equal = (x[:, :, shift:] == part).flatten(1).all(1) & says
        if int(says.sum()) >= _FEWEST and float(equal.sum()) >= _SHARE * float(says.sum()):
            return shift
    return None


def _different(x: Tensor) -> Tensor:
    """Which rows have enough different values, true or false, `(N,)`."""
    return (x.sort(1).values.diff(dim=1) > 0).sum(1) >= _DIFFERENT - 1
