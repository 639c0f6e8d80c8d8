"""Tables as text: .csv and .tsv, also compressed. No column is lost or shifted without a word."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..cache import Store
from ..errors import DataError, one_line
from ..frames import select
from ..optional import need
from ..schema import Schema
from .base import Selection
from .tables import TableFormat, copied_table, rows_at_once, table_of

__all__ = ["Csv"]


class Csv(TableFormat):
    """A table as text, with commas, semicolons or tabs between its columns.

    A first line of numbers is data, not names. A first column without a name is left out if it numbers the rows, as
    pandas and R write it; empty columns at the end, made by trailing commas, are left out too. Other columns that have
    no name are refused.
    """

    name, suffixes, options = "CSV", (".csv", ".tsv", ".csv.gz", ".tsv.gz"), ("columns",)
    position = 2

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        pandas = need("pandas", "reading csv")
        try:
            head = _Head.of(path)
            if store.holds(path.stat().st_size):
                frame = head.checked(pandas.read_csv(path, **head.options), selection)
                return select(frame, selection.columns)
            with pandas.read_csv(path, chunksize=rows_at_once(len(head.columns)), **head.options) as parts:
                return copied_table(store, selection.columns, (head.checked(part, selection) for part in parts))
        except pandas.errors.EmptyDataError:
            raise DataError(f"{path} holds no rows") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not text in UTF-8 ({one_line(error)}): save it as UTF-8") from None
        except pandas.errors.ParserError as error:
            raise DataError(f"{path} is not a table ({one_line(error)}): repair that line") from None

    def cannot_hold(self, schema: Schema) -> str | None:
        if any(isinstance(name, tuple) for name in schema.columns or ()):
            return "holds one line of names, and these columns have names of several levels"
        return super().cannot_hold(schema)

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
class _Head:
    """What the first lines of a file say about its columns."""

    path: Path
    separator: str
    columns: tuple[str, ...]  # the fields of the first line
    named: bool  # whether these are names
    skipped: int  # lines up to the first row of data
    width: int  # fields of that row

    @classmethod
    def of(cls, path: Path) -> _Head:
        consumed: list[str] = []

        def remembered(lines: Iterable[str]) -> Iterator[str]:
            for line in lines:
                consumed.append(line)
                yield line

        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            blank, line = next(((i, line) for i, line in enumerate(file) if line.strip("\r\n")), (0, ""))
            separator = max(",;\t", key=line.count)
            reader = csv.reader(remembered(itertools.chain([line], file)), delimiter=separator)
            columns = next(reader, []) or [""]
            row = next((row for row in reader if len(row) > 1 or "".join(row).strip()), [])
        only_names_quoted = line.lstrip().startswith('"') and not consumed[-1].lstrip().startswith('"')
        return cls(path, separator, tuple(columns), only_names_quoted or not _is_data(columns), blank + 1, len(row))

    @property
    def extra(self) -> list[str]:
        """Names for the fields that a row has beyond the names; pandas would take the first ones as an index."""
        return [f"\0extra {i}" for i in range(self.width - len(self.columns))] if self.named else []

    @property
    def first_unnamed(self) -> bool:
        """Whether the first column has no name."""
        return self.named and self.columns[0] == "" and len(self.columns) > 1

    @property
    def options(self) -> dict[str, Any]:
        """How pandas reads the file."""
        found: dict[str, Any] = {"sep": self.separator, "index_col": 0 if self.first_unnamed else None}
        if self.extra:
            return found | {"header": None, "skiprows": self.skipped, "names": [*self.columns, *self.extra]}
        return found | {"header": "infer" if self.named else None}

    def checked(self, frame: Any, selection: Selection) -> Any:
        """The table without its row numbers and empty extra columns; an error if one of these holds something else."""
        if not len(frame):
            raise DataError(f"{self.path} holds no rows, only the names of columns")
        if self.extra:
            if not frame[self.extra].isna().all(axis=None):
                raise DataError(
                    f"{self.path} names {len(self.columns)} columns, but its rows have {self.width}: "
                    "name every column in the first line"
                )
            frame = frame.drop(columns=self.extra)
        if not self.first_unnamed and type(frame.index).__name__ != "RangeIndex":
            raise DataError(f"{self.path} has rows with more fields than names: name every column in the first line")
        if not self.named:
            empty = self.columns[-1] == "" and len(self.columns) > 1 and frame.iloc[:, -1].isna().all()
            return frame.iloc[:, :-1] if empty else frame
        counted = frame.index.dtype.kind in "iu" and frame.index.is_unique
        if self.first_unnamed and selection.columns is None and not counted:
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


def _is_data(fields: list[str]) -> bool:
    """Whether the first line is a row of numbers; missing ones may follow the first."""
    return _is_number(fields[0]) and all(f == "" or _is_number(f) for f in fields)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header(names: list[Any], separator: str) -> str:
    """The first line; none for columns that are only numbered, and quotes where names would be taken for numbers."""
    if names == list(range(len(names))):
        return ""
    text = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if _is_data([str(n) for n in names]) else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, lineterminator="\n", quoting=quoting).writerow(names)
    return text.getvalue()
