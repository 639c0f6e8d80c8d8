"""Annealed importance sampling: chains along a path of distributions, with weights that correct for their finite length.

The weights belong to an extended distribution, of whole trajectories. Their mean is exactly the ratio of the normalizing
constants at the two ends, however few the moves are; poor moves only increase their variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..derivatives import divergence
from ..progress import report
from ..rng import Rng
from ..tensors import sum_events
from .transition import ChainState, Langevin, MetropolisLangevin, Target, Transition, Unadjusted
from .weighted import WeightedSamples

__all__ = ["Path", "annealed_importance", "geometric", "score_importance"]

_BUFFER = 64  # random numbers per chain that are drawn at once, about
_EXACT, _PROBES = 64, 8  # by default the divergence is exact up to 64 coordinates, and has 8 probes above

Path = Callable[[float], Target]
"""β ↦ a target with a log-density up to a constant, from one end at β = 0 to the other at β = 1."""


def geometric(first: Target | Callable[[Tensor], Tensor], last: Target | Callable[[Tensor], Tensor]) -> Path:
    """The geometric path log f_β = (1 - β) log f_0 + β log f_1 between two log-densities.

    Arguments:
        first: The log-density at β = 0, `(B, *D)` to `(B,)`, or a `Target` that has one.
        last: The log-density at β = 1.

    Returns:
        The path.

    Raises:
        ValueError: If an end has only a score.

    Example:
        >>> path = geometric(lambda x: -x.square().sum(1) / 2, lambda x: -x.square().sum(1))
        >>> path(0.5).log_prob(torch.ones(1, 2))
        tensor([-1.5000])
    """
    ends = [end if isinstance(end, Target) else Target(log_prob=end) for end in (first, last)]
    for end in ends:
        if end.log_prob is None:
            raise ValueError("a geometric path needs the log-density of both ends: pass it, or use score_importance")
    (f, g), (s, t) = ([end.log_prob for end in ends], [end.score for end in ends])

    def at(beta: float) -> Target:
        def mixed(x: Tensor, a: Callable[[Tensor], Tensor], b: Callable[[Tensor], Tensor]) -> Tensor:
            if beta in (0.0, 1.0):  # 0 · ∞ is NaN
                return (b if beta else a)(x)
            return (1 - beta) * a(x) + beta * b(x)

        score = None if s is None or t is None else lambda x: mixed(x, s, t)
        return Target(score, lambda x: mixed(x, f, g))  # type: ignore[arg-type]  # both ends have a log-density

    return at


def _noises(x: Tensor, moves: int, rng: Rng, adjusted: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The noise of each move, `(B, *D)`, and uniform numbers `(B,)` for adjusted moves, drawn for several moves at once."""
    buffer = max(1, _BUFFER // math.prod(x.shape[1:]))
    for first in range(0, moves, buffer):
        z = rng.normal((len(x), buffer, *x.shape[1:]), x.dtype, x.device)
        u = rng.uniform((len(x), buffer), x.dtype, x.device) if adjusted else None
        for i in range(min(buffer, moves - first)):
            yield z[:, i].contiguous(), None if u is None else u[:, i]


def _check(x: Tensor, moves: int, name: str, values: Sequence[float], need: str, valid: bool) -> None:
    if not x.is_floating_point() or len(x) < 2:
        raise ValueError(f"annealed importance sampling needs at least 2 floating-point states, got {tuple(x.shape)}")
    if moves < 1:
        raise ValueError(f"annealed importance sampling needs moves >= 1, got moves={moves}")
    if len(values) < 2 or not valid:
        raise ValueError(f"annealing needs at least two {name} that {need}, got {[round(v, 6) for v in values[:8]]}")


@torch.no_grad()
def annealed_importance(
    path: Path,
    x: Tensor,
    betas: Sequence[float] | Tensor,
    rng: Rng,
    transition: Transition = MetropolisLangevin(0.3),  # noqa: B008  # a frozen value
    moves: int = 1,
    scale: float | Callable[[float], float] = 1.0,
) -> WeightedSamples:
    """Annealed importance sampling between any two unnormalized densities (Neal, 2001).

    At each β the weights are multiplied by the ratio of the densities at this and the previous β, then the states move.
    `log_mean_weight` of the result estimates log Z_1 - log Z_0, and weighted means are those of the last distribution.

    Arguments:
        path: β ↦ the target: `geometric(first, last)`, or your own function that returns a `Target` with a log-density.
        x: Independent draws from the first distribution, of shape `(N, *D)`.
        betas: The values of β, increasing; the first is that of `x`. More of them reduce the variance of the weights.
        rng: The source of random numbers. State i depends on `(seed, i)` only.
        transition: The move. Adjusted ones (`MetropolisLangevin`, `Hamiltonian`) leave each target invariant; the bias of
            unadjusted ones (`Langevin`) is corrected by the weights.
        moves: The number of moves at each β.
        scale: A standard deviation of all targets, or a function of β, to which the steps are proportional.

    Returns:
        The states at the last β, with their weights.

    Raises:
        ValueError: If the betas do not increase, a target has no log-density, or there are fewer than two states.
        RuntimeError: If a weight is not finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> wide, narrow = lambda x: -x.square().sum(1) / 2, lambda x: -x.square().sum(1) / 0.02  # Z: 2π and 0.02π
        >>> rng = Samples(seed=0, count=500)
        >>> betas = torch.linspace(0, 1, 60) ** 3
        >>> found = annealed_importance(geometric(wide, narrow), rng.child("start").normal((500, 2)), betas, rng,
        ...                             scale=lambda beta: (1 - beta + 100 * beta) ** -0.5)
        >>> bool((found.log_mean_weight.value - math.log(0.01)).abs() < 0.3)
        True
    """
    values = [float(beta) for beta in betas]
    _check(x, moves, "betas", values, "increase", all(a < b for a, b in pairwise(values)))
    width = scale if callable(scale) else lambda beta: scale
    noises = _noises(x, moves * (len(values) - 1), rng, transition.adjusted)
    start = path(values[0])
    if start.log_prob is None:
        raise ValueError("importance weights need log-densities, and this path has only scores: use score_importance")
    log_weight, log_prob = x.new_zeros(len(x), dtype=torch.float64), start.log_prob(x)
    x = x.detach()
    for i, beta in enumerate(values[1:]):
        report(i / (len(values) - 1))
        target = path(beta)
        known = target.value_and_gradient(x)
        log_weight += known[0] - log_prob
        for _ in range(moves):
            z, u = next(noises)
            if isinstance(transition, Unadjusted):
                x, known, correction = _unadjusted_move(transition, target, ChainState(x, known), width(beta), z)
                log_weight += correction
            else:
                state, _ = transition.move(target, ChainState(x, known), width(beta), z, u)
                x, known = state.x, state.known or target.value_and_gradient(state.x)
        log_prob = known[0]
    return WeightedSamples(x, log_weight)


def _unadjusted_move(
    transition: Unadjusted, target: Target, state: ChainState, scale: float, z: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
    """A move to y, what is known there, and its log-weight log f(y) - log f(x) + log k(x|y) - log k(y|x)."""
    factors, (log_prob, score) = transition.factors(scale), state.known or target.value_and_gradient(state.x)
    y = state.x + factors[0] * score + factors[1] * z
    known = target.value_and_gradient(y)
    return y, known, known[0] - log_prob + _log_kernel_ratio(state.x, y, known[1], factors, z)


def _log_kernel_ratio(x: Tensor, y: Tensor, score: Tensor, factors: tuple[float, float], z: Tensor) -> Tensor:
    """log k(x|y) - log k(y|x) of the kernel k(y|x) = N(y; x + a s(x), b²), for y = x + a s(x) + b z: `(B,)`."""
    a, b = factors
    reverse = (x - y - a * score) / b
    return (sum_events(z**2) - sum_events(reverse**2)) / 2


class _NoisyDensity(NamedTuple):
    """The densities q_v of data plus noise, given by their score."""

    score: Callable[[Tensor, Tensor], Tensor]
    probes: int
    rng: Rng

    def score_at(self, x: Tensor, level: float) -> Tensor:
        return self.score(x, x.new_tensor(level)).to(x.dtype)

    def score_and_derivative(self, x: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """s, `(N, *D)`, and v ∂ log q_v / ∂v, `(N,)`."""
        signs = None
        if self.probes:
            u = self.rng.uniform((len(x), self.probes, *x.shape[1:]), torch.float32, x.device)
            signs = torch.where(u < 0.5, -1.0, 1.0).to(x)
        s, trace = divergence(lambda x: self.score_at(x, level), x, signs)
        trace = trace.mean(1) if self.probes else trace
        return s, level**2 * (trace + sum_events(s**2)) / 2


@torch.no_grad()
def score_importance(
    score: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    levels: Sequence[float] | Tensor,
    rng: Rng,
    transition: Unadjusted = Langevin(),  # noqa: B008  # a frozen value
    moves: int = 1,
    probes: int | None = None,
) -> WeightedSamples:
    """Annealed Langevin dynamics with importance weights that need only the score.

    The densities q_v of data plus noise of variance v = level² are normalized and obey the heat equation, whose right-hand side
    follows from the score: ∂ log q_v / ∂v = ½ (∇·s + ‖s‖²). Between two levels its integral is added to the log-weight
    (trapezoidal rule in log v). Each move adds its own log-weight, with log q_v(y) - log q_v(x) as the line integral of s
    (Simpson's rule). This corrects the bias of unadjusted moves, and wrong masses of modes, without a density.

    For the exact score the mean weight is 1, up to the error of the two quadratures and of the first distribution. Another
    `log_mean_weight` shows that the score is not a gradient, or belongs to different distributions at different levels, but
    not that it is wrong by a constant factor: the chains then follow the wrong distribution as well.

    Arguments:
        score: (x, level) ↦ the score of the data plus noise of a level of shape `()`, `(N, *D)` to `(N, *D)`.
        x: Draws from the distribution at the first level, of shape `(N, *D)`, best in float64.
        levels: The noise levels, decreasing. More of them reduce the variance of the weights.
        rng: The source of random numbers. State i depends on `(seed, i)` only.
        transition: The move, `Langevin` or `GaussianLangevin`.
        moves: The number of moves at each level.
        probes: The number of Hutchinson probes for the divergence, or 0 for the exact one. By default it is exact up to 64
            coordinates, with 8 probes above. The variance of the probes enters the log-weights, and raises the mean weight by
            half of it.

    Returns:
        The states at the last level, with their weights.

    Raises:
        ValueError: If the levels do not decrease, the transition is adjusted, or there are fewer than two states.
        RuntimeError: If a weight is not finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> score = lambda x, level: -x / (1 + level**2)  # of standard normal data
        >>> rng = Samples(seed=0, count=1000)
        >>> x, levels = 10.05 * rng.child("start").normal((1000, 2), torch.float64), torch.logspace(1, -1, 100)
        >>> found = score_importance(score, x, levels, rng)
        >>> bool(found.log_mean_weight.value.abs() < 0.05)
        True
    """
    values = [float(level) for level in levels]
    decreasing = all(a > b for a, b in pairwise(values)) and values[-1:] > [0]
    _check(x, moves, "levels", values, "are positive and decrease", decreasing)
    if not isinstance(transition, Unadjusted):
        what = f"{type(transition).__name__} needs a log-density, and here is only a score"
        raise ValueError(f"{what}: use Langevin, or annealed_importance with a log-density")
    probes = (_PROBES if x[0].numel() > _EXACT else 0) if probes is None else probes
    noisy = _NoisyDensity(score, probes, rng.child("probes"))
    noises = _noises(x, moves * (len(values) - 1), rng, False)
    log_weight = x.new_zeros(len(x), dtype=torch.float64)
    x = x.detach()
    previous, derivative = values[0], noisy.score_and_derivative(x, values[0])[1]
    for step, level in enumerate(values[1:]):
        report(step / (len(values) - 1))
        s, after = noisy.score_and_derivative(x, level)
        # ∫ dv/v = 2 log(previous / level), times the mean
        log_weight -= (derivative + after) * math.log(previous / level)
        a, b = factors = transition.factors(level)
        for i in range(moves):
            z, _ = next(noises)
            y = x + a * s + b * z
            if i == moves - 1:
                end, derivative = noisy.score_and_derivative(y, level)
            else:
                end = noisy.score_at(y, level)
            middle = noisy.score_at((x + y) / 2, level)
            log_weight += sum_events((y - x) * (s + 4 * middle + end)) / 6 + _log_kernel_ratio(x, y, end, factors, z)
            x, s = y, end
        previous = level
    return WeightedSamples(x, log_weight)
