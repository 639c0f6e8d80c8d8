"""Losses on data that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..denoisers import Denoiser, DenoiserModule
from ..objectives import LevelDistribution
from ..progress import report
from ..rng import Rng, Samples
from ..tensors import expand

__all__ = ["PARTS", "HeldOut", "LevelLoss", "excess", "held_out_losses", "losses_by_level", "parts_of"]

PARTS = 8  # of the distribution of levels, equally probable
_NUMBERS = 2**18  # that the network sees at once


class LevelLoss(Protocol):
    """A loss that is a mean over a distribution of noise levels: a `LevelObjective`, or one like it."""

    @property
    def levels(self) -> LevelDistribution:
        """The distribution of the noise levels."""

    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng, /) -> Tensor:
        """The losses of examples, `(B, *D)` to `(B,)`, at levels that `rng` draws."""

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng, /) -> Tensor:
        """The losses of examples at levels that broadcast against them."""


class HeldOut(NamedTuple):
    """The mean loss of each held-out example, `(M,)`, and in each of eight parts of the levels, from low to high, `(8,)`."""

    data: Tensor
    parts: Tensor


def parts_of(levels: LevelDistribution) -> Tensor:
    """The borders of the parts of a distribution of levels, of shape `(9,)`: the outermost at its 1 % and 99 % quantiles."""
    return levels.draw(torch.linspace(0, 1, PARTS + 1, dtype=torch.float64).clamp(0.01, 0.99))


def _one_by_one(function: Callable[[Tensor], Tensor], items: Sequence[Tensor]) -> list[Tensor]:
    return [function(item) for item in items]


@torch.no_grad()
def held_out_losses(
    denoiser: DenoiserModule,
    x: Tensor,
    objective: LevelLoss,
    count: int,
    seed: int = 0,
    context: Tensor | None = None,
    each: Callable[[Callable[[Tensor], Tensor], Sequence[Tensor]], list[Tensor]] = _one_by_one,
) -> HeldOut:
    """The losses by example, `(min(count, N),)`, and by level, with noise fixed by `seed`: the same for all denoisers.

    Arguments:
        denoiser: The denoiser.
        x: Standardized data, of shape `(N, *D)`.
        objective: The objective, whose levels are stratified.
        count: How many noisy copies to measure: some of each example, or one of each of the first `count`.
        seed: The seed of the noise.
        context: The contexts of the data, of shape `(N, size, …)`, if there are any.
        each: What computes a function of each of several batches: `distributed.each` shares them over processes.
    """
    size = min(count, len(x))
    copies = torch.arange(count // size * size)
    levels = (copies * 0.6180339887498949 + 0.5 / count) % 1  # the golden ratio spreads any run of them evenly

    def measured(part: Tensor) -> Tensor:
        x0 = x[(part % size).to(x.device)]
        level = expand(objective.levels.draw(levels[part].to(x0)), x0)
        rng = Samples(seed, int(part[0]), len(part), "held-out")
        losses = objective.at(_conditioned(denoiser, context, part % size), x0, level, rng)
        report((int(part[-1]) + 1) / len(copies))
        return losses

    found = torch.cat(each(measured, copies.split(_batch(x)))).double().cpu()  # type: ignore[no-untyped-call]
    part = (levels * PARTS).long().clamp_max(PARTS - 1)
    sums = torch.zeros(PARTS, dtype=torch.float64).index_add_(0, part, found)
    return HeldOut(found.reshape(-1, size).mean(0), sums / torch.bincount(part, minlength=PARTS))


def excess(losses: Tensor, best: Tensor) -> float:
    """How far losses lie above others of the same data, in standard errors of the mean difference."""
    difference = losses - best
    error = difference.std() / len(difference) ** 0.5 if len(difference) > 1 else difference.abs().mean()
    return float(difference.mean() / error.clamp_min(1e-12))


@torch.no_grad()
def losses_by_level(
    denoiser: DenoiserModule,
    x: Tensor,
    objective: LevelLoss,
    levels: Tensor,
    seed: int = 0,
    context: Tensor | None = None,
    each: Callable[[Callable[[Tensor], Tensor], Sequence[Tensor]], list[Tensor]] = _one_by_one,
) -> Tensor:
    """The loss of each example `(N, *D)` at each level `(L,)`, of shape `(N, L)`, with noise fixed by `seed`.

    `each` is as for `held_out_losses`.
    """
    count = len(x)
    copies = torch.arange(len(levels) * count)

    def measured(part: Tensor) -> Tensor:
        rows = part % count
        x0 = x[rows.to(x.device)]
        level, rng = expand(levels[part // count].to(x0), x0), Samples(seed, int(part[0]), len(part), "levels")
        losses = objective.at(_conditioned(denoiser, context, rows), x0, level, rng)
        report((int(part[-1]) + 1) / len(copies))
        return losses

    parts = copies.split(_batch(x))  # type: ignore[no-untyped-call]
    return torch.cat(each(measured, parts)).reshape(len(levels), count).T


def _conditioned(denoiser: DenoiserModule, context: Tensor | None, rows: Tensor) -> Denoiser:
    return denoiser.conditioned_on(None if context is None else context[rows.to(context.device)])


def _batch(x: Tensor) -> int:
    return max(1, min(512, _NUMBERS // x[0].numel()))
