"""Latents: the noise that the probability flow makes of data, and the inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..calls import write_call
from ..diffusion import Diffusion
from ..rng import Rng
from ..schedules import DEFAULT_SCHEDULE
from ..tensors import all_finite
from ..user_values import real_tensor
from .base import Sampler
from .draw import trajectory_from
from .loose import loose_arguments
from .ode import DormandPrince
from .sampling import Sampling, SamplingLike

__all__ = ["decode", "encode", "latents_of", "spherical_interpolation"]


class _NoNoise(Rng):
    """A source that refuses, for samplers that say that they draw no noise."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    def child(self, purpose: str) -> Rng:
        return self

    def normal(self, shape: Sequence[int], dtype: torch.dtype | None = None, device: object = None) -> Tensor:
        name = type(self.sampler).__name__
        what = f"{name} says that it is deterministic, and draws noise"
        raise ValueError(f"{what}: latents need a deterministic sampler; let {name}.deterministic be False")

    uniform = normal

    def stratified(self, count: int, dtype: torch.dtype | None = None, device: object = None) -> Tensor:
        return self.normal((count,), dtype, device)


def _resolved(diffusion: Diffusion, sampling: SamplingLike) -> tuple[Diffusion, Sampler, Tensor]:
    """The diffusion with the process that was chosen, the sampler, and the times."""
    chosen = Sampling.of(sampling).merged(Sampling(DormandPrince(), None, DEFAULT_SCHEDULE, diffusion.process))
    sampler, process, times = chosen.parts()
    if not sampler.deterministic:
        what = f"latents need a deterministic sampler, and {write_call(sampler)} draws noise"
        raise ValueError(f"{what}: take DormandPrince(), Heun(), or another with eta=0")
    return replace(diffusion, process=process), sampler, times


@loose_arguments("diffusion", "x", "sampler", "steps", "grid")
def encode(diffusion: Diffusion, x: Tensor, sampling: SamplingLike = None) -> Tensor:
    """The latents of data: where the probability flow takes them, made standard normal.

    Data are taken for states of the smallest level. Latents of draws from the model are independent standard normal numbers, up
    to what the prior leaves out (Song et al., 2021, Section D.3).

    Arguments:
        diffusion: A diffusion model.
        x: Data, of shape `(B, *D)`, best in float64.
        sampling: A deterministic sampler, which steps upwards, with its steps; by default DormandPrince().

    Returns:
        The latents, of shape `(B, *D)`. `decode` with the same arguments inverts it.

    Raises:
        ValueError: If the sampler draws noise, or the number of steps is missing.

    Example:
        >>> import torch
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import VP
        >>> data = Gaussian(torch.ones(2, dtype=torch.float64), 4 * torch.eye(2, dtype=torch.float64))
        >>> encode(Diffusion(VP(), data, data), torch.tensor([[3.0, 1.0]], dtype=torch.float64)).round(decimals=4)
        tensor([[1., 0.]], dtype=torch.float64)
    """
    diffusion, sampler, times = _resolved(diffusion, sampling)
    times = times.to(x)
    start = diffusion.process.alpha(times[-1]) * x
    *_, (_, last) = trajectory_from(diffusion, start, sampler, times.flip(0), _NoNoise(sampler), denoise=False)
    return diffusion.whiten(last, times[0])


@loose_arguments("diffusion", "z", "sampler", "steps", "grid", "denoise")
def decode(diffusion: Diffusion, z: Tensor, sampling: SamplingLike = None, denoise: bool = False) -> Tensor:
    """The data of latents: the inverse of `encode`, with the same arguments.

    Arguments:
        z: Latents, of shape `(B, *D)`.
        diffusion, sampling: As for `encode`.
        denoise: Whether the noise of the smallest level is removed, which data that were encoded do not have.

    Returns:
        Data, of shape `(B, *D)`.

    Raises:
        ValueError: If the sampler draws noise.
    """
    diffusion, sampler, times = _resolved(diffusion, sampling)
    times = times.to(z)
    states = trajectory_from(diffusion, diffusion.colour(z, times[0]), sampler, times, _NoNoise(sampler), denoise)
    *_, (_, last) = states
    return last if denoise else last / diffusion.process.alpha(times[-1])


def latents_of(values: Any, shape: Sequence[int]) -> Tensor:
    """What a user gave as latents, in float64.

    Arguments:
        values: Latents `(N, *D)`: an array, a tensor, nested lists.
        shape: D.

    Raises:
        TypeError: If they are complex.
        ValueError: If they have another shape, or are not finite numbers.
    """
    z = real_tensor(values, "latents")
    if z.ndim == 0 or tuple(z.shape[1:]) != tuple(shape):
        need = f"({', '.join(map(str, ('N', *shape)))})"
        raise ValueError(f"latents have the shape {need}, as encode gives them, got {tuple(z.shape)}: reshape them")
    if not all_finite(z):
        row = int((~z.flatten(1).isfinite()).any(1).nonzero()[0])
        raise ValueError(f"latents are finite numbers, and row {row} has others: leave it out")
    return z


def spherical_interpolation(a: Tensor, b: Tensor, count: int) -> Sequence[Tensor]:
    """Latents between two: cos φ a + sin φ b, from a at φ = 0 to b at φ = π/2.

    Where a and b are independent and standard normal, so is each of these: what they decode to has the distribution of the
    model, which on straight lines would be too narrow.

    Arguments:
        a: Latents, of shape `(B, *D)`.
        b: Latents of the same shape.
        count: How many, both ends among them.

    Returns:
        `count` latents of that shape.

    Raises:
        ValueError: If `count` is below 2, or the shapes differ.
    """
    if count < 2 or a.shape != b.shape:
        got = f"count={count} and shapes {tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"an interpolation has two ends of one shape, got {got}")
    angles = [math.pi / 2 * i / (count - 1) for i in range(count)]
    return [a, *(math.cos(angle) * a + math.sin(angle) * b for angle in angles[1:-1]), b]
