"""Tables as typed columns: numbers, or categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Table", "TableColumn", "stacked_columns"]

RARE = 5  # expected members of a category, below which it joins the other rare ones

Table = Any
"""A DataFrame, a mapping of names to columns `(N,)`, or an array `(N, F)`."""


@dataclass(frozen=True)
class TableColumn:
    """A column of the pile: samples, held-out data and perhaps more real data, one after another.

    Arguments:
        name: What it is called.
        values: Numbers `(rows,)` in float64, or the codes 0, 1, … of categories.
        levels: The names of the categories; None for numbers.
    """

    name: str
    values: Tensor
    levels: tuple[str, ...] | None = None

    def coded(self, bins: int, size: int) -> tuple[Tensor, int]:
        """Codes `(rows,)` and how many there are: of categories, or of bins that hold equal parts of the first `size`."""
        if self.levels is not None:
            return self.values.long(), len(self.levels)
        ordered = self.values[:size].sort().values
        borders = torch.unique(ordered[[round(i / bins * (size - 1)) for i in range(1, bins)]])
        # A border that is the largest number would leave the last bin empty.
        borders = borders[borders < ordered[-1]]
        return torch.bucketize(self.values, borders), len(borders) + 1


def stacked_columns(
    tables: Sequence[Table], categorical: Sequence[bool] | None = None, names: Sequence[str] | None = None
) -> list[TableColumn]:
    """The columns of tables, one table after another in each.

    Columns of a DataFrame or a mapping are categories where they hold no numbers, or booleans, or a pandas `category`.

    Arguments:
        tables: Of the same columns, samples first, then held-out data.
        categorical: Which columns of an array are categories, or what to think of columns instead of the above.
        names: What the columns of an array are called.

    Raises:
        TypeError: If something is not a table.
        ValueError: For different columns, columns of different lengths, or missing numbers.

    Example:
        >>> drawn, real = {"a": np.zeros(20), "b": ["x", "y"] * 10}, {"a": np.ones(20), "b": ["y", "x"] * 10}
        >>> [column.levels for column in stacked_columns([drawn, real])]
        [None, ('x', 'y')]
    """
    parts = [_named(table, names) for table in tables]
    titles = list(parts[0])
    for part in parts[1:]:
        if set(part) != set(titles):
            raise ValueError(f"tables must have the same columns, got {titles} and {list(part)}")
    if categorical is not None and len(categorical) != len(titles):
        raise ValueError(f"categorical must say one thing a column, got {len(categorical)} for {len(titles)} columns")
    sizes = [len(next(iter(part.values()))) for part in parts]
    found = []
    for i, title in enumerate(titles):
        columns = [np.asarray(part[title]) for part in parts]
        if [len(column) for column in columns] != sizes or any(column.ndim != 1 for column in columns):
            raise ValueError(f"column {title!r} must be as long as the others, and one-dimensional")
        kinds = {column.dtype.kind for column in columns}
        plain = categorical[i] if categorical is not None else not kinds <= set("fiu") or _is_category(tables[0], title)
        found.append(_categories(title, columns, sizes) if plain else _numbers(title, columns))
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
        raise ValueError(f"names must be as many as columns, got {len(titles)} for {values.shape[1]}")
    return dict(zip(titles, values.T))


def _is_category(table: Table, title: str) -> bool:
    return hasattr(table, "columns") and str(table[title].dtype) == "category"


def _numbers(title: str, columns: Sequence[np.ndarray]) -> TableColumn:
    values = np.concatenate([np.asarray(column, np.float64) for column in columns])
    missing = ~np.isfinite(values)
    if missing.any():
        raise ValueError(
            f"column {title!r} holds {missing.sum()} NaN or infinite values: fill them in or drop the rows"
        )
    return TableColumn(title, torch.from_numpy(values))


def _categories(title: str, columns: Sequence[np.ndarray], sizes: Sequence[int]) -> TableColumn:
    """Rare ones, of which a side expects fewer than five, are one category; what is missing is one too."""
    words = np.concatenate([np.asarray(column, dtype=object).astype(str) for column in columns])
    levels, codes = np.unique(words, return_inverse=True)
    pair = sum(sizes[:2])
    inside = np.bincount(codes[:pair], minlength=len(levels))
    rare = inside * min(sizes[:2]) / pair < RARE
    if rare.sum() > 1:
        order = np.cumsum(~rare) - 1
        codes = np.where(rare[codes], (~rare).sum(), order[codes])
        levels = np.append(levels[~rare], "rare ones")
    return TableColumn(title, torch.from_numpy(codes.astype(np.int64)), tuple(str(level) for level in levels))
