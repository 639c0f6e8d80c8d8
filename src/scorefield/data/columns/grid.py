"""Lattices of numbers in a column: how many decimals there are, what the steps are, and back onto them."""

from __future__ import annotations

import numpy as np

from ..lattice import MAX_POINTS, TOLERANCE

__all__ = ["lattice_of", "snapped"]

_DECIMALS = 12
_DIGITS = {
    False: 1e14,
    True: 1e6,
}  # numbers of that many steps and more are not on a lattice but as exact as the type is
_FIRST = 1 << 12  # numbers on which a lattice is tried before all others confirm it
_ROWS = 8  # numbers from which digits that are not there are not chance
_CERTAIN = 12  # distinct values from which a common divisor is not chance: one in 2^11


def lattice_of(points: np.ndarray, exact: bool = False, small: bool = False) -> tuple[int | None, float, float]:
    """The lattice on which all numbers lie.

    Arguments:
        points: Finite numbers in ascending order.
        exact: Whether they are integers of an integer type.
        small: Whether they were stored with fewer digits than float64 has.

    Returns:
        How many digits follow the decimal point (None where there are too many), the spacing (0 without a lattice) and a
        value on the lattice.

    Example:
        >>> lattice_of(np.array([0.5, 2.0]).repeat(4))
        (1, 1.5, 0.5)
        >>> lattice_of(np.sqrt(np.arange(9.0)))
        (None, 0.0, 0.0)
    """
    if not len(points):
        return None, 0.0, 0.0
    decimals = 0 if exact else _decimals(points, small) if len(points) >= _ROWS else None
    if decimals is not None and np.abs(points[[0, -1]]).max() * 10.0**decimals < 2.0**53:
        whole = np.rint(points * 10.0**decimals).astype(np.int64)
        gaps = np.diff(whole)
        distinct = int((gaps > 0).sum()) + 1
        certain = distinct >= _CERTAIN or 2 * distinct <= len(points)
        divisor = int(np.gcd.reduce(gaps)) if certain and distinct > 1 else 1
        return decimals, float(round(divisor / 10.0**decimals, decimals)), float(points[0])
    if exact:
        return 0, 1.0, float(points[0])
    step = _spacing(points)
    return None, step, float(points[0]) if step else 0.0


def _decimals(points: np.ndarray, small: bool) -> int | None:
    """The digits after the decimal point, if these are few enough to be meant."""
    first = points[:: max(1, len(points) // _FIRST)]
    largest = float(np.abs(points[[0, -1]]).max())
    for decimals in range(_DECIMALS + 1):
        if largest * 10.0**decimals > _DIGITS[small]:
            return None
        if _on(first, decimals, small) and _on(points, decimals, small):
            return decimals
    return None


def _on(points: np.ndarray, decimals: int, small: bool) -> bool:
    rounded = np.round(points, decimals)
    return bool((rounded.astype(np.float32) == points.astype(np.float32) if small else rounded == points).all())


def _spacing(points: np.ndarray) -> float:
    """The spacing of numbers that are not decimal ones, such as k/255; 0 where few occur twice."""
    gaps = np.diff(points)
    distinct = int((gaps > 0).sum()) + 1
    if distinct < 2 or 2 * distinct > len(points):
        return 0.0
    span, smallest = points[-1] - points[0], gaps[gaps > 0].min()
    cells = round(min(span / smallest, 2.0 * MAX_POINTS))
    if cells > MAX_POINTS:
        return 0.0
    step = span / cells
    k = (points - points[0]) / step
    return float(step) if bool((np.abs(k - np.rint(k)) <= TOLERANCE).all()) else 0.0


def snapped(x: np.ndarray, values: tuple[float, ...], step: float, origin: float, decimals: int | None) -> np.ndarray:
    """Real numbers as the nearest of some `values`, or else of a lattice; NaN stays NaN.

    Example:
        >>> snapped(np.array([0.26, 3.9]), (), 0.25, 0.0, 2), snapped(np.array([7.0]), (0.0, 5.0, 100.0), 5.0, 0.0, 0)
        (array([0.25, 4.  ]), array([5.]))
    """
    if values:
        known = np.array(values)
        nearest = np.searchsorted((known[1:] + known[:-1]) / 2, x)
        return np.where(np.isnan(x), np.nan, known[np.minimum(nearest, len(known) - 1)])
    if step:
        x = origin + np.rint((x - origin) / step) * step
    return x if decimals is None else np.round(x, decimals)
