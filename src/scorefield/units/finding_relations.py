"""Exact linear relations are found from the data: from some rows first, and confirmed on all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data.rows import Rows
from .elimination import Equation, Equations, fraction_of, precision, solved
from .relations import Relation, Relations

__all__ = ["find_relations", "relations_with_gaps"]

_ROWS = 4096  # rows, or pixels, that relations are sought in
_MOST = 1024  # columns: above, relations are not sought
_ROUNDS = 16  # how often rows that break a relation are added and the search is repeated
_BROKEN = 64  # and how many at once
_DIGITS = 9  # decimals, at most
_CHUNK = 1 << 20  # numbers that are read at a time
_COMPLETE = 64  # rows without gaps, at least, in which relations of columns with gaps are sought
_COMMON = 10_000  # the common denominator of coefficients, at most
_SUM, _FITTED = 32, 1024  # roundings of a sum with simple coefficients, and of one whose coefficients are fitted

Bounds = Sequence[tuple[float | None, float | None]]


def find_relations(
    rows: Rows,
    names: Sequence[object] | None = None,
    candidates: Sequence[bool] | None = None,
    bounds: Bounds | None = None,
    declared: Sequence[Equation] = (),
) -> Relations:
    """The exact linear relations among the columns of a table, or the channels of a grid.

    A relation counts as exact if it holds in every row to the floating-point precision of the data, and if chance would
    give one with a probability below about one in a million. Shares rounded to two digits may have the sum 0.99 in some rows:
    then they have no relation. Coefficients are made simple fractions where these hold. Of the columns of a relation, that
    one becomes dependent that keeps its sign by itself (the total, not a part), with whole and small coefficients, then
    of parts the one that is farthest from 0, and else the last. Three or more columns of 0 and 1 of which exactly one is 1
    become a category. Above 1,024 columns nothing is sought.

    Arguments:
        rows: The data, `(N, C)` or `(N, C, *S)`.
        names: The names of the columns.
        candidates: Which columns may be in a relation: not categories. Columns with missing values are left out in any case.
        bounds: What each column cannot lie below and above, None where that is not known.
        declared: Equations that the user declares; columns with missing values may be in them.

    Returns:
        The relations; `Relations(C)`, which is false, if there are none.

    Raises:
        ValueError: If a declared equation does not hold in the data; the message names the first row.

    References:
        Golub & Van Loan, Matrix Computations (4th ed., 2013), section 5.4 on rank-deficient least squares by QR.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> parts = np.random.default_rng(0).integers(0, 100, (500, 3))
        >>> found = find_relations(ArrayRows(np.column_stack([parts.sum(1), parts])), ["total", "a", "b", "c"])
        >>> found.describe(), found.kept
        (('total = a + b + c',), (1, 2, 3))
    """
    size = rows.shape[1]
    limits = list(bounds or [(None, None)] * size)
    low, high = zip(*limits)
    empty = Relations(size, low=low, high=high, names=() if names is None else tuple(map(str, names)))
    _check_declared(rows, declared, empty)
    if size > _MOST and not declared:
        return empty
    allowed = np.full(size, size <= _MOST) if candidates is None else np.asarray(candidates, bool) & (size <= _MOST)
    some = _some(rows)
    for _ in range(_ROUNDS):
        check = _Check(size, _items(some, allowed, declared, limits))
        check.read(rows)
        check.drop(allowed & check.missing)
        if not check.failed:
            break
        allowed = allowed & ~check.missing
        some = np.concatenate([some, *check.broken])
    return check.settled(empty, one_hot=len(rows.shape) == 2)


def relations_with_gaps(
    rows: Rows,
    names: Sequence[object] | None,
    candidates: Sequence[bool],
    bounds: Bounds,
    counted: Sequence[int] = (),
) -> tuple[str, ...]:
    """The relations, in words, that hold wherever their columns are known, where one of these misses values.

    They are not kept: which value is missing would have to be drawn with them.

    Arguments:
        rows, names, bounds: As `find_relations` takes them.
        candidates: Which columns may be in a relation, those with missing values among them.
        counted: Those whose numbers are not values as people write them, such as dates.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> x = np.random.default_rng(0).integers(0, 100, (500, 3)).astype(float)
        >>> x[:, 0] = x[:, 1] + x[:, 2]
        >>> x[::9, 1] = np.nan
        >>> relations_with_gaps(ArrayRows(x), ["total", "a", "b"], [True] * 3, [(None, None)] * 3)
        ('total = a + b',)
    """
    size, allowed = rows.shape[1], np.asarray(candidates, bool)
    low, high = zip(*bounds)
    some = _some(rows)
    complete = some[np.isfinite(some[:, allowed]).all(1)]
    if size > _MOST or len(complete) < _COMPLETE or len(complete) == len(some):
        return ()
    check = _Check(size, _items(complete, allowed, (), bounds))
    check.read(rows)
    kept = [item for k, (item, _, _) in enumerate(check.items) if k not in check.failed]
    gaps = [item for item in kept if check.missing[[item.target, *item.columns]].any()]
    titles = () if names is None else tuple(map(str, names))
    return Relations(size, items=tuple(gaps), low=low, high=high, names=titles, counted=tuple(counted)).describe()


def _some(rows: Rows) -> np.ndarray:
    """Some rows, or pixels of them, `(n, C)`, spread over all."""
    count, pixels = max(_ROWS, 4 * rows.shape[1]), math.prod(rows.shape[2:])
    taken = min(len(rows), max(count // pixels, 64))
    x = _flat(rows.take(np.linspace(0, len(rows) - 1, taken).round().astype(np.int64), torch.float64))
    return x[np.linspace(0, len(x) - 1, min(len(x), count)).round().astype(np.int64)].numpy()


def _flat(x: Tensor) -> Tensor:
    """The pixels of grids as rows: `(B, C, *S)` to `(B · prod(S), C)`."""
    return x.cpu().flatten(2).movedim(1, 2).flatten(0, 1) if x.ndim > 2 else x.cpu()


def _items(
    x: np.ndarray, allowed: np.ndarray, declared: Sequence[Equation], bounds: Bounds
) -> list[tuple[Relation, bool, float]]:
    """The relations of some rows `(n, C)`; for each whether its coefficients are simple, and the rounding of its columns."""
    alive = allowed & np.isfinite(x).all(0)
    equations = Equations.of(np.where(alive, x, 0.0), alive).joined(declared)
    if not len(equations.targets) or len(equations.targets) == x.shape[1]:
        return []
    equations = solved(equations, *_signs(x, bounds))
    eps = precision(np.where(np.isfinite(x), x, 0.0))
    return [_item(x, row, int(target), eps) for row, target in zip(equations.matrix, equations.targets)]


def _signs(x: np.ndarray, bounds: Bounds) -> tuple[np.ndarray, np.ndarray]:
    """The sign of each column, 0 where it has both; and how near it is to 0, where that bounds it, in coarse steps."""
    sign, bounded = np.zeros(len(bounds), int), np.zeros(len(bounds))
    for k, (low, high) in enumerate(bounds):
        values = x[np.isfinite(x[:, k]), k]
        if not len(values):
            continue
        least, most = values.min() if low is None else low, values.max() if high is None else high
        sign[k] = 1 if least >= 0 else -1 if most <= 0 else 0
        if sign[k] != 0 and min(abs(least), abs(most)) <= values.std():
            bounded[k] = max(1.0, np.round(min(4 * values.std() / max(abs(values.mean()), 1e-300), 40.0)))
    return sign, bounded


def _item(x: np.ndarray, row: np.ndarray, target: int, eps: np.ndarray) -> tuple[Relation, bool, float]:
    """An equation as a relation."""
    columns = [c for c in np.flatnonzero(row[:-1]).tolist() if c != target]
    weights, offset, divisor = [-row[c] for c in columns], float(row[-1]), 1
    fractions = [f for w in weights if (f := fraction_of(w, 1e-9)) is not None]
    exact = len(fractions) == len(weights)
    if exact and (common := math.lcm(*(f.denominator for f in fractions))) <= _COMMON:
        divisor, weights = common, [int(f * common) for f in fractions]
    offset = round(offset * divisor, 9) if abs(offset * divisor) < 1e6 else offset * divisor
    item = Relation(target, tuple(columns), tuple(map(float, weights)), offset, divisor, _digits(x[:, target]))
    return item, exact, float(eps[[*columns, target]].max())


def _digits(values: np.ndarray) -> int | None:
    """How many decimals numbers have; None if they are not decimals."""
    values = values[np.isfinite(values)]
    return next((d for d in range(_DIGITS + 1) if bool(_are_decimals(values, d).all())), None)


def _are_decimals(values: np.ndarray, digits: int) -> np.ndarray:
    nearest = np.round(values * 10.0**digits) / 10.0**digits
    found: np.ndarray = (nearest == values) | (nearest.astype(np.float32) == values)
    return found


class _Check:
    """Relations of some rows, confirmed on all of them in one pass.

    Arguments:
        size: The number of columns.
        items: The relations, whether the coefficients of each are simple, and the rounding of its columns.
    """

    def __init__(self, size: int, items: list[tuple[Relation, bool, float]]) -> None:
        self.items = items
        self.failed: set[int] = set()
        self.broken: list[np.ndarray] = []
        self.whole, self.negative = np.ones(size, bool), np.zeros(size, bool)
        self.missing = np.zeros(size, bool)
        self.decimal = [item.digits is not None for item, _, _ in items]

    def read(self, rows: Rows) -> None:
        """Passes over all rows."""
        for chunk in rows.chunks(max(1, _CHUNK // math.prod(rows.shape[1:])), torch.float64) if self.items else ():
            x = _flat(chunk)
            self.whole &= ((x == x.round()) | x.isnan()).all(0).numpy()
            self.negative |= (x < 0).any(0).numpy()
            self.missing |= ~x.isfinite().all(0).numpy()
            for k, (item, exact, eps) in enumerate(self.items):
                self._confirm(k, x, item, (_SUM if exact else _FITTED) * eps)

    def _confirm(self, k: int, x: Tensor, item: Relation, rounding: float) -> None:
        values = x[:, item.target]
        error = (values - item.value(x)).abs()
        lost = error > rounding * (item.size(x) + values.abs())  # not where a value is missing
        if item.digits is not None and self.decimal[k]:
            self.decimal[k] = bool(_are_decimals(values[values.isfinite()].numpy(), item.digits).all())
        if bool(lost.any()):
            known = sum(len(b) for b in self.broken)
            if k not in self.failed or known < _BROKEN:
                self.broken.append(x[lost][:_BROKEN].numpy())
            self.failed.add(k)

    def drop(self, columns: np.ndarray) -> None:
        """Counts relations of some columns, `(C,)` true or false, as failed."""
        for k, (item, _, _) in enumerate(self.items):
            if columns[[item.target, *item.columns]].any():
                self.failed.add(k)

    def settled(self, empty: Relations, one_hot: bool) -> Relations:
        """What was confirmed."""
        kept = [item if self.decimal[k] else replace(item, digits=None) for k, (item, _, _) in enumerate(self.items)]
        kept = [item for k, item in enumerate(kept) if k not in self.failed]
        groups = self._groups(kept) if one_hot else []
        covered = {c for group in groups for c in group}
        items = [item for item in kept if item.target not in covered]
        sources = {c for item in items if not item.copy for c in item.columns} - covered
        whole = tuple(sorted(c for c in sources if self.whole[c]))
        return replace(empty, items=tuple(items), groups=tuple(groups), whole=whole)

    def _groups(self, items: list[Relation]) -> list[tuple[int, ...]]:
        """Columns of 0 and 1 with the sum 1, the largest first, without overlap."""
        found: list[tuple[int, ...]] = []
        for item in sorted(items, key=lambda item: -len(item.columns)):
            group = tuple(sorted((item.target, *item.columns)))
            binary = bool(self.whole[list(group)].all()) and not self.negative[list(group)].any()
            ones = item.offset == item.divisor == 1 and set(item.coefficients) == {-1.0}
            if len(group) > 2 and binary and ones and not any(set(group) & set(other) for other in found):
                found.append(group)
        return found


def _check_declared(rows: Rows, declared: Sequence[Equation], about: Relations) -> None:
    """Raises an error that names the first row in which a declared equation does not hold."""
    row = 0
    for chunk in rows.chunks(max(1, _CHUNK // math.prod(rows.shape[1:])), torch.float64) if declared else ():
        x = _flat(chunk).numpy()
        for equation in declared:
            used = np.flatnonzero(equation.coefficients)
            terms = x[:, used] * np.array(equation.coefficients)[used]
            error = np.abs(terms.sum(1) - equation.offset)
            size = np.abs(terms).sum(1) + abs(equation.offset)
            lost = np.flatnonzero(error > _FITTED * precision(np.nan_to_num(x[:, used])).max() * size)
            if len(lost):
                where = row + int(lost[0]) // (len(x) // len(chunk))
                names = ", ".join(about.names[c] if about.names else f"column {c}" for c in used)
                what = f"the declared equation of {names} does not hold in row {where}, where it is off by"
                raise ValueError(f"{what} {error[lost[0]]:.4g}: correct the row, or leave the constraint out")
        row += len(chunk)
