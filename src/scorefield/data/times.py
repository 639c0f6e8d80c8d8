"""Times of readings as numbers, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..warned import warn_outside
from .columns.date import Date
from .columns.number_marks import is_missing
from .columns.text import date_formats, parsed_dates, swapped_dates
from .errors import DataError

__all__ = ["TimeForm"]

_KINDS: dict[str, Literal["date", "whole", "number"]] = {"M": "date", "i": "whole", "u": "whole", "f": "number"}
_CLEAR = "2024-01-31"


@dataclass(frozen=True)
class TimeForm:
    """How times become numbers: dates are seconds since 1970.

    Arguments:
        kind: `date`, `whole` (whole numbers) or `number`.
        zone: The time zone of dates; "" for none.
        text: The format of dates in text, in the words of strftime, in which they are written back; "" for other types.
        reason: How they were read, in words, where that is worth it.
    """

    kind: Literal["date", "whole", "number"]
    zone: str = ""
    text: str = ""
    reason: str = ""

    @classmethod
    def of(cls, values: Any, where: str) -> TimeForm:
        """The form of times.

        Arguments:
            values: Times, a column of a frame or an array `(n,)`. Dates in text have one format; where days and months could
                be swapped in all of them, days come first, with a warning.
            where: What they are, for messages.

        Raises:
            ValueError: If they are neither numbers nor dates, one is missing, or dates in text are of no known format.
        """
        zone = str(getattr(getattr(values, "dtype", None), "tz", None) or "")
        kind = "M" if zone else np.asarray(values).dtype.kind
        if kind == "b":
            raise DataError(f"times are numbers or dates, and {where} hold{_s(where)} true and false")
        text, swapped = _format(values, where) if _is_text(values) else ("", "")
        if swapped:
            warn_outside(f"{where}: {swapped}; if that is wrong, write the dates as {_CLEAR}")
        said = f"dates written as {text}; {swapped}".removesuffix("; ") if text else ""
        found = cls(_KINDS.get(kind, "date"), zone, text, said)
        numbers = found.numbers(values, where)
        if numbers.size and np.isfinite(numbers).all() and float(np.ptp(numbers)) == 0:
            raise DataError(f"{where} is the same for all readings: leave time out for sets")
        return found

    def numbers(self, values: Any, where: str = "the times") -> np.ndarray:
        """Times as numbers, `(n,)` in float64.

        Raises:
            ValueError: If one is not a number or a date, or is missing.
        """
        try:
            found = self._seconds(values, where) if self.kind == "date" else _plain(values, where)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"times are numbers or dates, and {where} hold{_s(where)} {_odd(values)!r}: correct it"
            ) from None
        if not np.isfinite(found).all():
            raise DataError(
                f"{where}: reading {int((~np.isfinite(found)).argmax())} has no time: give it, or leave it out"
            )
        return found

    def _seconds(self, values: Any, where: str) -> np.ndarray:
        import pandas

        if np.asarray(values).dtype.kind in "biuf":
            raise DataError(f"times are dates, and {where} hold{_s(where)} numbers: give dates like those of the data")
        if _is_text(values):
            whole = _parsed(values, self.text or _format(values, where)[0], where)
        else:
            stamps = pandas.DatetimeIndex(pandas.to_datetime(values, utc=bool(self.zone) or None))
            whole = (stamps if stamps.tz is None else stamps.tz_convert("UTC").tz_localize(None)).to_numpy()
        whole = whole.astype("datetime64[us]")
        return np.where(np.isnat(whole), np.nan, whole.astype(np.int64) / 1e6)

    def restored(self, numbers: np.ndarray) -> Any:
        """Numbers as times like those of the user."""
        if self.kind == "number":
            return numbers
        if self.kind == "whole":
            return np.rint(numbers).astype(np.int64)
        ticks = np.rint(numbers * 1e6)
        if self.text:
            return Date("time", "object", unit="us", text=self.text).decode(ticks).to_numpy(dtype=object)
        stamps = ticks.astype(np.int64).astype("datetime64[us]").astype("datetime64[ns]")
        if not self.zone:
            return stamps
        import pandas

        return pandas.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(self.zone)

    def written(self, number: float) -> str:
        """A time in words."""
        found = self.restored(np.array([number]))[0]
        return f"{number:g}" if self.kind != "date" else found if self.text else str(found).partition(".")[0]


def _plain(values: Any, where: str) -> np.ndarray:
    """Numbers, `(n,)`, that are not dates."""
    array = np.asarray(values)
    if array.dtype.kind in "mM" or str(getattr(values, "dtype", "")).startswith("datetime64"):
        raise DataError(f"times are numbers, and {where} hold{_s(where)} dates: give numbers like those of the data")
    return array.astype(float)


def _is_text(values: Any) -> bool:
    """Whether times are text, all that are there."""
    array = np.asarray(values)
    return array.dtype.kind in "OUT" and any(isinstance(each, str) for each in array)


def _format(values: Any, where: str) -> tuple[str, str]:
    """The format of dates in text, days first where they could be months, and what is to be said of that.

    Raises:
        ValueError: If they are of no known format, all of them.
    """
    import pandas

    texts = pandas.Series(np.asarray(values, dtype=object)).drop_duplicates()
    texts = texts[[isinstance(each, str) and not is_missing(each) for each in texts]]
    forms = date_formats(texts)
    if not forms:
        few = " and ".join(map(repr, texts.iloc[[0, -1]].unique())) or "no dates"
        one = "which are not dates of one format that is known"
        raise DataError(
            f"times are numbers or dates, and {where} hold{_s(where)} {few}, {one}: write all of them as {_CLEAR}"
        )
    return forms[0], swapped_dates(texts, forms)


def _parsed(values: Any, form: str, where: str) -> np.ndarray:
    """Dates in text of a format, NaT where one is missing."""
    import pandas

    texts = pandas.Series(np.asarray(values, dtype=object))
    found: np.ndarray = parsed_dates(texts, form).to_numpy()
    odd = np.isnat(found) & np.array([isinstance(each, str) and not is_missing(each) for each in texts])
    if odd.any():
        got = texts.iloc[int(odd.argmax())]
        raise DataError(f"{where} hold{_s(where)} dates written as {form}, got {got!r}: write it so")
    return found


def _s(where: str) -> str:
    """The ending of the verb: one column holds, the times hold."""
    return "s" * where.startswith("column")


def _odd(values: Any) -> Any:
    """The first value that is neither a number nor a date."""
    import pandas

    for value in values:
        try:
            pandas.to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return value
    return next(iter(values), None)
