"""Columns that lie in one order in all rows, such as the dates on which something begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from ..data.columns import Column

__all__ = ["ordered_columns"]

_ROWS = 20_000  # that are compared, at most
_BOTH = 100  # rows in which both values are there, at least
_VALUES = 10  # of each column, at most, that have no order worth a constraint
_EXPECTED = 20  # rows out of order, at least, if the columns were independent


def ordered_columns(x: np.ndarray, table: Sequence[Column]) -> dict[int, list[str]]:
    """Constraints that say which columns never lie above another one, by the places of the upper ones.

    Columns of one kind are compared, dates with dates say. Of 100 rows or more none is out of order, and of independent columns
    20 or more would be. What follows from two other orders is left out.

    Arguments:
        x: Rows, `(N, C)`, NaN where a value is missing.
        table: The columns.

    Example:
        >>> import pandas
        >>> from scorefield.data import Schema
        >>> rng = np.random.default_rng(0)
        >>> low = rng.normal(size=200)
        >>> t = pandas.DataFrame({"low": low, "high": low + rng.exponential(size=200), "other": rng.normal(size=200)})
        >>> schema = Schema.of(t)
        >>> ordered_columns(t.to_numpy(), schema.table)
        {1: ['low < high']}
    """
    lines = {c: column.line for c, column in enumerate(table)}
    some = x[:_ROWS]
    values = {c: float(line[0]) + float(line[1]) * some[:, c] for c, line in lines.items() if line is not None}
    values = {c: v for c, v in values.items() if len(np.unique(v[~np.isnan(v)])) > _VALUES}
    found: dict[tuple[int, int], str] = {}
    for a, b in permutations(values, 2):
        if table[a].kind == table[b].kind and (sign := _order(values[a], values[b])):
            found[a, b] = sign
    said: dict[int, list[str]] = {}
    for (a, b), sign in found.items():
        if not any((a, c) in found and (c, b) in found for c in values):
            said.setdefault(b, []).append(f"{_name(table[a])} {sign} {_name(table[b])}")
    return said


def _order(lower: np.ndarray, upper: np.ndarray) -> str:
    """The sign `<` or `<=`, as all rows have it; "" where one has not, or too few would be out of order by chance."""
    if (lower[:_BOTH] > upper[:_BOTH]).any():
        return ""
    both = ~(np.isnan(lower) | np.isnan(upper))
    a, b = lower[both], upper[both]
    if len(a) < _BOTH or (a > b).any():
        return ""
    expected = np.searchsorted(np.sort(b), a).sum() / len(a)
    if expected < _EXPECTED:
        return ""
    return "<" if (a < b).all() else "<="


def _name(column: Column) -> str:
    name = str(column.name)
    return name if name.isidentifier() else f"`{name}`"
