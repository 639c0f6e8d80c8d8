"""Losses of several batches, with everything around the network computed together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..denoisers import DenoiserModule
from ..denoisers.precondition import check_answer
from ..nn.backpropagation import Backpropagation
from ..objectives import DenoisingScoreMatching, posterior_mean
from ..rng import Rng
from .held_out import LevelLoss

__all__ = ["can_prepare", "prepared_losses"]


_FROM = (0.05, 0.4)  # the level from which other data matter for a data point: vectors, grids


def can_prepare(objective: LevelLoss, denoiser: DenoiserModule) -> bool:
    """Whether losses can be prepared for several batches together."""
    return isinstance(objective, DenoisingScoreMatching) and denoiser.preconditioned is not None


def prepared_losses(
    objective: LevelLoss,
    denoiser: DenoiserModule,
    x0: Tensor,
    count: int,
    rng: Rng,
    reference: Tensor | None = None,
    complete: bool = False,
    context: Tensor | None = None,
    network: Backpropagation | None = None,
    same: Tensor | None = None,
) -> list[Callable[[], Tensor]]:
    """A function for each of `count` batches, to be called once and in order, when all gradients are 0.

    It gives the mean loss of its batch, `()`, and leaves the gradient in the `.grad` of the parameters.

    In denoising score matching levels, noise, preconditioning and targets are computed for all batches together: for small
    networks that is half of the work. Others are computed one by one. `reference` are data that reduce the noise of the
    targets (`posterior_mean`), `complete` if these are all data, `same` which of them are of the batches; `network`
    computes the gradients of a network that can be prepared, by default anew.
    """
    maps = denoiser.preconditioned
    if not isinstance(objective, DenoisingScoreMatching) or maps is None:
        return _by_objective(objective, denoiser, x0, count, rng, context)
    size, network = len(x0) // count, network or maps.backpropagation()
    with torch.no_grad():
        center = maps.center(context)
        x0 = x0 if center is None else x0 - center
        u = torch.cat([rng.stratified(size, x0.dtype, x0.device) for _ in range(count)])
        level = objective.levels.draw(u).reshape(-1, *(1,) * (x0.ndim - 1))
        x = x0 + level * rng.normal_like(x0)
        if reference is not None:
            x0 = _refined(x0, x, level, reference, complete, same)
        x0, x = maps.coordinates(x0), maps.coordinates(x)
        (skip, out), guess = maps.coefficients(level), maps.guess(x, level)
        target = (x0 - maps.known(x, level, skip, guess)) / out
        gain = objective.weight(level) * out**2
        plain = bool(((gain - 1).abs() < 1e-4).all())  # the EDM parametrization of the objective's scale
        encoded = network.encode(*maps.question(x, level, guess), context)
        inputs = list(zip(*(values.split(size) for values in encoded)))  # type: ignore[no-untyped-call]
        parts = zip(inputs, target.split(size), [None] * count if plain else gain.split(size))  # type: ignore[no-untyped-call]
    return [partial(_loss, network, *part) for part in parts]


def _loss(network: Backpropagation, inputs: tuple[Tensor, ...], target: Tensor, gain: Tensor | None) -> Tensor:
    """The mean squared error of answers, weighted by `gain`, and its gradient, which goes to the parameters."""
    answer = network.forward(*inputs)
    check_answer(answer, target, "the network")
    error = answer - target
    weighted = error if gain is None else gain * error
    network.backward(weighted * (2 / error.numel()))
    return (weighted * error).mean()


def _by_objective(
    objective: LevelLoss, denoiser: DenoiserModule, x0: Tensor, count: int, rng: Rng, context: Tensor | None
) -> list[Callable[[], Tensor]]:
    """The losses by the objective itself, each computed when it is called."""

    def loss(part: Tensor, given: Tensor | None) -> Tensor:
        mean = objective(denoiser.conditioned_on(given), part, rng).mean()
        mean.backward()  # type: ignore[no-untyped-call]
        return mean.detach()

    parts = zip(x0.chunk(count), [None] * count if context is None else context.chunk(count))
    return [partial(loss, part, given) for part, given in parts]


def _refined(x0: Tensor, x: Tensor, level: Tensor, reference: Tensor, complete: bool, same: Tensor | None) -> Tensor:
    """The targets: posterior means where the level is high enough for other data to matter."""
    high = (level.flatten() > _FROM[x0.ndim > 2]).nonzero()[:, 0]
    own = None if complete else x0[high]
    means = posterior_mean(x[high], level[high], reference, own, None if same is None else same[high])
    return x0.index_copy(0, high, means)
