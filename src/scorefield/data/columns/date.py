"""Columns of dates, times and differences of times."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...display import joined
from ..errors import DataError
from .base import Column, shown
from .number import missing_share
from .number_marks import is_missing
from .text import parsed_dates, without_zeros
from .zones import clock_line, instants, jumps, offsets, shown_times

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Date", "plain_times"]

_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_PERIODS = ((604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)$")  # from UTC, at the end of a format
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_BARE = {
    "%-d": "day",
    "%-m": "month",
    "%-H": "hour",
    "%-M": "minute",
    "%-S": "second",
}  # numbers without zeros in front
_HOURS = 2  # of a day, at least, that are worth a note if no time is within them
_WEEKS = 2  # at least, of which hours and weekdays are looked at
_OFTEN = 1e-3  # of a day, the smallest part that dates are taken to fill
_UNLIKELY = math.log(1e-6)  # the logarithm of a probability
_ENOUGH = 30  # other dates, at least, next to one that stands for something else
_SHARED, _SHARE = 10, 0.002  # rows, and their part of all, at least that share such a date
_CERTAIN = 12  # distinct dates from which a common period is not chance


@dataclass(frozen=True)
class Date(Column):
    """A column of dates or of differences of times; encoded are the periods, days say, since the first one.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
        unit: The smallest difference that the type of the data holds: "s", "ms", "us" or "ns".
        origin: The first date, in this unit since 1970, or the smallest difference.
        period: The spacing of the dates, in this unit.
        text: The format of dates in text, in the words of strftime, `%-d` for a day without a zero in front; None for other
            types.
        zone: The time zone; None without one.
        difference: Whether these are differences of times.
        days: Whether these are dates of Python's, without a time.
        last: The last date, in periods since the first one; None where that is not known.
        bounds: What differences cannot lie below and above, in periods since the smallest one; None for no bound.
        by_clock: Whether origin and periods are by the clock of the zone, as of days that begin at midnight in summer and in
            winter; else they are in UTC.

    Example:
        >>> import pandas
        >>> column = Date("day", "object", unit="s", period=86400, text="%Y-%m-%d")
        >>> column.encode(pandas.Series(["1970-01-03", None])), column.decode(np.array([1.2])).tolist()
        (array([ 2., nan]), ['1970-01-02'])
    """

    unit: str = "ns"
    origin: int = 0
    period: int = 1
    text: str | None = None
    zone: str | None = None
    difference: bool = False
    days: bool = False
    last: int | None = None
    bounds: tuple[float | None, float | None] = (None, None)
    by_clock: bool = False

    kind: ClassVar[str] = "date"

    @property
    def readable(self) -> bool:
        """False: encoded numbers are periods since the first date."""
        return False

    @classmethod
    def of(
        cls,
        values: Series[Any],
        name: Any,
        text: str | None = None,
        bounds: tuple[float | None, float | None] = (None, None),
    ) -> Date:
        """The column of such values, with its reason.

        Arguments:
            values: Dates, differences of times, or text of the format `text`.
            name: Its name.
            text: The format, in the words of strftime.
            bounds: What differences of times cannot lie below and above, in seconds; None for no bound. Dates have none.

        Raises:
            ValueError: If no value is one, or a difference lies outside of the bounds.
        """
        facts: dict[str, Any] = {"text": text, "days": text is None and values.dtype == object}
        if text is None and values.dtype != object:
            numpy_type = getattr(values.dtype, "numpy_dtype", values.dtype)
            zone = getattr(values.dtype, "tz", None)
            facts |= {
                "difference": getattr(numpy_type, "kind", "M") == "m",
                "zone": None if zone is None else str(zone),
            }
        times = plain_times(values, text)
        unit = str(np.datetime_data(times.dtype)[0])
        ticks = times[~np.isnat(times)].astype(np.int64)
        if not len(ticks):
            got = shown(values, int(values.notna().to_numpy().argmax()))
            raise DataError(f"column {name!r} holds no dates, got {got}: choose another kind")
        if text is not None:
            facts["text"] = without_zeros(values.dropna().unique(), text)
        if text is not None or facts["days"]:
            unit, ticks = _coarsest(unit, ticks)
        ticks.sort()
        lost = len(times) - len(ticks)
        period = _period(ticks, _SECONDS[unit])
        shown_ticks = ticks
        if facts.get("zone") is not None:
            shown_ticks = _ticks(shown_times(ticks.view(f"M8[{unit}]"), facts["zone"]), unit)
            longer = _period(np.sort(shown_ticks), _SECONDS[unit])
            again = instants(shown_ticks.view(f"M8[{unit}]"), facts["zone"]) if longer > period else ticks[:0]
            if np.array_equal(_ticks(again, unit), ticks):
                facts["by_clock"], period, ticks = True, longer, shown_ticks
        facts |= {"unit": unit, "origin": int(ticks[0]), "period": period}
        facts["last"] = int((ticks[-1] - ticks[0]) // period)
        apart = _apart(shown_ticks)
        words = _in_words(shown_ticks, apart, unit, period, facts.get("difference", False))
        column = cls(name, str(values.dtype), lost > 0, words + missing_share(lost, len(times)), **facts)
        left_out = column._left_out((np.unique(ticks[~np.isin(shown_ticks, apart)]) - column.origin) / period)
        column = replace(column, reason=column.reason + left_out)
        return column._within(bounds) if column.difference and bounds != (None, None) else column

    def in_utc(self) -> Date:
        """The same column with an origin and periods in UTC: durations between dates are then those that pass."""
        if self.zone is None or not self.by_clock:
            return self
        second, (first, last) = _SECONDS[self.unit], self._ends
        ends = self.origin, self.origin + (self.last or 0) * self.period
        origin, end = _ticks(instants(np.array(ends).view(f"M8[{self.unit}]"), self.zone), self.unit).tolist()
        period = math.gcd(self.period, *(second * jump for jump in jumps(self.zone, (first, last)).tolist()))
        count = None if self.last is None else (end - origin) // period
        by_clock, passing = (f", {_spacing(each, self.unit)}" for each in (self.period, period))
        reason = self.reason.replace(by_clock, passing, 1)
        return replace(self, by_clock=False, origin=origin, period=period, last=count, reason=reason)

    def _within(self, seconds: tuple[float | None, float | None]) -> Date:
        """The same column of differences, with bounds in seconds.

        Raises:
            ValueError: If a value of the data lies outside of them.
        """
        second = _SECONDS[self.unit]
        low, high = (
            None if end is None or math.isinf(end) else (end * second - self.origin) / self.period for end in seconds
        )
        said = " to ".join("none" if end is None else f"{end:g}" for end in seconds)
        for number in (0, self.last or 0):
            if (low is not None and number < low) or (high is not None and number > high):
                got = f"{(self.origin + number * self.period) / second:g}"
                raise DataError(f"column {self.name!r} has bounds {said} seconds, got {got}: widen the bounds")
        return replace(self, bounds=(low, high), reason=f"{self.reason}, bounds {said} seconds")

    def excluded(self, numbers: np.ndarray) -> np.ndarray:
        low, high = (end if bound is None else bound for bound, end in zip(self.bounds, (-np.inf, np.inf)))
        with np.errstate(invalid="ignore"):
            return (numbers < low) | (numbers > high)

    @property
    def whole(self) -> bool:
        return True

    @property
    def range(self) -> tuple[float, float] | None:
        return None if self.last is None else (0.0, float(self.last))

    @property
    def takes(self) -> str:
        """Its spacing, in words."""
        what = "differences of times" if self.difference else "dates"
        return f"{what} in {_spacing(self.period, self.unit) or f'steps of {self.period:,} {self.unit}'}"

    def spacing(self, step: float) -> str:
        ticks = round(step * self.period)
        return _spacing(ticks, self.unit) or f"steps of {ticks:,} {self.unit}"

    @property
    def line(self) -> tuple[Fraction, Fraction] | None:
        day = 86400 * _SECONDS[self.unit]
        offset = 0 if self.text is None else _offset(self.text).total_seconds()
        return Fraction(self.origin, day) - Fraction(offset) / 86400, Fraction(self.period, day)

    def comparable(self, values: Series[Any]) -> Series[Any]:
        import pandas

        found: Any = pandas.Series(self._times(values))
        if self.text is not None and _has_offset(self.text):
            found = found.dt.tz_localize(datetime.timezone(_offset(self.text)))
        return found if self.zone is None else found.dt.tz_localize("UTC").dt.tz_convert(self.zone)

    def cycles(self, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """The hour of the day, by the clock of the zone, where times vary within days, and the weekday, Monday first."""
        day = 86400 * _SECONDS[self.unit]
        found: dict[str, tuple[np.ndarray, int]] = {}
        if self.difference or self.period % (7 * day) == 0:
            return found
        there = ~np.isnan(numbers)
        times = self.comparable(self.decode(np.asarray(numbers, np.float64)[there])).dt
        if self.period % day:
            found["time of day, hours"] = (np.full(len(numbers), np.nan), 0)
            found["time of day, hours"][0][there] = times.hour + times.minute / 60 + times.second / 3600
        found["weekday"] = (np.full(len(numbers), np.nan), len(_WEEKDAYS))
        found["weekday"][0][there] = times.day_of_week
        return found

    @property
    def week(self) -> tuple[float, float] | None:
        """Mondays, by the clock of the zone when the data end; None where the steps do not divide a day."""
        day = 86400 * _SECONDS[self.unit]
        if self.difference or day % self.period:
            return None
        offset = 0
        if self.zone is not None and not self.by_clock:
            offset = int(offsets(np.array([self._ends[1]]), self.zone)[0])
        monday = (4 * day - self.origin - offset * _SECONDS[self.unit]) % (7 * day)  # 1970 began on a Thursday
        return float(-(-monday // self.period)), float(7 * day // self.period)

    @property
    def year(self) -> float | None:
        return None if self.difference else 365.2425 * 86400 * _SECONDS[self.unit] / self.period

    @property
    def clock(self) -> tuple[tuple[float, ...], ...] | None:
        if self.zone is None or self.by_clock or self.week is None:
            return None
        line = clock_line(self.zone, self._ends, self.origin, self.period, _SECONDS[self.unit])
        return None if line is None else tuple(tuple(row) for row in line.tolist())

    @property
    def _ends(self) -> tuple[int, int]:
        """The first and the last date, in whole seconds since 1970."""
        second = _SECONDS[self.unit]
        return self.origin // second, (self.origin + (self.last or 0) * self.period) // second

    def _left_out(self, numbers: np.ndarray) -> str:
        """Which hours and weekdays have no dates, of distinct sorted ones, `(N,)`, if chance leaves none out; else ""."""
        day = 86400 * _SECONDS[self.unit]
        weeks = (numbers[-1] - numbers[0]) * self.period / (7 * day)
        cycles, said = self.cycles(numbers) if weeks >= _WEEKS else {}, []
        hours, count = np.sort(cycles.get("time of day, hours", (np.zeros(0), 0))[0]), len(numbers)
        if len(hours):
            gaps = np.diff(hours, append=hours[0] + 24)
            widest = int(gaps.argmax())
            first, last = hours[(widest + 1) % count], hours[widest]
            wide = gaps[widest] - 24 * math.gcd(self.period, day) / day  # beyond the spacing of the dates
            outside = max(1 - wide / 24, _OFTEN)
            if wide >= _HOURS and math.log(count) + (count - 1) * math.log(outside) < _UNLIKELY:
                said_of = f"from {_clock(first)} to {_clock(last)}" if first != last else f"at {_clock(first)}"
                said.append(f"all {said_of}")
        days = np.bincount(cycles.get("weekday", (np.zeros(0), 0))[0].astype(int), minlength=len(_WEEKDAYS))
        if days.any() and not days.all() and count * math.log(6 / 7) + math.log(7) < _UNLIKELY:
            said.append(f"none on {joined([name for name, there in zip(_WEEKDAYS, days) if not there])}")
        if not said:
            return ""
        kept = "" if self.week is not None else ", which samples do not keep to, as steps do not divide a day"
        return f"; {', '.join(said)}{kept}"

    def encode(self, values: Series[Any]) -> np.ndarray:
        times = self._times(values)
        if self.zone is not None and self.by_clock:
            times = shown_times(times, self.zone)
        ticks = times.astype(f"{'m' if self.difference else 'M'}8[{self.unit}]").astype(np.int64)
        return np.where(np.isnat(times), np.nan, (ticks - self.origin) / self.period)

    def _times(self, values: Series[Any]) -> np.ndarray:
        """The times of values, in UTC if the column has a zone, by which values without one are read; in text by its clock.

        Raises:
            ValueError: If a value is not one.
        """
        import pandas
        from pandas.api import types

        if self.text is not None and types.is_datetime64_any_dtype(values.dtype):
            times = plain_times(values)
        elif self.difference and values.dtype.kind not in "mM":
            times = pandas.to_timedelta(values, errors="coerce").to_numpy()
        else:
            times = plain_times(values, self.text, self.zone)
        lost = np.isnat(times)
        given = values.notna().to_numpy(bool)
        if self.text is not None and values.dtype.kind not in "mM":
            given = given & np.array([not is_missing(v) for v in values], bool)
        if (lost & given).any():
            row = int((lost & given).argmax())
            what = f"as {self.text}" if self.text else self.dtype
            raise DataError(f"column {self.name!r} holds dates {what}, got {shown(values, row)}: correct it")
        return times

    def decode(self, numbers: np.ndarray) -> Series[Any]:
        import pandas

        x = np.asarray(numbers, np.float64)
        lost = np.isnan(x)
        if (lost.any() and not self.missing) or np.isinf(x).any():
            raise RuntimeError(f"samples of column {self.name!r} are not finite: the sampler diverged, take more steps")
        low, high = self._range()
        ends = [-((self.origin - low) // self.period), (high - self.origin) // self.period]
        least, most = self.bounds
        ends[0] = ends[0] if least is None else max(ends[0], math.ceil(least))
        ends[1] = ends[1] if most is None else min(ends[1], math.floor(most))
        k = np.clip(np.rint(np.where(lost, 0.0, x)), max(ends[0], -(2**62)), min(ends[1], 2**62))
        ticks = self.origin + k.astype(np.int64) * self.period
        times = np.where(lost, np.iinfo(np.int64).min, ticks).view(f"{'m' if self.difference else 'M'}8[{self.unit}]")
        found: Any = pandas.Series(times, name=self.name)
        if self.text is not None:
            return _written(found, self.text).astype(self.dtype)
        if self.days:
            return found.dt.date.astype(object).where(~lost, None)
        if self.zone is not None:
            found = pandas.Series(instants(times, self.zone), name=self.name) if self.by_clock else found
            found = found.dt.tz_localize("UTC").dt.tz_convert(self.zone)
        return found.astype(self.dtype)

    def _range(self) -> tuple[int, int]:
        """The first and the last time that the type holds; in text, for dates of Python and by a clock, the years 1 to 9999."""
        if self.text is None and not self.days and (not self.by_clock or self.unit == "ns"):
            margin = 2**12 + self.by_clock * 2 * 86400 * _SECONDS[self.unit]
            return -(2**63) + margin, 2**63 - margin
        dates = np.array(["0001-01-01", "9999-12-31T23:59:59"], dtype=f"M8[{self.unit}]")
        low, high = dates.astype(np.int64)
        return int(low), int(high)


def _ticks(times: np.ndarray, unit: str) -> np.ndarray:
    """Times as whole numbers of a unit."""
    found: np.ndarray = times.astype(f"M8[{unit}]").astype(np.int64)
    return found


def _has_offset(form: str) -> bool:
    return form.endswith("Z") or bool(_OFFSET.search(form))


def _offset(form: str) -> datetime.timedelta:
    """How far the clock of text of a format is ahead of UTC, as its end says."""
    found = _OFFSET.search(form)
    if found is None:
        return datetime.timedelta()
    sign, hours, minutes = found.groups()
    return int(f"{sign}1") * datetime.timedelta(hours=int(hours), minutes=int(minutes))


def plain_times(values: Series[Any], text: str | None = None, zone: str | None = None) -> np.ndarray:
    """A column as times or differences of numpy, without a zone (UTC), NaT where one is missing or not of the format.

    Arguments:
        values: Dates, differences of times, or text.
        text: The format of dates in text, in the words of strftime; their clock is kept.
        zone: The zone of dates that have none themselves.
    """
    import pandas

    if text is not None:
        found: Any = parsed_dates(values, text)
    elif values.dtype == object or str(values.dtype) in ("str", "string"):
        found = _of_objects(values)
    elif values.dtype.kind in "mM":
        found = values
    else:
        found = pandas.Series(pandas.NaT, index=values.index)
    zoned = getattr(found.dtype, "tz", None) or getattr(getattr(found.dtype, "pyarrow_dtype", None), "tz", None)
    if getattr(found.dtype, "tz", None) is not None:
        found = found.dt.tz_convert("UTC").dt.tz_localize(None)
    times: np.ndarray
    if isinstance(found.dtype, np.dtype):
        times = found.to_numpy()
    else:
        arrow = found.dtype.kind
        times = found.to_numpy(
            dtype=f"{arrow}8[us]" if arrow == "M" else "m8[ns]", na_value=np.array("NaT", f"{arrow}8[us]")[()]
        )
    return times if zone is None or zoned else instants(times, zone)


def _of_objects(values: Series[Any]) -> Any:
    """A column of Python's dates, or of text, as one of dates, NaT where a value is neither.

    pandas before 3 loses dates outside of the years 1678 to 2261: those that it lost are read in microseconds.
    """
    import pandas

    found = pandas.to_datetime(values, errors="coerce")
    lost = (found.isna() & values.notna()).to_numpy(bool)
    naive = (isinstance(v, datetime.date) and getattr(v, "tzinfo", None) is None for v in values[lost])
    if not lost.any() or not all(naive) or getattr(found.dtype, "tz", None) is not None:
        return found
    times = found.to_numpy().astype("M8[us]")
    times[lost] = np.array([*values[lost]], "M8[us]")
    return pandas.Series(times, index=values.index)


def _coarsest(unit: str, ticks: np.ndarray) -> tuple[str, np.ndarray]:
    """The coarsest unit that holds times exactly."""
    for coarse in ("s", "ms", "us"):
        factor = _SECONDS[unit] // _SECONDS[coarse]
        if factor >= 1 and not (ticks % factor).any():
            return coarse, ticks // factor
    return unit, ticks


def _period(ticks: np.ndarray, second: int) -> int:
    """The spacing of sorted times: their common divisor if they are many, else the longest usual one that divides it."""
    gaps = np.diff(ticks)
    distinct = int((gaps > 0).sum()) + 1
    if distinct < 2:
        return second if not (ticks % second).any() else 1
    divisor = int(np.gcd.reduce(gaps))
    if distinct >= _CERTAIN:
        return divisor
    usual = [seconds * second for seconds, _ in _PERIODS[1:]] + [10**k for k in range(8, 0, -1)]
    return next((p for p in usual if p <= divisor and divisor % p == 0), 1)


def _apart(ticks: np.ndarray) -> list[int]:
    """Dates at an end, of sorted ones, that many rows share and that lie far from all others, as 2099-12-31 does for no end."""
    found: list[int] = []
    rest, ends = ticks, [0, -1]
    while ends:
        end = ends.pop()
        others = rest[rest != rest[end]]
        if len(others) < _ENOUGH or len(rest) - len(others) < max(_SHARED, _SHARE * len(ticks)):
            continue
        first, last = np.quantile(others, (0.05, 0.95))
        if 2 * abs(int(rest[end]) - int(others[end])) >= last - first:
            found, rest, ends = [*found, int(rest[end])], others, [*ends, end]
    return found


def _in_words(ticks: np.ndarray, apart: list[int], unit: str, period: int, difference: bool) -> str:
    """What a person may want to know of sorted times, some of which lie apart."""
    import pandas

    make, name = pandas.Timedelta if difference else pandas.Timestamp, _spacing(period, unit)
    ends = ticks[~np.isin(ticks, apart)][[0, -1]]
    try:
        texts = [str(make(int(t), unit=unit)).removesuffix(" 00:00:00") for t in (*apart, *ends)]
    except (ValueError, OverflowError):  # beyond what pandas writes in words
        texts = [f"{int(t):,} {unit}" for t in (*apart, *ends)]
    said = [f"{text} in {100 * (ticks == t).mean():.2g} % of rows, " for text, t in zip(texts, apart)]
    between = f"{''.join(said)}{'else ' * bool(said)}{texts[-2]} to {texts[-1]}"
    return f"{'time difference' if difference else 'date'}: {between}" + (f", {name}" if name else "")


def _clock(hours: float) -> str:
    """An hour of the day as a clock shows it, in minutes."""
    minutes = int(60 * hours + 1e-6)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _spacing(period: int, unit: str) -> str:
    """The spacing of dates in words; empty for fractions of seconds."""
    seconds = period / _SECONDS[unit]
    words = (f"whole {n}" if seconds == s else f"steps of {seconds / s:g} {n}" for s, n in _PERIODS if seconds % s == 0)
    return next(words, "")


def _written(times: Any, text: str) -> Any:
    """Times as text in a format of strftime, with years of four digits: some versions of pandas write the year 1 as "1"."""
    for directive, field in _BARE.items():
        if directive in text:
            parts = [_written(times, part) for part in text.split(directive, 1)]
            numbers = getattr(times.dt, field).map("{:.0f}".format, na_action="ignore")
            return parts[0] + numbers + parts[1]
    years = times.dt.year
    if "%Y" not in text or not bool((years < 1000).any()):
        return times.dt.strftime(text)
    padded = [f"{int(year):04}" if year == year else "" for year in years]
    made = times.dt.strftime(text.replace("%Y", "@year@")).tolist()
    whole = [each.replace("@year@", year) if isinstance(each, str) else each for each, year in zip(made, padded)]
    return type(times)(whole, index=times.index, name=times.name, dtype=object)
