"""Tables of pandas: to one array of numbers and back to columns with their names and types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .columns.base import Name
from .dtypes import Bound, numpy_dtype, restore, value_range
from .errors import DataError, DataTypeError
from .rows import Rows

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["SMALL", "Table", "check_distinct", "integers", "names_of", "select", "to_frame", "to_index"]

SMALL = (np.float32, np.float16, np.int16, np.int8, np.uint16, np.uint8, np.bool_)  # types that float32 holds


@dataclass(frozen=True)
class Table:
    """The numbers of a table: what `read` makes of a csv or parquet file that is too large for memory.

    Arguments:
        values: The numbers, `(N, F)`; of a large file a memory map.
        columns: The names of the columns.
        dtypes: The types they have in the file.
        attrs: Further attributes, as tables of pandas have them.
    """

    values: np.ndarray
    columns: tuple[Name, ...]
    dtypes: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, x: DataFrame | Series[Any] | Table) -> Table:
        """The numbers of a table of pandas: float32 if that holds all of its types, missing ones as NaN."""
        if isinstance(x, Table):
            return x
        frame: DataFrame = x.to_frame(x.name) if x.ndim == 1 else x
        names, dtypes = names_of(frame), _dtypes(frame)
        values = np.empty(frame.shape, np.float32 if all(numpy_dtype(d) in SMALL for d in dtypes) else np.float64)
        for i in range(frame.shape[1]):
            values[:, i] = frame.iloc[:, i].to_numpy(dtype=values.dtype, na_value=np.nan)
        return cls(values, names, dtypes)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: Name) -> np.ndarray:
        """A column, `(N,)`."""
        column: np.ndarray = self.values[:, self.columns.index(name)]
        return column


def names_of(frame: DataFrame) -> tuple[Name, ...]:
    """The names of the columns, checked to be distinct and plain values."""
    if not len(frame.columns):
        raise DataError("the table has no columns: give it at least one")
    check_distinct(frame)
    return tuple(_plain(name) for name in frame.columns.tolist())


def check_distinct(frame: DataFrame) -> None:
    """Raises a ValueError if several columns have the same name."""
    twice = frame.columns[frame.columns.duplicated()].unique().tolist()
    if twice:
        raise DataError(f"the table has several columns named {', '.join(map(repr, twice[:5]))}: rename them")


def _plain(name: Any) -> Name:
    if isinstance(name, tuple):
        return tuple(_plain(n) for n in name)
    if name is None or isinstance(name, str | int | float | bool):
        return name
    raise DataTypeError(
        f"the column name {name!r} is a {type(name).__name__}: name columns by text or numbers, df.columns.astype(str)"
    )


def _dtypes(frame: DataFrame) -> tuple[str, ...]:
    """The types of the columns; an error names those that do not hold numbers, and what to do."""
    from pandas.api import types

    others = [
        f"{name!r} ({dtype})"
        for name, dtype in zip(frame.columns.tolist(), frame.dtypes.tolist())
        if not types.is_numeric_dtype(dtype) or dtype.kind == "c"
    ]
    if others:
        what = f"columns that are not numbers cannot be read by parts: {_first(others)}"
        raise DataTypeError(f"{what}; raise limit=… to read them into memory, or choose others (columns=…)")
    return tuple(str(dtype) for dtype in frame.dtypes)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def select(frame: DataFrame, columns: Sequence[Name] | None) -> DataFrame:
    """These columns, in this order; all if None."""
    if columns is None:
        return frame
    missing = [repr(c) for c in columns if c not in frame.columns]
    if missing:
        has = ", ".join(map(repr, frame.columns.tolist()[:10]))
        raise DataError(f"columns missing: {_first(missing)}; the table has {has}")
    return frame[list(columns)]


def integers(dtypes: Sequence[str], rows: Rows) -> dict[str, Any]:
    """Which columns hold integers, and to which range each is clipped: that of the data where they are nowhere negative."""
    kinds = [numpy_dtype(d).kind for d in dtypes]
    whole = tuple(k in "iub" for k in kinds)
    if not any(whole):
        return {"integer": whole}
    bounds: list[tuple[float | None, float | None]] = []
    for kind, low, high in zip(kinds, *(bound.tolist() for bound in value_range(rows))):
        clipped = kind in "iu" and low >= 0
        bounds.append((0.0, 1.0) if kind == "b" else (low, high) if clipped else (None, None))
    if all(bound == (None, None) for bound in bounds):
        return {"integer": whole}
    lows, highs = zip(*bounds)
    return {"integer": whole, "low": lows, "high": highs}


def to_frame(
    x: Tensor,
    names: Sequence[Name],
    dtypes: Sequence[str],
    integer: bool | tuple[bool, ...],
    low: Bound,
    high: Bound,
) -> DataFrame:
    """Numbers `(M, F)` as a table; where `integer`, `low` and `high` are tuples they hold one value a column."""
    import pandas

    def column(i: int, dtype: str) -> Series[Any]:
        whole, least, most = (v[i] if isinstance(v, tuple) else v for v in (integer, low, high))
        numbers = restore(x[:, i : i + 1], numpy_dtype(dtype), bool(whole), least, most)[:, 0]
        return pandas.Series(numbers.numpy()).astype(pandas.api.types.pandas_dtype(dtype))

    frame = pandas.concat([column(i, dtype) for i, dtype in enumerate(dtypes)], axis=1)
    frame.columns = to_index(names)
    return frame


def to_index(names: Sequence[Name]) -> Any:
    """Names of columns as pandas keeps them, those of several levels as a MultiIndex."""
    import pandas

    tuples = any(isinstance(name, tuple) for name in names)
    return pandas.MultiIndex.from_tuples(names) if tuples else pandas.Index(names)
