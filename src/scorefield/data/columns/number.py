"""Columns of numbers: whole or real, on a lattice or not, of few values or many."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..dtypes import numpy_dtype
from ..errors import DataError
from .base import Column, Transform
from .grid import lattice_of, snapped
from .text import as_numbers

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["LARGEST", "Number"]

LARGEST = 1e150  # the square of a larger number overflows
_COMMA = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+)")  # a decimal comma; of three digits it may group thousands
_SIGNED = 30  # numbers, from which on their sign means something: less than a tenth of others have another
_LISTED = 12  # values that a message lists
_CELLS = 1 << 12  # steps from the smallest to the largest value, up to which values between them are none
_FEW, _EACH, _TIMES = 32, 5, 20  # values, how often each occurs at least, and all together on average


@dataclass(frozen=True)
class Number(Column):
    """A column of numbers, with all that keeps samples like the data: their digits, their lattice, their few values.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
        bounds: What values cannot lie below and above, as the user knows it; None where that is not known.
        transform: The map to standard units that the user asks for.
        decimals: How many digits follow the decimal point at most; None where there are too many to count.
        step: The spacing of the lattice on which all values lie; 0 where there is none.
        origin: A value of this lattice.
        values: All values there are, in ascending order, where these are few and each occurs often; else empty.
        low: What samples are clipped to from below: the smallest value, for integers that are nowhere negative; a bound that
            the data show, for a column that follows from others.
        high: The same from above.
        sign: 1 if no number is negative, -1 if none is positive: the few samples that are, are reflected at 0.
        range: The smallest and the largest value of the data; None where that is not known.

    Raises:
        ValueError: If the bounds leave no room, or the transform needs others.

    Example:
        >>> import pandas
        >>> column = Number("x", "float64", decimals=1, step=0.5)
        >>> column.decode(np.array([0.26, 7.0, np.nan])).tolist()
        [0.5, 7.0, nan]
    """

    bounds: tuple[float | None, float | None] = (None, None)
    transform: Transform = "auto"
    decimals: int | None = None
    step: float = 0.0
    origin: float = 0.0
    values: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    sign: int = 0
    range: tuple[float, float] | None = None

    kind: ClassVar[str] = "number"

    def __post_init__(self) -> None:
        low, high = self.bounds
        if low is not None and high is not None and not low < high:
            raise DataError(
                f"the bounds of column {self.name!r} are {low:g} and {high:g}: the first must be the smaller"
            )
        if self.transform == "logit" and (low is None or high is None):
            raise DataError(f"logit needs two bounds for column {self.name!r}, got {self.bounds}: give both")

    @classmethod
    def of(cls, values: Series[Any], name: Any, dtype: str, **wishes: Any) -> Number:
        """The column of such values, with its reason.

        Arguments:
            values: The values, missing ones among them.
            name: Its name.
            dtype: The type that samples get.
            wishes: The bounds and the transform, where the user gives them.

        Raises:
            ValueError: If a value is not a number, too large, or outside of the bounds.
        """
        x = as_numbers(values, name)
        present = np.sort(x[~np.isnan(x)])
        facts = _facts_of(present, x, dtype)
        if wishes.get("bounds", (None, None)) != (None, None):
            facts.pop("sign", None)  # bounds say more
        plain = cls(name, dtype, len(present) < len(x), "", **wishes)
        plain._check(x)
        return cls(name, dtype, plain.missing, _in_words(present, len(x), facts, plain), **wishes, **facts)

    def unreflected(self) -> Number:
        return replace(self, sign=0)

    @property
    def sides(self) -> tuple[float | None, float | None]:
        low, high = self.limits
        return (0.0 if low is None and self.sign > 0 else low), (0.0 if high is None and self.sign < 0 else high)

    def unclipped(self) -> Number:
        return replace(self, low=None, high=None, values=(), sign=0)

    def between(self, low: float | None, high: float | None) -> Number:
        return replace(self, low=low, high=high)

    @property
    def whole(self) -> bool:
        return numpy_dtype(self.dtype).kind in "iub"

    @property
    def plain(self) -> bool:
        return not self.missing and self.bounds == (None, None) and self.transform == "auto"

    @property
    def limits(self) -> tuple[float | None, float | None]:
        pairs = zip((self.low, self.high), self.bounds)
        low, high = (first if second is None else second for first, second in pairs)
        return low, high

    @property
    def takes(self) -> str:
        """Its numbers, in words."""
        low, high = self.sides
        if self.values and len(self.values) <= _LISTED:
            return f"the values {', '.join(f'{v:g}' for v in self.values)}"
        kind = "whole numbers" if self.decimals == 0 else "numbers"
        both = low is not None and high is not None
        ends = f" of {low:g} or more" if low is not None else f" of {high:g} or less" if high is not None else ""
        ends = f" from {low:g} to {high:g}" if both else ends
        digits = f" with {self.decimals} decimal{'s' * (self.decimals > 1)}" if self.decimals else ""
        coarse = self.step > 0 and (self.decimals is None or round(self.step * 10.0**self.decimals) > 1)
        return kind + ends + (f" in steps of {self.step:g}" if coarse else digits)

    def read(self, values: Series[Any]) -> np.ndarray:
        return as_numbers(values, self.name)

    def impossible(self, numbers: np.ndarray) -> np.ndarray:
        large = np.abs(numbers) > LARGEST
        found: np.ndarray = super().impossible(np.where(large, 0.0, numbers)) | large
        if self.transform == "log" and self.bounds[0] is None:
            found |= numbers <= 0
        return found

    def spelled(self, number: float) -> str:
        return str(int(number)) if self.whole and float(number).is_integer() else f"{number:.6g}"

    def meant(self, value: Any) -> Any:
        found = _COMMA.fullmatch(value.strip()) if isinstance(value, str) else None
        return value.strip().replace(",", ".") if found else value

    def excluded(self, numbers: np.ndarray) -> np.ndarray:
        low, high = (0.0, 0.0) if self.range is None else self.range
        coarse = self.whole or 0 < high - low <= _CELLS * self.step
        form = self if coarse else replace(self, step=0.0, values=(), decimals=None)
        found = replace(form, low=None, high=None).impossible(numbers)
        return found | ((numbers < 0) & (self.low is not None))

    def encode(self, values: Series[Any]) -> np.ndarray:
        x = as_numbers(values, self.name)
        self._check(x)
        return x

    def comparable(self, values: Series[Any]) -> Series[Any]:
        import pandas
        from pandas.api import types

        plain = types.is_numeric_dtype(values.dtype)  # with the rounding errors of its type
        return values if plain else pandas.Series(as_numbers(values, self.name))

    @property
    def line(self) -> tuple[Fraction, Fraction] | None:
        return Fraction(0), Fraction(1)

    def widened(self, numbers: np.ndarray) -> Number:
        self._check(numbers)
        present = numbers[~np.isnan(numbers)]
        facts: dict[str, Any] = {"missing": self.missing or len(present) < len(numbers)}
        if not np.array_equal(snapped(present, self.values, self.step, self.origin, self.decimals), present):
            facts |= {"values": (), "step": 1.0 if self.whole else 0.0, "decimals": 0 if self.whole else None}
            facts["reason"] = "number: whole" if self.whole else "number"
        if len(present) and (self.sign * present).min() < 0:
            facts["sign"] = 0
        if self.range is not None and len(present):
            facts["range"] = min(self.range[0], float(present.min())), max(self.range[1], float(present.max()))
        if self.low is not None and self.high is not None and len(present):
            ends = min(self.low, float(present.min())), max(self.high, float(present.max()))
            facts |= dict(zip(("low", "high"), ends if ends[0] >= 0 else (None, None)))
        return replace(self, **facts)

    def _check(self, x: np.ndarray) -> None:
        """Raises if a number is too large, or outside of the bounds."""
        low, high = (-math.inf if self.bounds[0] is None else self.bounds[0], self.bounds[1])
        high = math.inf if high is None else high
        with np.errstate(invalid="ignore"):
            large, outside = np.abs(x) > LARGEST, (x < low) | (x > high)
        if large.any():
            row = int(large.argmax())
            infinite = bool(np.isinf(x).any())
            what = "infinite values" if infinite else f"{x[row]:g}, too large to compute with"
            advice = (
                "df.replace([numpy.inf, -numpy.inf], numpy.nan) makes them missing" if infinite else "change its unit"
            )
            raise DataError(f"column {self.name!r} holds {what} (row {row}): {advice}")
        if outside.any():
            row = int(outside.argmax())
            raise DataError(
                f"column {self.name!r} has bounds {low:g} to {high:g}, got {x[row]:g} in row {row}: widen the bounds"
            )
        if self.transform == "log" and (x <= (0.0 if self.bounds[0] is None else low - 1.0)).any():
            raise DataError(f"log needs positive values, column {self.name!r} has {np.nanmin(x):g}: give a lower bound")

    def decode(self, numbers: np.ndarray) -> Series[Any]:
        import pandas

        x = np.asarray(numbers, np.float64)
        target = numpy_dtype(self.dtype)
        whole = target.kind in "iu"
        self._finite(x, whole)
        x = np.where(self.sign * x < 0, -x, x)
        x = snapped(x, self.values, self.step, self.origin, self.decimals)
        x = np.rint(x) if whole else x
        if self.transform == "log" and self.sign > 0:  # what has a logarithm is not rounded to 0
            x = np.where(x <= 0, self._smallest, x)
        low, high = self.limits
        x = x if low is None else np.maximum(x, low)
        x = x if high is None else np.minimum(x, high)
        if whole:
            return pandas.Series(_integers(x, target), name=self.name).astype(self.dtype)
        if target.kind == "f":  # what is finite stays so, where the type holds no larger numbers
            largest = float(np.finfo(target).max)
            x = np.where(np.isfinite(x), np.clip(x, -largest, largest), x)
        return pandas.Series(x, name=self.name).astype(self.dtype)

    @property
    def _smallest(self) -> float:
        """The smallest positive number that the column can hold; 0 where that is not known."""
        if self.values:
            return min((v for v in self.values if v > 0), default=0.0)
        digit = 0.0 if self.decimals is None else 10.0**-self.decimals
        if not self.step:
            return digit
        rest = self.origin % self.step
        return float(rest if rest > 1e-6 * self.step and self.step - rest > 1e-6 * self.step else self.step)

    def _finite(self, x: np.ndarray, whole: bool) -> None:
        """Raises if a number cannot be written in the type of the column."""
        lost = int((np.isinf(x) | (np.isnan(x) & (not self.missing))).sum())
        if whole and lost:
            raise RuntimeError(
                f"{lost} of {len(x)} samples are not finite and cannot be rounded to {self.dtype}: "
                "the sampler diverged, take more steps or another sampler"
            )


def _integers(x: np.ndarray, target: np.dtype[Any]) -> Any:
    """Whole numbers in float64 as integers, no larger than the type holds; masked where they are missing."""
    import pandas

    info = np.iinfo(target)
    top = float(info.max) if int(float(info.max)) <= info.max else float(np.nextafter(float(info.max), 0.0))
    lost = np.isnan(x)
    found = np.where(lost, 0.0, np.clip(x, float(info.min), top)).astype(target)
    if not lost.any():
        return found
    return pandas.arrays.IntegerArray(found, lost)


def _facts_of(present: np.ndarray, x: np.ndarray, dtype: str) -> dict[str, Any]:
    """The lattice, the digits, the few values and the range of sorted finite numbers."""
    kind, size = numpy_dtype(dtype).kind, numpy_dtype(dtype).itemsize
    if not len(present) or abs(present[0]) > LARGEST or abs(present[-1]) > LARGEST:
        return {}
    decimals, step, origin = lattice_of(present, exact=kind in "iu", small=kind == "f" and size < 8)
    facts: dict[str, Any] = {"decimals": decimals, "step": step, "origin": origin}
    facts["range"] = float(present[0]), float(present[-1])
    first = np.flatnonzero(np.diff(present, prepend=np.nan) != 0) if len(present) else np.zeros(0, int)
    counts = np.diff(first, append=len(present))
    if 1 < len(first) <= _FEW and counts.min() >= _EACH and len(present) >= _TIMES * len(first):
        facts["values"] = tuple(present[first].tolist())
    if kind == "f" and len(present) >= _SIGNED and present[0] * present[-1] >= 0:
        facts["sign"] = 1 if present[0] >= 0 else -1
    if kind in "iu" and present[0] >= 0:
        facts |= {"low": float(present[0]), "high": float(present[-1])}
    return facts


def _in_words(present: np.ndarray, count: int, facts: dict[str, Any], column: Number) -> str:
    """What a person may want to know of the column."""
    if not len(present):
        return "number"
    parts, values, step = [], facts.get("values", ()), facts.get("step", 0.0)
    first = np.flatnonzero(np.diff(present, prepend=np.nan) != 0)
    counts = np.diff(first, append=len(present))
    often = int(counts.argmax())
    share, most = counts[often] / len(present), present[first[often]]
    if values and len(values) <= 8:
        parts.append(f"one of {', '.join(f'{v:g}' for v in values)}")
    elif share >= max(0.05, 5 / len(first)):
        others = first[present[first] != most]
        rest = "else " + (
            "positive" if most == 0 == present[0] else f"{present[others[0]]:g} to {present[others[-1]]:g}"
        )
        parts += [f"{most:g} in {share:.0%} of rows".replace("%", " %"), rest]
    elif step and facts["decimals"] == 0:
        parts += ["whole", f"{present[0]:g} to {present[-1]:g}"]
    else:
        parts.append(f"{present[0]:g} to {present[-1]:g}")
    if step and not (step == 1 and "whole" in parts) and len(values) not in range(1, 9):
        parts.append(f"steps of {step:.4g}")
    parts += (
        [f"bounds {_bound(column.bounds[0])} to {_bound(column.bounds[1])}"]
        if any(b is not None for b in column.bounds)
        else []
    )
    parts += [f"{column.transform} scale"] if column.transform != "auto" else []
    return "number: " + ", ".join(parts) + missing_share(count - len(present), count)


def _bound(bound: float | None) -> str:
    return "none" if bound is None else f"{bound:g}"


def missing_share(lost: int, count: int) -> str:
    """The share of missing values in words; nothing if none miss."""
    if not lost:
        return ""
    share = 100 * lost / count
    return f", missing in {f'{share:.0f}' if share >= 1 else f'{share:.2g}'} % of rows"
