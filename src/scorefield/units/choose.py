"""The choice of units: which map each column gets, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..data.columns import Column
from ..data.rows import Rows
from ..data.summary import Summary
from ..rng import permutation
from .base import Units
from .choose_channels import choose_channels
from .choose_map import choose_map
from .column_map import ColumnMap
from .columns import ColumnUnits
from .near_columns import straightened
from .partly_equal import PartlyEqual, partial_equalities
from .standardize import Standardize
from .wishes import Wish, Wishes

__all__ = ["UnitsChoice", "choose_units"]

_ROWS = 200_000  # that maps are fitted to, at most


@dataclass(frozen=True)
class UnitsChoice:
    """Units and why they are what they are.

    Arguments:
        units: The map between data and states.
        reasons: A sentence for each column of a vector, or channel of a grid.
    """

    units: Units
    reasons: tuple[str, ...]


def choose_units(
    rows: Rows, table: Sequence[Column] | None = None, wishes: Wishes | None = None, summary: Summary | None = None
) -> UnitsChoice:
    """The map of each column of vectors, or channel of grids, chosen from up to 200,000 training rows.

    A number keeps the affine map unless there is reason for another: it was asked for; values are cut off, repeated or on
    a lattice; or held-out values are clearly more likely under another map. If every column keeps it, these are the moments
    of `summary`, and the units are `Standardize`; smooth and wide columns of an integer type then stand for cells outside
    of it.

    Arguments:
        rows: The training rows, of internal shape `(N, C)`, or `(N, C, *S)` for grids.
        table: The columns of a table; None for arrays.
        wishes: What the user asks for.
        summary: The moments of all data; by default those of the rows that are read.

    Returns:
        The units, with a reason for each column or channel.

    Raises:
        ValueError: If what is asked for does not fit the data: the logarithm of negative values, values outside of declared
            bounds, or columns that do not exist; or if no column varies.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> rng = np.random.default_rng(0)
        >>> rows = ArrayRows(np.stack((rng.normal(size=500), np.exp(3 * rng.normal(size=500))), 1))
        >>> choose_units(rows).reasons
        ('affine', 'log: positive, spans 7 decades')
    """
    wishes = wishes or Wishes()
    x = _sample(rows, wishes.seed)
    asked = wishes.columns(rows.shape[1], table)
    if len(rows.shape) > 2:
        return UnitsChoice(*choose_channels(x, asked, summary, bool(wishes.names)))
    columns, reasons = _columns(x.numpy(), asked, wishes)
    if summary is not None:
        columns = tuple(_with_moments(m, summary, c) for c, m in enumerate(columns))
    if table and (found := _with_equalities(x.numpy(), columns, reasons, asked)):
        return found
    smooth = all(w.free and _smooth(m, rows.dtype) for w, m in zip(asked, columns))
    if smooth and not wishes.conditionals:
        return UnitsChoice(_standardize(x, summary), reasons)
    return UnitsChoice(ColumnUnits(columns, conditionals=wishes.conditionals), reasons)


def _with_equalities(
    x: np.ndarray, columns: Sequence[ColumnMap], reasons: Sequence[str], asked: Sequence[Wish]
) -> UnitsChoice | None:
    """Units that keep equalities of columns in a part of the rows, if there are some."""
    shares = partial_equalities(x, columns)
    if not shares:
        return None
    said = list(reasons)
    for (first, second), share in shares.items():
        said[second] += f"; equal to {asked[first].name} in {_percent(share)}"
    return UnitsChoice(PartlyEqual(columns, tuple(shares)), tuple(said))


def _sample(rows: Rows, seed: int) -> torch.Tensor:
    """Up to 200,000 rows in float64, fewer of those with many numbers."""
    most = max(256, min(_ROWS, 2**25 // max(1, math.prod(rows.shape[1:]))))
    count = len(rows)
    places = np.sort(permutation(count, seed, -3)[:most]) if count > most else range(count)
    return rows.take(places, torch.float64).cpu()


def _columns(x: np.ndarray, asked: Sequence[Wish], wishes: Wishes) -> tuple[tuple[ColumnMap, ...], tuple[str, ...]]:
    """The map of each column and its reason."""
    distinct = _distinct_rows(x)
    columns, reasons = [], []
    for c, wish in enumerate(asked):
        values = x[:, c]
        missing = bool(np.isnan(values).any()) or wish.missing
        column, reason = choose_map(values[~np.isnan(values)], wish, distinct, wishes)
        columns.append(replace(column, missing=missing))
        reasons.append(reason)

    def straight(c: int) -> tuple[ColumnMap, str]:
        return choose_map(x[~np.isnan(x[:, c]), c], asked[c], distinct, wishes, straight=True)

    free = [wish.transform == "auto" and wish.bounds == (None, None) for wish in asked]
    for c, (column, reason, other) in straightened(x, columns, free, straight, wishes.seed).items():
        columns[c] = replace(column, missing=columns[c].missing)
        reasons[c] = f"{reason}, as it differs little from {asked[other].name!r}"
    for c, column in enumerate(columns):
        share = float(np.isnan(x[:, c]).mean())
        reasons[c] += f"; missing in {_percent(share)}" if column.missing else ""
    return tuple(columns), tuple(reasons)


def _with_moments(column: ColumnMap, summary: Summary, place: int) -> ColumnMap:
    """An affine map with the moments of all data, those of whole cells where values stand for cells."""
    curved = column.base != "affine" or any(part is not None for part in (column.knots, column.atoms, column.cycle))
    if curved or column.missing or not column.is_number:
        return column
    variance = float(summary.variance[place]) + column.step**2 / 12  # Sheppard, 1898
    return replace(column, location=float(summary.mean[place]), scale=math.sqrt(variance))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "all rows"


def _distinct_rows(x: np.ndarray) -> int:
    """The number of distinct rows of several columns, by a random projection; -1 for a single column."""
    if x.shape[1] < 2:
        return -1
    known = np.nan_to_num(x, nan=0.5)
    scale = known.std(0)
    filled = known / np.where(scale > 0, scale, 1.0)
    return len(np.unique(filled @ np.random.default_rng(0).normal(size=x.shape[1])))


def _smooth(column: ColumnMap, dtype: torch.dtype) -> bool:
    """Whether mean and standard deviation are all there is; samples of whole numbers are rounded by their type as well."""
    rounded = column.lattice[1] == 0 or (not dtype.is_floating_point and column.lattice == (0.0, 1.0, 1.0))
    affine = column.is_number and column.base == "affine" and column.knots is None and column.cycle is None
    return affine and rounded and column.atoms is None and column.lower is None and column.upper is None


def _standardize(x: torch.Tensor, summary: Summary | None) -> Standardize:
    mean, variance = (x.mean(0), x.var(0, correction=0)) if summary is None else (summary.mean, summary.variance)
    return Standardize(tuple(mean.shape), mean, variance.sqrt())
