"""Columns of numbers in text, with the same signs around each: 12 %, $3.50, 1.234,50 €, (123.45), 12 345,50."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...calls import plain_value
from ..errors import DataError
from .base import shown
from .number_marks import FORMS, NumberParts, alike, are_signs, are_symbols, is_missing, parts_of, possible_marks
from .scientific import in_scientific_notation, scientific_form
from .written import Written

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Affixed", "NumberFormat"]

_EXACT = 15  # digits of whole numbers that floating-point numbers hold
_PADDED = re.compile("0[0-9]")
_LEVELS = 10  # texts of few levels stay categories, such as "2 doors" and "1,2", unless a currency or % is with them


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written in text.

    Arguments:
        prefix, suffix: What stands before and after each.
        digits: How many digits follow the decimal point.
        fixed: Whether there are always so many.
        point: The decimal point.
        group: What groups the digits of thousands; "" for nothing.
        negative: What stands before and after negative numbers, sign and all, "(" and ")" say; None where a minus follows
            the prefix.
        least: How many digits follow at least, where not always `digits` do.
        scientific: The form of numbers in scientific notation, as `0.00e+00`; "" for others.

    Example:
        >>> price = NumberFormat.of(["$1,250.00", "$3.50"])
        >>> price.number("$1,250.00"), price.text(12345.678)
        (1250.0, '$12,345.68')
    """

    prefix: str = ""
    suffix: str = ""
    digits: int = 0
    fixed: bool = True
    point: str = "."
    group: str = ""
    negative: tuple[str, str] | None = None
    least: int = 0
    scientific: str = ""

    @classmethod
    def plain(cls, texts: Iterable[str]) -> NumberFormat:
        """The format of texts that `float` reads: one in which these are written alike, as far as there is one.

        Example:
            >>> [NumberFormat.plain(x).text(2.5) for x in (["70.50", "1.25"], ["70.5", "1"], ["1e3", "5e-1"], ["1e3", "0.125"])]
            ['2.50', '2.5', '2e0', '2.5']
        """
        texts = [text.strip() for text in texts]
        if (form := scientific_form(texts)) is not None:
            return cls(scientific=form)
        parts = [text.partition(".") for text in texts]
        if all(part[2].isdigit() or not part[2] for part in parts):
            digits = {len(part[2]) for part in parts}
            fixed = len(digits) == 1
            return cls(digits=max(digits), fixed=fixed, least=0 if fixed else min(digits))
        return cls(
            digits=max(len(f"{float(text):.{_EXACT}f}".rstrip("0").partition(".")[2]) for text in texts), fixed=False
        )

    @classmethod
    def of(cls, texts: Iterable[str], decimal_mark: str | None = None, few: bool = False) -> NumberFormat | None:
        """The one format of different texts; None if there is none.

        Arguments:
            texts: The texts.
            decimal_mark: The decimal mark of the table they come from, which decides where they could have either; None
                where it is not known.
            few: Whether up to ten texts without a currency or % are numbers, too, and not categories.
        """
        parts = list[NumberParts]()
        for text in texts:
            if (part := parts_of(text)) is None or part.around != (parts or [part])[0].around:
                return None
            if not parts and not are_signs(part.around):
                return None
            parts.append(part)
        negative = {part.negative for part in parts} - {None}
        if not parts or len(negative) > 1:
            return None
        (prefix, suffix), numbers = parts[0].around, [part.number for part in parts]
        clear = (prefix + suffix).strip() and are_symbols(prefix) and are_symbols(suffix)
        if not (clear or few or len(parts) > _LEVELS) or any(map(_PADDED.match, numbers)):
            return None
        possible = possible_marks(numbers)
        for point in sorted(possible, key=lambda mark: mark != decimal_mark):
            found = [match for match in map(FORMS[point].fullmatch, numbers) if match]
            groups = {match["group"] for match in found} - {None}
            if len(groups) < 2 and max(sum(c.isdigit() for c in match["whole"]) for match in found) <= _EXACT:
                digits = {len(match["digits"] or "") for match in found}
                fixed, group = len(digits) == 1, groups.pop() if groups else ""
                signs = next(iter(negative), None)
                signs = None if signs == (prefix + "-", suffix) else signs
                return cls(prefix, suffix, max(digits), fixed, point, group, signs, 0 if fixed else min(digits))
        return None

    @classmethod
    def of_most(cls, texts: Iterable[str], decimal_mark: str | None = None) -> NumberFormat | None:
        """The format of more than half of different texts, be they few; None if there is none."""
        texts = list(texts)
        parts = [(text, part.number) for text, part in alike(texts) if not _PADDED.match(part.number)]
        usual = sorted(FORMS, key=lambda mark: mark != decimal_mark)
        fitting = {mark: [text for text, number in parts if FORMS[mark].fullmatch(number)] for mark in usual}
        for some in sorted(fitting.values(), key=len, reverse=True):
            if 2 * len(some) > len(texts) and (found := cls.of(some, decimal_mark, few=True)) is not None:
                return found
        return None

    def number(self, text: str) -> float:
        """The number that a text holds; NaN if it is not of this format."""
        bare, sign = text.strip(), 1.0
        before, after = self.negative or (self.prefix, self.suffix)
        if self.negative and bare.startswith(before) and bare.endswith(after):
            bare, sign = bare[len(before) : len(bare) - len(after)], -1.0
        elif bare.startswith(self.prefix) and bare.endswith(self.suffix):
            bare = bare[len(self.prefix) : len(bare) - len(self.suffix)]
        else:
            return np.nan
        bare = bare.strip().replace("−", "-")
        if "_" in bare:  # which Python takes for a mark of groups
            return np.nan
        match = FORMS[self.point].fullmatch(bare.lstrip("+-"))
        if match is None and self.point != ".":
            return np.nan
        group = (match["group"] if match else None) or self.group
        bare = bare.replace(group, "") if group else bare
        try:
            return sign * float(bare.replace(self.point, ".")) + 0.0
        except ValueError:
            return np.nan

    def text(self, number: float) -> str:
        """A number as text."""
        if self.scientific:
            return in_scientific_notation(number, self.scientific)
        plain = f"{abs(number):,.{self.digits}f}"
        if not self.fixed and self.digits > self.least:
            kept = len(plain) - self.digits + self.least
            plain = (plain[:kept] + plain[kept:].rstrip("0")).rstrip(".")
        marks = {",": self.group, ".": self.point}
        below = number < 0 and any(c in "123456789" for c in plain)
        before, after = (self.negative or (self.prefix + "-", self.suffix)) if below else (self.prefix, self.suffix)
        return before + "".join(marks.get(c, c) for c in plain) + after


@dataclass(frozen=True)
class Affixed(Written):
    """A column of text whose numbers are of one format, such as `$3.50` or `12 345,50`: learned as numbers, written as text.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
        inner: The column of the numbers.
        form: How they are written.

    Example:
        >>> import pandas
        >>> from scorefield.data.columns import Number
        >>> column = Affixed("share", "object", inner=Number("share", "float64", decimals=0), form=NumberFormat(suffix="%"))
        >>> column.encode(pandas.Series(["12%", "7%"])), column.decode(np.array([3.2])).tolist()
        (array([12.,  7.]), ['3%'])
    """

    form: NumberFormat = NumberFormat()

    kind: ClassVar[str] = "number"

    @property
    def example(self) -> str:
        return self.form.text(1.0)

    def text(self, number: float) -> str:
        return self.form.text(number)

    def meant(self, value: Any) -> Any:
        """A number that is typed without the signs of the column, as the column writes it or as everywhere; else the value."""
        if not isinstance(value, str) or not np.isnan(self.form.number(value)):
            return value
        written = replace(self.form, prefix="", suffix="", negative=None).number(value)
        plain = plain_value(value.strip()) if np.isnan(written) else written
        return value if isinstance(plain, str) or is_missing(value) else plain

    def bare(self, values: Series[Any]) -> Series[Any]:
        """The numbers of text, or numbers without signs as they are."""
        import pandas
        from pandas.api import types

        if types.is_numeric_dtype(values.dtype):
            return values
        plain = [self.form.number(v) if isinstance(v, str) else np.nan for v in values]
        wrong = np.isnan(plain) & values.notna().to_numpy(bool)
        wrong &= np.array([not isinstance(v, int | float) for v in values], bool)
        wrong &= np.array([not is_missing(v) for v in values], bool)
        if wrong.any():
            row = int(wrong.argmax())
            need = f"numbers such as {self.example!r}"
            raise DataError(f"column {self.name!r} holds {need}, got {shown(values, row)}: correct it")
        bare = [v if isinstance(v, int | float) else number for v, number in zip(values, plain)]
        return pandas.Series(bare, dtype=np.float64, name=self.name)
