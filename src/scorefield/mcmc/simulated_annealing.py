"""Simulated annealing: an optimizer that lowers the temperature of Markov chains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..rng import Rng
from ..tensors import expand
from .chain import Chain, run_chains
from .transition import MetropolisLangevin, Target, Transition

__all__ = ["AnnealingResult", "simulated_annealing", "tempered"]


class AnnealingResult(NamedTuple):
    """The best states found by simulated annealing.

    Arguments:
        state: The best of the states of each chain at the ends of the temperatures, of shape `(B, *D)`.
        log_prob: Its log-density, of shape `(B,)`.
        chain: The last states of the chains, and their states at the end of each temperature.
    """

    state: Tensor
    log_prob: Tensor
    chain: Chain

    @property
    def best(self) -> Tensor:
        """The best state of all chains, of shape `D`."""
        return self.state[int(self.log_prob.argmax())]


def tempered(target: Target, temperature: float) -> Target:
    """The tempered distribution p^(1/T): flatter for T > 1, sharper for T < 1.

    Tempering differs from adding noise: smoothing (p * N(0, σ²)) merges modes, tempering does not. The score at a noise level,
    divided by T, belongs to p_σ^(1/T), and not to p^(1/T) with noise.

    Arguments:
        target: The distribution p.
        temperature: The temperature T.
    """
    score, log_prob = target.score, target.log_prob
    return Target(
        None if score is None else lambda x: score(x) / temperature,
        None if log_prob is None else lambda x: log_prob(x) / temperature,
    )


def simulated_annealing(
    target: Target | Callable[[Tensor], Tensor],
    x: Tensor,
    temperatures: Sequence[float] | Tensor,
    rng: Rng,
    transition: Transition = MetropolisLangevin(0.3),  # noqa: B008  # a frozen value
    moves: int = 20,
    scale: float = 1.0,
) -> AnnealingResult:
    """Searches for the highest modes of a log-density, or the deepest minima of an energy (Kirkpatrick et al., 1983).

    At each temperature T the chains make `moves` moves that leave p^(1/T) invariant, with steps proportional to √T. It is an
    optimizer: the final states are not draws from p, and the number of states at a mode is not its mass
    (`annealed_importance` gives weights; `annealed_langevin` smooths instead).

    Arguments:
        target: A log-density up to a constant, or minus an energy, `(B, *D)` to `(B,)`; or a `Target`.
        x: The initial states, of shape `(B, *D)`.
        temperatures: The temperatures, positive and decreasing.
        rng: The source of random numbers. Chain i depends on `(seed, i)` only.
        transition: The move, an adjusted one.
        moves: The number of moves at each temperature.
        scale: A standard deviation of the target at T = 1, to which the steps are proportional.

    Returns:
        The best states, their log-densities, and the chains.

    Raises:
        ValueError: If the temperatures are not positive and decreasing, or the target has no log-density.
        RuntimeError: If a state becomes non-finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> log_prob = lambda x: torch.cos(6 * x[:, 0]) - x.square().sum(1)  # many maxima, the highest at 0
        >>> x = torch.full((20, 2), 3.0)
        >>> found = simulated_annealing(log_prob, x, torch.logspace(1, -3, 40), Samples(seed=0, count=20), scale=0.3)
        >>> bool(found.best.abs().max() < 0.05)
        True
    """
    values = [float(t) for t in temperatures]
    if not values or not all(a > b for a, b in pairwise([math.inf, *values, 0.0])):
        raise ValueError(f"temperatures must be positive and decreasing, got {values[:8]}")
    target = Target.of(target, x)
    if target.log_prob is None:
        raise ValueError("simulated annealing needs a log-density, and this target has only a score: pass log_prob")
    ladder = [(tempered(target, t), scale * math.sqrt(t)) for t in values]
    chain = run_chains(ladder, x, moves, rng, transition, len(values), moves)
    best, highest = chain.kept[0], target.log_prob(chain.kept[0]).detach()
    with torch.no_grad():
        for state in chain.kept[1:]:
            log_prob = target.log_prob(state)
            higher = log_prob > highest
            best, highest = torch.where(expand(higher, best), state, best), torch.where(higher, log_prob, highest)
    return AnnealingResult(best, highest, chain)
