"""Columns of times of day and of durations, as text or as objects of Python: 10:15, 9:05:30 PM, 31:07:00, 1 days 02:03:04."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..errors import DataError
from .base import shown
from .number import Number, missing_share
from .number_marks import is_missing
from .written import Written

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["ClockFormat", "ClockTime"]

_DAY = 86400
_PERIODS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
_FIELDS = r"(?P<first>\d{1,6}):(?P<second>[0-5]\d)(?::(?P<third>[0-5]\d))?(?:(?P<point>[.,])(?P<digits>\d{1,9}))?"
_TEXT = re.compile(
    rf"(?:(?P<days>-?\d{{1,7}}) days? \+?)?(?P<fields>{_FIELDS})(?:(?P<gap> ?)(?P<half>[ap]\.?m\.?))?", re.I
)

_Objects = Literal["time", "timedelta"]


@dataclass(frozen=True)
class ClockFormat:
    """How times of day and durations are written; their numbers are seconds.

    Arguments:
        width: The least number of digits of the first field.
        seconds: Whether there are seconds.
        minutes: Whether the first field counts minutes, not hours.
        days: Whether days stand before the hours, as pandas writes differences of times.
        digits: How many digits follow the seconds at most.
        fixed: Whether there are always so many; else none follow whole seconds.
        stripped: Whether zeros at their end are left out.
        point: The decimal mark.
        halves: What stands behind times before and after noon; None for 24 hours.
        objects: The type of objects of Python, "time" or "timedelta"; None for text.

    Example:
        >>> form = ClockFormat.of(["9:05 am", "12:30 pm"])
        >>> form.number("12:30 pm"), form.text(65700)
        (45000.0, '6:15 pm')
    """

    width: int = 2
    seconds: bool = True
    minutes: bool = False
    days: bool = False
    digits: int = 0
    fixed: bool = True
    stripped: bool = False
    point: str = "."
    halves: tuple[str, str] | None = None
    objects: _Objects | None = None

    @classmethod
    def of(cls, texts: Iterable[Any]) -> ClockFormat | None:
        """The one format of different texts, or of objects of Python; None if there is none."""
        values = list(texts)
        if values and all(isinstance(v, datetime.time) and v.tzinfo is None for v in values):
            return cls(digits=6 if any(v.microsecond for v in values) else 0, objects="time")
        if values and all(isinstance(v, datetime.timedelta) for v in values):
            return cls(digits=6, objects="timedelta")
        parts = list[re.Match[str]]()
        for value in values:
            match = _TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
            if match is None:
                return None
            parts.append(match)
        return cls._of_parts(parts) if parts else None

    @classmethod
    def _of_parts(cls, parts: list[re.Match[str]]) -> ClockFormat | None:
        """The one format of texts whose parts are known."""
        shapes = {(m["days"] is None, m["third"] is None, m["half"] is None, m["gap"]) for m in parts}
        width, hours = min(len(m["first"]) for m in parts), [int(m["first"]) for m in parts]
        padded = any(m["first"].startswith("0") and len(m["first"]) > width for m in parts)
        lengths, marks = {len(m["digits"] or "") for m in parts}, {m["point"] for m in parts} - {None}
        if len(shapes) > 1 or len(marks) > 1 or padded:
            return None
        days, short, halves = parts[0]["days"] is not None, parts[0]["third"] is None, _halves(parts)
        if days and (short or max(hours) > 23):
            return None
        minutes = short and (
            max(lengths) > 0 or any(3600 * h + 60 * int(m["second"]) > _DAY for h, m in zip(hours, parts))
        )
        if parts[0]["half"] is not None and (halves is None or minutes or not all(1 <= h <= 12 for h in hours)):
            return None
        facts: dict[str, Any] = {"fixed": len(lengths) == 1, "stripped": len(lengths - {0}) > 1, "halves": halves}
        return cls(
            width, not short or minutes, minutes, days, max(lengths), point=marks.pop() if marks else ".", **facts
        )

    @property
    def unit(self) -> float:
        """The smallest difference that can be written, in seconds."""
        return 10.0**-self.digits if self.seconds else 60.0

    def number(self, value: Any) -> float:
        """The seconds of a text, with or without seconds, or of an object of Python; NaN if it is neither."""
        if isinstance(value, datetime.time):
            return 3600 * value.hour + 60 * value.minute + value.second + value.microsecond / 1e6
        if isinstance(value, datetime.timedelta):
            return value.total_seconds()
        match = _TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            return np.nan
        first, second, third = int(match["first"]), int(match["second"]), match["third"]
        half = (match["half"] or "").lower()
        if half and not 1 <= first <= 12:
            return np.nan
        first = first % 12 + 12 * half.startswith("p") if half else first
        short = third is None and (self.minutes or match["digits"] is not None)
        whole = 60 * first + second if short else 3600 * first + 60 * second + int(third or 0)
        whole += _DAY * int(match["days"] or 0)
        return float(whole + Fraction(f"0.{match['digits'] or 0}"))

    def text(self, number: float) -> Any:
        """Seconds as they are written: text, or an object of Python."""
        scale = 10**self.digits
        ticks = round(number * scale) if self.seconds else 60 * round(number / 60)
        if self.objects == "timedelta":
            return datetime.timedelta(microseconds=ticks)
        whole, part = divmod(ticks, scale) if self.seconds else (ticks, 0)
        if self.objects == "time":
            minutes, second = divmod(int(whole), 60)
            return datetime.time(minutes // 60, minutes % 60, second, int(part) * (10**6 // scale))
        days, rest = divmod(whole, _DAY) if self.days else (0, whole)
        before = f"{days} days {'+' * (days < 0)}" if self.days else ""
        minutes, second = divmod(rest, 60)
        if self.minutes:
            return f"{before}{minutes:0{self.width}}:{second:02}{self._digits(part)}"
        hours, minute = divmod(minutes, 60)
        after = f":{second:02}{self._digits(part)}" if self.seconds else ""
        if self.halves is not None:
            hours, after = hours % 12 or 12, after + self.halves[hours % 24 >= 12]
        return f"{before}{hours:0{self.width}}:{minute:02}{after}"

    def _digits(self, part: int) -> str:
        if not self.digits or (not part and not self.fixed):
            return ""
        text = f"{part:0{self.digits}}"
        return self.point + (text.rstrip("0") if self.stripped else text)


def _halves(parts: list[re.Match[str]]) -> tuple[str, str] | None:
    """The ends of times before and after noon, of which one alone may occur; None if they are not of one form."""
    found = {m["half"] for m in parts} - {None}
    ends = {half.lower()[0]: half for half in found}
    if not found or len(ends) < len(found):
        return None
    one = next(iter(ends.values()))
    other = one.translate(str.maketrans("apAP", "paPA"))
    if len(ends) == 2 and ends[other.lower()[0]] != other:
        return None
    gap = parts[0]["gap"]
    first, second = sorted((one, other), key=str.lower)
    return gap + first, gap + second


@dataclass(frozen=True)
class ClockTime(Written):
    """A column of times of day, or of durations as text: learned as seconds, written as they were.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
        inner: The column of the seconds.
        form: How they are written.

    Example:
        >>> import pandas
        >>> column = ClockTime.of(pandas.Series(["09:05", "10:15", None]), "start")
        >>> column.encode(pandas.Series(["10:15", None])), column.decode(np.array([3725.0])).tolist()
        (array([36900.,    nan]), ['01:02'])
    """

    form: ClockFormat = ClockFormat()

    kind: ClassVar[str] = "date"

    @classmethod
    def of(cls, values: Series[Any], name: Any, **wishes: Any) -> ClockTime | None:
        """The column of such values, with its reason; None if they are not of one format.

        Arguments:
            values: Text or objects of Python, missing ones among them.
            name: Its name.
            wishes: The bounds in seconds and the transform, where the user gives them.
        """
        import pandas

        present = [v for v in values.dropna().drop_duplicates() if not is_missing(v)]
        form = ClockFormat.of(present)
        if form is None:
            return None
        seconds = _seconds(values, form)
        least, most = np.nanmin(seconds), np.nanmax(seconds)
        signed = form.objects == "timedelta" or form.days
        day = not signed and not form.minutes and most <= _DAY
        inner = Number.of(pandas.Series(seconds), name, "float64", **wishes)
        if not signed and "bounds" not in wishes:
            inner = replace(inner, bounds=_of_day(inner, form.unit, most) if day else (0.0, None), sign=0)
        first, last = (str(form.text(end)) for end in (least, most))
        what = "time" if day else "duration"
        words = f"{what}: {first} to {last}" + ", in minutes and seconds" * form.minutes
        words += f", {_spacing(inner.step)}" if _spacing(inner.step) else ""
        missing = int(np.isnan(seconds).sum())
        return cls(name, str(values.dtype), missing > 0, words + missing_share(missing, len(values)), inner, form)

    @property
    def example(self) -> str:
        return str(self.form.text(0.0 if self.range is None else self.range[0]))

    @property
    def takes(self) -> str:
        """Its times, in words."""
        high = self.bounds[1]
        day = high is not None and high <= _DAY
        return f"{'times of day' if day else 'durations'} such as {self.example}"

    @property
    def line(self) -> tuple[Fraction, Fraction] | None:
        return Fraction(0), Fraction(1, _DAY)

    def text(self, number: float) -> Any:
        return self.form.text(number)

    def spacing(self, step: float) -> str:
        return _spacing(step) or super().spacing(step) + " seconds"

    def comparable(self, values: Series[Any]) -> Series[Any]:
        import pandas

        seconds = self.bare(values).to_numpy()
        lost = np.isnan(seconds)
        ticks = np.rint(np.where(lost, 0.0, seconds) * 1e6).astype(np.int64)
        return pandas.Series(np.where(lost, np.iinfo(np.int64).min, ticks).view("m8[us]"))

    def bare(self, values: Series[Any]) -> Series[Any]:
        import pandas

        seconds = _seconds(values, self.form)
        wrong = np.isnan(seconds) & values.notna().to_numpy(bool)
        wrong &= np.array([not is_missing(v) for v in values], bool)
        if wrong.any():
            got = f"got {shown(values, int(wrong.argmax()))}"
            raise DataError(f"column {self.name!r} holds {self.takes}, {got}: correct it")
        return pandas.Series(seconds, name=self.name)


def _seconds(values: Series[Any], form: ClockFormat) -> np.ndarray:
    """The seconds of values, NaN for what is none."""
    import pandas

    codes, distinct = pandas.factorize(values.astype(object))
    found: np.ndarray = np.array([*map(form.number, distinct), np.nan], np.float64)[codes]
    return found


def _of_day(inner: Number, unit: float, most: float) -> tuple[float, float]:
    """The first and the last time of a day on the lattice of times; the last is 24:00 if that occurs."""
    step, first = (
        (inner.step, inner.origin % inner.step) if inner.step >= 1 == unit or inner.step >= 60 else (unit, 0.0)
    )
    return first, float(_DAY) if most == _DAY else first + step * math.floor((_DAY - unit - first) / step + 1e-6)


def _spacing(step: float) -> str:
    """A spacing of some seconds in words; empty for none, and for fractions of seconds."""
    return next((f"{_steps(step / s)} {n}" for s, n in _PERIODS if step and step % s == 0), "")


def _steps(count: float) -> str:
    return "whole" if count == 1 else f"steps of {count:g}"
