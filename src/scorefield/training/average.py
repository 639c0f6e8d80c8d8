"""Averages of weights over the course of training."""

from __future__ import annotations

import numpy as np
from torch import Tensor

__all__ = ["PowerAverage", "exponent"]


def exponent(width: float) -> float:
    """The power γ of an average whose profile has the relative standard deviation `width` (Karras et al., 2024, eq. 2-4).

    Raises:
        ValueError: If no power has this width.

    Example:
        >>> round(exponent(0.05), 2), round(exponent(0.10), 2)
        (16.97, 6.94)
    """
    if not 0 < width < 0.2886:
        raise ValueError(f"the relative width of a power-function average lies between 0 and 0.288, got {width:g}")
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots[np.abs(roots.imag) < 1e-6].real.max())


class PowerAverage:
    """A power-function average: the weights of step τ count as τ^γ, so that it is right for short runs and for long ones.

    Arguments:
        values: The weights, of shape `(n,)`.
        width: The standard deviation of the profile, relative to the length of the run.
    """

    def __init__(self, values: Tensor, width: float) -> None:
        self.width = width
        self.power = exponent(width)
        self.values = values.clone()

    def update(self, values: Tensor, step: int) -> None:
        """Adds the weights after step `step`, which counts from 1."""
        self.values.lerp_(values, 1 - (1 - 1 / step) ** (self.power + 1))
