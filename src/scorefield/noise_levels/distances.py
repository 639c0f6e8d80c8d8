"""The largest distance between two examples, exact, without computing most distances.

No example j lies farther from i than r_i + r_j, with r the distances from any centre: pairs near the centre are skipped. For
the others, with P the projection on a few directions in which far examples differ and ρ² = r² - |P|² the rest,

    |x_i - x_j|² ≤ |P_i - P_j|² + (ρ_i + ρ_j)²,

which is one product of matrices with a few columns instead of as many as there are dimensions. The few pairs that pass are
measured in float64. Products are in float32, and bounds allow for the largest error that they may have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Rows
from ..progress import report
from ..units import Units
from .points import Points
from .search import Best, Search

__all__ = ["Diameter", "diameter", "nearest"]

_PIVOTS = 16  # examples from which the search for the farthest ones starts


@dataclass(frozen=True)
class Diameter:
    """The largest distance between two examples.

    Arguments:
        low: The distance of a pair that was found: the largest one is at least that.
        high: No pair is farther apart; equal to `low` if that is the largest distance itself.
        pair: Which two examples these are.
        count: How many examples there are.
    """

    low: float
    high: float
    pair: tuple[int, int]
    count: int

    @property
    def exact(self) -> bool:
        """Whether this is the largest distance itself, not bounds of it."""
        return self.low == self.high


def diameter(
    x: Rows | Tensor, units: Units | None = None, tolerance: float = 0.0, limit: float | None = None
) -> Diameter:
    """The largest distance between two examples, or bounds of it, without an array of all distances.

    Memory does not grow with the number of pairs, and data on disk are read a part at a time. Where far pairs differ in some
    directions more than in others, as images do, this costs much less than all pairs; for isotropic noise no bound helps, and
    it costs as much as all pairs in float32.

    Arguments:
        x: Data, of shape `(N, *D)`.
        units: The units to measure in; those of `x` by default.
        tolerance: A relative error: with it, `high` is up to `low · (1 + tolerance)`, for less work.
        limit: Stops after that many multiplications; `high` is then the bound that is known.

    Raises:
        ValueError: If there are fewer than 2 examples, some are not finite, or the tolerance is negative.

    Example:
        >>> diameter(torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]]))
        Diameter(low=5.0, high=5.0, pair=(0, 1), count=3)
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"a tolerance is a relative error of 0 or more, got {tolerance:g}")
    points = Points(x, units)
    if len(points) < 2:
        raise ValueError(f"a largest distance needs at least 2 examples, got {len(points)}")
    best = Best(points)
    centre, far = points.centre(_PIVOTS)
    radii, other = points.survey(far, centre)
    if not bool(torch.isfinite(radii).all()):
        raise ValueError(_not_finite(points))
    best.measure(torch.stack((far, other), 1))
    far = torch.cat([other, radii.topk(min(_PIVOTS, len(points))).indices]).unique()  # type: ignore[no-untyped-call]
    best.measure(torch.stack((far, points.farthest(far, centre, radii)), 1))
    if best.value == 0:
        return Diameter(0.0, 0.0, best.pair, len(points))
    high = Search(points, best, centre, radii, tolerance).run(math.inf if limit is None else limit)
    return Diameter(best.value, max(high, best.value), best.pair, len(points))


def _not_finite(points: Points) -> str:
    """Why distances are not finite."""
    bad = torch.cat([indices[~torch.isfinite(x).all(1)] for indices, x in points.chunks()])
    if len(bad) == 0:
        return "the data are so large that their distances are not finite: divide them by their standard deviation"
    return f"{len(bad)} of {len(points)} examples are not finite (the first is {int(bad.min())}): drop them"


def nearest(x: Tensor) -> float:
    """The median distance of data `(N, n)` to their nearest neighbours, copies aside: 0 if there are none."""
    largest, found = 1e-30, []
    for i, part in enumerate(x.split(256)):  # type: ignore[no-untyped-call]
        report(256 * i / len(x))
        distance = torch.cdist(part, x, compute_mode="use_mm_for_euclid_dist")
        largest = max(largest, float(distance.max()))
        distance[distance < 1e-6 * largest] = math.inf  # itself, and its copies
        found.append(distance.min(1).values)
    near = torch.cat(found)
    near = near[torch.isfinite(near)]
    return float(near.median()) if len(near) else 0.0
