"""Tables of any columns: to one array of numbers, and back to columns with their names and types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from ..settings import Data
from .columns import Column, infer
from .columns.infer import LeftOut
from .dtypes import holds_numbers, numpy_dtype
from .errors import DataError
from .frames import SMALL, Table, integers, names_of, to_index
from .layout import Structure
from .rows import Rows
from .structure import Channels

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["asked", "decoded", "encoded", "in_words", "read", "refuse", "without_columns"]

_EXAMPLES = 1 << 16  # rows of a table on disk from which its columns are inferred, before all others confirm them
_BLOCK = 1 << 22  # numbers that are held at a time

_SETTINGS = ("columns", "categorical", "numeric", "keep", "constraints", "groups", "time_column")


def refuse(data: Data | None, kind: str) -> None:
    """Raises if a setting names columns of what is not a table."""
    given = [name for name in _SETTINGS if data is not None and getattr(data, name)]
    if given:
        name = {"time_column": "split"}.get(given[0], given[0])
        raise DataError(f"{name} names columns of a table, got {kind} data: pass pandas.DataFrame(x, columns=[…])")


def read(x: DataFrame | Series[Any] | Table, data: Data) -> tuple[np.ndarray, dict[str, Any]]:
    """The numbers of a table, `(N, C)`, and what a schema keeps of its columns."""
    if isinstance(x, Table):
        columns, left_out = _infer_on_disk(x, data)
        values = _taken(x.values, [x.columns.index(column.name) for column in columns])
    else:
        frame: DataFrame = x.to_frame(x.name) if x.ndim == 1 else x
        names_of(frame)
        if not len(frame):
            raise DataError(f"there are no data: the table has {len(frame.columns)} columns and no rows")
        columns, left_out = infer(frame, data)
        values = encoded(frame, columns, _dtype_of(columns))
    return values, _facts(columns, left_out)


def _facts(columns: Sequence[Column], left_out: LeftOut) -> dict[str, Any]:
    """What a schema keeps of columns."""
    lows, highs = zip(*(column.limits for column in columns))
    bounded = any(end is not None for end in (*lows, *highs))
    return {
        "columns": tuple(column.name for column in columns),
        "column_dtypes": tuple(column.dtype for column in columns),
        "integer": tuple(column.whole for column in columns),
        **({"low": lows, "high": highs} if bounded else {}),
        "table": tuple(columns),
        "left_out": left_out,
    }


def _dtype_of(columns: Sequence[Column]) -> np.dtype[Any]:
    """float32 if that holds all numbers of all columns."""
    small = all(
        column.size in (0, 2) and holds_numbers(column.dtype) and numpy_dtype(column.dtype).type in SMALL
        for column in columns
    )
    return np.dtype(np.float32 if small else np.float64)


def encoded(x: DataFrame | Series[Any] | Table, columns: Sequence[Column], dtype: np.dtype[Any]) -> np.ndarray:
    """The numbers of a table, `(N, C)`, of which other columns are left out.

    Raises:
        ValueError: If a column is missing, or holds what it could not in the training data.
    """
    names = [column.name for column in columns]
    if isinstance(x, Table):
        absent = [name for name in names if name not in x.columns]
        found: Any = None if absent else _taken(x.values, [x.columns.index(name) for name in names])
    else:
        frame: DataFrame = x.to_frame(names[0]) if x.ndim == 1 else x
        absent = [name for name in names if name not in frame.columns]
        found = frame
    if absent:
        has = ", ".join(map(repr, list(x.columns)[:10]))
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise DataError(f"columns missing: {', '.join(map(repr, absent[:5]))}{more}; the table has {has}")
    if isinstance(x, Table):
        plain: np.ndarray = found
        return plain
    values = np.empty((len(found), len(columns)), dtype)
    for i, column in enumerate(columns):
        values[:, i] = column.encode(found[column.name])
    return values


def _taken(values: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Some columns; neighbouring ones as a view, so that those of a memory map stay on disk."""
    near = list(places) == list(range(places[0], places[-1] + 1))
    taken: np.ndarray = values[:, places[0] : places[-1] + 1] if near else values[:, list(places)]
    return taken


def decoded(x: Tensor, columns: Sequence[Column]) -> DataFrame:
    """Numbers `(M, C)` as a table."""
    import pandas

    numbers = x.double().numpy()
    made = [column.decode(numbers[:, i]) for i, column in enumerate(columns)]
    frame = pandas.concat([series.reset_index(drop=True) for series in made], axis=1)
    frame.columns = to_index([column.name for column in columns])
    return frame


def asked(
    facts: dict[str, Any], structure: Structure | Literal["auto"], channels: Channels
) -> tuple[Structure | Literal["auto"], Channels]:
    """The structure that is asked for, which for columns of several kinds is `vector`."""
    mixed = [c for c in facts.get("table", ()) if not c.plain]
    if not mixed and not facts.get("left_out"):
        return structure, channels
    if structure == "grid" or channels in ("first", "last"):
        what = f"{mixed[0].name!r} is not ({mixed[0].reason})" if mixed else f"{facts['left_out'][0][0]!r} is left out"
        raise DataError(f"the columns of a grid are numbers of one kind, and {what}: leave out structure and channels")
    return "vector", "auto"


def in_words(facts: dict[str, Any], reason: str) -> str:
    """Why a table is taken for vectors: for the kinds of its columns, if these are not numbers alone."""
    table = facts.get("table", ())
    if all(column.plain for column in table):
        return reason
    counts = Counter(column.kind for column in table)
    many = {"category": "categories"}
    shown = (f"{n} {kind if n == 1 else many.get(kind, f'{kind}s')}" for kind, n in counts.most_common())
    return f"a table: {', '.join(shown)}"


def without_columns(facts: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """What is kept of a table whose rows are signals: names and types alone."""
    kept = {name: facts[name] for name in ("columns", "column_dtypes")}
    return kept | integers(facts["column_dtypes"], rows)


def _infer_on_disk(x: Table, data: Data) -> tuple[tuple[Column, ...], LeftOut]:
    """What the columns of a table on disk hold: inferred from some rows, confirmed by all."""
    import pandas

    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), _EXAMPLES)).astype(np.int64))
    some = np.asarray(x.values[places])
    frame = pandas.concat([pandas.Series(some[:, i]).astype(dtype) for i, dtype in enumerate(x.dtypes)], axis=1)
    frame.columns = to_index(x.columns)
    found, left_out = infer(frame, data)
    if len(places) == len(x):
        return found, left_out
    kept = [x.columns.index(column.name) for column in found]
    for block in _blocks(x):
        found = tuple(column.widened(block[:, i].astype(np.float64)) for i, column in zip(kept, found))
    return found, left_out


def _blocks(x: Table) -> Iterator[np.ndarray]:
    size = max(1, _BLOCK // len(x.columns))
    for start in range(0, len(x), size):
        yield np.asarray(x.values[start : start + size])
