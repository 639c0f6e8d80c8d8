"""Drawing from a diffusion: trajectories from noise to data, and their ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import Sampler
from .sampling import Sampling, SamplingLike

__all__ = ["sample", "trajectory", "trajectory_from"]


def trajectory_from(
    diffusion: Diffusion, x: Tensor, sampler: Sampler, times: Tensor, rng: Rng, denoise: bool = True
) -> Iterator[tuple[float, Tensor]]:
    """The trajectory of given states through given times: `trajectory` without its beginning.

    Arguments:
        x: States at the first of `times`, of shape `(B, *D)`.
        times: Times in [0, 1], of shape `(n + 1,)`.
        diffusion, sampler, rng, denoise: As for `trajectory`.

    Returns:
        Pairs of the noise level and the state, of shape `(B, *D)`.

    Raises:
        TypeError: If the sampler or the denoiser returns anything but a tensor of the shape of `x`.
        RuntimeError: If a state becomes non-finite (NaN or inf).
    """
    shape, states = x.shape, sampler.trajectory(diffusion, x, times, rng)
    for t in times:
        with torch.no_grad():  # around each step: the gradients of the caller's loop are left alone
            x = next(states)
        level = float(diffusion.process.level(t))
        where = f"at level {level:.3g} (t = {float(t):.3g})"
        _check(x, shape, f"{type(sampler).__name__} gave a state", where, len(times))
        yield level, x
    if denoise:
        with torch.no_grad():
            x = diffusion.split(x, times[-1])[0]
        _check(x, shape, f"{type(diffusion.denoiser).__name__} gave a mean", "in the last denoising", len(times))
        yield 0.0, x


def _check(x: object, shape: torch.Size, what: str, where: str, count: int) -> None:
    """Raises if a state is not a finite tensor of the right shape."""
    if not isinstance(x, Tensor) or x.shape != shape:
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{what} of {got} {where}: it must be a tensor of shape {tuple(shape)}")
    if not bool(torch.isfinite(x).all()):
        advice = f"take more than {count - 1} steps, or train longer with a smaller learning rate"
        raise RuntimeError(f"{what} that is non-finite (NaN or inf) {where}: {advice}")


def trajectory(
    diffusion: Diffusion,
    shape: Sequence[int],
    sampling: SamplingLike,
    rng: Rng,
    denoise: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[float, Tensor]]:
    """The trajectory from noise to data, a state at a time.

    Arguments:
        diffusion: A diffusion model.
        shape: The shape `(B, *D)` of the batch to draw.
        sampling: The sampler and its steps; and the schedule, if it is not uniform in the clock of the process, and the
            process, if it is not that of the diffusion.
        rng: The source of randomness, which names the samples.
        denoise: Whether the noise of the last level is removed at the end, by one more evaluation.
        dtype: The type of the state. The network keeps its own.
        device: Where the state lives.

    Returns:
        Pairs of the noise level and the state, of shape `(B, *D)`, from the first level of the schedule down to its last,
        or to 0.

    Raises:
        ValueError: If no sampler is chosen, the number of steps is missing, below 1, or not that of the schedule, or the
            process cannot be used.
        TypeError: If the sampler, the schedule, the process or the denoiser returns what it must not.
        RuntimeError: If a state becomes non-finite (NaN or inf).
    """
    sampler, process, times = Sampling.of(sampling).merged(Sampling(process=diffusion.process)).parts()
    diffusion, times = replace(diffusion, process=process), times.to(device, dtype)
    x = diffusion.prior(shape, rng.child("prior"), dtype, device, times[0])
    yield from trajectory_from(diffusion, x, sampler, times, rng, denoise)


def sample(
    diffusion: Diffusion,
    shape: Sequence[int],
    sampling: SamplingLike,
    rng: Rng,
    denoise: bool = True,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draws samples, of shape `shape`: the last state of `trajectory`, with the same arguments.

    Raises:
        ValueError: As `trajectory` does.
        RuntimeError: If a state becomes non-finite (NaN or inf).

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import VP
        >>> from scorefield.rng import Samples
        >>> data = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = sample(Diffusion(VP(), data, data), (1000, 2), "heun(steps=24)", Samples(seed=0, count=1000))
        >>> bool((x.std(0) - 1).abs().max() < 0.1)
        True
    """
    x = torch.empty(0)
    for _, x in trajectory(diffusion, shape, sampling, rng, denoise, dtype, device):  # noqa: B007
        pass
    return x
