"""What can be computed for many steps at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..denoise import Denoiser, Preconditioned
from ..objective import DenoisingScoreMatching, Objective
from ..rng import Rng

__all__ = ["ahead"]


def ahead(objective: Objective, denoiser: Denoiser, x0: Tensor, count: int, rng: Rng) -> list[Callable[[], Tensor]]:
    """The mean losses of some batches, ready but for the network.

    All that surrounds the network in denoising score matching (levels, noise, preconditioning, targets) is computed for all
    batches together: for small networks that is half of the work. Other objectives and denoisers are asked a batch at a time.

    Arguments:
        objective: The loss.
        denoiser: The denoiser.
        x0: The batches one after another, of shape `(count · B, *D)`.
        count: The number of batches.
        rng: The noise of these batches.

    Returns:
        A function for each batch, to be called once and in order, that gives its mean loss, of shape `()`.
    """
    if not isinstance(objective, DenoisingScoreMatching) or not isinstance(denoiser, Preconditioned):
        return [lambda part=part: objective(denoiser, part, rng).mean() for part in x0.chunk(count)]  # type: ignore[misc]
    size = len(x0) // count
    with torch.no_grad():
        u = torch.cat([rng.spread(size, x0.dtype, x0.device) for _ in range(count)])
        level = objective.levels.draw(u).reshape(-1, *(1,) * (x0.ndim - 1))
        x = x0 + level * rng.normal_like(x0)
        skip, out = denoiser.parametrization.coefficients(level)
        target = (x0 - skip * x) / out
        gain = objective.weight(level) * out**2
        inputs, label = denoiser.question(x, level)

    def loss(i: int) -> Tensor:
        here = slice(i * size, (i + 1) * size)
        return (gain[here] * (denoiser.answer(inputs[here], label[here]) - target[here]) ** 2).mean()

    return [lambda i=i: loss(i) for i in range(count)]  # type: ignore[misc]
