"""Arrays of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..user_values import masks_as_missing
from ..warned import warn_outside
from .errors import DataError

__all__ = ["Ragged"]


class Ragged:
    """Rows of different length as arrays: sets, or series where there are times.

    Arguments:
        values: For each row the values of its readings, `(n,)` or `(n, P)`, where each number of a reading is a channel of its
            own; or all rows padded with NaN, `(N, L)` or `(N, L, P)`, or an awkward array.
        times: For each row the times of its readings, `(n,)`, or all padded with NaN, `(N, L)`; None for sets.

    Raises:
        ValueError: If lengths differ between values and times, or values are not numbers.

    Warns:
        UserWarning: If members of sets are missing between others, as in series with gaps, whose order is lost without times.

    Example:
        >>> sets = Ragged([[1.0, 2.0, 3.0], [4.0]])
        >>> len(sets), [len(row) for row in sets.values]
        (2, [3, 1])
        >>> Ragged(np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([[0.0, 0.5], [0.0, np.nan]])).times[1]
        array([0.])
    """

    def __init__(self, values: Any, times: Any = None) -> None:
        padded = isinstance(values, np.ndarray) and values.dtype != object
        rows = [_array(row, i) for i, row in enumerate(_listed(values))]
        if not rows:
            raise DataError("there are no rows: give the values of each row, Ragged([[1.0, 2.0], [3.0]])")
        widths = {row.shape[1:] for row in rows}
        if len(widths) > 1 or rows[0].ndim > 2:
            raise DataError(
                f"all readings have one number, or the same number of them, got rows of shapes {_shapes(rows)}"
            )
        stamps = None if times is None else [np.asarray(masks_as_missing(each)) for each in _listed(times)]
        if stamps is not None:
            if [len(each) for each in stamps] != [len(row) for row in rows]:
                got = f"{_shapes(stamps)} times for {_shapes(rows)} values"
                raise DataError(f"every reading has one time, got {got}: give as many")
            keep = [~_missing(each) for each in stamps]
            rows = [row[flags] for row, flags in zip(rows, keep)]
            stamps = [each[flags] for each, flags in zip(stamps, keep)]
        else:
            _name_gaps(rows)
            rows = [row[: _length(row)] for row in rows] if padded else rows
        self.values, self.times = rows, stamps

    @property
    def width(self) -> int:
        """How many numbers a reading has."""
        return int(np.prod(self.values[0].shape[1:], dtype=int))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        lengths = [len(row) for row in self.values]
        return f"Ragged({len(self)} rows of {min(lengths)} to {max(lengths)} readings)"


def _listed(x: Any) -> list[Any]:
    """Rows as a list; those of awkward arrays become lists of numbers."""
    return list(x.to_list()) if hasattr(x, "to_list") else list(x)


def _array(row: Any, i: int) -> np.ndarray:
    row = masks_as_missing(row)
    found = np.asarray(row)
    if found.dtype.kind not in "iufb" or found.ndim == 0:
        if found.dtype == object:  # None where a value is missing
            try:
                return np.asarray(row, dtype=float)
            except (TypeError, ValueError):
                pass
        raise DataError(f"row {i} of ragged data must be an array of numbers, got {found.dtype} {found.shape}")
    return found.astype(float) if found.size == 0 else found


def _missing(times: np.ndarray) -> np.ndarray:
    kind = times.dtype.kind
    found: np.ndarray = (
        np.isnat(times) if kind == "M" else np.isnan(times) if kind == "f" else np.zeros(len(times), bool)
    )
    return found


def _length(row: np.ndarray) -> int:
    """The length of a padded row: what follows its last number is not there."""
    return int(np.flatnonzero(_there(row)).max(initial=-1)) + 1


def _there(row: np.ndarray) -> np.ndarray:
    """Which readings of a row have a number, true or false, `(n,)`."""
    there: np.ndarray = ~np.isnan(row.astype(float)).all(tuple(range(1, row.ndim)))
    return there


def _name_gaps(rows: Sequence[np.ndarray]) -> None:
    """Warns where members of a set are missing before others."""
    gap = next((i for i, row in enumerate(rows) if not _there(row[: _length(row)]).all()), None)
    if gap is not None:
        what = f"row {gap} misses values before others, and without times it is a set, in which order and gaps mean nothing"
        warn_outside(f"{what}: for series give times, Ragged(values, times)")


def _shapes(rows: Sequence[np.ndarray]) -> str:
    return ", ".join(str(row.shape) for row in rows[:3]) + (", …" if len(rows) > 3 else "")
