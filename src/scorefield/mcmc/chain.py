"""Markov chains that sample from a distribution given by its score or its log-density."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from ..progress import report
from ..rng import Rng
from .effective_size import autocorrelation, effective_sample_size
from .transition import ChainState, Langevin, Target, Transition

__all__ = ["Chain", "block_size", "langevin", "run_chains"]

_BUFFER = 64  # random numbers per chain that are drawn at once: for points in the plane, a move is quicker than a draw
_BLOCK = 2048  # chains that move together on a CPU, so that the activations of a small network stay in the cache


class Chain(NamedTuple):
    """The result of Markov chains.

    Arguments:
        state: The last states, of shape `(B, *D)`.
        acceptance: The mean acceptance probability of each chain, of shape `(B,)`; 1 without a Metropolis test.
        kept: The stored states, the last one last, of shape `(K, B, *D)`.
    """

    state: Tensor
    acceptance: Tensor
    kept: Tensor

    def autocorrelation(self) -> Tensor:
        """The autocorrelation at lag k, of shape `(K, *D)`, pooled over chains (`mcmc.autocorrelation`)."""
        return autocorrelation(self.kept)

    def effective_sample_size(self) -> Tensor:
        """The effective sample size of the stored states, of shape `D` (`mcmc.effective_sample_size`)."""
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
    """Runs B independent chains: with enough steps, their last states are draws from the target.

    Arguments:
        target: A score, `(B, *D)` to `(B, *D)`, or a log-density up to a constant, `(B, *D)` to `(B,)`; or a `Target`.
        x: The initial states, of shape `(B, *D)`.
        steps: The number of moves.
        rng: The source of random numbers. Chain i depends on `(seed, i)` only, and its first moves do not depend on `steps`.
            To continue chains, continue with the same source.
        transition: The move: `Langevin`, `MetropolisLangevin`, `GaussianLangevin` or your own.
        scale: A standard deviation of the target, in the units of `x`, to which the step is proportional.
        keep: The number of states of each chain to store: the last `keep`, `thin` moves apart.
        thin: The number of moves between stored states.
        block: The number of chains that move together; by default 2,048 on a CPU and all on a GPU. It affects only the speed.

    Returns:
        The last states, the acceptance of each chain and the stored states, without gradients.

    Raises:
        TypeError: If the states are not floating-point numbers.
        ValueError: If `target` returns another shape, or an argument is out of its range.
        RuntimeError: If a state becomes non-finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> chain = langevin(lambda x: -x, torch.zeros(1000, 1), 100, Samples(seed=0, count=1000), keep=50)
        >>> chain.state.shape, chain.kept.shape, bool((chain.kept.std() - 1).abs() < 0.1)
        (torch.Size([1000, 1]), torch.Size([50, 1000, 1]), True)
    """
    return run_chains([(Target.of(target, x), scale)], x, steps, rng, transition, keep, thin, block)


def block_size(x: Tensor, block: int | None) -> int:
    """The number of chains that move together."""
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
    """Runs chains through a sequence of targets: the loop of all chains.

    A block of chains makes all moves for which noise has been drawn before the next block is moved.

    Arguments:
        ladder: The targets, each with its scale.
        moves: The number of moves per target.
        x, rng, transition, keep, thin, block: As for `langevin`, which raises the same errors.
    """
    steps = moves * len(ladder)
    _check(ladder, x, steps, keep, thin, block)
    buffer, size = max(1, _BUFFER // math.prod(x.shape[1:])), block_size(x, block)
    states = [ChainState(part) for part in torch.split(x.detach(), size)]
    accepted, kept = x.new_zeros(len(x)), x.new_empty(keep, *x.shape)
    for first in range(0, steps, buffer):
        report(first / steps)
        z = rng.normal((len(x), buffer, *x.shape[1:]), x.dtype, x.device).transpose(0, 1)
        u = rng.uniform((len(x), buffer), x.dtype, x.device).T if transition.adjusted else None
        for i, state in enumerate(states):
            rows = slice(i * size, i * size + size)
            noises, uniforms = z[:, rows].contiguous(), repeat(None) if u is None else u[:, rows].contiguous()
            for step, noise, uniform in zip(range(first, steps), noises, uniforms):
                target, scale = ladder[step // moves]
                if step % moves == 0:
                    state = ChainState(state.x)  # the log-density and the score were those of another target
                state, probability = transition.move(target, state, scale, noise, uniform)
                if probability is not None:
                    accepted[rows] += probability
                back, rest = divmod(steps - 1 - step, thin)
                if rest == 0 and back < keep:
                    kept[keep - 1 - back, rows] = state.x
            if not bool(torch.isfinite(state.x).all()):
                what = f"states of {transition} became non-finite (NaN or inf)"
                where = f"by move {step + 1} of {steps}, at the scale {scale:g}"
                need = "use a smaller step or scale, or start closer to where the target has mass"
                raise RuntimeError(f"{what} {where}: {need}")
            states[i] = state
    acceptance = accepted / steps if transition.adjusted else torch.ones_like(accepted)
    return Chain(torch.cat([state.x for state in states]), acceptance, kept)


def _check(
    ladder: Sequence[tuple[Target, float]], x: Tensor, steps: int, keep: int, thin: int, block: int | None
) -> None:
    if not x.is_floating_point():
        raise TypeError(f"states must be floating-point numbers, got {x.dtype}: pass x.double()")
    if not all(0 < scale < math.inf for _, scale in ladder):
        raise ValueError(f"the scale of a target must be positive and finite, got scale={ladder[0][1]:g}")
    if block is not None and block < 1:
        raise ValueError(f"a block needs at least 1 chain, got block={block}")
    if steps < 1:
        raise ValueError(f"a chain needs at least 1 move, got {steps}")
    if keep < 0 or thin < 1:
        raise ValueError(f"chains need keep >= 0 and thin >= 1, got keep={keep}, thin={thin}")
    if (keep - 1) * thin >= steps:
        need = f"more than {(keep - 1) * thin} moves"
        raise ValueError(f"storing {keep} states {thin} moves apart needs {need}, got {steps}")
