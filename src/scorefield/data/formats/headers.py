"""What stands above a table: titles, and names in one row or in several, as over merged cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...warned import warn_outside
from ..columns.number_marks import MARKS, alike, is_number
from ..errors import DataError

__all__ = ["Header", "is_word"]

_ROWS = 4  # of names at most
_NUMBERS = 2  # in a column, and columns of them, that show where the names end


@dataclass(frozen=True)
class Header:
    """The rows above the data.

    Arguments:
        titles: How many rows of text come before the names.
        rows: How many rows hold names.
        names: The name of each column; empty ("" or None) where there is none.
        unclear: The column above whose numbers a word stands that may be a second name, such as a unit, and the word.

    Example:
        >>> rows = [["", "Q1", "", "Q2", ""], ["area", "units", "value", "units", "value"]]
        >>> rows += [["north", "3", "2.5", "4", "1.5"], ["south", "6", "5.5", "7", "4.5"]]
        >>> Header.of(rows).names
        ('area', 'Q1 units', 'Q1 value', 'Q2 units', 'Q2 value')
    """

    titles: int = 0
    rows: int = 1
    names: tuple[Any, ...] = ()
    unclear: tuple[str, str] | None = None

    @classmethod
    def of(cls, rows: Sequence[Sequence[Any]]) -> Header:
        """The header of a table, by its first rows: lists of text, or of numbers, dates and None; none of them is empty."""
        width = max(map(len, rows), default=0)
        table = [[*row, *[None] * (width - len(row))] for row in rows]
        titles = _titles(table)
        table = table[titles:]
        count = _named_rows(table)
        if count == 1:
            return cls(titles, 1, tuple(table[0]) if table else ())
        joined = _joined(table[:count])
        first = [_text(cell) for cell in table[0] if _text(cell)]
        spans = any(not _text(cell) and _text(below) for cell, below in zip(table[0], table[1]))
        if (spans or len({*first}) < len(first)) and _complete(joined, table[count:]):
            return cls(titles, count, joined)
        numeric = _numeric(table[count:])
        word = next((str(table[0][i]), _text(table[1][i])) for i in numeric if _text(table[1][i]))
        whole = count == 2 and all(_text(table[0][i]) and _text(table[1][i]) for i in numeric)
        return cls(titles, 1, tuple(table[0]), word if whole else None)

    def checked(self, path: Any, missing_words: Sequence[str] = ()) -> Header:
        """The header.

        Raises:
            ValueError: If it seems to have a second row, and what stands in it is not one of the words for missing values.
        """
        if self.unclear is not None and self.unclear[1] not in missing_words:
            name, word = self.unclear
            raise DataError(
                f"the first row below the names of {path} holds words above all columns of numbers, {word!r} in {name!r}, as a "
                f"second row of names or units does: join it with the names, or delete it; if {word!r} says that values are "
                f"missing, --missing-words {word!r}, missing_words={[word]} in Python"
            )
        return self

    def say(self, path: Any) -> None:
        """Warns that names of several rows were joined."""
        longest = max(map(str, self.names), key=len)
        warn_outside(f"the names of {path} are in {self.rows} rows, which were joined, as in {longest!r}")


def is_word(cell: Any) -> bool:
    """Whether a cell holds text that is not a number, nor stands for a missing value."""
    return isinstance(cell, str) and cell.strip() not in MARKS and not is_number(cell)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _titles(table: Sequence[Sequence[Any]]) -> int:
    """How many rows with one word in the first column come before a row of names, in a table of three columns or more."""
    alone = [_may_be_name(row[0]) and not any(map(_text, row[1:])) for row in table]
    count = alone.index(False) if False in alone else 0
    if not count or not is_word(table[0][0]) or len(table[0]) <= _NUMBERS:
        return 0
    names = [cell for cell in table[count] if _text(cell)]
    return count if len(names) > 1 and all(map(is_word, names)) else 0


def _named_rows(table: Sequence[Sequence[Any]]) -> int:
    """How many rows seem to hold names: those after the first with words alone above columns that hold numbers alone below."""
    for count in range(2, min(_ROWS, len(table) - _NUMBERS) + 1):
        numeric = _numeric(table[count:])
        above = [[row[i] for i in numeric] for row in table[1:count]]
        if len(numeric) >= _NUMBERS and all(any(map(is_word, row)) and all(map(_may_be_name, row)) for row in above):
            return count
    return 1


def _complete(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Whether each column that holds something has a name, and each another one."""
    used = [name for name, column in zip(names, zip(*rows)) if name or any(map(_text, column))]
    return all(used) and len({*used}) == len(used)


def _may_be_name(cell: Any) -> bool:
    return is_word(cell) or not _text(cell)


def _numeric(rows: Sequence[Sequence[Any]]) -> list[int]:
    """The places of the columns that hold numbers alone, or dates; of text, numbers with the same signs around them."""
    return [i for i, column in enumerate(zip(*rows)) if _all_numbers([cell for cell in column if _text(cell)])]


def _all_numbers(cells: Sequence[Any]) -> bool:
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip() not in MARKS]
    others = sum(not isinstance(cell, str) for cell in cells)
    if len(texts) + others < _NUMBERS:
        return False
    return all(map(is_number, texts)) or len(alike(texts)) == len(texts)


def _joined(levels: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """One name for each column from several rows: what stands above others is repeated to its right, until the next one."""
    parts: list[list[str]] = [[] for _ in levels[0]]
    begins = [False] * len(levels[0])  # where a cell of the rows above begins
    for depth, row in enumerate(levels):
        carried = ""
        for i, cell in enumerate(row):
            below = any(_text(lower[i]) for lower in levels[depth + 1 :])
            if text := _text(cell):
                carried, begins[i] = text if below else "", True
            elif begins[i] or not below:
                carried = ""
            parts[i] += [text] if (text := text or carried) else []
    return tuple(" ".join(part) for part in parts)
