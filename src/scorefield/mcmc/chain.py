"""Langevin dynamics: a Markov chain that draws from a law of which the score, or the log-density, is a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from ..rng import Rng
from .effective_size import autocorrelation, effective_sample_size
from .transition import ChainState, Langevin, Target, Transition

__all__ = ["Chain", "block_size", "langevin", "run_chains"]

_AHEAD = 64  # numbers a sample draws at once: moves of points in the plane are short beside a call for their noise
_BLOCK = 2048  # samples that move together on a CPU, so that what a small network computes of them stays in the cache


class Chain(NamedTuple):
    """Where chains arrived, and what was seen on the way."""

    state: Tensor
    """The last states, of shape `(B, *D)`."""

    acceptance: Tensor
    """The chance of a proposal to be accepted, the mean over each chain, of shape `(B,)`: 1 without a test."""

    kept: Tensor
    """The states that were kept, the last one last, of shape `(K, B, *D)`."""

    def autocorrelation(self) -> Tensor:
        """The correlation of states k apart, of shape `(K, *D)`, pooled over chains (`mcmc.autocorrelation`)."""
        return autocorrelation(self.kept)

    def effective_sample_size(self) -> Tensor:
        """How many independent draws the kept states are worth, of shape `D` (`mcmc.effective_sample_size`)."""
        return effective_sample_size(self.kept)


def langevin(
    target: Target | Callable[[Tensor], Tensor],
    x: Tensor,
    steps: int,
    rng: Rng,
    transition: Transition = Langevin(),  # noqa: B008  # a frozen value
    scale: float = 1.0,
    keep: int = 0,
    thin: int = 1,
    block: int | None = None,
) -> Chain:
    """Moves each of B states along a chain of its own, B draws from the law of `target` if `steps` are enough.

    Arguments:
        target: A score, `(B, *D)` to `(B, *D)`, or a log-density up to a constant, `(B, *D)` to `(B,)`: any function or
            module. Which of them it is, is read from the shape it gives; `Target` says so, and holds both if both are known.
        x: Where the chains begin, of shape `(B, *D)`.
        steps: How many moves.
        rng: The source of randomness. Chain i depends on `(seed, i)` alone, whatever B and `block` are, and its first
            moves do not depend on how many follow. To go on from where a chain arrived, go on with the same source.
        transition: The move: `Langevin`, `MetropolisLangevin`, `GaussianLangevin` or your own.
        scale: A standard deviation of the law, which sizes the step (`transition`), in the units of `x`.
        keep: How many states of each chain are kept: the last `keep`, `thin` moves apart.
        thin: How many moves lie between states that are kept.
        block: How many chains move together; by default 2,048 on a CPU, all on a GPU. It changes nothing but the time.

    Returns:
        The last states, the acceptance of each chain and the states that were kept. No gradient flows through them.

    Raises:
        ValueError: If `target` gives another shape, or if `steps` is below 1 or too few for what is to be kept.
        RuntimeError: If a state is not finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> chain = langevin(lambda x: -x, torch.zeros(1000, 1), 100, Samples(seed=0, count=1000), keep=50)
        >>> chain.state.shape, chain.kept.shape, bool((chain.kept.std() - 1).abs() < 0.1)
        (torch.Size([1000, 1]), torch.Size([50, 1000, 1]), True)
    """
    return run_chains([(Target.of(target, x), scale)], x, steps, rng, transition, keep, thin, block)


def block_size(x: Tensor, block: int | None) -> int:
    """How many samples move together."""
    return block or (_BLOCK if x.device.type == "cpu" else len(x))


@torch.no_grad()
def run_chains(
    ladder: Sequence[tuple[Target, float]],
    x: Tensor,
    moves: int,
    rng: Rng,
    transition: Transition,
    keep: int = 0,
    thin: int = 1,
    block: int | None = None,
) -> Chain:
    """Moves states along a ladder of laws and their scales, `moves` on each rung: the loop of all chains.

    All moves that noise was drawn for are made by one block of samples before the next one begins.
    """
    steps = moves * len(ladder)
    _check(ladder, x, steps, keep, thin, block)
    ahead, size = max(1, _AHEAD // math.prod(x.shape[1:])), block_size(x, block)
    points = [ChainState(part) for part in x.detach().split(size)]
    chances, kept = x.new_zeros(len(x)), x.new_empty(keep, *x.shape)
    for first in range(0, steps, ahead):
        z = rng.normal((len(x), ahead, *x.shape[1:]), x.dtype, x.device).transpose(0, 1)
        u = rng.uniform((len(x), ahead), x.dtype, x.device).T if transition.adjusted else None
        for i, here in enumerate(points):
            rows = slice(i * size, i * size + size)
            noises, lucks = z[:, rows].contiguous(), repeat(None) if u is None else u[:, rows].contiguous()
            for step, noise, luck in zip(range(first, steps), noises, lucks):
                law, scale = ladder[step // moves]
                if step % moves == 0:
                    here = ChainState(here.x)  # a new rung: what was known is of another law
                here, chance = transition.move(law, here, scale, noise, luck)
                if chance is not None:
                    chances[rows] += chance
                back, off = divmod(steps - 1 - step, thin)
                if off == 0 and back < keep:
                    kept[keep - 1 - back, rows] = here.x
            _check_finite(here.x, transition, scale, step + 1, steps)
            points[i] = here
    acceptance = chances / steps if transition.adjusted else torch.ones_like(chances)
    return Chain(torch.cat([here.x for here in points]), acceptance, kept)


def _check(
    ladder: Sequence[tuple[Target, float]], x: Tensor, steps: int, keep: int, thin: int, block: int | None
) -> None:
    if not x.is_floating_point():
        raise TypeError(f"states are floating-point numbers, got {x.dtype}: x.double() makes them so")
    if not all(0 < scale < math.inf for _, scale in ladder):
        raise ValueError(f"the scale of a law is positive, got scale={ladder[0][1]:g}")
    if block is not None and block < 1:
        raise ValueError(f"a block holds at least 1 chain, got block={block}")
    if steps < 1:
        raise ValueError(f"a chain needs at least 1 move, got {steps}")
    if keep < 0 or thin < 1:
        raise ValueError(f"a chain keeps keep >= 0 states, thin >= 1 moves apart; got keep={keep}, thin={thin}")
    if (keep - 1) * thin >= steps:
        need = f"more than {(keep - 1) * thin} moves"
        raise ValueError(f"keeping {keep} states {thin} moves apart needs {need}, got {steps}")


def _check_finite(x: Tensor, transition: Transition, scale: float, step: int, steps: int) -> None:
    if not bool(torch.isfinite(x).all()):
        what = f"{transition} left the finite numbers by move {step} of {steps}, at the scale {scale:g}"
        raise RuntimeError(f"{what}: take a smaller step or a smaller scale, or begin nearer to where the law has mass")
