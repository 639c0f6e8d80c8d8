"""Whether numbers are whole, or lie on a lattice with another spacing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Lattice", "cells"]

GUESSED_FROM = 1 << 12  # values of a feature from which the spacing is guessed, before all others confirm it
MAX_POINTS = 1 << 16  # points of a lattice
_FINE = 0.08  # standard deviations: noise of this width adds a two-thousandth to the variance
_FINEST = 1e-3  # standard deviations: below the smallest level there is
TOLERANCE = 1e-3  # of a spacing: k/255 in float32 is off by 1e-5 of one


def cells(integer: bool | Sequence[bool], step: Tensor, deviation: Tensor) -> Tensor | None:
    """The widths of the cells that values stand for, 0 where these are points, in float64.

    A whole number k stands for k - 1/2 to k + 1/2, which is what is rounded to it. Other numbers on a lattice stay as they
    are sampled: they stand for cells where these are too small to matter, no wider than 0.08 standard deviations. Cells
    below 0.001 standard deviations count as points.

    Arguments:
        integer: Whether samples are rounded, for tables one flag a column, as a `Schema` says.
        step: The spacing of the lattices, 0 where there are none.
        deviation: The standard deviations of the data, which broadcast against it.

    Example:
        >>> cells((True, False, False), torch.tensor([2.0, 0.1, 0.5]).double(), torch.tensor([3.0, 3.0, 3.0]))
        tensor([1.0000, 0.1000, 0.0000], dtype=torch.float64)
    """
    whole = torch.as_tensor(integer).expand(step.shape)
    found = torch.where(whole, 1.0, torch.where(step <= _FINE * deviation, step, 0.0))
    found = torch.where(found < _FINEST * deviation, 0.0, found)
    return found if bool(found.any()) else None


class Lattice:
    """Finds where all values are whole numbers, and where they lie on few points of equal spacing.

    The spacing is guessed from the first chunk and confirmed by all. A grid, of internal `shape` (C, *S), has one
    spacing for all its values, a vector one for each feature. `dtype` is that of the stored numbers.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        self._whole = not dtype.is_floating_point
        self._vector = len(shape) == 1
        self.integer = torch.ones(tuple(shape), dtype=torch.bool)
        self.step = torch.zeros(tuple(shape), dtype=torch.float64)
        self._origin = torch.zeros(())

    def begin(self, x: Tensor) -> None:
        """Guesses the spacing from the first chunk `(B, *shape)` of finite float64 numbers."""
        self._origin = self._guess(x)

    def known(self) -> Tensor:
        """What has been found so far, `(2, *shape)`."""
        return torch.stack([self.integer.double(), self.step])

    def meet(self, found: Tensor) -> None:
        """Takes into account what lattices that began with the same chunk have found of others, `(n, 2, *shape)`."""
        self.integer, self.step = found[:, 0].amin(0).bool(), found[:, 1].amin(0)

    def add(self, x: Tensor) -> None:
        """Takes a chunk `(B, *shape)` of finite float64 numbers into account."""
        if not self._whole and bool(self.integer.any()):
            self.integer &= (x == x.round()).all(0)
        if self._vector:
            found = self.step.nonzero()[:, 0]
            off = _off(x[:, found], self._origin[found], self.step[found])
            self.step[found[off.any(0)]] = 0.0
            return
        known = self._whole and bool((self.step == 1).all())
        if not known and bool(self.step.any()) and bool(_off(x, self._origin, self.step).any()):
            self.step.fill_(0.0)

    def _guess(self, x: Tensor) -> Tensor:
        """Sets the spacing and returns a point of the lattice."""
        if self._vector:
            self.step = _spacing(x[:GUESSED_FROM])
            return x[0].clone()
        values = x.flatten()[:: -(-x.numel() // GUESSED_FROM), None]
        self.step.fill_(_spacing(values).item())
        return values[0].clone()


def _spacing(x: Tensor) -> Tensor:
    """The spacing of each column of `(n, F)`; 0 where there is none or where few values occur twice."""
    points = x.sort(0).values
    gaps = points.diff(dim=0)
    distinct = (gaps > 0).sum(0) + 1
    if not len(gaps):
        return torch.zeros_like(x[0])
    smallest = torch.where(gaps > 0, gaps, math.inf).amin(0)
    span = points[-1] - points[0]
    cells = (span / smallest).round()
    step = span / cells.clamp(min=1.0)  # the mean over many gaps is free of rounding
    certain = (distinct > 1) & (2 * distinct <= len(x)) & (cells <= MAX_POINTS)
    return torch.where(certain & ~_off(points, points[0], step).any(0), step, 0.0)


def _off(x: Tensor, origin: Tensor, step: Tensor) -> Tensor:
    k = (x - origin) / step
    return (k - k.round()).abs() > TOLERANCE
