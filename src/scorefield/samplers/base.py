"""Samplers: the way back from noise to data."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from ..schedules import Schedule, UniformTime

__all__ = ["AdaptiveSampler", "Move", "OneStepSampler", "Sampler", "sample", "trajectory", "trajectory_from"]


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


def trajectory_from(
    diffusion: Diffusion, x: Tensor, sampler: Sampler, times: Tensor, rng: Rng, denoise: bool = True
) -> Iterator[tuple[float, Tensor]]:
    """The way of given states through given times: `trajectory` without its beginning.

    Arguments:
        diffusion: A diffusion model.
        x: States at the first of `times`, of shape `(B, *D)`.
        sampler: A sampler.
        times: Times in [0, 1], of shape `(n + 1,)`.
        rng: The source of randomness.
        denoise: Whether the last state is rid of its noise, by one more evaluation.

    Returns:
        Pairs of the noise level and the state, of shape `(B, *D)`.

    Raises:
        RuntimeError: If a state is not finite.
    """
    way = sampler.trajectory(diffusion, x, times, rng)
    for t in times:
        with torch.no_grad():  # around each step: the gradients of the caller's loop are left alone
            x = next(way)
        level = float(diffusion.process.level(t))
        if not bool(torch.isfinite(x).all()):
            what = f"{type(sampler).__name__} left the finite numbers at level {level:.3g} (t = {float(t):.3g})"
            raise RuntimeError(f"{what}: take more than {len(times) - 1} steps, or train longer with a smaller rate")
        yield level, x
    if denoise:
        with torch.no_grad():
            x = diffusion.split(x, times[-1])[0]
        yield 0.0, x


def trajectory(
    diffusion: Diffusion,
    shape: Sequence[int],
    sampler: Sampler,
    steps: int | None,
    rng: Rng,
    denoise: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    grid: Schedule | None = None,
) -> Iterator[tuple[float, Tensor]]:
    """The way from noise to data, a state at a time.

    Arguments:
        diffusion: A diffusion model.
        shape: The shape `(B, *D)` of the batch to draw.
        sampler: A sampler.
        steps: The number of steps; None if the grid knows it.
        rng: The source of randomness, which names the samples.
        denoise: Whether the last state is rid of the noise that the process starts from, by one more evaluation.
        dtype: The type of the state. The network keeps its own.
        device: Where the state lives.
        grid: The times to step through, by default uniform in the clock of the process.

    Returns:
        Pairs of the noise level and the state, of shape `(B, *D)`, from the first level of the grid down to its last, or
        to 0.

    Raises:
        ValueError: If `steps` is below 1, or not what the grid needs.
        RuntimeError: If a state is not finite.
    """
    times = (grid or UniformTime()).times(diffusion.process, steps).to(device, dtype)
    x = diffusion.prior(shape, rng.child("prior"), dtype, device, times[0])
    yield from trajectory_from(diffusion, x, sampler, times, rng, denoise)


def sample(
    diffusion: Diffusion,
    shape: Sequence[int],
    sampler: Sampler,
    steps: int | None,
    rng: Rng,
    denoise: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    grid: Schedule | None = None,
) -> Tensor:
    """Draws data, of shape `shape`: the last state of `trajectory`, with the same arguments.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import VP
        >>> from scorefield.rng import Samples
        >>> from scorefield.samplers import Heun
        >>> law = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = sample(Diffusion(VP(), law, law), (1000, 2), Heun(), 24, Samples(seed=0, count=1000))
        >>> bool((x.std(0) - 1).abs().max() < 0.1)
        True
    """
    x = torch.empty(0)
    for _, x in trajectory(diffusion, shape, sampler, steps, rng, denoise, dtype, device, grid):  # noqa: B007
        pass
    return x
