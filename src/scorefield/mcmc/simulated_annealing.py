"""Simulated annealing: chains whose temperature falls, an optimizer."""

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
    """The highest states that chains have seen."""

    state: Tensor
    """The best state of each chain at the end of a temperature, of shape `(B, *D)`."""

    height: Tensor
    """Its log-density, of shape `(B,)`."""

    chain: Chain
    """Where the chains arrived, and the states at the end of each temperature."""

    @property
    def best(self) -> Tensor:
        """The best state of all, of shape `D`."""
        return self.state[int(self.height.argmax())]


def tempered(law: Target, temperature: float) -> Target:
    """The law p^(1/T): flatter above T = 1, sharper below.

    It is not the data with noise: smoothing (p * N(0, σ²)) moves mass between modes, tempering does not merge them. And a
    score at one level, divided by T, belongs to p_σ^(1/T), never to the data's own p^(1/T) with noise.
    """
    score, height = law.score, law.log_prob
    return Target(
        None if score is None else lambda x: score(x) / temperature,
        None if height is None else lambda x: height(x) / temperature,
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
    """Looks for the highest modes of a log-density, the deepest minima of an energy (Kirkpatrick et al., 1983).

    Each temperature T in turn makes `moves` moves that leave p^(1/T) as it is, with steps that shrink as √T. It is an
    optimizer: the states it ends with are not draws from p, and their number at a mode is not its weight
    (`annealed_importance` has weights, `annealed_langevin` smooths instead).

    Arguments:
        target: A log-density up to a constant, or minus an energy, `(B, *D)` to `(B,)`; or a `Target`.
        x: Where the chains begin, of shape `(B, *D)`.
        temperatures: They fall.
        rng: The source of randomness. Chain i depends on `(seed, i)` alone.
        transition: The move, with a test.
        moves: How many at each temperature.
        scale: A standard deviation of the law at T = 1, which sizes the steps.

    Returns:
        The best states, their log-densities, and the chains.

    Raises:
        ValueError: If the temperatures do not fall, or the law has no log-density.

    Example:
        >>> from scorefield.rng import Samples
        >>> height = lambda x: torch.cos(6 * x[:, 0]) - x.square().sum(1)  # many maxima, the highest at 0
        >>> x = torch.full((20, 2), 3.0)
        >>> found = simulated_annealing(height, x, torch.logspace(1, -3, 40), Samples(seed=0, count=20), scale=0.3)
        >>> bool(found.best.abs().max() < 0.05)
        True
    """
    values = [float(t) for t in temperatures]
    if not values or not all(a > b for a, b in pairwise([math.inf, *values, 0.0])):
        raise ValueError(f"temperatures must be positive and fall, got {values[:8]}")
    law = Target.of(target, x)
    height = law.log_prob
    if height is None:
        raise ValueError("an optimum needs heights to compare, and of this law the score alone is known: give log_prob")
    ladder = [(tempered(law, t), scale * math.sqrt(t)) for t in values]
    chain = run_chains(ladder, x, moves, rng, transition, len(values), moves)
    best, top = chain.kept[0], height(chain.kept[0]).detach()
    with torch.no_grad():
        for state in chain.kept[1:]:
            here = height(state)
            higher = here > top
            best, top = torch.where(expand(higher, best), state, best), torch.where(higher, here, top)
    return AnnealingResult(best, top, chain)
