"""How a table is written as text: encoding, separator, comments, names of columns; read from its first lines."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from pathlib import Path
from typing import IO, Any

from ..columns.number_marks import MARKS, is_number
from ..errors import DataError
from ..optional import need
from .comments import COMMENTS, Comments, WithoutComments, fields_of
from .headers import Header

__all__ = ["Dialect", "is_data", "opened"]

_LINES = 200  # from which a dialect is read
_ABOVE = 10_000  # lines of comments above a table at most
_SEPARATORS = (",", ";", "\t", "|", " ")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_CHUNK = 1 << 20  # characters that are searched at a time


@dataclass(frozen=True)
class Dialect:
    """How a table is written as text.

    Arguments:
        encoding: The encoding of the text.
        separator: What stands between fields; a blank for any number of blanks.
        comments: Which lines are comments; None if no line of the table begins with #.
        left_out: How many lines are comments, and the first of them.
        head: The fields of the first line; the names, where several rows hold them.
        named: Whether these are names.
        skipped: The lines up to the first row of data.
        rows: The fields of the first rows of data.
        preamble: How many rows of text come before the table.
        header: Which of the first rows hold names.
        missing_words: Further words for missing values.
    """

    encoding: str
    separator: str
    comments: Comments | None
    left_out: tuple[int, str]
    head: tuple[str, ...]
    named: bool
    skipped: int
    rows: tuple[tuple[str, ...], ...]
    preamble: int = 0
    header: Header = field(default_factory=Header)
    missing_words: tuple[str, ...] = ()

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
        marked = _holds(path, encoding, "\n#", "\r#")
        start = _begin(lines)
        separator = _separator([line for line in lines[start:] if not line.startswith("#")] or lines[start:])
        preamble = _preamble(lines[start:], separator)
        start += preamble
        comments = Comments.of(lines[start:], separator)
        start = _begin_of_rows(lines, start, comments) if start and not preamble else start
        kept, places = _without(lines[start:], comments)
        fields, ends = _fields(kept, separator)
        ends = [start + places[end - 1] + 1 for end in ends]
        header = Header.of(fields)
        count = header.titles + header.rows
        first, rows = (fields[0], fields[1:]) if fields else (("",), ())
        quoted = bool(ends) and _first_alone_quoted(lines[start + places[0] : ends[0]], lines[ends[0] :])
        named, skipped, given = quoted or count > 1 or not is_data(first, rows), (ends or [start])[0], 0
        if not named:
            rows, skipped = (first, *rows), start
            if (names := _in_comment(lines[:start], separator, len(first))) is not None:  # as numpy.savetxt writes them
                first, named, given = names, True, 1
        elif count > 1:
            first, rows, skipped, preamble = header.names, fields[count:], ends[count - 1], preamble + header.titles
        elif first[0].startswith("#") and len(first) > 1:
            first = (first[0].lstrip("# ") or first[0], *first[1:])
        left_out = _counted(path, encoding, lines, start, comments if marked else None, given)
        return cls(
            encoding, separator, comments if marked else None, left_out, first, named, skipped, rows, preamble, header
        )

    @property
    def width(self) -> int:
        """The number of fields that most rows have."""
        return Counter(map(len, self.rows)).most_common(1)[0][0] if self.rows else len(self.head)

    @property
    def options(self) -> dict[str, Any]:
        """How pandas reads the rows."""
        blanks = {"sep": r"\s+"} if self.separator == " " else {"sep": self.separator, "skipinitialspace": True}
        precise = int(need("pandas", "reading tables").__version__.split(".")[0]) >= 3
        more = {} if precise else {"float_precision": "round_trip"}  # to the last digit, as by newer ones
        return {**blanks, **more, "header": None, "na_values": ["?", *self.missing_words]}

    def may_hold_zeros(self, path: Path) -> bool:
        """Whether a field of the file may begin with a zero and another digit."""
        before = (re.escape(self.separator), "\n", "\r", '"')
        return _holds(path, self.encoding, *(f"{each}0[0-9]" for each in before))

    def rows_of(self, file: IO[str]) -> Any:
        """What pandas reads of a file, from its first row of data on."""
        for _ in range(self.skipped):
            file.readline()
        return file if self.comments is None else WithoutComments(file, self.comments)


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
    found, above = list[str](), 0
    for line in file:
        found.append(line)
        above += len(found) == above + 1 and line.startswith(COMMENTS)
        if len(found) - above == _LINES or above == _ABOVE:
            break
    return found


def _holds(path: Path, encoding: str, *patterns: str) -> bool:
    """Whether a file holds any of these patterns of two or three characters."""
    searches = [re.compile(pattern).search for pattern in patterns]
    with opened(path, encoding) as file:
        last = ""
        while text := file.read(_CHUNK):
            text = last + text
            if any(search(text) for search in searches):
                return True
            last = text[-2:]
    return False


def _begin(lines: Sequence[str]) -> int:
    """The first line that is not a comment; if all begin with #, the first of the last ones in which no blank follows."""
    full = [i for i, line in enumerate(lines) if line.strip()]
    found = next((i for i in full if not lines[i].startswith(COMMENTS)), len(lines))
    if found < len(lines):
        return found
    rows = list(takewhile(lambda i: lines[i].startswith("#") and lines[i][1:2].strip(" \t#!"), reversed(full)))
    return rows[-1] if len(rows) > 1 else found


def _begin_of_rows(lines: Sequence[str], start: int, comments: Comments) -> int:
    """Where rows begin, of which the first ones may begin with #, as colours do: where numbers stand in the columns of numbers.

    In a table of words the last of the lines that begin with # holds names, if it has one for each column.
    """
    body, _ = _without(lines[start:], comments)
    rows = [row for row in _fields(body, comments.separator)[0] if len(row) == comments.width]
    columns = list(zip(*rows[1:]))
    numeric = [i for i, column in enumerate(columns) if _all_numbers(column)]
    above = [i for i in range(start) if lines[i].startswith("#") and not comments.holds(lines[i])]
    if comments.width < 2 or not rows:
        return start
    if not numeric:
        names = columns and above[-1:] == [start - 1] and lines[start - 1][1:2].strip(" #!")
        return start - 1 if names else start
    fields = {i: fields_of(lines[i], comments.separator) for i in above}
    if not all(_all_numbers([rows[0][i]]) for i in numeric):
        return start
    return next((i for i in above if all(_all_numbers([fields[i][k]]) for k in numeric)), start)


def _all_numbers(fields: Sequence[str]) -> bool:
    return all(is_number(f) or f.strip() in MARKS for f in fields) and any(map(is_number, fields))


def _without(lines: Sequence[str], comments: Comments) -> tuple[list[str], list[int]]:
    """The lines without comments and without empty ones before the first, and the place of each."""
    count, kept, places = 0, list[str](), list[int]()
    for text, comment in comments.parted(lines):
        parts = list(io.StringIO(text, newline=""))
        if not comment and (kept or text.strip()):
            kept += parts
            places += range(count, count + len(parts))
        count += len(parts)
    return kept, places


def _counted(
    path: Path, encoding: str, lines: Sequence[str], start: int, comments: Comments | None, given: int
) -> tuple[int, str]:
    """How many lines are comments, and the first of them; without the last one above the table if that gives its names."""
    found = [line.strip() for line in lines[:start] if line.startswith(COMMENTS)]
    count, first = len(found) - given, next(iter(found[: len(found) - given]), "")
    if comments is not None:
        with opened(path, encoding) as file:
            for _ in range(start):
                file.readline()
            for text in (text for text, comment in comments.parted(file) if comment):
                count, first = count + 1, first or text.strip()
    return count, first


def _fields(lines: Sequence[str], separator: str) -> tuple[tuple[tuple[str, ...], ...], list[int]]:
    """The fields of each row, without empty rows, and how many lines there are up to the end of each."""
    if separator == " ":
        lines = [re.sub(r"\s+", " ", line.strip()) for line in lines]
    reader = csv.reader(iter(lines), delimiter=separator, skipinitialspace=True)
    found: list[tuple[str, ...]] = []
    ends: list[int] = []
    try:
        for row in reader:
            filled = len(row) > 1 or "".join(row).strip() != ""
            if filled:
                found.append(tuple(row))
                ends.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"the text is not a table ({error}): repair it") from None
    return tuple(found), ends


def _separator(lines: Sequence[str]) -> str:
    """What splits the most lines into the same number of fields, two at least, and of several the most into numbers."""
    best, most = ",", (0.0, 0.0)
    for separator in _SEPARATORS:
        fields, _ = _fields(lines, separator)
        widths = Counter(map(len, fields))
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        if width < 2:
            continue
        if separator == " " and (most[0] or not _some_numbers(fields, width)):
            continue
        cells = [field for row in fields for field in row]
        if (share := (count / len(fields), sum(map(is_number, cells)) / len(cells))) > most:
            best, most = separator, share
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


def _first_alone_quoted(first: Sequence[str], rest: Sequence[str]) -> bool:
    """Whether the first line is quoted, and the next one is not: then it holds names, be they numbers."""
    after = next((line for line in rest if line.strip()), '"')
    return bool(first) and "".join(first).lstrip().startswith('"') and not after.lstrip().startswith('"')


def _in_comment(lines: Sequence[str], separator: str, width: int) -> tuple[str, ...] | None:
    """The names that the last line of a comment holds, if it has one for each column."""
    texts = [line.lstrip("#%/ ") for line in lines if line.startswith(COMMENTS)]
    fields = _fields(texts[-1:], separator)[0]
    names = tuple(name.strip() for name in fields[0]) if fields else ()
    return names if len(names) == width and not any(map(is_number, names)) else None


def is_data(first: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> bool:
    """Whether the first line is a row like the others, not names.

    Example:
        >>> is_data(["1.5", ""]), is_data(["39", "State-gov"], [["50", "Private"]]), is_data(["name", "300"], [["1", "2"]])
        (True, True, False)
    """
    if all(is_number(f) or f.strip() in MARKS for f in first) and any(map(is_number, first)):
        return True
    columns = list(zip(*(row for row in rows if len(row) == len(first))))
    numbers = [float(f) for f in first if f.strip().isdigit()]
    if len(numbers) > 2 and len({b - a for a, b in pairwise(numbers)}) == 1 and numbers[0] != numbers[1]:
        return False  # years, or other counters, next to text
    numeric = [
        is_number(field)
        for field, column in zip(first, columns)
        if field.strip() not in MARKS and all(is_number(f) or f.strip() in MARKS for f in column)
    ]
    return bool(numeric) and all(numeric)
