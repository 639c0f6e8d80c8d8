"""Rows of which only some columns are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .columns import Column
from .columns.base import Name
from .errors import DataError
from .schema import Schema

__all__ = ["known_values", "missing"]

missing = float("nan")
"""Says that a value of a table is missing: `model.condition(age=missing)`."""


def known_values(schema: Schema, values: Mapping[Name, Any]) -> tuple[Tensor, Tensor]:
    """Rows with the values of some columns, and which these are.

    Arguments:
        schema: The form of the data, a table or vectors.
        values: For columns, by name (by position for arrays), one value or M of them, as they stand in the data; missing ones
            as `missing`, NaN, None or NA.

    Returns:
        The rows, `(M, C)` in float64, NaN where nothing is known or a value is missing; and true where a column is known.

    Raises:
        ValueError: If the data are not vectors, there is no such column, counts differ, or a column cannot hold a value.

    Example:
        >>> x, known = known_values(Schema.of(np.zeros((5, 3))), {1: [2.0, 3.0]})
        >>> x[:, 1].tolist(), known[0].tolist()
        ([2.0, 3.0], [False, True, False])
    """
    if schema.structure != "vector":
        raise DataError(f"columns are those of tables and vectors, but these data are {schema.reason}: observe a Mask")
    names = list(schema.columns or range(schema.inner_shape[0]))
    unknown = [name for name in values if name not in names]
    if unknown:
        raise DataError(f"there is no column {unknown[0]!r}: the columns are {', '.join(map(str, names))}")
    lists = {name: _listed(value) for name, value in values.items()}
    count = max((len(found) for found in lists.values()), default=1)
    wrong = [f"{name} {len(found)}" for name, found in lists.items() if len(found) not in (1, count)]
    if wrong:
        raise DataError(f"columns have one value, or all the same number: got {count} values and of {', '.join(wrong)}")
    x = np.full((count, len(names)), np.nan)
    known = np.zeros((count, len(names)), dtype=bool)
    for name, found in lists.items():
        place = names.index(name)
        x[:, place] = _encoded(schema.table[place] if schema.table else None, name, found)
        known[:, place] = True
    return torch.from_numpy(x), torch.from_numpy(known)


def _listed(value: Any) -> list[Any]:
    """One value, or several, as a list."""
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return [value]
    return list(value.tolist() if isinstance(value, np.ndarray | Tensor) else value)


def _encoded(column: Column | None, name: Name, values: list[Any]) -> np.ndarray:
    """The numbers of values of a column."""
    if column is not None:
        import pandas

        return column.encode(pandas.Series(values, name=name))
    try:
        return np.array([np.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError):
        raise DataError(f"column {name!r} holds numbers, got {values[0]!r}") from None
