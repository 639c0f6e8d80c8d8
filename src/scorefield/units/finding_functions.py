"""Exact functions of columns are found from the data: from some rows first, and confirmed on all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..data.rows import Rows
from .functions import ColumnFunction
from .relations import Relations

__all__ = ["find_functions", "simplest_between"]

_ROWS, _FIRST = 8192, 512  # rows that functions are sought in, and those that most pairs of columns fail in
_MOST = 1024  # columns: above, functions are not sought
_CHANCE = math.log(1e6)  # a function is believed where chance would give one in fewer than one table of a million
_VALUES = 256  # that a number has at most, to be a function of another column
_POINTS = 4096  # values of a number of which each may have its own value of the target
_ROUNDING = 1e-6  # of values in float32, relative
_KEPT = 1 << 16  # values of a source that are remembered; of more, the ends of its cells
_SHARP = 300  # rows times cuts of a step function: fewer would hide exceptions near the cuts, which noise makes
_LEVELS = 64  # of a category that stays in place of a number: it needs no order of its values
_CELL = 5  # values in a cell, where a value of the target has several cells
_ROUNDS = 8  # how often other sources are tried for columns whose function failed
_CHUNK = 1 << 20  # numbers that are read at a time


def find_functions(
    rows: Rows, sizes: Sequence[int], candidates: Sequence[bool], known: Relations
) -> tuple[ColumnFunction, ...]:
    """The columns of a table that are functions of one other column: functional dependencies.

    A function is one of a category, or of a number. It counts if it holds in every row, and if chance would give one with a
    probability below about one in a million. A function of a number must also say what values between those of the data give:
    either the number is whole, with no gap between its values, or the function is a step function, of few steps that each hold
    several values, in 300 rows or more for one cut, 150 for two. Above 1,024 columns nothing is sought.

    Of columns that determine each other one stays, a category of up to 64 levels, which needs no order of its values, rather
    than another, and else the first. A column that
    several determine is a function of one that nothing determines, if there is one, then of that with the fewest cells.

    Arguments:
        rows: The table, `(N, C)`: codes of categories, and numbers.
        sizes: The number of levels of each category, 0 for numbers.
        candidates: Which columns may take part. Columns with missing values are left out in any case.
        known: The linear relations. Their columns are not determined again: neither dependent ones nor those that they follow
            from; and one-hot groups take no part.

    Returns:
        The functions, in the order in which they are computed.

    References:
        Codd, 1972, Further normalization of the data base relational model, on functional dependencies.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> city = np.random.default_rng(0).integers(0, 6, 500).astype(float)
        >>> x = np.stack([city, np.array([0, 0, 1, 1, 1, 2.0])[city.astype(int)]], 1)
        >>> found = find_functions(ArrayRows(x), (6, 3), (True, True), Relations(2))
        >>> [(f.target, f.source, f.values) for f in found]
        [(1, 0, (0.0, 0.0, 1.0, 1.0, 1.0, 2.0))]
    """
    if rows.shape[1] > _MOST:
        return ()
    places = np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).round().astype(np.int64)
    x = rows.take(places, torch.float64).cpu().numpy()
    pairs = _pairs(x, np.array(sizes), _Roles.of(known, np.asarray(candidates, bool) & np.isfinite(x).all(0)))
    failed: set[tuple[int, int]] = set()
    for _ in range(_ROUNDS):
        chosen = _chosen([pair for pair in pairs if (pair.source, pair.target) not in failed], known)
        found = _confirmed(rows, chosen, sizes)
        lost = {(pair.source, pair.target) for pair in chosen} - {(f.source, f.target) for f in found}
        failed |= lost
        if not lost:
            return _in_order(found)
    return ()


def simplest_between(low: float, high: float) -> float:
    """The decimal of the fewest digits above `low` and not above `high`; of several, the one nearest to the middle.

    It is above by more than a rounding of float32, where the interval is larger.

    Example:
        >>> simplest_between(24.97, 25.03), simplest_between(24.9, 25.0), simplest_between(25, 26), simplest_between(10, 51)
        (25.0, 25.0, 26.0, 30.0)
    """
    size = max(abs(low), abs(high), 1e-300)
    low += _ROUNDING * size if high - low > 4 * _ROUNDING * size else 0.0
    most = math.ceil(math.log10(size)) + 1
    for digits in range(-most, 17 - most):
        unit = 10.0**digits
        first, last = math.floor(low * unit) + 1, math.floor(high * unit)
        if first > last:
            continue
        nearest = min(max(round((low + high) / 2 * unit), first), last)
        for number in (nearest, first, last):
            found = round(number / unit, max(digits, 0)) + 0.0
            if low < found <= high:
                return found
    return high


class _Roles(NamedTuple):
    """Which columns may be sources, and which targets, `(C,)` each."""

    source: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, known: Relations, allowed: np.ndarray) -> _Roles:
        source, target = allowed.copy(), allowed.copy()
        grouped = [c for group in known.groups for c in group]
        source[grouped] = False
        target[[*grouped, *known.sources, *(item.target for item in known.items)]] = False
        return cls(source, target)


class _Pair(NamedTuple):
    """A function that holds in the rows that were read first.

    Arguments:
        source: The column that determines the other one.
        target: The other one.
        cells: Its cells: values of the source, in their order, of which neighbours give different values.
        both: Whether the target determines the source as well.
        rank: What makes a source stay, of two columns that determine each other: a category of few levels first.
    """

    source: int
    target: int
    cells: int
    both: bool
    rank: int


def _pairs(x: np.ndarray, sizes: np.ndarray, roles: _Roles) -> list[_Pair]:
    """The functions of rows `(n, C)` that are certain."""
    counts = np.array([len(np.unique(column)) for column in x.T])
    few = (sizes > 0) | ((counts <= _VALUES) & (counts < math.sqrt(len(x))))
    targets = np.flatnonzero(roles.target & few & (counts > 1))
    codes = (
        np.stack([np.unique(x[:, t], return_inverse=True)[1].reshape(-1) for t in targets], 1) if len(targets) else None
    )
    found: list[_Pair] = []
    if codes is None:
        return found
    orders = np.array([_log_orders(np.bincount(code)) for code in codes.T])
    limit = _CHANCE + 2 * math.log(x.shape[1])
    for source in np.flatnonzero(roles.source & (counts > 1)).tolist():
        values, first = np.unique(x[:, source], return_index=True)
        points = sizes[source] > 0 or _are_points(values)
        if points and len(values) == len(x):  # an identifier
            continue
        mine = np.flatnonzero((targets != source) & (counts[targets] <= counts[source]))
        for some in (slice(_FIRST), slice(None)):
            most = np.full(len(mine), len(x)) if points else _most_cells(counts[targets[mine]], len(x[some]))
            mine = mine[_hold(x[some, source], codes[some, mine], most)] if len(mine) else mine
        for k in mine.tolist():
            form = _Form.of(values, codes[first, k], int(sizes[source]), points)
            sure = form is not None and (form.discrete or len(x) * (form.cells - 1) >= _SHARP)
            if form is not None and sure and orders[k] > limit + form.log_count:
                both = form.discrete and counts[source] == counts[targets[k]]
                rank = int(not 0 < sizes[source] <= _LEVELS)
                found.append(_Pair(source, int(targets[k]), form.cells, both, rank))
    return found


def _hold(source: np.ndarray, codes: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Which columns of codes `(n, T)` are a function of a column in all rows, of so many cells at most, `(T,)`."""
    order = np.argsort(source, kind="stable")
    same = source[order[1:]] == source[order[:-1]]
    changes = codes[order[1:]] != codes[order[:-1]]
    held: np.ndarray = ~changes[same].any(0) & (changes.sum(0) < most)
    return held


def _are_points(values: np.ndarray) -> bool:
    """Whether values may be whole numbers without gaps, so few that each may have its own value of a target."""
    return bool((values == np.round(values)).all()) and values[-1] - values[0] < _POINTS


def _most_cells(kinds: np.ndarray, count: int) -> np.ndarray:
    """How many cells a step function of some kinds of values has at most in so many rows: more are taken for noise."""
    most: np.ndarray = np.maximum(2 * kinds + 1, count // 4)
    return most


def _log_orders(counts: np.ndarray) -> float:
    """The logarithm of the number of orders of values that occur so often."""
    return math.lgamma(counts.sum() + 1) - sum(math.lgamma(c + 1) for c in counts.tolist())


@dataclass(frozen=True)
class _Form:
    """What kind of function of a source: of its values one by one, or of its cells; and how many there are of the kind.

    Arguments:
        discrete: Whether each value of the source has its own value of the target.
        cells: Its cells, neighbours with different values of the target.
        log_count: The logarithm of the number of such functions, from which chance could choose.
    """

    discrete: bool
    cells: int
    log_count: float

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, size: int, points: bool) -> _Form | None:
        """The form of a function with these increasing values and the codes of the target there; None if it has none.

        Arguments:
            values, labels: The function, `(V,)` both.
            size: The number of levels, if the source is a category.
            points: Whether there are no other values.
        """
        starts = np.flatnonzero(np.diff(labels, prepend=-1))
        kinds, cells, count = len(np.unique(labels)), len(starts), len(values)
        lengths = np.diff(starts, append=count)[1:-1]
        clean = cells == kinds or bool((lengths >= _CELL).all())
        if not size and clean and 2 * cells <= count:
            between = math.lgamma(count) - math.lgamma(cells) - math.lgamma(count - cells + 1)
            return cls(False, cells, between + cells * math.log(kinds) + math.log(count))
        if not points:
            return None
        sizes = math.lgamma(count + kinds) - math.lgamma(kinds) - math.lgamma(count + 1)
        return cls(True, cells, _log_orders(np.unique(labels, return_counts=True)[1]) + sizes)


def _chosen(pairs: Sequence[_Pair], known: Relations) -> list[_Pair]:
    """One function for each column that has some: of columns that determine each other one stays."""
    chosen: dict[int, _Pair] = {}
    both = sorted((pair for pair in pairs if pair.both), key=lambda pair: (pair.rank, pair.source))
    targets = {pair.target for pair in both}
    fixed = {pair.source for pair in both} - targets  # that other relations use
    stay = set[int]()
    for pair in sorted(both, key=lambda pair: pair.source not in fixed):
        if pair.source not in chosen and pair.target not in stay and pair.target not in chosen:
            chosen[pair.target] = pair
            stay.add(pair.source)
    given = {pair.target for pair in pairs if pair.source not in chosen} | {item.target for item in known.items}
    for pair in sorted(pairs, key=lambda pair: (pair.source in given, pair.cells, pair.source)):
        if not pair.both and pair.source not in chosen:
            chosen.setdefault(pair.target, pair)
    return list(chosen.values())


class _Lookup:
    """A function as all rows so far give it: values of the source, increasing, and those of the target there."""

    def __init__(self) -> None:
        self.values, self.labels = np.zeros(0), np.zeros(0)
        self.all_known, self.failed = True, False

    def add(self, values: np.ndarray, labels: np.ndarray) -> None:
        """Adds further values, which may be known."""
        merged = np.concatenate([self.values, values])
        both = np.concatenate([self.labels, labels])
        self.values, first, inverse = np.unique(merged, return_index=True, return_inverse=True)
        self.labels = both[first]
        self.failed |= bool((both != self.labels[inverse.reshape(-1)]).any())
        if len(self.values) > _KEPT:
            change = self.labels[1:] != self.labels[:-1]
            ends = np.r_[True, change] | np.r_[change, True]
            self.values, self.labels, self.all_known = self.values[ends], self.labels[ends], False
            self.failed |= len(self.values) > _KEPT // 2

    def function(self, pair: _Pair, size: int) -> ColumnFunction | None:
        """The function, if it says what all values of the source give."""
        if self.failed or not len(self.values):
            return None
        values, codes = self.values, np.unique(self.labels, return_inverse=True)[1].reshape(-1)
        whole = self.all_known and _are_points(values) and values[-1] - values[0] == len(values) - 1
        form = _Form.of(values, codes, size, size > 0 or whole)
        if form is None:
            return None
        if form.discrete:
            middles = (values[1:] + values[:-1]) / 2
            return ColumnFunction(
                pair.target, pair.source, *(tuple(v.tolist()) for v in (middles, self.labels, values))
            )
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        cuts = tuple(simplest_between(float(values[k - 1]), float(values[k])) for k in starts[1:])
        return ColumnFunction(pair.target, pair.source, cuts, tuple(self.labels[starts].tolist()))


def _confirmed(rows: Rows, chosen: Sequence[_Pair], sizes: Sequence[int]) -> list[ColumnFunction]:
    """The functions that hold in all rows, in one pass."""
    tables = {pair: _Lookup() for pair in chosen}
    sources = sorted({pair.source for pair in chosen})
    for chunk in rows.chunks(max(1, _CHUNK // rows.shape[1]), torch.float64) if chosen else ():
        x = chunk.cpu().numpy()
        for source in sources:
            values, first, inverse = np.unique(x[:, source], return_index=True, return_inverse=True)
            for pair in (pair for pair in chosen if pair.source == source and not tables[pair].failed):
                target = x[:, pair.target]
                labels = target[first]
                held = bool((labels[inverse.reshape(-1)] == target).all()) and bool(np.isfinite(values).all())
                tables[pair].failed |= not held  # a missing target equals nothing
                if held:
                    tables[pair].add(values, labels)
    found = (tables[pair].function(pair, sizes[pair.source]) for pair in chosen)
    return [f for f in found if f is not None]


def _in_order(functions: Sequence[ColumnFunction]) -> tuple[ColumnFunction, ...]:
    """Functions of which each comes after the one that gives its source."""
    left, found = sorted(functions, key=lambda f: f.target), list[ColumnFunction]()
    while left:
        targets = {f.target for f in left}
        found += [f for f in left if f.source not in targets]
        left = [f for f in left if f.source in targets]
    return tuple(found)
