"""Tables of pandas: to one array of numbers and back to columns with their names and types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .columns import Column, Name, numpy_dtype
from .dtypes import value_range
from .errors import DataError, DataTypeError
from .rows import Rows

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Table", "column_dtypes", "column_names", "from_frame", "integers", "select", "to_frame"]


@dataclass(frozen=True)
class Table:
    """A table too large for memory: what `read` makes of a large csv or parquet file.

    Arguments:
        values: The numbers, `(N, F)`, a memory map.
        columns: The names of the columns.
        dtypes: The types they have in the file.
    """

    values: np.ndarray
    columns: tuple[Name, ...]
    dtypes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)


def column_names(frame: DataFrame) -> tuple[Name, ...]:
    """The names of the columns as plain values; raises an error if they are not distinct or not plain."""
    if not len(frame.columns):
        raise DataError("the table has no columns: give it at least one of numbers")
    twice = frame.columns[frame.columns.duplicated()].unique().tolist()
    if twice:
        raise DataError(f"the table has several columns named {', '.join(map(repr, twice[:5]))}: rename them")
    return tuple(_plain(name) for name in frame.columns.tolist())


def _plain(name: Any) -> Name:
    if isinstance(name, tuple):
        return tuple(_plain(n) for n in name)
    if name is None or isinstance(name, str | int | float | bool):
        return name
    raise DataTypeError(
        f"the column name {name!r} is a {type(name).__name__}: name columns by text or numbers, df.columns.astype(str)"
    )


def column_dtypes(frame: DataFrame) -> tuple[str, ...]:
    """The types of the columns; an error names those that do not hold numbers, and what to do."""
    from pandas.api import types

    advice_for: dict[str, list[str]] = {}
    for name, dtype in zip(frame.columns.tolist(), frame.dtypes.tolist()):
        if isinstance(dtype, _categorical()) or types.is_object_dtype(dtype) or types.is_string_dtype(dtype):
            advice = "pandas.get_dummies(df, columns=[…]) for categories, pandas.to_numeric(df[…]) for numbers in text"
        elif types.is_complex_dtype(dtype):
            advice = "two columns, .real and .imag"
        elif types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
            advice = "(df[…] - df[…].min()) / pandas.Timedelta('1D')"
        elif types.is_bool_dtype(dtype) or types.is_integer_dtype(dtype) or types.is_float_dtype(dtype):
            continue
        else:
            advice = "df[…].astype(float)"
        advice_for.setdefault(advice, []).append(f"{name!r} ({dtype})")
    if advice_for:
        parts = [
            f"{', '.join(c[:5])}{f' and {len(c) - 5} more' if len(c) > 5 else ''}: {m}" for m, c in advice_for.items()
        ]
        raise DataTypeError(f"columns that are not numbers, drop or convert them: {'; '.join(parts)}")
    return tuple(str(dtype) for dtype in frame.dtypes)


def _categorical() -> type[Any]:
    from pandas import CategoricalDtype

    found: type[Any] = CategoricalDtype
    return found


def from_frame(frame: DataFrame) -> np.ndarray:
    """The numbers of a table of numbers, `(N, F)`: float32 if that holds all of its types, missing ones as NaN."""
    small = all(
        numpy_dtype(str(d)) in (np.float32, np.float16, np.int16, np.int8, np.uint16, np.uint8, np.bool_)
        for d in frame.dtypes
    )
    values = np.empty(frame.shape, np.float32 if small else np.float64)
    for i in range(frame.shape[1]):
        values[:, i] = frame.iloc[:, i].to_numpy(dtype=values.dtype, na_value=np.nan)
    return values


def select(frame: DataFrame, columns: Sequence[Name]) -> DataFrame:
    """The columns a model was trained on, in their order."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise DataError(f"columns missing: {shown}; the table has {', '.join(map(repr, frame.columns.tolist()[:10]))}")
    return frame[list(columns)]


def integers(dtypes: Sequence[str], rows: Rows) -> dict[str, Any]:
    """Which columns hold integers, and to which range each is clipped: that of the data where they are nowhere negative."""
    kinds = [numpy_dtype(d).kind for d in dtypes]
    whole = tuple(k in "iub" for k in kinds)
    if not any(whole):
        return {"integer": whole}
    low, high = (b if isinstance(b, tuple) else (b,) for b in value_range(rows, each=True))
    counts = [k in "iub" and first is not None and first >= 0 for k, first in zip(kinds, low)]
    if not any(counts):
        return {"integer": whole}
    bounds = [[v if count else None for v, count in zip(b, counts)] for b in (low, high)]
    for i, k in enumerate(kinds):
        if k == "b":
            bounds[0][i], bounds[1][i] = 0.0, 1.0
    return {"integer": whole, "low": tuple(bounds[0]), "high": tuple(bounds[1])}


def to_frame(x: Tensor, columns: Sequence[Column]) -> DataFrame:
    """Numbers `(M, F)` as a table with these columns."""
    import pandas

    frame = pandas.concat([column.series(x[:, i]) for i, column in enumerate(columns)], axis=1)
    names: Any = [c.name for c in columns]
    tuples = any(isinstance(name, tuple) for name in names)
    frame.columns = pandas.MultiIndex.from_tuples(names) if tuples else pandas.Index(names)
    return frame
