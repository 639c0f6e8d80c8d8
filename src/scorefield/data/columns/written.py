"""What columns share whose values are written numbers: a column of the numbers, and how each is written."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from .base import Column, Transform

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Written"]


@dataclass(frozen=True)
class Written(Column):
    """A column whose values stand for numbers: learned as these, and written as they were.

    To add one, write `bare`, `text`, and an `example`.

    Arguments:
        name: Its name.
        dtype: The type that samples get, as pandas names it.
        missing: Whether values miss.
        reason: What it was taken for, and why, in words.
        inner: The column of the numbers.
    """

    inner: Column | None = None

    @abc.abstractmethod
    def bare(self, values: Series[Any]) -> Series[Any]:
        """The numbers that values stand for, missing where they are.

        Raises:
            ValueError: If there is a value that the column cannot hold; the message names it and its row.
        """

    @abc.abstractmethod
    def text(self, number: float) -> Any:
        """How a number is written."""

    @property
    @abc.abstractmethod
    def example(self) -> Any:
        """A value of the column, for messages."""

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

    @property
    def range(self) -> tuple[float, float] | None:
        return self.numbers.range

    @property
    def takes(self) -> str:
        """Its numbers, in words."""
        return f"{self.numbers.takes}, written as {self.example!r}"

    @property
    def line(self) -> tuple[Fraction, Fraction] | None:
        return self.numbers.line

    def spelled(self, number: float) -> str:
        return str(self.text(number))

    def unreflected(self) -> Column:
        return replace(self, inner=self.numbers.unreflected())

    def unclipped(self) -> Column:
        return replace(self, inner=self.numbers.unclipped())

    def between(self, low: float | None, high: float | None) -> Column:
        return replace(self, inner=self.numbers.between(low, high))

    def widened(self, numbers: np.ndarray) -> Column:
        inner = self.numbers.widened(numbers)
        return replace(self, inner=inner, missing=inner.missing)

    def impossible(self, numbers: np.ndarray) -> np.ndarray:
        return self.numbers.impossible(numbers)

    def excluded(self, numbers: np.ndarray) -> np.ndarray:
        return self.numbers.excluded(numbers)

    def comparable(self, values: Series[Any]) -> Series[Any]:
        return self.numbers.comparable(self.bare(values))

    def encode(self, values: Series[Any]) -> np.ndarray:
        return self.numbers.encode(self.bare(values))

    def read(self, values: Series[Any]) -> np.ndarray:
        return self.numbers.read(self.bare(values))

    def decode(self, numbers: np.ndarray) -> Series[Any]:
        import pandas

        found = self.numbers.decode(numbers)
        values = [None if pandas.isna(v) else self.text(float(v)) for v in found]
        return pandas.Series(values, dtype=self.dtype, name=self.name)
