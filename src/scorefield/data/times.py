"""Times of readings as numbers, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .errors import DataError

__all__ = ["TimeForm"]


@dataclass(frozen=True)
class TimeForm:
    """How times become numbers: dates are seconds since 1970.

    Arguments:
        kind: `date`, `whole` (whole numbers) or `number`.
        zone: The time zone of dates; "" for none.
        text: Whether dates were read from text, such as "2024-03-01 12:00".
    """

    kind: Literal["date", "whole", "number"]
    zone: str = ""
    text: bool = False

    @classmethod
    def of(cls, values: Any, where: str) -> TimeForm:
        """The form of times.

        Arguments:
            values: Times, a column of a frame or an array `(n,)`.
            where: What they are, for messages.

        Raises:
            ValueError: If they are neither numbers nor dates, or one is missing.
        """
        zone = str(getattr(getattr(values, "dtype", None), "tz", None) or "")
        kind = "M" if zone else np.asarray(values).dtype.kind
        if kind == "b":
            raise DataError(f"times are numbers or dates, and {where} hold{_s(where)} true and false")
        numeric: dict[str, Literal["date", "whole", "number"]] = {
            "M": "date",
            "i": "whole",
            "u": "whole",
            "f": "number",
        }
        found = cls(numeric.get(kind, "date"), zone, kind not in numeric)
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
            found = self._seconds(values) if self.kind == "date" else np.asarray(values, dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"times are numbers or dates, and {where} hold{_s(where)} {_odd(values)!r}: correct it"
            ) from None
        if not np.isfinite(found).all():
            raise DataError(
                f"{where}: reading {int((~np.isfinite(found)).argmax())} has no time: give it, or leave it out"
            )
        return found

    def _seconds(self, values: Any) -> np.ndarray:
        import pandas

        if np.asarray(values).dtype.kind in "iuf":
            raise ValueError("numbers are not dates")
        how: dict[str, Any] = {"format": "mixed"} if self.text else {}
        stamps = pandas.DatetimeIndex(pandas.to_datetime(values, utc=bool(self.zone) or None, **how))
        if stamps.tz is not None:
            stamps = stamps.tz_convert("UTC").tz_localize(None)
        whole = stamps.to_numpy().astype("datetime64[us]")
        return np.where(np.isnat(whole), np.nan, whole.astype(np.int64) / 1e6)

    def restored(self, numbers: np.ndarray) -> Any:
        """Numbers as times like those of the user."""
        if self.kind == "number":
            return numbers
        if self.kind == "whole":
            return np.rint(numbers).astype(np.int64)
        stamps = np.rint(numbers * 1e6).astype(np.int64).astype("datetime64[us]").astype("datetime64[ns]")
        if not self.zone:
            return stamps
        import pandas

        return pandas.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(self.zone)

    def written(self, number: float) -> str:
        """A time in words."""
        found = self.restored(np.array([number]))[0]
        return f"{number:g}" if self.kind != "date" else str(found).partition(".")[0]


def _s(where: str) -> str:
    """The ending of the verb: one column holds, the times hold."""
    return "s" * where.startswith("column")


def _odd(values: Any) -> Any:
    """The first value that is not a date."""
    import pandas

    for value in values:
        try:
            pandas.to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return value
    return next(iter(values), None)
