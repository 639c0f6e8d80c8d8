"""Losses on data that were held out."""

from __future__ import annotations

import torch
from torch import Tensor

from ..denoise import Denoiser
from ..objective import DenoisingScoreMatching
from ..rng import Samples
from ..tensors import expand

__all__ = ["excess", "held_out_losses", "loss_by_level"]

_NUMBERS = 2**18  # that the network sees at once


@torch.no_grad()
def held_out_losses(
    denoiser: Denoiser, x: Tensor, objective: DenoisingScoreMatching, count: int, seed: int = 0
) -> Tensor:
    """The loss of each datum under the law of the levels, with noise fixed by `seed`: two denoisers meet the same.

    Arguments:
        denoiser: The denoiser.
        x: Standardized data, of shape `(N, *D)`.
        objective: The objective, whose law of levels is spread evenly.
        count: How many noisy copies to measure: some of each datum, or one of each of the first `count`.
        seed: The seed of the noise.

    Returns:
        The mean loss over the copies of each datum that was measured, of shape `(min(count, N),)`.
    """
    size = min(count, len(x))
    copies = torch.arange(count // size * size)
    levels = (copies * 0.6180339887498949 + 0.5 / count) % 1  # the golden ratio spreads any run of them evenly
    losses = []
    for part in copies.split(_batch(x)):
        x0 = x[(part % size).to(x.device)]
        level = expand(objective.levels.draw(levels[part].to(x0)), x0)
        rng = Samples(seed, int(part[0]), len(part), "held-out")
        losses.append(objective.at(denoiser, x0, level, rng))
    return torch.cat(losses).double().cpu().reshape(-1, size).mean(0)


def excess(losses: Tensor, best: Tensor) -> float:
    """How far losses lie above others of the same data, in standard errors of the mean difference."""
    difference = losses - best
    error = difference.std() / len(difference) ** 0.5 if len(difference) > 1 else difference.abs().mean()
    return float(difference.mean() / error.clamp_min(1e-12))


@torch.no_grad()
def loss_by_level(
    denoiser: Denoiser, x: Tensor, objective: DenoisingScoreMatching, levels: Tensor, seed: int = 0
) -> Tensor:
    """The mean loss at each level, of shape `(L,)`, over data of shape `(N, *D)`, with noise fixed by `seed`."""
    means = []
    for i, level in enumerate(levels):
        total = 0.0
        for start in range(0, len(x), _batch(x)):
            x0 = x[start : start + _batch(x)]
            rng = Samples(seed, start, len(x0), f"level {i}")
            total += float(objective.at(denoiser, x0, level.to(x0), rng).sum())
        means.append(total / len(x))
    return torch.tensor(means)


def _batch(x: Tensor) -> int:
    return max(1, min(512, _NUMBERS // x[0].numel()))
