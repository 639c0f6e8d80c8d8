"""Tables as typed columns, numeric or categorical, any of which may have missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Table", "TableColumn", "stacked_columns"]

RARE = 5  # categories with fewer expected members are merged

Table = Any
"""A DataFrame, a mapping of names to columns `(N,)`, or an array `(N, F)`."""


@dataclass(frozen=True)
class TableColumn:
    """A column of pooled tables: samples, held-out data and possibly further real data, one after another.

    Arguments:
        name: The name of the column.
        values: Numbers `(rows,)` in float64, NaN where one is missing, or the codes 0, 1, … of categories.
        levels: The names of the categories, of which a missing value is one; None for numbers.
        missing: Whether each value is missing, `(rows,)`, where that is known.
    """

    name: str
    values: Tensor
    levels: tuple[str, ...] | None = None
    missing: Tensor | None = None

    def chosen(self, rows: Tensor) -> TableColumn:
        """The column in some rows."""
        missing = None if self.missing is None else self.missing[rows]
        return TableColumn(self.name, self.values[rows], self.levels, missing)

    @property
    def absent(self) -> Tensor:
        """Which values are missing, `(rows,)`, as far as that is known."""
        return ~self.present if self.missing is None else self.missing

    @property
    def present(self) -> Tensor:
        """Which numbers are there, `(rows,)`; a missing category is a level, and so it is there."""
        return ~self.values.isnan() if self.levels is None else torch.ones_like(self.values, dtype=torch.bool)

    @property
    def ordered(self) -> Tensor:
        """The numbers with missing ones below all others: their share is then a step of the distribution function."""
        return torch.where(self.values.isnan(), -torch.inf, self.values)

    def coded(self, bins: int, size: int) -> tuple[Tensor, int]:
        """Codes `(rows,)` and their number: of categories, or of bins at the quantiles of the first `size` rows.

        Missing numbers have a code of their own, the last."""
        if self.levels is not None:
            return self.values.long(), len(self.levels)
        present = self.present
        known = self.values[:size][present[:size]].sort().values
        count = len(known)
        borders = torch.unique(known[[round(i / bins * (count - 1)) for i in range(1, bins)]]) if count else known
        # A border at the largest number would leave the last bin empty.
        borders = borders[borders < known[-1]] if count else borders
        codes, levels = torch.bucketize(self.values, borders), len(borders) + 1
        if bool(present.all()):
            return codes, levels
        return torch.where(present, codes, levels), levels + 1


def stacked_columns(
    tables: Sequence[Table], categorical: Sequence[bool] | None = None, names: Sequence[str] | None = None
) -> list[TableColumn]:
    """The columns of several tables, concatenated.

    Columns of a DataFrame or a mapping are categorical if they do not hold numbers, or if they are booleans or a pandas
    `category`; `categorical` overrides that, and is needed for arrays, whose columns have the names `names`.

    Raises:
        TypeError: If something is not a table.
        ValueError: If tables have different columns, columns have different lengths, or numbers are infinite.

    Example:
        >>> drawn, real = {"a": np.zeros(20), "b": ["x", "y"] * 10}, {"a": np.ones(20), "b": ["y", "x"] * 10}
        >>> [column.levels for column in stacked_columns([drawn, real])]
        [None, ('x', 'y')]
    """
    parts = [_named(table, names) for table in tables]
    titles = list(parts[0])
    for part in parts:
        if set(part) != set(titles):
            raise ValueError(f"tables must have the same columns, got {titles} and {list(part)}")
    if categorical is not None and len(categorical) != len(titles):
        raise ValueError(f"categorical needs one entry per column, got {len(categorical)} for {len(titles)} columns")
    sizes = [len(next(iter(part.values()))) for part in parts]
    found = []
    for i, title in enumerate(titles):
        columns = [np.asarray(part[title]) for part in parts]
        if [len(column) for column in columns] != sizes or any(column.ndim != 1 for column in columns):
            raise ValueError(f"column {title!r} must be one-dimensional and as long as the other columns")
        typed = tables[0][title].dtype if hasattr(tables[0], "columns") else None
        numeric = {column.dtype.kind for column in columns} <= set("fiu") and str(typed) != "category"
        is_category = not numeric if categorical is None else categorical[i]
        found.append(_categories(title, columns, sizes) if is_category else _numbers(title, columns))
    return found


def _named(table: Table, names: Sequence[str] | None) -> Mapping[str, Any]:
    if hasattr(table, "columns"):
        return {str(name): table[name] for name in table.columns}
    if isinstance(table, Mapping):
        return table
    if not isinstance(table, Tensor | np.ndarray):
        raise TypeError(f"a table must be a DataFrame, a mapping or an array (N, F), got {type(table).__name__}")
    values = table.detach().cpu().numpy() if isinstance(table, Tensor) else table
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        raise ValueError(f"a table must have two axes, (N, F), got shape {values.shape}")
    titles = [f"column {i}" for i in range(values.shape[1])] if names is None else list(names)
    if len(titles) != values.shape[1]:
        raise ValueError(f"names needs one entry per column, got {len(titles)} for {values.shape[1]}")
    return dict(zip(titles, values.T))


def _numbers(title: str, columns: Sequence[np.ndarray]) -> TableColumn:
    values = np.concatenate([np.asarray(column, np.float64) for column in columns])
    if np.isinf(values).any():
        raise ValueError(f"column {title!r} contains {np.isinf(values).sum()} infinite values: drop these rows")
    return TableColumn(title, torch.from_numpy(values))


def _categories(title: str, columns: Sequence[np.ndarray], sizes: Sequence[int]) -> TableColumn:
    """Categories with fewer than five expected members on a side are merged; missing values are a category."""
    words = np.concatenate([np.asarray(column, dtype=object).astype(str) for column in columns])
    levels, codes = np.unique(words, return_inverse=True)
    pair = sum(sizes[:2])
    members = np.bincount(codes[:pair], minlength=len(levels))
    rare = members * min(sizes[:2]) / pair < RARE
    if rare.sum() > 1:
        order = np.cumsum(~rare) - 1
        codes = np.where(rare[codes], (~rare).sum(), order[codes])
        levels = np.append(levels[~rare], "rare categories")
    return TableColumn(title, torch.from_numpy(codes.astype(np.int64)), tuple(str(level) for level in levels))
