"""Tails beyond the outermost knots, fitted to the excesses over them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["HEAVIEST", "Tail", "fit_tail"]

HEAVIEST = 0.9  # shape: above it not even a mean exists
_PRIOR = 0.3  # standard deviation of the normal prior of the shape, around 0
_FEWEST = 5  # excesses that a shape needs


@dataclass(frozen=True)
class Tail:
    """How a map goes on beyond its outermost knot.

    Arguments:
        scale: The scale β of a generalized Pareto distribution; 0 for a normal tail, a straight line.
        shape: Its shape ξ; negative where it ends at a bound.
        slope: dz/dy at the knot, at which the density is continuous.
    """

    scale: float
    shape: float
    slope: float

    @property
    def heavy(self) -> bool:
        """Whether it falls off more slowly than a normal tail, without end."""
        return self.scale > 0 and self.shape >= 0

    @property
    def name(self) -> str:
        """What it is, in words."""
        if not self.heavy:
            return "normal" if self.scale == 0 else "ends at its bound"
        return f"generalized Pareto of shape {self.shape:.2g}" if self.shape else "exponential"


def fit_tail(excess: np.ndarray, z: float, end: float = math.inf, heaviest: float = HEAVIEST) -> Tail:
    """The tail of excesses over a knot at which the standard normal coordinate is ±z.

    With a bound it is a power of the distance to it. Without, it is generalized Pareto or normal, whichever makes the
    excesses likelier; the shape is the maximum of the profile likelihood times a normal prior around 0, from 0 to 0.9, so
    that no value is impossible.

    Arguments:
        excess: How far values lie beyond the knot, all positive.
        z: The distance of the knot from 0 in the standard normal coordinate.
        end: The distance of the bound from the knot.
        heaviest: The largest shape. In logarithms it is 0: exponential tails are Pareto tails of the values themselves.

    Returns:
        The tail.

    References:
        Davison, 1984, "Modelling excesses over high thresholds", for the profile likelihood.

    Example:
        >>> steps = -np.log(np.linspace(0.995, 0.005, 100))  # exponential
        >>> tail = fit_tail(steps, 1.645)
        >>> tail.shape < 0.1, 0.8 < tail.scale < 1.1
        (True, True)
    """
    hazard = _hazard(z)
    excess = excess[excess > 0]
    count, mean = len(excess), float(excess.mean()) if len(excess) else 1.0
    if math.isfinite(end):
        inside = np.minimum(excess / end, 1 - 1e-9)
        power = (count + 1) / (-np.log1p(-inside).sum() + mean / end)
        return Tail(end / power, -1 / power, power / end / hazard)
    slope = (hazard - z) / mean
    if count < _FEWEST:
        return Tail(0.0, 0.0, slope)
    scale, shape, likelihood = _pareto(excess, heaviest)
    log_tail = _log_survival(z)
    straight = z + slope * excess
    normal = float((math.log(slope) - 0.5 * straight**2 - 0.5 * math.log(2 * math.pi) - log_tail).sum())
    if normal >= likelihood:
        return Tail(0.0, 0.0, slope)
    return Tail(scale, shape, 1 / scale / hazard)


def _pareto(excess: np.ndarray, heaviest: float) -> tuple[float, float, float]:
    """Scale, shape and log-likelihood of a generalized Pareto distribution, by Grimshaw's profile in θ = ξ / β."""
    theta = np.logspace(-4, 4, 161) / np.median(excess)
    shape = np.log1p(theta[:, None] * excess).mean(1)
    count, mean = len(excess), float(excess.mean())
    profile = -count * (np.log(shape / theta) + shape + 1)
    penalized = np.where(shape <= heaviest, profile - 0.5 * (shape / _PRIOR) ** 2, -np.inf)
    exponential = -count * (math.log(mean) + 1)
    best = int(np.argmax(penalized))
    if penalized[best] <= exponential:
        return mean, 0.0, exponential
    return float(shape[best] / theta[best]), float(shape[best]), float(profile[best])


def _log_survival(z: float) -> float:
    return math.log(0.5 * math.erfc(z / math.sqrt(2)))


def _hazard(z: float) -> float:
    """φ(z) / (1 - Φ(z))."""
    return math.exp(-0.5 * z * z - 0.5 * math.log(2 * math.pi) - _log_survival(z))
