"""How numbers are written in text: decimal marks, groups of digits, signs; and the words for missing values."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = [
    "FORMS",
    "MARKS",
    "NumberParts",
    "alike",
    "are_signs",
    "are_symbols",
    "decimal_marks",
    "is_missing",
    "is_number",
]
__all__ += ["parts_of", "possible_marks"]

_WORDS = ("", "?", "-", "--", ".", "*", "NA", "N/A", "n/a", "na", "NaN", "nan", "null", "NULL", "None", "none")
_ERRORS = ("#N/A", "#NV", "#DIV/0!", "#REF!", "#VALUE!", "#WERT!")  # of Excel
MARKS = (*_WORDS, "n.a.", "k.A.", "k. A.", "missing", "<NA>", *_ERRORS)
"""What stands for a missing value among numbers or dates in text."""

_MISSING = frozenset(MARKS)

_SYMBOLS = "%‰°"  # and those of currencies
_UNIT = 4  # letters of a unit
_FIRST = 200  # texts of a column that show whether it holds numbers
_MARK = re.compile("[.,]")
_GROUPS = "'’ \u00a0\u202f\u2009"  # apostrophes and blanks, some of which do not break lines
_PARTS = re.compile(rf"(\D*?)([.,]?[0-9][0-9.,{_GROUPS}]*?)(\D*)", re.DOTALL)


def _form(mark: str, other: str) -> re.Pattern[str]:
    grouped = rf"[1-9]\d{{0,2}}(?P<group>[{other}{_GROUPS}])\d{{3}}(?:(?P=group)\d{{3}})*"
    return re.compile(rf"(?=.)(?P<whole>{grouped}|\d*)(?:{re.escape(mark)}(?P<digits>\d+))?")


FORMS = {".": _form(".", ","), ",": _form(",", ".")}
"""What numbers without signs look like, by their decimal mark."""


class NumberParts(NamedTuple):
    """A text around one number.

    Arguments:
        around: What stands before and after it, without its sign.
        number: The number without its sign.
        negative: What stands before and after it with its sign, if that is a minus or parentheses; else None.
    """

    around: tuple[str, str]
    number: str
    negative: tuple[str, str] | None


def parts_of(text: str) -> NumberParts | None:
    """The parts of a text around one number; None if it does not hold one.

    Example:
        >>> parts_of("($1,250.00)")
        NumberParts(around=('$', ''), number='1,250.00', negative=('($', ')'))
    """
    found = _PARTS.fullmatch(text.strip())
    if found is None:
        return None
    before, number, after = found.groups()
    for minus in "-−":
        if (before + after).count(minus) == 1:
            return NumberParts((before.replace(minus, ""), after.replace(minus, "")), number, (before, after))
    if before.count("(") == 1 == after.count(")"):
        return NumberParts((before.replace("(", ""), after.replace(")", "")), number, (before, after))
    return NumberParts((before.replace("+", "", 1), after), number, None)


def possible_marks(numbers: Iterable[str]) -> str:
    """The decimal marks that all numbers may have: "." or ",", both or none of these.

    Example:
        >>> possible_marks(["748", "1.052"]), possible_marks(["748", "1.052", "0.5"]), possible_marks(["1.052,5"])
        ('.,', '.', ',')
    """
    numbers = list(numbers)
    return "".join(mark for mark, form in FORMS.items() if all(map(form.fullmatch, numbers)))


def decimal_marks(columns: Iterable[Iterable[str]]) -> tuple[set[str], set[str]]:
    """The decimal marks of the columns that can have one alone: of a table one, none or both.

    Arguments:
        columns: The different texts of each column; those that hold few numbers say nothing.

    Returns:
        The marks of columns of numbers, and those of columns that hold other things, too, such as `<0.5`, which decide where
        the former do not.

    Example:
        >>> decimal_marks([["748", "1.052"], ["1,40 €", "0,36 €"], ["<0.5", "1.1", "2.4"]]), decimal_marks([["748", "1.052"]])
        (({','}, {'.'}), (set(), set()))
    """
    whole, others = set[str](), set[str]()
    for texts in columns:
        present = [text for text in texts if not is_missing(text)]
        numbers = [part.number for _, part in alike(present)]
        marks = possible_marks(numbers)
        if len(marks) == 1 and any(map(_MARK.search, numbers)):
            (whole if len(numbers) == len(present) else others).add(marks)
    return whole, others


def alike(texts: Sequence[str]) -> list[tuple[str, NumberParts]]:
    """The numbers among different texts that have the same signs around them as the most; none if these are below half."""
    for some in (texts[:_FIRST], texts):  # as free text may be long
        parts = [(text, part) for text in some if (part := parts_of(text)) is not None]
        most = Counter(part.around for _, part in parts).most_common(1)
        if not most or 2 * most[0][1] < len(some) or not are_signs(most[0][0]):
            return []
    return [(text, part) for text, part in parts if part.around == most[0][0]]


def are_signs(around: tuple[str, str]) -> bool:
    """Whether what stands around numbers may be a currency, a per cent sign or a unit, not a part of a code."""
    before, after = around
    return are_symbols(before) and (are_symbols(after) or (not before and after.strip().isalpha() and _short(after)))


def are_symbols(text: str) -> bool:
    """Whether a text consists of blanks, % and the like, and signs of currencies."""
    return all(c.isspace() or c in _SYMBOLS or unicodedata.category(c) == "Sc" for c in text)


def _short(unit: str) -> bool:
    return len(unit.strip()) <= _UNIT


def is_missing(value: Any) -> bool:
    """Whether a value among numbers or dates in text is a word for a missing one."""
    return isinstance(value, str) and value.strip() in _MISSING


def is_number(text: str) -> bool:
    """Whether a field is a number, with a decimal point or a decimal comma."""
    try:
        float(text.strip().replace(",", ".", 1))
    except ValueError:
        return False
    return True
