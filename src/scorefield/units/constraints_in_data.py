"""Constraints that all data keep: of columns that are missing where another one says so, and of columns in one order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from ..data.columns import Column

__all__ = ["constraints_in_data", "ordered_columns", "skipped_where"]

_LEVELS = 32  # of a column, at most, that says where another one is missing
_ROWS = 20  # for each of its values, at least, and on either side
_COMPARED = 20_000  # rows whose columns are compared, at most
_BOTH = 100  # rows in which both values are there, at least
_VALUES = 10  # of each column, at most, that have no order worth a constraint
_EXPECTED = 20  # rows out of order, at least, if the columns were independent


def constraints_in_data(x: np.ndarray, table: Sequence[Column], complete: bool = False) -> list[str]:
    """The constraints that rows keep, as text: of columns that are missing where another one says so, and of an order.

    Arguments:
        x: Rows, `(N, C)`, NaN where a value is missing.
        table: The columns.
        complete: Whether samples miss nothing, so that nothing is said of what is missing.
    """
    skipped = [] if complete else [*skipped_where(x, table).values()]
    return skipped + [text for several in ordered_columns(x, table).values() for text in several]


def skipped_where(x: np.ndarray, table: Sequence[Column]) -> dict[int, str]:
    """Constraints that say where columns are missing, by their places, of those that are missing exactly where another says so.

    The other column has at most 32 values and misses none; 20 rows for each of them, and on either side, are missing or present
    without an exception.

    Arguments:
        x: Rows, `(N, C)`, NaN where a value is missing.
        table: The columns.

    Example:
        >>> import pandas
        >>> from scorefield.data import Schema
        >>> smoker = np.arange(100) % 3 > 0
        >>> t = pandas.DataFrame({"smoker": smoker, "cigarettes a day": np.where(smoker, np.arange(100) / 4, np.nan)})
        >>> schema = Schema.of(t)
        >>> skipped_where(np.stack([c.encode(t[c.name]) for c in schema.table], 1), schema.table)
        {1: 'missing(`cigarettes a day`) == (smoker == False)'}
    """
    missing = np.isnan(x)
    counts = missing.sum(0)
    saying = {c: np.unique(x[:, c], return_inverse=True) for c in np.flatnonzero(counts == 0).tolist()}
    saying = {c: pair for c, pair in saying.items() if 1 < len(pair[0]) <= min(_LEVELS, len(x) // _ROWS)}
    found = {}
    for c in np.flatnonzero(np.minimum(counts, len(x) - counts) >= _ROWS).tolist():
        for other, (values, place) in sorted(saying.items(), key=lambda pair: len(pair[1][0])):
            share = np.bincount(place, missing[:, c]) / np.bincount(place)
            if ((share == 0) | (share == 1)).all():
                found[c] = _constraint(table[c], table[other], values[share == 1], values[share == 0])
                break
    return found


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
    some = x[:_COMPARED]
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


def _constraint(column: Column, other: Column, skipped: np.ndarray, asked: np.ndarray) -> str:
    """The constraint that a column is missing where another one has some values."""
    few, sign = (skipped, "==") if len(skipped) <= len(asked) else (asked, "!=")
    texts = [_text(value) for value in other.decode(few).tolist()]
    if len(texts) == 1:
        return f"missing({_name(column)}) == ({_name(other)} {sign} {texts[0]})"
    inside = "in" if sign == "==" else "not in"
    return f"missing({_name(column)}) == ({_name(other)} {inside} ({', '.join(texts)}))"


def _name(column: Column) -> str:
    name = str(column.name)
    return name if name.isidentifier() else f"`{name}`"


def _text(value: object) -> str:
    """A value as constraints write it."""
    if isinstance(value, bool | int | float):
        return repr(value)
    return f'"{value}"' if "'" in str(value) else f"'{value}'"
