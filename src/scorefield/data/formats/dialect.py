"""How a table is written as text: encoding, separator, decimal point, names of columns; read from its first lines."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from ..errors import DataError
from ..optional import need

__all__ = ["Dialect", "is_data", "is_number", "opened"]

_LINES = 200  # from which a dialect is read
_SEPARATORS = (",", ";", "\t", "|", " ")
_COMMENTS = ("#", "%", "//")
_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.I)
_GROUPED = {".": re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?"), ",": re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
MISSING = ("", "?", "-", "--", ".", "NA", "N/A", "n/a", "na", "NaN", "nan", "null", "NULL")


@dataclass(frozen=True)
class Dialect:
    """How a table is written as text.

    Arguments:
        encoding: The encoding of the text.
        separator: What stands between fields; a blank for any number of blanks.
        decimal: The decimal point.
        thousands: What groups the digits of large numbers; None for nothing.
        comment: What begins lines that are not read; None if none are seen.
        head: The fields of the first line.
        named: Whether these are names.
        skipped: The lines up to the first row of data.
        rows: The fields of the first rows of data.
        preamble: How many lines of text come before the table.
    """

    encoding: str
    separator: str
    decimal: str
    thousands: str | None
    comment: str | None
    head: tuple[str, ...]
    named: bool
    skipped: int
    rows: tuple[tuple[str, ...], ...]
    preamble: int = 0

    @classmethod
    def of(cls, path: Path, encoding: str | None = None) -> Dialect:
        """The dialect of a file.

        Raises:
            UnicodeDecodeError: If the first lines are not in this encoding.
        """
        encoding = encoding or _marked(path)
        with opened(path, encoding) as file:
            lines = _physical_lines(file)
        if any(_CONTROL.search(line) for line in lines):
            raise DataError(f"{path} holds control characters: it is damaged, or not a table")
        start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith(_COMMENTS)), len(lines))
        separator = _separator(lines[start:])
        preamble = _preamble(lines[start:], separator)
        start += preamble
        fields, used = _fields(lines[start:], separator)
        first, rows = (fields[0], fields[1:]) if fields else (("",), ())
        quoted = _first_alone_quoted(lines[start : start + used], lines[start + used :])
        named, skipped = quoted or not is_data(first, rows), start + used
        if not named:
            rows, skipped = (first, *rows), start
            if (names := _in_comment(lines[:start], separator, len(first))) is not None:  # as numpy.savetxt writes them
                first, named = names, True
        later = [line for line in lines[start + used :] if line.startswith("#")]
        decimal, thousands = _numbers(rows, separator)
        return cls(
            encoding, separator, decimal, thousands, "#" if later else None, first, named, skipped, rows, preamble
        )

    @property
    def width(self) -> int:
        """The number of fields that most rows have."""
        return Counter(map(len, self.rows)).most_common(1)[0][0] if self.rows else len(self.head)

    @property
    def options(self) -> dict[str, Any]:
        """How pandas reads the rows."""
        blanks = {"sep": r"\s+"} if self.separator == " " else {"sep": self.separator, "skipinitialspace": True}
        more = {"decimal": self.decimal, "thousands": self.thousands, "comment": self.comment}
        if int(need("pandas", "reading csv").__version__.split(".")[0]) < 3:
            more["float_precision"] = (
                "round_trip"  # as later versions read: what was written comes back to the last digit
            )
        return {**blanks, **more, "header": None, "na_values": ["?"]}


def opened(path: Path, encoding: str) -> IO[str]:
    """A file of text, which may be packed."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return open(path, encoding=encoding, newline="")


def _marked(path: Path) -> str:
    """The encoding that the first bytes of a file name; UTF-8 without any."""
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
        start = file.read(4)
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _physical_lines(file: IO[str]) -> list[str]:
    found = []
    for line in file:
        found.append(line)
        if len(found) == _LINES:
            break
    return found


def _fields(lines: Sequence[str], separator: str) -> tuple[tuple[tuple[str, ...], ...], int]:
    """The fields of each row, without empty rows, and how many lines the first one has."""
    if separator == " ":
        lines = [re.sub(r"\s+", " ", line.strip()) for line in lines]
    reader = csv.reader(iter(lines), delimiter=separator, skipinitialspace=True)
    found: list[tuple[str, ...]] = []
    used = 0
    try:
        for row in reader:
            filled = len(row) > 1 or "".join(row).strip() != ""
            if filled and not (found and row[0].startswith("#")):
                found.append(tuple(row))
                used = used or reader.line_num
    except csv.Error as error:
        raise DataError(f"the text is not a table ({error}): repair it") from None
    return tuple(found), used


def _separator(lines: Sequence[str]) -> str:
    """What splits the most lines into the same number of fields, two at least."""
    best, most = ",", 0.0
    for separator in _SEPARATORS:
        fields, _ = _fields(lines, separator)
        widths = Counter(map(len, fields))
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        if width < 2:
            continue
        if separator == " " and (most or not _some_numbers(fields, width)):
            continue
        if count / len(fields) > most:
            best, most = separator, count / len(fields)
    return best


def _preamble(lines: Sequence[str], separator: str) -> int:
    """How many lines come before a table of three columns or more: lines of text without any separator."""
    widths = [len(fields[0]) if (fields := _fields([line], separator)[0]) else 0 for line in lines]
    width = Counter(w for w in widths if w).most_common(1)[0][0] if any(widths) else 0
    start = next((i for i, w in enumerate(widths) if w > 1), 0)
    return start if separator != " " and width > 2 and widths[start] >= width else 0


def _some_numbers(fields: Sequence[Sequence[str]], width: int) -> bool:
    """Whether some column holds numbers alone, and nearly all lines have as many fields."""
    rows = [row for row in fields[1:] if len(row) == width]
    same = len(rows) + (len(fields[0]) == width) >= 0.9 * len(fields)
    return same and any(all(is_number(row[i]) for row in rows) for i in range(width)) and len(rows) > 0


def _numbers(rows: Sequence[Sequence[str]], separator: str) -> tuple[str, str | None]:
    """The decimal point, and what groups digits, from columns that hold such numbers alone."""
    decimal, thousands = ".", None
    for column in zip(*(row for row in rows if len(row) == len(rows[0])), strict=True):
        present = [field.strip() for field in column if field.strip() not in MISSING]
        commas = [f for f in present if "," in f]
        if not commas and not any(_GROUPED["."].fullmatch(f) and f.count(".") > 1 for f in present):
            continue
        if separator != "," and all(_COMMA.fullmatch(f) or _GROUPED["."].fullmatch(f) or is_number(f) for f in present):
            decimal = ","
            thousands = "." if any(_GROUPED["."].fullmatch(f) for f in present) else thousands
        elif separator == "," and all(_GROUPED[","].fullmatch(f) or is_number(f) for f in present):
            thousands = ","
    return decimal, thousands


def _first_alone_quoted(first: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether the first line is quoted, and the next one is not: then it holds names, be they numbers."""
    after = next((line for line in rest if line.strip()), '"')
    return bool(first) and "".join(first).lstrip().startswith('"') and not after.lstrip().startswith('"')


def _in_comment(lines: Sequence[str], separator: str, width: int) -> tuple[str, ...] | None:
    """The names that the last line of a comment holds, if it has one for each column."""
    texts = [line.lstrip("#%/ ") for line in lines if line.startswith(_COMMENTS)]
    fields = _fields(texts[-1:], separator)[0]
    names = tuple(name.strip() for name in fields[0]) if fields else ()
    return names if len(names) == width and not any(map(is_number, names)) else None


def is_data(first: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> bool:
    """Whether the first line is a row like the others, not names.

    Example:
        >>> is_data(["1.5", ""]), is_data(["39", "State-gov"], [["50", "Private"]]), is_data(["name", "300"], [["1", "2"]])
        (True, True, False)
    """
    if all(is_number(f) or f.strip() in MISSING for f in first) and any(map(is_number, first)):
        return True
    columns = list(zip(*(row for row in rows if len(row) == len(first))))
    numbers = [float(f) for f in first if f.strip().isdigit()]
    if len(numbers) > 2 and len({b - a for a, b in pairwise(numbers)}) == 1 and numbers[0] != numbers[1]:
        return False  # years, or other counters, next to text
    numeric = [
        is_number(field)
        for field, column in zip(first, columns)
        if field.strip() not in MISSING and all(is_number(f) or f.strip() in MISSING for f in column)
    ]
    return bool(numeric) and all(numeric)


def is_number(text: str) -> bool:
    """Whether a field is a number, with a decimal point or a decimal comma."""
    try:
        float(text.strip().replace(",", ".", 1))
    except ValueError:
        return False
    return True
