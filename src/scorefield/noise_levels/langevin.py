"""The variance that annealed Langevin dynamics ends with, exactly, and the step that changes it the least.

At a level σ a move is x ← x + a s + √(2a) z with the score s, and r = a/σ² is the same at all levels. Authors give ε = r σ_L²
with this convention (NCSNv2, and the code of NCSN), or ε = 2 r σ_L² where a move is x + (ε/2) s + √ε z (the paper of NCSN).

For a single data point x_0 the score is that of N(x_0, σ²I). Of the variance v = ρσ² a move makes (1 - r)² v + 2rσ²; T moves
at a level, γ times smaller than the one before, make of ρ

    q^T (γ² ρ - b) + b,    q = (1 - r)²,    b = 1 / (1 - r/2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Annealing", "Criterion", "after", "best_ratio", "fixed_point", "one_level"]

Criterion = Callable[[float, int, float], float]
"""(r, T, γ) → the variance to keep near 1, in units of σ²."""


def after(levels: int, ratio: float, moves: int, gap: float, start: float = 1.0) -> float:
    """The variance ρ after so many levels, in units of that of the last level.

    Arguments:
        levels: How many levels there are.
        ratio: r, the step in units of σ².
        moves: T, the moves at each level.
        gap: γ, the ratio of neighbouring levels.
        start: ρ before the first level, in units of that of a level before it; 0 for a start from a point.

    Example:
        >>> after(1, 0.062, moves=5, gap=1.037559) == one_level(0.062, moves=5, gap=1.037559)
        True
        >>> f"{after(2311, 0.9e-7 / 0.01**2, 3, 1.004537, start=0):.1e}"  # the step printed for FFHQ, a tenth of the right one
        '6.8e+03'
    """
    _check(ratio, moves, gap)
    kept, bias, value = (1 - ratio) ** (2 * moves), 1 / (1 - ratio / 2), start
    for _ in range(levels):
        value = kept * gap**2 * value + (1 - kept) * bias
    return value


def one_level(ratio: float, moves: int, gap: float) -> float:
    """The variance ρ > 1 after one level that began with ρ = 1 at the level before (Song & Ermon, 2020, Technique 4).

    The fractions of the paper's formula are squares (1 - ε/σ_L²)², without which the formula makes no sense.

    Arguments:
        ratio: r, the step in units of σ².
        moves: T, the moves at each level.
        gap: γ, the ratio of neighbouring levels.

    Example:
        >>> round(one_level(6.2e-6 / 0.01**2, moves=5, gap=1.037559), 5)  # NCSNv2 on CIFAR-10
        1.05547
    """
    return after(1, ratio, moves, gap)


def fixed_point(ratio: float, moves: int, gap: float) -> float:
    """The variance after many levels, ρ* = b (1 - q^T) / (1 - q^T γ²): what annealed Langevin dynamics ends with.

    It is in units of σ², and infinite if noise gathers faster than moves forget it.

    Arguments:
        ratio: r, the step in units of σ².
        moves: T, the moves at each level.
        gap: γ, the ratio of neighbouring levels.

    Example:
        >>> round(fixed_point(6.2e-6 / 0.01**2, moves=5, gap=1.037559), 4)  # NCSNv2 on CIFAR-10
        1.1283
        >>> fixed_point(0.9e-7 / 0.01**2, moves=3, gap=1.004537)
        inf
    """
    _check(ratio, moves, gap)
    if ratio == 1:
        return 2.0
    forgotten = 2 * moves * math.log(abs(1 - ratio))
    growth = -math.expm1(forgotten + 2 * math.log(gap))
    return -math.expm1(forgotten) / (1 - ratio / 2) / growth if growth > 0 else math.inf


def best_ratio(moves: int, gap: float, criterion: Criterion = fixed_point) -> float:
    """The r below 1 that brings the variance nearest to that of the level.

    Arguments:
        moves: T, the moves at each level.
        gap: γ, the ratio of neighbouring levels.
        criterion: `fixed_point`, or `one_level` for the choice of the NCSNv2 paper, too small a step for many levels.

    Example:
        >>> f"{best_ratio(5, 1.037559, one_level) * 0.01**2:.2e}, {best_ratio(5, 1.037559) * 0.01**2:.3e}"
        '6.18e-06, 1.149e-05'
    """
    _check(0.5, moves, gap)
    # from this r on `fixed_point` is finite; both criteria fall, then rise with ln r
    low, high = math.log(-math.expm1(-math.log(gap) / moves)), 0.0
    golden = (math.sqrt(5) - 1) / 2
    inner = [high - golden * (high - low), low + golden * (high - low)]
    values = [criterion(math.exp(at), moves, gap) for at in inner]
    for _ in range(70):
        if values[0] <= values[1]:
            high, inner = inner[1], [inner[1] - golden * (inner[1] - low), inner[0]]
            values = [criterion(math.exp(inner[0]), moves, gap), values[0]]
        else:
            low, inner = inner[0], [inner[1], inner[0] + golden * (high - inner[0])]
            values = [values[1], criterion(math.exp(inner[1]), moves, gap)]
    return math.exp((low + high) / 2)


def _check(ratio: float, moves: int, gap: float) -> None:
    if not 0 < ratio < 2 or moves < 1 or not 1 < gap < math.inf:
        got = f"ratio={ratio:g}, moves={moves}, gap={gap:g}"
        raise ValueError(f"annealed Langevin dynamics needs 0 < ratio < 2, moves >= 1 and gap > 1, got {got}")


@dataclass(frozen=True)
class Annealing:
    """The settings of annealed Langevin dynamics on a ladder.

    Arguments:
        moves: T, the moves at each level.
        ratio: r, the step in units of σ².
        gap: γ, the ratio of neighbouring levels.
    """

    moves: int
    ratio: float
    gap: float

    def __post_init__(self) -> None:
        _check(self.ratio, self.moves, self.gap)

    @property
    def variance(self) -> float:
        """ρ*, the variance that it ends with, in units of σ²."""
        return fixed_point(self.ratio, self.moves, self.gap)

    def step(self, last: float) -> float:
        """ε of NCSNv2, with x + ε s + √(2ε) z at the smallest level σ_L = `last`; that of NCSN's paper is twice as large."""
        return self.ratio * last**2
