"""Columns that never vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import DataError
from .base import Column, shown

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Constant"]


@dataclass(frozen=True)
class Constant(Column):
    """A column with the same value in every row, or with none at all: it comes back as it is, and nothing is learned.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether the value is missing in some rows, not in all.
        reason: What it was taken for, and why, in words.
        inner: The column that turns the value into a number and back; None where the type alone says what comes back.
        value: The number of the value; None where all values are missing.

    Example:
        >>> from scorefield.data.columns import Number
        >>> Constant("k", "int64", inner=Number("k", "int64"), value=7.0).decode(np.zeros(2)).tolist()
        [7, 7]
    """

    inner: Column | None = None
    value: float | None = None

    kind: ClassVar[str] = "constant"

    @property
    def plain(self) -> bool:
        return self.inner is not None and self.inner.plain and not self.missing

    def widened(self, numbers: np.ndarray) -> Column:
        present = numbers[~np.isnan(numbers)]
        if self.inner is None or (present == self.value).all():
            return super().widened(numbers)
        missing = self.missing or len(present) < len(numbers)
        return replace(self.inner, missing=missing).widened(numbers)

    def encode(self, values: Series[Any]) -> np.ndarray:
        if self.inner is None or self.value is None:
            if values.notna().any():
                row = int(values.notna().to_numpy(bool).argmax())
                got = f"got {shown(values, row)}"
                raise DataError(f"column {self.name!r} had no values in the training data, {got}: leave it missing")
            return np.zeros(len(values))
        numbers = self.inner.encode(values)
        other = ~np.isnan(numbers) & (numbers != self.value)
        if other.any():
            row = int(other.argmax())
            got = f"got {shown(values, row)}"
            raise DataError(
                f"column {self.name!r} had one value in the training data, {self.reason}; {got}: correct it"
            )
        return np.where(np.isnan(numbers) & (not self.missing), self.value, numbers)

    def comparable(self, values: Series[Any]) -> Series[Any]:
        return values if self.inner is None else self.inner.comparable(values)

    @property
    def line(self) -> tuple[Fraction, Fraction] | None:
        return None if self.inner is None else self.inner.line

    def decode(self, numbers: np.ndarray) -> Series[Any]:
        import pandas

        if self.inner is None:
            return pandas.Series([None] * len(numbers), dtype=self.dtype, name=self.name)
        lost = np.isnan(np.asarray(numbers, np.float64)) & self.missing
        return self.inner.decode(np.where(lost, np.nan, np.nan if self.value is None else self.value))
