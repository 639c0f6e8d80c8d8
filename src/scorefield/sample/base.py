"""Samplers: the way back from noise to data."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Samples

__all__ = ["Kernel", "Sampler", "sample", "trajectory"]


class Sampler(abc.ABC):
    """A way from x_1 to x_0.

    A sampler is a recipe: it holds hyperparameters, and neither a model, nor a grid, nor a state. No sample's path may
    depend on its companions in the batch.
    """

    @abc.abstractmethod
    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Samples) -> Iterator[Tensor]:
        """Yields the state, of shape `(B, *D)`, at each of `times`, which decrease; the first state is `x`."""


class Kernel(Sampler):
    """A sampler without memory: a chain of transitions x_t → x_s. To add one, write `step`."""

    @abc.abstractmethod
    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Samples) -> Tensor:
        """Moves the state `x`, of shape `(B, *D)`, from the time `t` to the time `s` ≤ `t`, both of shape `()`."""

    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Samples) -> Iterator[Tensor]:
        yield x
        for t, s in pairwise(times):
            x = self.step(diffusion, x, t, s, rng)
            yield x


@torch.no_grad()  # as a decorator it leaves the gradients of the caller's loop alone
def trajectory(
    diffusion: Diffusion,
    shape: Sequence[int],
    sampler: Sampler,
    steps: int,
    rng: Samples,
    denoise: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[float, Tensor]]:
    """The way from noise to data, a state at a time.

    Arguments:
        diffusion: A diffusion model.
        shape: The shape `(B, *D)` of the batch to draw.
        sampler: A sampler.
        steps: The number of steps, uniform in the clock of the process.
        rng: The source of randomness, which names the samples.
        denoise: Whether the last state is rid of the noise that the process starts from, by one more evaluation.
        dtype: The type of the state. The network keeps its own.
        device: Where the state lives.

    Returns:
        Pairs of the noise level and the state, of shape `(B, *D)`, from level_1 down to level_0, or to 0.

    Raises:
        ValueError: If `steps` is below 1.
        RuntimeError: If a state is not finite.
    """
    if steps < 1:
        raise ValueError(f"a sampler needs at least 1 step, got steps={steps}")
    times = torch.linspace(1, 0, steps + 1, dtype=dtype, device=device)
    x = diffusion.prior(shape, rng.child("prior"), dtype, device)
    for t, state in zip(times, sampler.trajectory(diffusion, x, times, rng)):
        level = float(diffusion.process.level(t))
        if not bool(torch.isfinite(state).all()):
            what = f"{type(sampler).__name__} left the finite numbers at level {level:.3g} (t = {float(t):.3g})"
            raise RuntimeError(f"{what}: take more than {steps} steps, or train longer with a smaller rate")
        yield level, state
        x = state
    if denoise:
        yield 0.0, diffusion.split(x, times[-1])[0]


def sample(
    diffusion: Diffusion,
    shape: Sequence[int],
    sampler: Sampler,
    steps: int,
    rng: Samples,
    denoise: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draws data, of shape `shape`: the last state of `trajectory`, with the same arguments.

    Example:
        >>> from scorefield.denoise import Gaussian
        >>> from scorefield.process import VP
        >>> from scorefield.sample import Heun
        >>> law = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = sample(Diffusion(VP(), law, law), (1000, 2), Heun(), 24, Samples(seed=0, count=1000))
        >>> bool((x.std(0) - 1).abs().max() < 0.1)
        True
    """
    x = torch.empty(0)
    for _, x in trajectory(diffusion, shape, sampler, steps, rng, denoise, dtype, device):  # noqa: B007
        pass
    return x
