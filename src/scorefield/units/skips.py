"""Questions that are skipped: columns that are missing exactly where another column says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..data.columns import Column

__all__ = ["skipped_where"]

_LEVELS = 32  # of a column, at most, that says where another one is missing
_ROWS = 20  # for each of its values, at least, and on either side


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
