"""Samplers: the way back from noise to data."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng

__all__ = ["AdaptiveSampler", "Move", "OneStepSampler", "Sampler"]


Move = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t, t, s) → x_s: moves a state of shape `(B, *D)` from one time of shape `()` to another."""


class Sampler(abc.ABC):
    """A way from x_1 to x_0.

    A sampler is a recipe: it holds hyperparameters, and neither a model, nor a grid, nor a state. No sample's path may
    depend on its companions in the batch.
    """

    @abc.abstractmethod
    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        """Sets out on a way through `times`, of shape `(n + 1,)`: what it remembers on the way lives in the move it gives.

        The move is called with neighbours of `times`, in their order. A sampler that draws no noise can be led upwards
        too, from data to noise.
        """

    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Rng) -> Iterator[Tensor]:
        """Yields the state, of shape `(B, *D)`, at each of `times`; the first state is `x`."""
        move = self.start(diffusion, times, rng)
        yield x
        for t, s in pairwise(times):
            x = move(x, t, s)
            yield x


class OneStepSampler(Sampler):
    """A sampler without memory: a chain of transitions x_t → x_s. To add one, write `step`."""

    @abc.abstractmethod
    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        """Moves the state `x`, of shape `(B, *D)`, from the time `t` to the time `s`, both of shape `()`."""

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        return lambda x, t, s: self.step(diffusion, x, t, s, rng)


class AdaptiveSampler(Sampler):
    """A sampler that finds its own steps, for each sample its own: the grid only says where it is looked at."""
