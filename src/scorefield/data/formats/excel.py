"""Tables in workbooks of Excel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from ...warned import warn_outside
from ..cache import Store
from ..errors import DataError
from ..frames import select
from ..optional import need
from ..schema import Schema
from .base import Selection
from .footers import say_footer
from .headers import Header, is_word
from .tables import TableFormat, table_of

__all__ = ["Excel"]

_MOST = 1_048_575  # rows that a sheet holds below the names
_FIRST = 200  # rows by which names, numbers and tables are recognized


class Excel(TableFormat):
    """A table in a sheet of a workbook: the one that `key` names, else the first, or the only one that is a table.

    Its first row holds the names, or its first rows do, as below merged cells: then they are joined. A title above is left out.
    """

    name, suffixes, options = "Excel", (".xlsx",), ("key", "columns", "missing_words")
    position = 4

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        pandas = need("pandas", "reading Excel")
        need("openpyxl", "reading Excel", "excel")
        words = ["?", *(selection.missing_words or ())]
        with pandas.ExcelFile(path, engine="openpyxl") as book:
            sheet = _sheet(book.book, path, selection.key)
            rows = _first_rows(book.book[sheet])
            header = Header.of([row for _, row in rows]).checked(path, words)
            above = header.titles + header.rows
            skipped = rows[above - 1][0] + 1 if rows else 0
            frame = pandas.read_excel(book, sheet_name=sheet, header=None, skiprows=skipped, na_values=words)
        if not len(frame):
            raise DataError(f"the sheet {sheet!r} of {path} holds no rows below the names of its columns")
        head = [None if name == "" else name for name in header.names]
        names = [*head, *[None] * (frame.shape[1] - len(head))][: frame.shape[1]]
        kept = [i for i, name in enumerate(names) if name is not None or frame.iloc[:, i].notna().any()]
        frame = frame.iloc[:, kept].dropna(how="all").reset_index(drop=True)
        frame.columns = pandas.Index(_names([names[i] for i in kept], path))
        if header.titles:
            what = "row is" if header.titles == 1 else f"{header.titles:,} rows are"
            warn_outside(f"the first {what} not part of the table in {path}: text above it")
        if header.rows > 1:
            header.say(path)
        say_footer(frame, path)
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


def _first_rows(sheet: Any) -> list[tuple[int, tuple[Any, ...]]]:
    """The first rows of a sheet that hold something, with their places."""
    filled = ((i, row) for i, row in enumerate(sheet.iter_rows(values_only=True)) if any(map(_holds, row)))
    return list(islice(filled, _FIRST))


def _holds(cell: Any) -> bool:
    return cell is not None and cell != ""


def _sheet(book: Any, path: Path, key: str | None) -> str:
    """The name of the sheet that is read; which others there are is said."""
    names = [sheet.title for sheet in book.worksheets]
    if key is not None:
        if key not in names:
            raise DataError(f"{path} has no sheet {key!r}: it has {', '.join(map(repr, names))}")
        return key
    if len(names) == 1:
        return str(names[0])
    found = {name: [row for _, row in _first_rows(book[name])] for name in names}
    tables = [name for name in names if _is_table(found[name])]
    chosen, choose = names[0], "choose with --key SHEET, key='SHEET' in Python"
    if chosen not in tables and len(tables) > 1:
        listed = ", ".join(map(repr, tables))
        raise DataError(f"the first sheet of {path}, {chosen!r}, is not a table, and {listed} are: {choose}")
    chosen = chosen if chosen in tables or not tables else tables[0]
    if others := [name for name in names if name != chosen and found[name]]:
        listed = ", ".join(map(repr, others[:5])) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        warn_outside(f"{path} has several sheets: {chosen!r} was read, and not {listed}; {choose}")
    return str(chosen)


def _is_table(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether the first rows of a sheet hold a table: two rows below the names, and not one column of text alone."""
    header = Header.of(rows)
    below = [[cell for cell in row if _holds(cell)] for row in rows[header.titles + header.rows :]]
    return len(below) > 1 and any(len(row) > 1 or not all(map(is_word, row)) for row in below)


def _names(row: list[Any], path: Path) -> list[Any]:
    """The names of the columns; those without one get one, with a warning."""
    names = [f"column_{i + 1}" if value is None else value for i, value in enumerate(row)]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has several columns named {', '.join(map(repr, twice[:5]))}: rename them")
    added = [name for name, value in zip(names, row) if value is None]
    if added:
        warn_outside(f"{path} has columns without a name: they are called {', '.join(added)}")
    return names
