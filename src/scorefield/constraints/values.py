"""What constraints compare and calculate with: columns, and what is written in a constraint, as numbers, dates or texts."""

from __future__ import annotations

import ast
import datetime
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import ClockFormat, Column
from ..data.columns.date import plain_times

__all__ = ["Numbers", "Words", "calculated", "is_missing", "of_column", "read_as", "same_clock"]

Array = NDArray[Any]

_DAY = 86_400e6  # microseconds


@dataclass(frozen=True)
class Numbers:
    """Numbers with their rounding errors; dates in microseconds, differences of times in days.

    Arguments:
        value: The numbers, NaN where one is missing.
        error: Their rounding errors.
        date: Whether these are dates.
        zone: The time zone of dates, which are then in UTC; None without one.
        column: What the column was taken for that they come from; None where that is not known.
    """

    value: Array
    error: Array
    date: bool = False
    zone: Any = None
    column: Column | None = None

    @classmethod
    def of(cls, value: Array, eps: float = 2.0**-52, **facts: Any) -> Numbers:
        """Numbers that are rounded to a relative error; whole ones are exact."""
        with np.errstate(all="ignore"):
            return cls(value, np.where(value == np.round(value), 0.0, eps * np.abs(value)), **facts)


@dataclass(frozen=True)
class Words:
    """Texts, or other values that are equal or not; None where they are missing."""

    value: Array


def is_missing(value: object) -> bool:
    """Whether a value of a column of objects is missing: None, NaN, NaT, NA."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def of_column(values: Any, text: str, column: Column | None = None) -> Numbers | Words:
    """A column as numbers, dates or texts.

    Arguments:
        values: The values, a Series or an array.
        text: The constraint, for messages.
        column: What the column was taken for.
    """
    zone = getattr(values.dtype, "tz", None) or getattr(getattr(values.dtype, "pyarrow_dtype", None), "tz", None)
    if zone is not None:
        return Numbers.of(_microseconds(plain_times(values)), date=True, zone=zone, column=column)
    values = np.asarray(values)
    kind = values.dtype.kind
    if kind in "fiub":
        eps = float(np.finfo(values.dtype).eps) if kind == "f" else 0.0
        return Numbers.of(values.astype(float), eps, column=column)
    if kind == "M":
        return Numbers.of(_microseconds(values), date=True, column=column)
    if kind == "m":
        return Numbers.of(np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "D")), column=column)
    missing = np.array([is_missing(v) for v in values], bool)
    known = values[~missing]
    if (form := ClockFormat.of(known)) is not None and form.objects:
        days = np.array([form.number(v) for v in known]) / 86400
        return Numbers.of(_of_known(missing, days), column=column)
    if len(known) and all(hasattr(v, "isoformat") for v in known):
        return replace(_of_dates(known, missing, text), column=column)
    if len(known) and all(isinstance(v, int | float | np.number | np.bool_) for v in known):
        return Numbers.of(_of_known(missing, known.astype(float)), column=column)
    words = values.astype(object)
    words[missing] = None
    return Words(words)


def _of_dates(known: Array, missing: Array, text: str) -> Numbers:
    """Dates and times of Python's."""
    zoned = {getattr(v, "tzinfo", None) is not None for v in known}
    if len(zoned) > 1:
        raise ValueError(_of_two_clocks(text))
    plain = [v.astimezone(datetime.UTC).replace(tzinfo=None) for v in known] if zoned == {True} else known
    found = _microseconds(np.array([np.datetime64(v, "us") for v in plain]))
    return Numbers.of(_of_known(missing, found), date=True, zone=datetime.UTC if zoned == {True} else None)


def _of_known(missing: Array, known: Array) -> Array:
    found = np.full(len(missing), np.nan)
    found[~missing] = known
    return found


def _microseconds(dates: Array) -> Array:
    """Dates as float64 microseconds, which hold them exactly; NaN where one is missing."""
    whole = dates.astype("datetime64[us]")
    return np.where(np.isnat(whole), np.nan, whole.astype(np.int64).astype(float))


def _of_two_clocks(text: str) -> str:
    return f"the constraint {text!r} compares times that have a time zone with times that have none: give both one, or none"


def same_clock(a: Numbers, b: Numbers, text: str) -> None:
    """Raises if dates with a time zone meet dates without one."""
    if a.date and b.date and (a.zone is None) != (b.zone is None):
        raise ValueError(_of_two_clocks(text))


def read_as(words: Words, like: Numbers, text: str) -> Numbers | Words:
    """Texts as what they are compared with: dates in the ISO format, or written as in the column.

    A date without an offset is one of the time zone of the column.

    Arguments:
        words: What is written in the constraint, `()`, or a column of texts.
        like: The other side.
        text: The constraint, for messages.

    Raises:
        ValueError: If they cannot be read.
    """
    if not like.date and (words.value.ndim or like.column is None):
        return words
    try:
        if words.value.ndim:
            return Numbers.of(_microseconds(words.value.astype("datetime64[us]")), date=True)
        word = str(words.value)
        found = _in_iso(word, like.zone) if like.date else None
        found = found or _as_in_column(word, like, text)
    except ValueError:
        found = None
    if found is None and like.date:
        raise ValueError(f"the constraint {text!r} compares dates with {words.value}: write 2024-01-31")
    if found is None and like.column is not None:
        what = f"the constraint {text!r} compares {like.column.name!r} with the text {words.value}"
        raise ValueError(f"{what}: the column takes {like.column.takes}")
    return found or words


def _in_iso(word: str, zone: Any) -> Numbers | None:
    """A date in the ISO format; None if it is in another one."""
    try:
        found = datetime.datetime.fromisoformat(word)
    except ValueError:
        if not word[:4].isdigit():
            return None
        return Numbers.of(_microseconds(np.array(word, "datetime64[us]")), date=True)
    if found.tzinfo is None and zone is None:
        return Numbers.of(_microseconds(np.array(found, "datetime64[us]")), date=True)
    if found.tzinfo is None:
        import pandas

        found = pandas.Timestamp(found).tz_localize(zone, ambiguous=True, nonexistent="shift_forward").to_pydatetime()
    naive = found.astimezone(datetime.UTC).replace(tzinfo=None)
    return Numbers.of(_microseconds(np.array(naive, "datetime64[us]")), date=True, zone=zone or datetime.UTC)


def _as_in_column(word: str, like: Numbers, text: str) -> Numbers | None:
    """A value that is written as in the column that it is compared with; None if it is not."""
    import pandas

    if like.column is None:
        return None
    series = pandas.Series([word], name=like.column.name)
    found = of_column(like.column.comparable(series), text)
    if not isinstance(found, Numbers) or found.date != like.date or np.isnan(found.value).any():
        return None
    if like.date and not isinstance(like.column.decode(like.column.encode(series)).iloc[0], str):
        return None  # of dates that are not text, the order of day and month is not known
    return replace(found, value=found.value[0], error=found.error[0])


def calculated(op: ast.operator, a: Numbers, b: Numbers, text: str) -> Numbers:
    """A sum, difference, product or quotient, with its rounding error; days are added to dates."""
    if (
        (a.date or b.date)
        and not (isinstance(op, ast.Sub) and a.date)
        and not (isinstance(op, ast.Add) and a.date != b.date)
    ):
        raise ValueError(
            f"the constraint {text!r} calculates with dates: a date may have days added or a date subtracted"
        )
    same_clock(a, b, text)
    dates = [x for x in (a, b) if x.date]
    with np.errstate(all="ignore"):
        if len(dates) == 2:
            return Numbers.of((a.value - b.value) / _DAY)
        if dates:
            a, b = (x if x.date else Numbers(x.value * _DAY, x.error * _DAY) for x in (a, b))
        if isinstance(op, ast.Add | ast.Sub):
            value, error = a.value + b.value if isinstance(op, ast.Add) else a.value - b.value, a.error + b.error
        elif isinstance(op, ast.Mult):
            value, error = a.value * b.value, np.abs(a.value) * b.error + np.abs(b.value) * a.error
        else:
            value = a.value / b.value
            error = (a.error + np.abs(value) * b.error) / np.abs(b.value)
    rounded = Numbers.of(value)
    facts = {"date": True, "zone": dates[0].zone, "column": dates[0].column} if dates else {}
    return Numbers(value, error + rounded.error, **facts)
