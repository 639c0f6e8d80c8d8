"""What the formats of tables share: their columns, and the copy of a table that is too large for memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..cache import BLOCK, Store
from ..frames import Table, select
from ..optional import need
from ..schema import Schema
from .base import Format, array_of

__all__ = ["TableFormat", "copied_table", "rows_at_once", "table_of"]


_READING = 2  # raised when tables are read otherwise, so that older copies are not used


class TableFormat(Format):
    """A format of columns with names and types, and of nothing else."""

    keeps = ("columns", "types")

    def cannot_hold(self, schema: Schema) -> str | None:
        if schema.structure == "grid" and len(schema.shape) > 1:
            return "holds tables, and these data are grids"
        return super().cannot_hold(schema)


def table_of(batch: Any) -> Any:
    """A batch of samples as a DataFrame; columns without names are called x0, x1, …"""
    pandas = need("pandas", "writing tables")
    if isinstance(batch, pandas.DataFrame):
        return batch
    if isinstance(batch, pandas.Series):
        return batch.to_frame(batch.name if batch.name is not None else "x0")
    array = array_of(batch).reshape(len(batch), -1)
    return pandas.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def rows_at_once(columns: int) -> int:
    """How many rows of a table are read at a time."""
    return max(1, BLOCK // (8 * max(1, columns)))


def copied_table(
    store: Store, columns: Sequence[str] | None, parts: Iterable[Any], words: Sequence[str] | None = None
) -> Table:
    """These columns of a table, given a few rows at a time, through its copy; `words` are further ones for missing values."""
    facts: dict[str, Any] = {"columns": [], "dtypes": []}

    def chunks() -> Iterator[np.ndarray]:
        for part in parts:
            table = Table.of(select(part, columns))
            dtypes = facts["dtypes"] or table.dtypes
            facts["columns"] = list(table.columns)
            facts["dtypes"] = [a if a == b else "float64" for a, b in zip(dtypes, table.dtypes)]
            yield table.values.astype(np.float64, copy=False)

    options = {"columns": columns and list(columns), "missing_words": words and list(words), "reading": _READING}
    values, known = store.copy(options, chunks(), facts)
    return Table(values, tuple(known["columns"]), tuple(known["dtypes"]))
