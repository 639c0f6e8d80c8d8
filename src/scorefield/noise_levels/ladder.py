"""The ladder of noise levels of NCSNv2: the ratio of neighbouring levels, and their number (Song & Ermon, 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PUBLISHED_OVERLAP", "Ladder", "gap", "overlap"]

PUBLISHED_OVERLAP = 0.5667
"""The overlap that the published ladders have; their authors say 0.5."""

_WIDEST = 2.0


def overlap(gap: float, numbers: int) -> float:
    """How much of a level's noise lies where that of the next larger level does (Song & Ermon, 2020, Technique 2).

    Noise of the level σ in D dimensions lies on a ring, |z| ~ N(√D σ, σ²/2) for large D. This is the part of it that is within
    three standard deviations of the ring of γσ,

        Φ(√(2D) (γ - 1) + 3γ) - Φ(√(2D) (γ - 1) - 3γ).

    Arguments:
        gap: γ, the ratio of the two levels.
        numbers: D, the dimension of an example.

    Example:
        >>> round(overlap(1.037559, 3072), 4)  # the ladder of NCSNv2 for CIFAR-10
        0.567
    """
    apart = math.sqrt(2 * numbers) * (gap - 1)
    lower, upper = ((apart + side * 3 * gap) / math.sqrt(2) for side in (-1, 1))
    return (math.erfc(lower) - math.erfc(upper)) / 2


def gap(wanted: float, numbers: int, widest: float = _WIDEST) -> float:
    """The ratio γ of neighbouring levels of a wanted overlap: the root of `overlap`, by bisection.

    In few dimensions there are no rings: levels far apart still overlap. Then γ is the widest that is allowed.

    Arguments:
        wanted: The overlap, between 0 and 0.9973, that of a level with itself.
        numbers: D, the dimension of an example.
        widest: The largest γ.

    Raises:
        ValueError: If no ratio has this overlap, or `numbers` is not positive.

    Example:
        >>> round(gap(0.5667, 3072), 5)
        1.03757
    """
    if not 0 < wanted < 0.9973 or numbers < 1:
        got = f"overlap={wanted:g} and numbers={numbers}"
        raise ValueError(f"a ladder needs an overlap between 0 and 0.9973 and a dimension of at least 1, got {got}")
    low, high = 0.0, widest - 1  # in γ - 1, which has more digits
    if overlap(widest, numbers) >= wanted:
        return widest
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if overlap(1 + middle, numbers) > wanted else (low, middle)
    return 1 + low


@dataclass(frozen=True)
class Ladder:
    """Noise levels in geometric progression.

    Arguments:
        first: The largest level σ_1, in the units of the state.
        last: The smallest level σ_L.
        count: The number of levels L.
        numbers: D, the dimension of an example.

    Example:
        >>> ladder = Ladder.overlapping(50.0, 0.01, 3072, PUBLISHED_OVERLAP)
        >>> ladder.count, round(ladder.gap, 6)
        (232, 1.037559)
        >>> [round(level, 2) for level in ladder.levels[:3]]
        [50.0, 48.19, 46.45]
    """

    first: float
    last: float
    count: int
    numbers: int

    def __post_init__(self) -> None:
        if not 0 < self.last < self.first < math.inf or self.count < 2 or self.numbers < 1:
            got = f"first={self.first:g}, last={self.last:g}, count={self.count}, numbers={self.numbers}"
            raise ValueError(f"Ladder needs 0 < last < first, count >= 2 and numbers >= 1, got {got}")

    @classmethod
    def overlapping(cls, first: float, last: float, numbers: int, wanted: float = 0.5) -> Ladder:
        """The ladder whose neighbours overlap as much as is wanted, up to rounding the number of levels."""
        if not 0 < last < first < math.inf:
            raise ValueError(f"Ladder needs 0 < last < first, got first={first:g}, last={last:g}")
        return cls(first, last, max(2, round(steps(first, last, numbers, wanted)) + 1), numbers)

    @property
    def gap(self) -> float:
        """γ, the ratio of neighbouring levels."""
        return math.exp(math.log(self.first / self.last) / (self.count - 1))

    @property
    def overlap(self) -> float:
        """How much neighbouring levels overlap."""
        return overlap(self.gap, self.numbers)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels, from the largest to the smallest."""
        high, step = math.log(self.first), math.log(self.last / self.first) / (self.count - 1)
        return (self.first, *(math.exp(high + i * step) for i in range(1, self.count - 1)), self.last)


def steps(first: float, last: float, numbers: int, wanted: float) -> float:
    """The number of steps of a ladder, ln(σ_1/σ_L) / ln γ: L - 1 before it is rounded."""
    return math.log(first / last) / math.log(gap(wanted, numbers))
