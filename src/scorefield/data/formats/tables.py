"""What the formats of tables share: their columns, and the copy of a table that is too large for memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .cache import BLOCK, Store
from .frames import Table, column_dtypes, column_names, from_frame, select
from .schema import Schema

__all__ = ["cannot_be_table", "chosen_columns", "copied_table", "rows_at_once"]


def rows_at_once(columns: int) -> int:
    """How many rows of a table are read at a time."""
    return max(1, BLOCK // (8 * max(1, columns)))


def chosen_columns(frame: Any, columns: Sequence[str] | None) -> Any:
    """The columns asked for, or all."""
    return frame if columns is None else select(frame, columns)


def copied_table(store: Store, columns: Sequence[str] | None, parts: Callable[[], Iterable[Any]]) -> Table:
    """A table that is too large for memory, through its copy.

    Arguments:
        store: Where the copy is kept.
        columns: The columns asked for; None if all.
        parts: Reads the table, a few rows at a time.
    """
    names: list[Any] = []
    dtypes: list[str] = []

    def chunks() -> Iterator[np.ndarray]:
        for part in parts():
            frame = chosen_columns(part, columns)
            found = column_dtypes(frame)
            names[:] = column_names(frame)
            dtypes[:] = found if not dtypes else [a if a == b else "float64" for a, b in zip(dtypes, found)]
            yield from_frame(frame).astype(np.float64, copy=False)

    def facts() -> dict[str, Any]:
        return {"columns": names, "dtypes": dtypes}

    values, known = store.copy({"columns": columns and list(columns)}, chunks, facts)
    return Table(values, tuple(known["columns"]), tuple(known["dtypes"]))


def cannot_be_table(schema: Schema) -> str | None:
    """Why samples are not rows of a table: grids of two or three axes are not."""
    if schema.structure == "vector" or len(schema.shape) <= 1:
        return None
    return "holds tables, and these data are grids"
