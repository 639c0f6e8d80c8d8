"""Matrices of tables: one column of numbers per column, codes for categories and NaN for missing values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..user_values import real_tensor
from .base import Array
from .columns import TableColumn, stacked_columns

__all__ = [
    "PlainColumn",
    "TypedColumn",
    "as_matrix",
    "level_names",
    "named_tables",
    "table_features",
    "typed_columns",
    "typed_matrices",
    "value_text",
]

MISSING = "missing"


class TypedColumn(Protocol):
    """What is asked of the description of a column; every `data.columns.Column` has it."""

    @property
    def name(self) -> Any:
        """Its name."""

    @property
    def kind(self) -> str:
        """What it is called: "number", "category", …"""

    @property
    def size(self) -> int:
        """The number of levels of a category, 0 for numbers."""

    def decode(self, numbers: np.ndarray) -> Any:
        """The values that numbers or codes stand for."""

    def cycles(self, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """What of the numbers comes again and again, by its name: numbers `(N,)` and 0, or codes and how many there are."""


@dataclass(frozen=True)
class PlainColumn:
    """A column of numbers, or of codes of categories, that stand for themselves.

    Arguments:
        name: Its name.
        size: The number of levels of a category; 0 for numbers.
        kind: What it is called.
    """

    name: Any
    size: int = 0
    kind: str = "number"

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers themselves; of a column of two levels that is called a boolean, whether they are 1."""
        if self.kind == "boolean":
            return np.asarray(numbers) > 0.5
        return np.asarray(numbers) if self.size == 0 else np.asarray(numbers).astype(np.int64)

    def cycles(self, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """None."""
        return {}


def value_text(column: TypedColumn, value: float) -> str:
    """A value of a column as people write it: a number of four digits, the name of a level, a date.

    Example:
        >>> value_text(PlainColumn("smokes", 2, "boolean"), 1.0), value_text(PlainColumn("size"), 0.123456)
        ('True', '0.1235')
    """
    if not np.isfinite(value):
        return "–"
    if column.size and value >= column.size:
        return f"code {value:g}"
    shown = np.asarray(column.decode(np.array([value])), dtype=object)[0]
    number = isinstance(shown, int | float | np.number) and not isinstance(shown, bool | np.bool_)
    if number and 1e4 <= abs(shown) < 1e9:
        return f"{shown:,.0f}"
    return f"{shown:.4g}" if number else str(shown)


def as_matrix(x: Array, name: str = "x") -> np.ndarray:
    """A table as `(N, C)` in float64, in which NaN stands for missing values; `name` is for errors.

    Raises:
        TypeError: If it is not a tensor or an array of real numbers.
        ValueError: If it has other than two axes, no rows or columns, or infinite values.

    Example:
        >>> as_matrix([[1, 2], [3, 4]])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        TypeError: x must be an array or a tensor (N, C), got list: try np.asarray(x)
        >>> as_matrix(np.array([[1, 2], [3, 4]])).dtype
        dtype('float64')
    """
    if not isinstance(x, Tensor | np.ndarray):
        raise TypeError(f"{name} must be an array or a tensor (N, C), got {type(x).__name__}: try np.asarray({name})")
    x = real_tensor(x, name) if isinstance(x, np.ma.MaskedArray) else x
    values = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold numbers, codes for categories, got dtype {values.dtype}: encode its columns")
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must be a table (N, C) with rows and columns, got shape {values.shape}")
    values = np.asarray(values, np.float64)
    if np.isinf(values).any():
        raise ValueError(f"{name} contains {int(np.isinf(values).sum())} infinite values: drop these rows")
    return values


def named_tables(samples: Array, held_out: Array, train: Array | None) -> list[tuple[str, Array]]:
    """Tables by their names, for errors; further real rows may be left out."""
    return [("samples", samples), ("held_out", held_out), *([] if train is None else [("train", train)])]


def typed_matrices(
    data: Sequence[tuple[str, Array]], columns: Sequence[TypedColumn] = ()
) -> tuple[tuple[np.ndarray, ...], tuple[TypedColumn, ...]]:
    """Several tables of the same columns as checked matrices, and the columns, all of them numbers if none are given.

    Arguments:
        data: The tables with their names, for errors.
        columns: One description per column, or none.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If a table is not `(N, C)`, tables or columns differ in number, or codes are not whole numbers from 0.
    """
    parts = tuple(as_matrix(x, name) for name, x in data)
    count = parts[-1].shape[1]
    for (name, _), part in zip(data, parts):
        if part.shape[1] != count:
            raise ValueError(f"tables must have the same columns, got {count} and {part.shape[1]} in {name}")
    known = tuple(columns) or tuple(PlainColumn(f"column {i}") for i in range(count))
    if len(known) != count:
        raise ValueError(f"columns needs one entry per column, got {len(known)} for {count} columns")
    for i, column in enumerate(known):
        for (name, _), part in zip(data, parts):
            codes = part[:, i][~np.isnan(part[:, i])] if column.size else np.zeros(0)
            if len(codes) and (codes.min() < 0 or (codes != np.round(codes)).any()):
                raise ValueError(f"codes of the category {column.name!r} in {name} must be whole numbers from 0")
    return parts, known


def level_names(column: TypedColumn, count: int) -> list[str]:
    """The names of the first `count` levels of a category; distinct, and a code where the column knows no level.

    Example:
        >>> level_names(PlainColumn("smokes", 2, "boolean"), 3)
        ['False', 'True', 'code 2']
    """
    known = min(count, column.size)
    names = [str(value) for value in np.asarray(column.decode(np.arange(known, dtype=np.float64)), dtype=object)]
    names = [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names)]
    return names + [f"code {i}" for i in range(known, count)]


def typed_columns(parts: Sequence[np.ndarray], columns: Sequence[TypedColumn]) -> list[TableColumn]:
    """The columns of several matrices, concatenated, with the names of their levels.

    Example:
        >>> parts = [np.array([[0.5, 0.0], [np.nan, 1.0]] * 10)] * 2
        >>> found = typed_columns(parts, [PlainColumn("size"), PlainColumn("smokes", 2, "boolean")])
        >>> found[0].present[:2].tolist(), found[1].levels
        ([True, False], ('False', 'True'))
    """
    found = []
    for i, column in enumerate(columns):
        values = [part[:, i] for part in parts]
        if column.size:
            values = [_words(column, each) for each in values]
        name = str(column.name)
        (stacked,) = stacked_columns([{name: each} for each in values], [column.size > 0])
        missing = torch.from_numpy(np.isnan(np.concatenate([part[:, i] for part in parts])))
        found.append(replace(stacked, missing=missing))
    return found


def _words(column: TypedColumn, codes: np.ndarray) -> np.ndarray:
    known = ~np.isnan(codes)
    count = max(column.size, int(codes[known].max(initial=-1)) + 1)
    names = np.array([*level_names(column, count), MISSING], dtype=object)
    words: np.ndarray = names[np.where(known, codes, count).astype(np.int64)]
    return words


def table_features(
    x: Array, reference: Array, columns: Sequence[TypedColumn] = (), levels: int = 16
) -> tuple[Tensor, tuple[str, ...]]:
    """Rows of a table as vectors of numbers, for distances and tests of vectors.

    A number becomes the standard normal quantile of its rank in the reference, which is not sensitive to units, skewness or
    single large values; values below or above all of the reference have the rank of its ends. A category becomes indicators
    of its most common levels, each √½, so that two rows of different levels are at distance 1. A missing number has the
    quantile 0, and a column in which the reference misses values has an indicator of it.

    Arguments:
        x, reference: Tables `(N, C)` and `(M, C)`.
        columns: A description per column; without them all are numbers.
        levels: The maximum number of levels of a category; others share one.

    Returns:
        The features `(N, F)` in float32, without missing values, and their names.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number.

    Example:
        >>> table = np.array([[1.0, 0.0], [np.nan, 2.0], [100.0, 1.0]])
        >>> values, names = table_features(table, table, [PlainColumn("size"), PlainColumn("kind", 3)])
        >>> names
        ('size', 'size is missing', 'kind is 0', 'kind is 1', 'kind is 2')
        >>> [round(v, 2) for v in values[:, 0].tolist()]
        [-0.67, 0.0, 0.67]
    """
    from scipy.special import ndtri

    (values, known), columns = typed_matrices([("x", x), ("reference", reference)], columns)
    parts: list[np.ndarray] = []
    names: list[str] = []
    for i, column in enumerate(columns):
        here, there = values[:, i], known[:, i]
        if column.size:
            codes, counts = np.unique(there[~np.isnan(there)], return_counts=True)
            common = np.sort(codes[np.argsort(-counts, kind="stable")][:levels])
            titles = level_names(column, int(common.max(initial=0)) + 1)
            parts += [0.5**0.5 * (here == code) for code in common]
            names += [f"{column.name} is {titles[int(code)]}" for code in common]
        else:
            ordered = np.sort(there[~np.isnan(there)])
            rank = np.searchsorted(ordered, here, "left") + np.searchsorted(ordered, here, "right")
            share = np.clip(rank, 1, max(1, 2 * len(ordered) - 1)) / max(2, 2 * len(ordered))
            parts.append(np.where(np.isnan(here), 0.0, ndtri(share)))
            names.append(str(column.name))
        if np.isnan(there).any():  # decided from the reference, so that all tables get the same features
            parts.append(np.isnan(here).astype(np.float64) * 0.5**0.5)
            names.append(f"{column.name} is missing")
    return torch.from_numpy(np.stack(parts, 1).astype(np.float32)), tuple(names)
