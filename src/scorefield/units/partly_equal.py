"""Columns of a table that are equal in a part of the rows, such as what was paid and what was owed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.variables import ABSENT
from .base import Units
from .column_map import ColumnMap
from .columns import ColumnUnits

__all__ = ["PartlyEqual", "partial_equalities"]

_ROWS = 50_000  # that are searched, at most
_COUNT, _SHARE = 30, 0.02  # of rows in which two columns are equal, at least
_SPIKE = 4  # times as many as have the next value above, or below
_EXPLAINED = 0.9  # of the rows of a pair, from which on it follows from other pairs


class PartlyEqual(Units):
    """Units of a table, some of whose columns are equal in a part of the rows: such rows are learned and drawn exactly.

    Each pair of columns adds a category of two levels to the state: whether both are there and equal, other than by an atom.
    Where they are, the second column is what the first one is, and its own coordinate does not count in densities.

    Arguments:
        columns: The maps of the columns.
        pairs: The first and the second column of each pair, numbers both. A second column may be the first one of later pairs.
        complete: Whether missing values are never drawn.

    Raises:
        ValueError: If a pair is not one of two numbers.

    Example:
        >>> units = PartlyEqual((ColumnMap(), ColumnMap(scale=2.0)), ((0, 1),))
        >>> states = units(torch.tensor([[3.0, 3.0], [3.0, 4.0]]).double())
        >>> states
        tensor([[3.0000, 1.5000, 0.0000, 1.0000],
                [3.0000, 2.0000, 1.0000, 0.0000]], dtype=torch.float64)
        >>> units.inverse(states + torch.tensor([0.0, 0.1, 0.0, 0.0]))
        tensor([[3.0000, 3.0000],
                [3.0000, 4.2000]], dtype=torch.float64)
    """

    def __init__(self, columns: Sequence[ColumnMap], pairs: Sequence[tuple[int, int]], complete: bool = False) -> None:
        super().__init__((len(columns),))
        self.columns, self.complete = tuple(columns), complete
        self.pairs = tuple((int(first), int(second)) for first, second in pairs)
        for first, second in self.pairs:
            within = 0 <= first < len(self.columns) and 0 <= second < len(self.columns) and first != second
            if not within or not (self.columns[first].is_number and self.columns[second].is_number):
                raise ValueError(f"a pair is two columns of numbers, got columns {first} and {second}")
        self.inner = ColumnUnits((*self.columns, *(ColumnMap(levels=2) for _ in self.pairs)), complete)
        self.has_cells, self.variables = self.inner.has_cells, self.inner.variables

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.inner.state_shape

    @property
    def bounds(self) -> tuple[tuple[float | None, float | None], ...]:
        return self.inner.bounds[: len(self.columns)]

    @property
    def atoms(self) -> tuple[tuple[float, ...], ...]:
        return self.inner.atoms[: len(self.columns)]

    @property
    def smooth(self) -> Tensor:
        """Of each column, whether it holds numbers without atoms that equal no other column."""
        found = self.inner.smooth[: len(self.columns)].clone()
        found[[second for _, second in self.pairs]] = False
        return found

    def equal(self, x: Tensor) -> Tensor:
        """Whether the columns of each pair are equal in rows `(B, C)`, `(B, P)` in float64.

        Where one is missing they are not, or it is not known, NaN, if the state does not say that the value is missing.
        """
        wide, found = x.double(), []
        for first, second in self.pairs:
            a, b = wide[:, first], wide[:, second]
            same = (a == b) & ~torch.isin(b, self.columns[second].values.to(b.device))
            unknown = torch.stack([wide[:, c].isnan() & (not self._may_miss(c)) for c in (first, second)])
            found.append(torch.where(unknown.any(0), torch.nan, same.double()))
        return torch.stack(found, 1)

    def _may_miss(self, column: int) -> bool:
        """Whether a state says if the value of a column is missing."""
        return self.columns[column].missing and not self.complete

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data, `(B, C)`, to states."""
        y: Tensor = self.inner(self._with_equal(x), self._places(place))
        return y

    def drawn(self, place: Tensor) -> Tensor:
        """Those of the inner units."""
        return self.inner.drawn(torch.cat([place, place.new_zeros(len(place), len(self.pairs))], 1))[
            :, : place.shape[1]
        ]

    def inverse(self, x: Tensor) -> Tensor:
        """Maps states to data, `(B, C)`, in float64: second columns are equal to first ones where their category says so."""
        data = self.inner.inverse(x)
        return self._settled(data[:, : len(self.columns)], data[:, len(self.columns) :] == 1)

    def with_known(self, drawn: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Rows that were drawn, with known values; what is equal to a known value is that value."""
        equal = self.equal(drawn) == 1
        found, fixed = super().with_known(drawn, x, known), known.clone()
        for k in reversed(range(len(self.pairs))):
            first, second = self.pairs[k]
            back = equal[:, k] & fixed[:, second] & ~fixed[:, first]
            found[:, first] = torch.where(back, found[:, second], found[:, first])
            fixed[:, first] |= back
        return super().with_known(self._settled(found, equal), x, known)

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """log |det ∂ state / ∂ x| over numbers that do not equal others, of shape `(B,)`."""
        if counted is None:
            all_of_them = torch.ones(x.shape, dtype=torch.bool, device=x.device)
            counted = self._counted(all_of_them, ~all_of_them, x)
        return self.inner.log_volume(self._with_equal(x), self._places(place), self._with_flags(counted))

    def variables_of(self, columns: Tensor) -> Tensor:
        """Those of the columns, and those that say whether one of them equals another."""
        equal = [bool(columns[first] | columns[second]) for first, second in self.pairs]
        return self.inner.variables_of(torch.cat([columns.bool(), columns.new_tensor(equal, dtype=torch.bool)]))

    def status(self, known: Tensor, x: Tensor, complete: bool = False) -> Tensor:
        """What each variable is, given some values: whether two are equal is known where both are.

        The second of two equal values is ABSENT, because it is known from the first one.
        """
        known, equal = known.bool(), self.equal(x)
        found = self.inner.status(self._with_flags(known), torch.cat([x, equal.to(x)], 1), complete)
        places = self.inner.place_of[:, 0]
        for k, (first, second) in enumerate(self.pairs):
            copied = known[:, first] & known[:, second] & (equal[:, k] == 1)
            found[:, places[second]] = torch.where(copied, ABSENT, found[:, places[second]])
        return found

    def targets(self, wanted: Tensor, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What has a part in a log-density: of equal values one, and none if one of them is known."""
        union = self._with_flags(wanted | known)
        flags = torch.cat([wanted, union[:, len(self.columns) :]], 1), self._with_flags(known)
        found = self.inner.targets(*flags, self._with_equal(x))[0]
        counted = self._counted(wanted, known, x)
        for c in {column for pair in self.pairs for column in pair}:
            found[:, self.inner.place_of[c, 0]] &= counted[:, c]
        return found, counted

    def _counted(self, wanted: Tensor, known: Tensor, x: Tensor) -> Tensor:
        """Wanted values less those that equal another one that is known or wanted."""
        equal, counted, fixed = self.equal(x) == 1, wanted & ~known, known.clone()
        for k in reversed(range(len(self.pairs))):
            first, second = self.pairs[k]
            back = equal[:, k] & fixed[:, second] & counted[:, first]
            counted[:, first] &= ~back
            fixed[:, first] |= back
        for k, (first, second) in enumerate(self.pairs):
            counted[:, second] &= ~(equal[:, k] & (wanted | known)[:, first])
        return counted

    def _settled(self, data: Tensor, equal: Tensor) -> Tensor:
        """Rows whose second columns are equal to first ones, if they may have such values."""
        data = data.clone()
        for k, (first, second) in enumerate(self.pairs):
            value, column = data[:, first], self.columns[second]
            low = -torch.inf if column.lower is None else column.lower
            high = torch.inf if column.upper is None else column.upper
            fits = equal[:, k] & (value >= low) & (value <= high) & ~data[:, second].isnan()
            data[:, second] = torch.where(fits, value, data[:, second])
        return data

    def _with_equal(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.equal(x).to(x)], 1)

    def _with_flags(self, flags: Tensor) -> Tensor:
        """Flags of columns, with those of pairs: true where both columns are."""
        both = [flags[:, first] & flags[:, second] for first, second in self.pairs]
        return torch.cat([flags, torch.stack(both, 1)], 1)

    def _places(self, place: Tensor | None) -> Tensor | None:
        if place is None:
            return None
        return torch.cat([place, place.new_full((len(place), len(self.pairs)), 0.5)], 1)


def partial_equalities(x: np.ndarray, columns: Sequence[ColumnMap]) -> dict[tuple[int, int], float]:
    """Pairs of columns that are equal in a part of the rows, more often than neighbouring values would be.

    Two columns are such a pair if they are equal in 2 % of the rows or more, not by an atom, and four times as often as one
    has the value just above, or below, that of the other: numbers that are only close to each other are not.

    Arguments:
        x: The data, `(n, C)`, NaN where a value is missing.
        columns: Their maps.

    Returns:
        For each pair, the share of rows in which its columns are equal. The first column has the coarser lattice, so that
        its values are possible for the second one; pairs that follow from others are left out.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> owed = rng.gamma(2.0, size=1000).round(2)
        >>> paid = np.where(rng.random(1000) < 0.3, owed, rng.gamma(2.0, size=1000).round(2))
        >>> found = partial_equalities(np.stack((owed, paid), 1), [ColumnMap(), ColumnMap()])
        >>> [(pair, round(share, 1)) for pair, share in found.items()]
        [((0, 1), 0.3)]
    """
    x = x[:: max(1, len(x) // _ROWS)]
    numbers = [c for c, m in enumerate(columns) if m.is_number and not m.discrete]
    order = sorted(numbers, key=lambda c: (-columns[c].lattice[1] / columns[c].lattice[2], c))
    free = {c: ~np.isin(x[:, c], columns[c].values.numpy()) for c in numbers}
    found = {}
    for i, first in enumerate(order):
        for second in order[i + 1 :]:
            share = _share(x[:, first], x[:, second], free[second])
            if share:
                found[first, second] = share
    kept = _independent(x, found, free)
    rank = {c: i for i, c in enumerate(order)}
    return {pair: found[pair] for pair in sorted(kept, key=lambda pair: (rank[pair[1]], rank[pair[0]]))}


def _share(a: np.ndarray, b: np.ndarray, free: np.ndarray) -> float:
    """The share of rows in which two columns are equal; 0 if chance, or closeness, may explain it."""
    equal = (a == b) & free
    count = int(equal.sum())
    if count < max(_COUNT, _SHARE * len(a)):
        return 0.0
    both = free & ~np.isnan(a)
    values = np.unique(np.concatenate([a[both], b[both]]))
    step = np.searchsorted(values, a[both]) - np.searchsorted(values, b[both])
    near = max(int((step == 1).sum()), int((step == -1).sum()))
    return count / len(a) if count > _SPIKE * near else 0.0


def _independent(
    x: np.ndarray, found: dict[tuple[int, int], float], free: dict[int, np.ndarray]
) -> list[tuple[int, int]]:
    """The pairs that do not follow from others, the most frequent ones first, not more than there are columns."""
    kept: list[tuple[int, int]] = []
    group = np.tile(np.arange(x.shape[1]), (len(x), 1))
    for first, second in sorted(found, key=lambda pair: -found[pair]):
        equal = (x[:, first] == x[:, second]) & free[second]
        explained = (group[:, first] == group[:, second])[equal].mean()
        if explained > _EXPLAINED or len(kept) >= x.shape[1]:
            continue
        kept.append((first, second))
        rows = np.flatnonzero(equal)
        part = group[rows]
        group[rows] = np.where(part == part[:, second, None], part[:, first, None], part)
    return kept
