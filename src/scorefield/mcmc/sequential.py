"""Sequential Monte Carlo: a population that is reweighted, resampled and moved along a path of distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..rng import Rng
from ..tensors import expand
from .weighted import WeightedSamples

__all__ = ["Population", "sequential_monte_carlo"]

_BISECTIONS = 50  # of the interval that contains the next β
_LOG_SHORTEST = math.log(10.0)  # moves are shortened by a random factor of up to ten
_JUMP_EVERY = 5  # one of five moves has full length, which reaches other modes
_NEGLIGIBLE = 1e-9  # a loss of effective sample size that needs no move


class Population(NamedTuple):
    """The result of sequential Monte Carlo.

    Arguments:
        points: Unweighted draws from the last distribution, of shape `(N, *D)`.
        log_ratio: The estimated log-ratio of the normalizing constants, log Z_1 - log Z_0.
        betas: The values of β on the path; the last one is 1.
        acceptance: The acceptance rate at each of them.
    """

    points: Tensor
    log_ratio: float
    betas: tuple[float, ...]
    acceptance: tuple[float, ...]


LogProb = Callable[[Tensor], Tensor]


@torch.no_grad()
def sequential_monte_carlo(
    first: LogProb,
    last: LogProb,
    x: Tensor,
    rng: Rng,
    effective: float = 0.5,
    accepted: float = 4.0,
    limit: int = 200,
    at_the_end: float = 0.0,
) -> Population:
    """Draws from an unnormalized density, along the path (1 - β) log f_0 + β log f_1 (Del Moral, Doucet & Jasra, 2006).

    β increases as far as the effective sample size allows, and points are resampled by weight. Then each half of the population
    makes Metropolis moves along differences of two points of the other half (ter Braak, 2006; Foreman-Mackey et al., 2013),
    which have the scale and the shape of the target and the distances of its modes. No derivatives are needed. The points are
    dependent: a population gives one estimate of `log_ratio`, and its error can be seen only over several seeds.

    Arguments:
        first: The log-density of the distribution of `x` up to a constant, `(B, *D)` to `(B,)`; -inf outside of its support.
        last: The log-density of the target, whose support lies in that of the first.
        x: Independent draws from the first distribution, of shape `(N, *D)`.
        rng: The source of random numbers, of N samples.
        effective: The fraction of the population that remains effective at each β.
        accepted: The mean number of accepted moves per point after a full step in β; after shorter steps it is smaller.
        limit: The maximum number of attempted moves at each β.
        at_the_end: The mean number of accepted moves at the target, if it is larger: what resampling has lost together, such as
            the mean of all points, is found again by as many moves as there are dimensions, and more.

    Returns:
        The population at the target.

    Raises:
        ValueError: If there are fewer than 4 points, or `effective` or `accepted` is out of its range.
        RuntimeError: If no point has a density under the target.

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
        need = "at least 4 points, 0 < effective < 1 and accepted >= 0"
        raise ValueError(f"sequential Monte Carlo needs {need}, got {got}")
    x, log_probs = x.detach(), torch.stack([_log_prob(first, x), _log_prob(last, x)])
    indices = torch.arange(len(x), dtype=torch.float64, device=x.device)
    betas, acceptance, log_ratio = [0.0], [], 0.0
    while betas[-1] < 1:
        source, log_ratios = rng.child(str(len(betas))), log_probs[1] - log_probs[0]
        step = _largest_step(log_ratios, 1 - betas[-1], effective * len(x))
        betas.append(1.0 if step == 1 - betas[-1] else betas[-1] + step)
        weighted = WeightedSamples(indices, step * log_ratios)
        log_ratio += float(weighted.log_mean_weight.value)
        chosen = weighted.resample(len(x), source.child("resample")).long()
        chosen = chosen[source.child("order").uniform((len(x),), torch.float64, x.device).argsort()]
        lost = 1 - weighted.effective_sample_size / len(x)
        moves = accepted * min(1.0, lost / (1 - effective)) if lost > _NEGLIGIBLE else 0.0
        ends, moves = (first, last), max(moves, at_the_end if betas[-1] == 1 else 0.0)
        x, log_probs, rate = _moved(ends, betas[-1], x[chosen], log_probs[:, chosen], source, moves, limit)
        acceptance.append(rate)
    return Population(x, log_ratio, tuple(betas[1:]), tuple(acceptance))


def _log_prob(f: LogProb, x: Tensor) -> Tensor:
    """A log-density in float64, `(N,)`, with -inf in place of NaN."""
    return f(x).double().nan_to_num(-math.inf, posinf=math.inf, neginf=-math.inf)


def _largest_step(log_ratios: Tensor, remaining: float, enough: float) -> float:
    """The largest step in β for which the weights exp(step · log_ratios) have the effective sample size `enough`."""

    def acceptable(step: float) -> bool:
        return float(1 / (step * log_ratios).softmax(0).square().sum()) >= enough

    if not bool(torch.isfinite(log_ratios).any()):
        raise RuntimeError("no point has a density under the target: the first distribution must overlap with it")
    if acceptable(remaining):
        return remaining
    low, high = 0.0, remaining
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if acceptable(middle) else (low, middle)
    return high  # if many points have no density under the target, no step is acceptable


def _moved(
    ends: tuple[LogProb, LogProb], beta: float, x: Tensor, log_probs: Tensor, rng: Rng, accepted: float, limit: int
) -> tuple[Tensor, Tensor, float]:
    """The population after moves that leave the distribution at β invariant, its log-densities, and the acceptance rate.

    A proposal is tested with the first density, and if it passes, with the rest, β (log f_1 - log f_0). The distribution is
    still invariant, and the last log-density, which may be expensive, is evaluated less often (Christen & Fox, 2005).
    """
    half, size, done, tried = len(x) // 2, x[0].numel(), 0.0, 0
    x, log_probs = x.clone(), log_probs.clone()
    while done < accepted and tried < limit:
        u = rng.child(f"move {tried}").uniform((len(x), 5), torch.float64, x.device)
        for own, other in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            others, uniform = x[other], u[own]
            a, b = (others[(uniform[:, i] * len(others)).long()] for i in (0, 1))
            length = 2.38 / math.sqrt(2 * size) * (-_LOG_SHORTEST * uniform[:, 2]).exp().to(x.dtype)
            if tried % _JUMP_EVERY == _JUMP_EVERY - 1:
                length = torch.ones_like(length)
            y, old, log_u = x[own] + expand(length, a) * (a - b), log_probs[:, own], uniform[:, 3:].log()
            near = _log_prob(ends[0], y)
            passed = (torch.isfinite(near) & (log_u[:, 0] < near - old[0])).nonzero()[:, 0]
            if len(passed) == 0:
                continue
            far = _log_prob(ends[1], y[passed])
            log_ratio = far - near[passed] - (old[1] - old[0])[passed]
            taken = torch.isfinite(far) & (log_u[passed, 1] < beta * log_ratio)
            chosen = passed[taken]
            x[own][chosen] = y[chosen]
            old[0, chosen], old[1, chosen] = near[chosen], far[taken]
            done += len(chosen) / len(x)
        tried += 1
    return x, log_probs, done / max(tried, 1)
