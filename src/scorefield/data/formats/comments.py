"""Lines of a table in text that begin with #: which of them are comments, and which are rows."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..columns.number_marks import MARKS, is_number

__all__ = ["COMMENTS", "Comments", "WithoutComments", "fields_of"]

COMMENTS = ("#", "%", "//")
"""What begins comments above a table; within it only the first one does."""

_OPEN = 1000  # lines that one field in quotes may have


def fields_of(line: str, separator: str) -> list[str]:
    """The fields of one line, or of the lines of one row."""
    line = re.sub(r"\s+", " ", line.strip()) if separator == " " else line
    try:
        return next(csv.reader(io.StringIO(line, newline=""), delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


@dataclass(frozen=True)
class Comments:
    """Which lines that begin with # are comments: those that have another number of fields than the rows.

    Arguments:
        separator: What stands between fields.
        width: The number of fields of a row.
        numbers: Whether the one column of a table holds numbers, next to which words after # are comments.

    Example:
        >>> [Comments(",", 2).holds(line) for line in ("#ff00aa,1.5", "# until May", "#N/A,", "7,# pieces")]
        [False, True, False, False]
    """

    separator: str
    width: int
    numbers: bool = False

    @classmethod
    def of(cls, lines: Sequence[str], separator: str) -> Comments:
        """The comments of a table, by its first lines."""
        plain = [line for line in lines if line.strip() and not line.startswith("#")]
        rows = [fields_of(line, separator) for line in (plain if len(plain) > 1 else lines) if line.strip()]
        width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 1
        below = [row[0].strip() for row in rows[1:] if row]
        return cls(separator, width, all(is_number(f) or f in MARKS for f in below) and bool(below))

    def holds(self, line: str) -> bool:
        """Whether a line, or the lines of a row, are a comment."""
        if not line.startswith("#"):
            return False
        fields = fields_of(line, self.separator)
        if self.separator == " " and fields[0] == "#":
            return True
        if self.width == 1:
            return self.numbers and line.strip() not in MARKS
        return len(fields) != self.width

    def parted(self, lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
        """The lines of each row, and whether they are a comment; a line within quotes begins none."""
        coming = iter(lines)
        waiting: list[str] = []
        while line := (waiting.pop(0) if waiting else next(coming, "")):
            whole, more = line, list[str]()
            while self._is_open(whole) and len(more) < _OPEN:
                if not (after := waiting.pop(0) if waiting else next(coming, "")):
                    break
                more.append(after)
                whole += after
            if more and line.startswith("#") and (self._is_open(whole) or self.holds(whole)):
                waiting = [*more, *waiting]  # a lonely quote in a comment
                yield line, self.holds(line)
            else:
                yield whole, self.holds(whole)

    def _is_open(self, text: str) -> bool:
        """Whether a field in quotes goes on in the next line."""
        if '"' not in text:
            return False
        try:
            lines = io.StringIO(text, newline="")
            for _ in csv.reader(lines, delimiter=self.separator, skipinitialspace=True, strict=True):
                pass
        except csv.Error as error:
            return "unexpected end of data" in str(error)
        return False


class WithoutComments:
    """A file of text as pandas reads it, without its comments."""

    def __init__(self, file: Iterable[str], comments: Comments) -> None:
        self._rows = (text for text, comment in comments.parted(file) if not comment)
        self._rest = ""

    def __iter__(self) -> Iterator[str]:
        return self._rows

    def read(self, size: int = -1) -> str:
        """So many characters, fewer at the end."""
        parts, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            if not (row := next(self._rows, "")):
                break
            parts.append(row)
            length += len(row)
        text = "".join(parts)
        cut = len(text) if size < 0 else size
        self._rest = text[cut:]
        return text[:cut]
