"""How many rows chance makes equal, estimated from rows that are equal in all columns but one or two."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ..rng import generator
from .chunks import over_chunks
from .rows import Rows

__all__ = ["Collisions", "mixed", "value_hashes"]

_MOST_ROWS = 2**16  # of a sample, in which nearly equal rows are counted
_MOST_VALUES = 2**23  # of it
_READ = 2**21  # values that are read at a time
_UNITS = 24  # columns, above which several together count as one
_ORDERS = 4  # random ones in which columns are left out, next to those of their numbers of values
_PAIRS = 15  # of columns whose independence is assumed, at most, chosen at random
_WINDOWS = (1, 3, 10)  # steps of a rounded number, over which its density is taken to be constant
_STEPS = 2**40  # of a rounded number, at most
_MISSING = 2**41  # the place of a missing value, far from all others
_OFF = 1e-3  # of a step
_DIGITS = 10  # behind the decimal point, fewer
_DETERMINED = 0.3  # as a share, the further equal pairs that there are without a column that others nearly determine
_LEVEL = 1e-3  # of the tests that others determine a column
_MAJORITY = 4  # a category determines a row that is a quarter of its rows, or more
_FILLED = 4  # categories take up a quarter of the whole numbers between them, or more
_OFTEN = 5  # rows that a category has, on average


def mixed(x: np.ndarray) -> np.ndarray:
    """Every bit of a number spread over all 64 (the finalizer of Steele, Lea and Flood, 2014, SplitMix)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    found: np.ndarray = x ^ (x >> np.uint64(31))
    return found


def value_hashes(values: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """A hash of 64 bits for each number, `(n, F)`, of its place by `salt`, `(F,)`; −0 equals 0, and missing equals missing."""
    values = values + 0.0
    values[np.isnan(values)] = np.nan  # one of its many patterns of bits
    return mixed(values.view(np.uint64) ^ salt)


class Collisions:
    """How many rows are expected to be equal if all are independent draws.

    Two estimates need no density. They count rows that are nearly equal, which independent rows often are, and copies are
    not. Of a rounded number, rows that agree in the other columns are as often 0 steps apart as 1, or 2. And if two columns
    are independent given the others, pairs that agree in both are B·C/D, where B and C agree in one of the two, D in neither,
    and all in the others. A column that others determine hides both: no row differs in it alone. So columns are left out as
    long as that adds few equal pairs, in several orders. Of the pairs that chance makes agree in the columns that remain,
    those that differ in one that was left out do not count. Where these are not significantly fewer, nothing shows that
    columns are determined, and the estimate is not made. All estimates are too small rather than too large, and the largest
    counts.

    Arguments:
        rows: The rows. A sample of them is read, of 65,536 rows or 8 million values at most.
        kept: Which of them are meant, `(N,)`; all by default.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> x = np.random.default_rng(0).normal(size=(2000, 2)).round(1)
        >>> often = np.unique(x, axis=0, return_counts=True)[1]
        >>> pairs = float((often * (often - 1)).sum() / 2)
        >>> 0.8 < Collisions(ArrayRows(x)).expected(pairs) / pairs < 1.3
        True
    """

    def __init__(self, rows: Rows, kept: np.ndarray | None = None) -> None:
        places = np.arange(len(rows)) if kept is None else np.flatnonzero(kept)
        most = max(2, min(_MOST_ROWS, _MOST_VALUES // max(1, math.prod(rows.shape[1:]))))
        self.rows, self.scale = rows, max(1.0, len(places) / most)
        if len(places) > most:
            places = np.sort(generator(0).choice(places, most, replace=False))
        self.sampled = places
        values = rows.take(places, torch.float64).cpu().numpy().reshape(len(places), -1)
        self.columns = _columns(values)
        self.hashes = np.stack([column.hashes(values) for column in self.columns], 1)
        self.places = np.stack([column.places(values) for column in self.columns], 1)
        self._equal: dict[frozenset[int], _Counts] = {}
        self._all = frozenset(range(len(self.columns)))

    def expected(self, pairs: float, which: np.ndarray | None = None) -> float:
        """How many pairs chance makes equal, where `pairs` are.

        Arguments:
            pairs: How many are equal.
            which: For which rows, `(N,)`, the others that equal them are counted, half of them as pairs; all by default.
        """
        kept = np.ones(len(self.sampled), bool) if which is None else which[self.sampled]
        found = 0.0
        for more in (0.0, _DETERMINED * 2 * pairs / self.scale**2):
            for agree, differ in self._keys(kept, more).values():
                found = max(found, self.scale**2 * (agree - differ))
        return float(found)

    def _expected_to_agree(self, key: frozenset[int], kept: np.ndarray) -> float:
        """How many pairs of the sample chance makes agree in these columns, of which those of the `kept` ones count."""
        found = 0.0
        for near, steps in self._steps(key, self.hashes[kept], self.places[kept]):
            found = max(found, (near.sum() + 2 * (steps == _WINDOWS[-1])) / (4 * steps))
        for i, j in self._pairs(key):
            both, one, other, neither = (self._sum(key - each, kept) for each in _without(i, j))
            found = max(found, (one - both) * (other - both) / (neither - one - other + both + 2) / 2)
        return float(found)

    def expected_equal(self, which: np.ndarray, shared: bool = False) -> np.ndarray:
        """How many others chance makes equal to each row, `(N,)`; 0 for those that are not `which`, `(N,)`.

        Rows of which a category consists to a quarter or more count as expected, if no column has other numbers.
        """
        keys, places = list(self._keys(np.ones(len(self.sampled), bool), 0.0)), np.flatnonzero(which)
        size = max(1, _READ // max(1, math.prod(self.rows.shape[1:])))
        parts = over_chunks(partial(self._near, keys), self.rows.subset(places), size, shared)
        found = np.zeros(len(self.rows))
        found[places] = torch.cat([*parts]).numpy()
        return found

    def _near(self, keys: Sequence[frozenset[int]], x: Tensor) -> Tensor:
        """How many others chance makes equal to each of these rows."""
        values = x.numpy().reshape(len(x), -1)
        hashes, places = (
            np.stack([getattr(column, name)(values) for column in self.columns], 1) for name in ("hashes", "places")
        )
        found = self._of_categories(hashes)
        for key in keys:
            for near, steps in self._steps(key, hashes, places):
                found = np.maximum(found, self.scale * near / (2 * steps))
            for i, j in self._pairs(key):
                kept = [key - each for each in _without(i, j)]
                both, one, other, neither = (self._counts(each).of(_joined(hashes, each)) for each in kept)
                b, c, d = one - both, other - both, neither - one - other + both
                found = np.maximum(found, self.scale * b * c / (d + 1.0))
        return torch.from_numpy(found)

    def _of_categories(self, hashes: np.ndarray) -> np.ndarray:
        """How many rows equal each, where these are most of a category; 0 for others."""
        found = np.zeros(len(hashes))
        if not all(column.step for column in self.columns):
            return found
        often = self._counts(self._all).of(_joined(hashes, self._all))
        for i, column in enumerate(self.columns):
            of_it = self._counts(frozenset([i])).of(_joined(hashes, [i]))
            typical = column.category & (_MAJORITY * often >= of_it) & (often > 2)
            found = np.where(typical, self.scale * often, found)
        return found

    def _keys(self, kept: np.ndarray, more: float) -> dict[frozenset[int], tuple[float, float]]:
        """Columns that determine the others, and how many pairs chance makes agree in them, of which so many differ.

        They distinguish rows nearly as well as all do, with so many `more` that equal the `kept` ones, or fewer, and
        significantly fewer than chance makes. All columns are among them.
        """
        fineness = np.argsort([self._sum(frozenset([i]), kept) for i in range(len(self.columns))], kind="stable")
        rng = generator(0)
        orders = [
            fineness,
            fineness[::-1],
            *(rng.permutation(fineness) for _ in range(_ORDERS if len(fineness) > 2 else 0)),
        ]
        found = {}
        for key in {self._all: None} | {self._key([int(i) for i in order], kept, more): None for order in orders}:
            agree = self._expected_to_agree(key, kept)
            differ = (self._sum(key, kept) - self._sum(self._all, kept)) / 2
            if key == self._all or _fewer_by_chance(differ, agree) <= _LEVEL:
                found[key] = agree, differ
        return found

    def _key(self, order: Sequence[int], kept: np.ndarray, more: float) -> frozenset[int]:
        found, most = frozenset(order), self._sum(self._all, kept) + more
        for i in order:
            if len(found) > 1 and self._sum(found - {i}, kept) <= most:
                found -= {i}
        return found

    def _sum(self, columns: frozenset[int], kept: np.ndarray) -> float:
        """How many rows of the sample agree with each of the `kept` ones in these columns, itself included, in all."""
        return float(self._counts(columns).each[kept].sum(dtype=np.float64))

    def _pairs(self, key: frozenset[int]) -> list[tuple[int, int]]:
        found = [*combinations(sorted(key), 2)]
        if len(found) <= _PAIRS:
            return found
        return [found[i] for i in generator(0).choice(len(found), _PAIRS, replace=False)]

    def _steps(self, key: frozenset[int], hashes: np.ndarray, places: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """How many rows of the sample are nearly equal to each, in one column, with the steps they are apart at most."""
        for i in sorted(key):
            if not self.columns[i].step:
                continue
            groups = np.unique(_joined(self.hashes, key - {i}))
            ours = np.sort(_numbered(groups, _joined(self.hashes, key - {i}), self.places[:, i]))
            asked = _numbered(groups, _joined(hashes, key - {i}), places[:, i])
            equal = [np.searchsorted(ours, asked, side) for side in ("left", "right")]
            for steps in _WINDOWS:
                first, last = np.searchsorted(ours, asked - steps), np.searchsorted(ours, asked + steps, "right")
                yield equal[0] - first + last - equal[1], steps

    def _counts(self, columns: frozenset[int]) -> _Counts:
        if columns not in self._equal:
            self._equal[columns] = _Counts(_joined(self.hashes, columns))
        return self._equal[columns]


class _Counts:
    """How many rows of a sample have each of their hashes, and the hash of each row."""

    def __init__(self, hashes: np.ndarray) -> None:
        self.hashes, rows, self.often = np.unique(hashes, return_inverse=True, return_counts=True)
        self.each = self.often[rows.reshape(-1)]

    def of(self, hashes: np.ndarray) -> np.ndarray:
        """How many rows have each of these."""
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        found: np.ndarray = np.where(self.hashes[at] == hashes, self.often[at], 0)
        return found


@dataclass(frozen=True)
class _Column:
    """A column, or several that count as one: hashes of its values, and the places of a single one on its lattice."""

    numbers: np.ndarray
    origin: float = 0.0
    step: float = 0.0
    category: bool = False

    @classmethod
    def of(cls, numbers: np.ndarray, values: np.ndarray) -> _Column:
        """The spacing of its numbers, 0 if they are not rounded, and whether they are categories, or like them."""
        found = np.unique(values[:, numbers])
        found = found[np.isfinite(found)]
        if len(numbers) > 1 or len(found) < 2:
            return cls(numbers, float(found[0]) if len(found) else 0.0, float(len(numbers) == 1))
        step = _spacing(found - found[0])
        filled = bool(_FILLED * len(found) * step > found[-1] - found[0]) and len(values) >= _OFTEN * len(found)
        return cls(numbers, float(found[0]), step, filled)

    def hashes(self, values: np.ndarray) -> np.ndarray:
        """A hash of each row's values of it, `(n,)`."""
        found: np.ndarray = value_hashes(values[:, self.numbers], mixed(self.numbers.astype(np.uint64))).sum(
            1, np.uint64
        )
        return found

    def places(self, values: np.ndarray) -> np.ndarray:
        """How many steps each value is from the first, `(n,)`; 0 if they are not rounded."""
        if not self.step:
            return np.zeros(len(values), np.int64)
        steps = (values[:, self.numbers[0]] - self.origin) / self.step
        rounded = np.round(np.clip(np.nan_to_num(steps), -float(_STEPS), float(_STEPS)))
        found: np.ndarray = np.where(np.isfinite(steps), rounded, float(_MISSING)).astype(np.int64)
        return found


def _fewer_by_chance(count: float, mean: float) -> float:
    """The probability that a Poisson variable is as small."""
    from scipy.stats import poisson

    return float(poisson.cdf(count, mean))


def _spacing(differences: np.ndarray) -> float:
    """The smallest difference of sorted numbers, or a power of ten, of which all are multiples; 0 if there is none."""
    for step in (float(np.diff(differences).min()), *(10.0**-digits for digits in range(_DIGITS))):
        steps = differences / step
        if steps[-1] < _STEPS and (np.abs(steps - np.round(steps)) < _OFF).all():
            return step
    return 0.0


def _columns(values: np.ndarray) -> list[_Column]:
    count = min(values.shape[1], _UNITS)
    return [_Column.of(np.arange(start, values.shape[1], count), values) for start in range(count)]


def _joined(hashes: np.ndarray, columns: Sequence[int] | frozenset[int] | range) -> np.ndarray:
    """A hash of several columns, of those of each, `(n, columns)`; the same for all rows if there are none."""
    summed: np.ndarray = hashes[:, sorted(columns)].sum(1, dtype=np.uint64)
    return mixed(summed)


def _numbered(groups: np.ndarray, hashes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Numbers that differ by as much as places do within a group of equal hashes, and by far more between groups."""
    at = np.minimum(np.searchsorted(groups, hashes), len(groups) - 1)
    at = np.where(groups[at] == hashes, at, len(groups))
    found: np.ndarray = at.astype(np.int64) * (4 * _MISSING) + places
    return found


def _without(i: int, j: int) -> tuple[frozenset[int], ...]:
    return frozenset(), frozenset([j]), frozenset([i]), frozenset([i, j])
