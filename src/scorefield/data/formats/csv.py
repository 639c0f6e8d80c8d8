"""Tables as text: .csv and .tsv, also compressed. No column is lost or shifted without a word."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..batches import table_of
from ..cache import Store
from ..errors import DataError, one_line
from ..optional import need
from ..schema import Schema
from ..tables import cannot_be_table, chosen_columns, copied_table, rows_at_once
from .base import Format, Selection

__all__ = ["Csv"]


class Csv(Format):
    """A table as text, with commas, semicolons or tabs between its columns.

    A first line of numbers is data, not names. A first column without a name is left out if it numbers the rows, as
    pandas and R write it; empty columns at the end, made by trailing commas, are left out too. Other columns that have
    no name are refused.
    """

    name, suffixes, options = "CSV", (".csv", ".tsv", ".csv.gz", ".tsv.gz"), ("columns",)

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        pandas = need("pandas", "reading csv")
        try:
            text = _Text.of(path)
            if store.holds(path.stat().st_size):
                frame = text.checked(pandas.read_csv(path, **text.options), selection)
                return chosen_columns(frame, selection.columns)
            parts = rows_at_once(len(text.columns))
            return copied_table(store, selection.columns, lambda: text.parts(pandas, parts, selection))
        except pandas.errors.EmptyDataError:
            raise DataError(f"{path} holds no rows") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not text in UTF-8 ({one_line(error)}): save it as UTF-8") from None
        except pandas.errors.ParserError as error:
            raise DataError(f"{path} is not a table ({one_line(error)}): repair that line") from None

    def cannot_hold(self, schema: Schema) -> str | None:
        if any(isinstance(name, tuple) for name in schema.columns or ()):
            return "holds one line of names, and these columns have names of several levels"
        return cannot_be_table(schema)

    def loses(self, schema: Schema) -> str | None:
        return "the names of the axes, their coordinates and the units" if schema.kind == "dataarray" else None

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        separator = "\t" if ".tsv" in path.name.lower()[-7:] else ","
        packed = path.name.lower().endswith(".gz")
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if packed else raw as file:
            for i, batch in enumerate(batches):
                frame = table_of(batch)
                if i == 0:
                    file.write(_header(list(frame.columns), separator).encode())
                file.write(frame.to_csv(index=False, header=False, sep=separator, lineterminator="\n").encode())


@dataclass(frozen=True)
class _Text:
    """What the first lines of a file say about its columns.

    Arguments:
        path: The file.
        separator: What stands between the columns.
        columns: The fields of the first line.
        named: Whether these are the names of the columns.
        skipped: The lines up to the first row of data.
        width: The number of fields in the first row of data.
    """

    path: Path
    separator: str
    columns: tuple[str, ...]
    named: bool
    skipped: int
    width: int

    @classmethod
    def of(cls, path: Path) -> _Text:
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            lines = _Lines(file)
            line = next((line for line in lines if line.strip("\r\n")), "")
            separator = max(",;\t", key=line.count)
            blank = lines.count - 1
            lines.pushed = line
            reader = csv.reader(lines, delimiter=separator)
            columns = next(reader, []) or [""]
            quoted = line.lstrip().startswith('"')
            row = next((row for row in reader if len(row) > 1 or "".join(row).strip()), [])
            named = not _is_data(columns) or (quoted and not lines.last.lstrip().startswith('"'))
        return cls(path, separator, tuple(columns), named, blank + 1, len(row))

    @property
    def surplus(self) -> int:
        """How many fields a row has beyond the names."""
        return max(0, self.width - len(self.columns)) if self.named else 0

    @property
    def first_unnamed(self) -> bool:
        """Whether the first column has no name."""
        return self.named and self.columns[0] == "" and len(self.columns) > 1

    @property
    def options(self) -> dict[str, Any]:
        """How pandas reads it. Surplus fields get names, for pandas would take the first ones as an index."""
        found: dict[str, Any] = {"sep": self.separator, "header": "infer" if self.named else None}
        if self.first_unnamed:
            found["index_col"] = 0
        if self.surplus:
            found |= {"header": None, "skiprows": self.skipped, "names": self._names()}
        return found

    def _names(self) -> list[str]:
        return [*self.columns, *(f"\0surplus {i}" for i in range(self.surplus))]

    def parts(self, pandas: Any, rows: int, selection: Selection) -> Iterator[Any]:
        """The table, a few rows at a time."""
        for frame in pandas.read_csv(self.path, chunksize=rows, **self.options):
            yield self.checked(frame, selection)

    def checked(self, frame: Any, selection: Selection) -> Any:
        """The table without its row numbers and empty surplus columns.

        Raises:
            DataError: If one of these holds something else, or there are no rows.
        """
        if not len(frame):
            raise DataError(f"{self.path} holds no rows, only the names of columns")
        if self.surplus:
            extra = self._names()[-self.surplus :]
            if not frame[extra].isna().all(axis=None):
                raise DataError(
                    f"{self.path} names {len(self.columns)} columns, but its rows have {self.width}: "
                    "name every column in the first line"
                )
            frame = frame.drop(columns=extra)
        if not self.first_unnamed and type(frame.index).__name__ != "RangeIndex":
            raise DataError(f"{self.path} has rows with more fields than names: name every column in the first line")
        if not self.named:
            empty = self.columns[-1] == "" and len(self.columns) > 1 and frame.iloc[:, -1].isna().all()
            return frame.iloc[:, :-1] if empty else frame
        if self.first_unnamed and selection.columns is None and not _numbers_rows(frame.index):
            raise DataError(
                f"the first column of {self.path} has no name, and is not a number for each row: "
                "name it in the first line, or choose others (columns=…)"
            )
        last = f"Unnamed: {len(self.columns) - 1}"
        if self.columns[-1] == "" and last in frame.columns:
            if not frame[last].isna().all():
                raise DataError(f"column {len(self.columns)} of {self.path} has no name: name it in the first line")
            frame = frame.drop(columns=last)
        return frame


class _Lines:
    """The lines of a file, counted; the one in `pushed` comes again."""

    def __init__(self, file: Iterable[str]) -> None:
        self.file, self.count, self.last, self.pushed = iter(file), 0, "", ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.pushed:
            self.last, self.pushed = self.pushed, ""
        else:
            self.last = next(self.file)
            self.count += 1
        return self.last


class _Quoted(csv.excel):
    quoting = csv.QUOTE_ALL


def _is_data(fields: list[str]) -> bool:
    """Whether the first line is a row of numbers; missing ones may follow the first."""
    return _is_number(fields[0]) and all(f == "" or _is_number(f) for f in fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers_rows(index: Any) -> bool:
    return bool(index.dtype.kind in "iu" and index.is_unique)


def _header(names: list[Any], separator: str) -> str:
    """The first line; none for columns that are only numbered, and quotes where names would be taken for numbers."""
    if names == list(range(len(names))):
        return ""
    text = io.StringIO()
    taken_for_data = _is_data([str(n) for n in names])
    dialect = _Quoted if taken_for_data else csv.excel
    csv.writer(text, dialect, delimiter=separator, lineterminator="\n").writerow(names)
    return text.getvalue()
