"""Tables in workbooks of Excel."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..cache import Store
from ..errors import DataError
from ..frames import select
from ..optional import need
from ..schema import Schema
from .base import Selection
from .tables import TableFormat, table_of

__all__ = ["Excel"]

_MOST = 1_048_575  # rows that a sheet holds below the names


class Excel(TableFormat):
    """A table in a sheet of a workbook, the first one unless `key` names another; its first row holds the names."""

    name, suffixes, options = "Excel", (".xlsx",), ("key", "columns", "missing_words")
    position = 4

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        pandas = need("pandas", "reading Excel")
        need("openpyxl", "reading Excel", "excel")
        with pandas.ExcelFile(path, engine="openpyxl") as book:
            if selection.key is not None and selection.key not in book.sheet_names:
                raise DataError(
                    f"{path} has no sheet {selection.key!r}: it has {', '.join(map(repr, book.sheet_names))}"
                )
            sheet = selection.key or book.sheet_names[0]
            rows = enumerate(book.book[sheet].iter_rows(values_only=True))
            at, head = next(((i, row) for i, row in rows if any(v is not None for v in row)), (0, ()))
            words = ["?", *(selection.missing_words or ())]
            frame = book.parse(sheet, header=None, skiprows=at + 1, na_values=words)
        if not len(frame):
            raise DataError(f"{path} holds no rows below the names of its columns")
        names = [*head, *[None] * (frame.shape[1] - len(head))][: frame.shape[1]]
        kept = [i for i, name in enumerate(names) if name is not None or frame.iloc[:, i].notna().any()]
        frame = frame.iloc[:, kept].dropna(how="all").reset_index(drop=True)
        frame.columns = pandas.Index(_names([names[i] for i in kept], path))
        return select(frame, selection.columns)

    def cannot_hold(self, schema: Schema) -> str | None:
        if find_spec("openpyxl") is None:
            return 'needs openpyxl (pip install "scorefield[excel]")'
        if any(isinstance(name, tuple) for name in schema.columns or ()):
            return "holds one row of names, and these columns have names of several levels"
        if any("datetime64" in dtype and "," in dtype for dtype in schema.column_dtypes or ()):
            return "holds dates without a time zone, and these have one"
        return super().cannot_hold(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        openpyxl = need("openpyxl", "writing Excel", "excel")
        if count > _MOST:
            raise DataError(f"a sheet of Excel holds {_MOST:,} rows, got {count:,}: write .csv or .parquet")
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("samples")
        for i, batch in enumerate(batches):
            frame = table_of(batch)
            if i == 0:
                sheet.append([name if isinstance(name, int | str) else str(name) for name in frame.columns])
            plain = frame.astype(object).where(frame.notna(), None)
            for row in plain.itertuples(index=False, name=None):
                sheet.append([value.item() if hasattr(value, "item") else value for value in row])
        book.save(path)


def _names(row: list[Any], path: Path) -> list[Any]:
    """The names of the columns; those without one get one, with a warning."""
    names = [f"column_{i + 1}" if value is None else value for i, value in enumerate(row)]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has several columns named {', '.join(map(repr, twice[:5]))}: rename them")
    added = [name for name, value in zip(names, row) if value is None]
    if added:
        warnings.warn(f"{path} has columns without a name: they are called {', '.join(added)}", stacklevel=3)
    return names
