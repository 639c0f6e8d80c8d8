"""Columns of numbers with the same signs around each: 12 %, $3.50, 1.234,50 €."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import DataError
from .base import Column, Transform, shown

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Affixed", "NumberFormat"]

_PARTS = re.compile(r"(\D*?)([+-]?\d[\d.,' ]*?)(\D*)", re.DOTALL)
_POINT = re.compile(r"[+-]?(\d+|\d{1,3}(?P<group>[,' ])\d{3}(?:(?P=group)\d{3})*)(\.\d+)?")
_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(?P<group>[.' ])\d{3}(?:(?P=group)\d{3})*)(,\d+)?")
_PADDED = re.compile(r"[+-]?0\d")
_SYMBOLS = "%‰°"  # and those of currencies
_UNIT, _LEVELS = 4, 10  # letters of a unit; texts of few levels with one stay categories, such as "2 doors"


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written in text.

    Arguments:
        prefix, suffix: What stands before and after each.
        digits: How many digits follow the decimal point.
        fixed: Whether there are always so many.
        point: The decimal point.
        group: What groups the digits of thousands; "" for nothing.

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

    @classmethod
    def of(cls, texts: Iterable[str]) -> NumberFormat | None:
        """The one format of different texts; None if there is none, or the numbers have no currency, % or unit."""
        texts = list(texts)
        parts = [_PARTS.fullmatch(text.strip()) for text in texts]
        if not parts or not all(parts):
            return None
        around = {(part[1], part[3]) for part in parts if part}
        numbers = [part[2] for part in parts if part]
        (prefix, suffix), *others = around
        symbols = _are_symbols(prefix) and _are_symbols(suffix)
        unit = not prefix and suffix.strip().isalpha() and len(suffix.strip()) <= _UNIT and len(texts) > _LEVELS
        if others or not (prefix + suffix).strip() or not (symbols or unit) or any(map(_PADDED.match, numbers)):
            return None
        for point, form in ((".", _POINT), (",", _COMMA)):
            found = [form.fullmatch(number) for number in numbers]
            groups = {match["group"] for match in found if match} - {None}
            if all(found) and len(groups) < 2:
                digits = {len(match[3]) - 1 if match[3] else 0 for match in found if match}
                fixed = len(digits) == 1
                return cls(prefix, suffix, max(digits), fixed, point, groups.pop() if groups else "")
        return None

    def number(self, text: str) -> float:
        """The number that a text holds; NaN if it is not of this format."""
        bare = text.strip()
        if not (bare.startswith(self.prefix) and bare.endswith(self.suffix)):
            return np.nan
        bare = bare[len(self.prefix) : len(bare) - len(self.suffix)]
        bare = bare.replace(self.group, "") if self.group else bare
        try:
            return float(bare.replace(self.point, ".").strip()) + 0.0
        except ValueError:
            return np.nan

    def text(self, number: float) -> str:
        """A number as text."""
        plain = f"{number:,.{self.digits}f}"
        if not self.fixed and self.digits:
            plain = plain.rstrip("0").rstrip(".")
        marks = {",": self.group, ".": self.point}
        return self.prefix + "".join(marks.get(c, c) for c in plain) + self.suffix


def _are_symbols(text: str) -> bool:
    return all(c.isspace() or c in _SYMBOLS or unicodedata.category(c) == "Sc" for c in text)


@dataclass(frozen=True)
class Affixed(Column):
    """A column of text whose numbers have the same signs around each, such as `$3.50`: learned as numbers, written as text.

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

    inner: Column | None = None
    form: NumberFormat = NumberFormat()

    kind: ClassVar[str] = "number"

    @property
    def numbers(self) -> Column:
        """The column of the numbers."""
        if self.inner is None:
            raise DataError(f"column {self.name!r} needs the column of its numbers: inner=Number(…)")
        return self.inner

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return self.numbers.bounds

    @property
    def limits(self) -> tuple[float | None, float | None]:
        return self.numbers.limits

    @property
    def sides(self) -> tuple[float | None, float | None]:
        return self.numbers.sides

    @property
    def transform(self) -> Transform:
        return self.numbers.transform

    def unreflected(self) -> Column:
        return replace(self, inner=self.numbers.unreflected())

    def unclipped(self) -> Column:
        return replace(self, inner=self.numbers.unclipped())

    def widened(self, numbers: np.ndarray) -> Column:
        inner = self.numbers.widened(numbers)
        return replace(self, inner=inner, missing=inner.missing)

    @property
    def range(self) -> tuple[float, float] | None:
        return self.numbers.range

    @property
    def takes(self) -> str:
        """Its numbers, in words."""
        return f"{self.numbers.takes}, written as {self.form.text(1.0)!r}"

    def impossible(self, numbers: np.ndarray) -> np.ndarray:
        return self.numbers.impossible(numbers)

    def excluded(self, numbers: np.ndarray) -> np.ndarray:
        return self.numbers.excluded(numbers)

    def encode(self, values: Series[Any]) -> np.ndarray:
        return self.numbers.encode(self._bare(values))

    def read(self, values: Series[Any]) -> np.ndarray:
        return self.numbers.read(self._bare(values))

    def _bare(self, values: Series[Any]) -> Series[Any]:
        """The numbers of text, or numbers without signs as they are."""
        import pandas
        from pandas.api import types

        if types.is_numeric_dtype(values.dtype):
            return values
        plain = [self.form.number(v) if isinstance(v, str) else np.nan for v in values]
        wrong = np.isnan(plain) & values.notna().to_numpy(bool)
        wrong &= np.array([not isinstance(v, int | float) for v in values], bool)
        if wrong.any():
            row = int(wrong.argmax())
            need = f"numbers such as {self.form.text(1.0)!r}"
            raise DataError(f"column {self.name!r} holds {need}, got {shown(values, row)}: correct it")
        bare = [v if isinstance(v, int | float) else number for v, number in zip(values, plain)]
        return pandas.Series(bare, dtype=np.float64, name=self.name)

    def decode(self, numbers: np.ndarray) -> Series[Any]:
        import pandas

        plain = self.numbers.decode(numbers)
        texts = [None if pandas.isna(v) else self.form.text(float(v)) for v in plain]
        return pandas.Series(texts, dtype=self.dtype, name=self.name)
