"""The interface of a column of a table."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Column", "Name", "Transform", "shown"]

Name = str | int | float | bool | tuple[Any, ...] | None
Transform = Literal["auto", "affine", "log", "logit", "quantile"]


_ROUNDING = {"float32": 1e-6, "float16": 1e-3}  # relative; 1e-9 of other types


def shown(values: Series[Any], row: int) -> str:
    """A value and its row, for a message."""
    value = values.iloc[row]
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain!r} in row {row}"


@dataclass(frozen=True)
class Column(abc.ABC):
    """What a column of a table holds: a plain value, which turns the column into float64 numbers and back.

    To add a kind of column, write `encode` and `decode`, and say in `kind` what it is called.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
    """

    name: Name
    dtype: str
    missing: bool = False
    reason: str = ""

    kind: ClassVar[str]
    """What it is called: "number", "category", "date", …"""

    @property
    def size(self) -> int:
        """The number of levels of a category; 0 for what is ordered on a line, such as numbers and dates."""
        return 0

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """What values cannot lie below and above, in encoded numbers; None where that is not known."""
        return None, None

    @property
    def whole(self) -> bool:
        """Whether encoded values are whole numbers by their type."""
        return False

    @property
    def plain(self) -> bool:
        """Whether all values are numbers of which nothing is known, none missing: a table of such may hold signals."""
        return False

    @property
    def readable(self) -> bool:
        """Whether encoded numbers are the values as people write them, so that formulas of them can be read."""
        return True

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """What samples are clipped to, in encoded numbers; None where they are not."""
        return self.bounds

    @property
    def transform(self) -> Transform:
        """The map to standard units that was asked for."""
        return "auto"

    @property
    def range(self) -> tuple[float, float] | None:
        """The smallest and the largest value of the data, in encoded numbers; None where that is not known."""
        return None

    @property
    def takes(self) -> str:
        """The values that it can hold, in words."""
        return self.reason or f"{self.kind} values"

    def unreflected(self) -> Column:
        """The same without the reflection of samples at 0, for a column that others are computed from."""
        return self

    @property
    def sides(self) -> tuple[float | None, float | None]:
        """What samples do not lie below and above, by clipping or by reflection, in encoded numbers."""
        return self.limits

    def unclipped(self) -> Column:
        """The same without the clipping of samples to the range of the data, for a column that follows from others."""
        return self

    def between(self, low: float | None, high: float | None) -> Column:
        """The same, whose samples are clipped to bounds that the data show, None for no bound."""
        return self

    def cycles(self, numbers: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """What of encoded numbers, `(N,)`, comes again and again, such as the hour of the day of a date, by its name.

        Each consists of numbers `(N,)`, NaN where a value is missing, and 0; or of codes, and how many there are. By default
        there are none.
        """
        return {}

    @property
    def week(self) -> tuple[float, float] | None:
        """At which encoded number a week begins, and how many make one, by the clock; None of what is not dates."""
        return None

    @property
    def year(self) -> float | None:
        """How many steps of encoded numbers make a year; None of what is not dates."""
        return None

    @property
    def clock(self) -> tuple[tuple[float, ...], ...] | None:
        """Where the clock of dates is put forward or back: encoded numbers, and what it shows there; None if it never is."""
        return None

    def spelled(self, number: float) -> str:
        """An encoded number as the column writes it, also a bound that no value reaches."""
        if self.readable:
            return f"{number:.6g}"
        return str(self.decode(np.array([number])).iloc[0]).removesuffix(" 00:00:00")

    def spacing(self, step: float) -> str:
        """The spacing of encoded numbers in words."""
        return f"steps of {step:.6g}"

    @property
    def density_unit(self) -> str:
        """What its densities are per, in words: a day, of dates in whole days; "" for a unit of the numbers as they stand."""
        if self.kind != "date":
            return ""
        words = self.spacing(1.0)
        whole = words.removeprefix("whole ")
        return words.removeprefix("steps of ") if whole == words else whole.removesuffix("s")

    def meant(self, value: Any) -> Any:
        """A value that a person gives, as it stands in the column: true for "yes", or a decimal comma."""
        return value

    @abc.abstractmethod
    def encode(self, values: Series[Any]) -> np.ndarray:
        """The numbers of a column, `(N,)` in float64: codes from 0 for categories, NaN where a value is missing.

        Raises:
            ValueError: If there is a value that the column cannot hold; the message names it and its row.
        """

    @abc.abstractmethod
    def decode(self, numbers: np.ndarray) -> Series[Any]:
        """The column of such numbers, `(M,)`, with its name and type."""

    def read(self, values: Series[Any]) -> np.ndarray:
        """The numbers of a column as `encode` makes them, also of values that it cannot hold where these have a number."""
        return self.encode(values)

    def impossible(self, numbers: np.ndarray) -> np.ndarray:
        """Which encoded numbers, `(N,)`, the column cannot hold: those that do not come back from it; missing ones can."""
        present = ~np.isnan(numbers)
        found, x = np.zeros(len(numbers), dtype=bool), numbers[present]
        if len(x):
            back = self.read(self.decode(x))
            found[present] = ~np.isclose(back, x, rtol=_ROUNDING.get(self.dtype.lower(), 1e-9), atol=1e-9)
        return found

    def comparable(self, values: Series[Any]) -> Series[Any]:
        """The values as constraints compare them and calculate with them: numbers, dates, differences of times, or texts.

        By default as they stand.

        Raises:
            ValueError: If there is a value that the column cannot hold.
        """
        return values

    @property
    def line(self) -> tuple[Fraction, Fraction] | None:
        """The value, a number or days, of the encoded number 0, and what each 1 adds; None if these do not lie on a line.

        Days of dates count from 1970, in UTC where they have a zone.
        """
        return None

    def excluded(self, numbers: np.ndarray) -> np.ndarray:
        """Which encoded numbers, `(N,)`, have probability 0: beyond bounds, or off a lattice. By default none.

        Unlike in `impossible`, a count larger than all in the data is not among them, though samples are clipped to that.
        """
        return np.zeros(len(numbers), dtype=bool)

    def widened(self, numbers: np.ndarray) -> Column:
        """The column that also holds these numbers, `(N,)`, in float64 as it would encode them.

        It is for tables on disk, whose columns are inferred from some of the rows.
        """
        return replace(self, missing=self.missing or bool(np.isnan(numbers).any()))
