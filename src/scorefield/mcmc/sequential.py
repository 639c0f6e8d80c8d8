"""Sequential Monte Carlo: a population is led from one law to another, and weighed, resampled and moved on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..rng import Rng
from .weighted import WeightedSamples

__all__ = ["Population", "sequential_monte_carlo"]

_HALVINGS = 50  # of the interval that the next β is in
_SHRUNK = math.log(10.0)  # a move is as long as the distance of two points calls for, or up to ten times shorter
_LEAPS = 5  # each so many moves, one from one mode to another
_LOST = 1e-9  # a part of the population that is not worth a move


class Population(NamedTuple):
    """Points that arrived, and what was seen on the way."""

    points: Tensor
    """Points of the last law, of shape `(N, *D)`, without weights."""

    log_ratio: float
    """The logarithm of the ratio of the normalizing constants, log Z_1 - log Z_0."""

    betas: tuple[float, ...]
    """Where on the path the population stopped, the last one 1."""

    acceptance: tuple[float, ...]
    """The part of the proposals that were accepted there."""


LogProb = Callable[[Tensor], Tensor]


@torch.no_grad()
def sequential_monte_carlo(
    first: LogProb, last: LogProb, x: Tensor, rng: Rng, effective: float = 0.5, accepted: float = 4.0, limit: int = 200
) -> Population:
    """Draws from an unnormalized density, along the path (1 - β) log f_0 + β log f_1 (Del Moral, Doucet & Jasra, 2006).

    β rises as far as leaves a part of the population effective; points are resampled by weight; then each half of the
    population moves by differences of two points of the other half (ter Braak, 2006; Foreman-Mackey et al., 2013), which
    have the scale, the shape and the distances of the modes of the law, with the Metropolis test. No derivative is asked for.
    Points depend on each other: one population is one measurement of `log_ratio`, and its spread is seen over seeds.

    Arguments:
        first: The log-density of the law of `x` up to a constant, `(B, *D)` to `(B,)`; -inf outside of its support.
        last: That of the law to draw from, whose support lies in that of the first.
        x: Independent draws from the first law, of shape `(N, *D)`.
        rng: The source of randomness, of N samples.
        effective: The part of the population that each β leaves effective.
        accepted: How often a point is moved, on average, at a β that leaves no more effective than that, and less often where
            the weights say less.
        limit: How many moves are tried for it at each β, at most.

    Returns:
        The population at the last law.

    Raises:
        ValueError: If there are fewer than 4 points, or a part is none.
        RuntimeError: If no point has a weight.

    Example:
        >>> from scorefield.rng import Samples
        >>> wide, narrow = lambda x: -x.square().sum(1) / 2, lambda x: -x.square().sum(1) / 0.02  # Z: 2π and 0.02π
        >>> rng = Samples(seed=0, count=2000)
        >>> found = sequential_monte_carlo(wide, narrow, rng.child("start").normal((2000, 2)), rng)
        >>> abs(found.log_ratio - math.log(0.01)) < 0.2, abs(float(found.points.std()) - 0.1) < 0.01
        (True, True)
    """
    if len(x) < 4 or not 0 < effective < 1 or accepted < 0:
        got = f"{len(x)} points, effective={effective:g}, accepted={accepted:g}"
        raise ValueError(f"a population needs 4 points or more, 0 < effective < 1 and accepted >= 0; got {got}")
    x, heights = x.detach(), torch.stack([_height(first, x), _height(last, x)])
    places = torch.arange(len(x), dtype=torch.float64, device=x.device)
    betas, acceptance, log_ratio = [0.0], [], 0.0
    while betas[-1] < 1:
        there, gain = rng.child(str(len(betas))), heights[1] - heights[0]
        rise = _rise(gain, 1 - betas[-1], effective * len(x))
        betas.append(1.0 if rise == 1 - betas[-1] else betas[-1] + rise)
        weighted = WeightedSamples(places, rise * gain)
        log_ratio += float(weighted.log_mean_weight.value)
        chosen = weighted.resample(len(x), there.child("resample")).long()
        chosen = chosen[there.child("order").uniform((len(x),), torch.float64, x.device).argsort()]
        lost = 1 - weighted.effective_sample_size / len(x)
        moves = accepted * min(1.0, lost / (1 - effective)) if lost > _LOST else 0.0
        x, heights, part = _moved(first, last, betas[-1], x[chosen], heights[:, chosen], there, moves, limit)
        acceptance.append(part)
    return Population(x, log_ratio, tuple(betas[1:]), tuple(acceptance))


def _height(f: LogProb, x: Tensor) -> Tensor:
    """A log-density in float64, `(N,)`: -inf where it is no number."""
    return f(x).double().nan_to_num(-math.inf, posinf=math.inf, neginf=-math.inf)


def _rise(gain: Tensor, left: float, enough: float) -> float:
    """How far β may rise for weights exp(rise · gain) to leave `enough` points effective."""

    def fine(rise: float) -> bool:
        return float(1 / (rise * gain).softmax(0).square().sum()) >= enough

    if not bool(torch.isfinite(gain).any()):
        raise RuntimeError("no point of the first law has a density under the last: they do not overlap")
    if fine(left):
        return left
    low, high = 0.0, left
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fine(middle) else (low, middle)
    return high  # where a part of the points has no density at all, no rise is fine


def _moved(
    first: LogProb, last: LogProb, beta: float, x: Tensor, heights: Tensor, rng: Rng, accepted: float, limit: int
) -> tuple[Tensor, Tensor, float]:
    """The population after moves that leave the law at β as it is, its heights, and the part that was accepted.

    A proposal is tested with the first law, and then, if it passes, with the rest, β (log f_1 - log f_0): the law stays as it
    is, and the last log-density, which may be dear, is asked for no more often than needed (Christen & Fox, 2005).
    """
    half, size, done, tried = len(x) // 2, x[0].numel(), 0.0, 0
    x, heights = x.clone(), heights.clone()
    while done < accepted and tried < limit:
        u = rng.child(f"move {tried}").uniform((len(x), 5), torch.float64, x.device)
        for own, other in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            others, mine = x[other], u[own]
            a, b = (others[(mine[:, i] * len(others)).long()] for i in (0, 1))
            length = 1.0 if tried % _LEAPS == _LEAPS - 1 else 2.38 / math.sqrt(2 * size) * (-_SHRUNK * mine[:, 2]).exp()
            length = torch.as_tensor(length, dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
            y, old, luck = x[own] + length * (a - b), heights[:, own], mine[:, 3:].log()
            near = _height(first, y)
            passed = (torch.isfinite(near) & (luck[:, 0] < near - old[0])).nonzero()[:, 0]
            if len(passed) == 0:
                continue
            far = _height(last, y[passed])
            gain = far - near[passed] - (old[1] - old[0])[passed]
            taken = torch.isfinite(far) & (luck[passed, 1] < beta * gain)
            chosen = passed[taken]
            x[own][chosen] = y[chosen]
            old[0, chosen], old[1, chosen] = near[chosen], far[taken]
            done += len(chosen) / len(x)
        tried += 1
    return x, heights, done / max(tried, 1)
