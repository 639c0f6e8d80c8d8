"""Drawing from a diffusion: trajectories from noise to data, and their ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..progress import part
from ..rng import Rng
from ..tensors import all_finite
from .base import Sampler
from .loose import loose_arguments
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
        ValueError: If the sampler needs a denoiser and the diffusion has a consistency function, or the other way round.
        RuntimeError: If a state becomes non-finite (NaN or inf).
    """
    sampler.check_denoiser(diffusion)
    states, last = sampler.trajectory(diffusion, x, times, rng), times[0]
    final = denoise and not sampler.gives_data and not sampler.adaptive  # whose one step is nearly all of the work
    count = len(times) - 1 + final
    for i, t in enumerate(times):
        before = x
        # around each step alone: the gradients of the caller's loop are left as they are; the first state takes no step
        with part(max(0, i - 1) / count, i / count, "drawing"), torch.no_grad():
            x = next(states)
        level = float(diffusion.process.level(t))
        what, where = f"{type(sampler).__name__} gave a state", f"at level {level:.3g} (t = {float(t):.3g})"
        _check(x, before, what, where)
        if not all_finite(x):
            advice = _cause(diffusion, before, last, sampler, len(times))
            raise RuntimeError(f"{what} that is non-finite (NaN or inf) {where}: {advice}")
        last = t
        yield level, x
    if denoise and sampler.gives_data:
        yield 0.0, x / diffusion.process.alpha(times[-1]).to(x)
    elif denoise:
        with torch.no_grad():
            mean = diffusion.split(x, times[-1])[0]
        if not all_finite(mean):
            what = f"{type(diffusion.denoiser).__name__} gave a mean that is non-finite (NaN or inf)"
            raise RuntimeError(f"{what} in the last denoising: {_cause(diffusion, x, last, sampler, len(times))}")
        yield 0.0, mean


def _check(x: object, before: Tensor, what: str, where: str) -> None:
    """Raises if a state is not a tensor of the shape and the type of the one before."""
    shape = tuple(before.shape)
    if not isinstance(x, Tensor) or x.shape != before.shape:
        got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{what} of {got} {where}: it must be a tensor of shape {shape}")
    if x.dtype != before.dtype:
        raise TypeError(f"{what} of type {x.dtype} {where}: it must keep the type of the state, {before.dtype}")


def _cause(diffusion: Diffusion, x: Tensor, t: Tensor, sampler: Sampler, count: int) -> str:
    """Where non-finite numbers come from, which followed the finite state `x` at the time `t`, and what to do."""
    steps = f"take more than {count - 1} steps, or train longer with a smaller learning rate"
    alpha, sigma = diffusion.process(t)
    if float(x.abs().max()) > 1e3 * float(alpha + sigma):
        return f"states had grown to {float(x.abs().max()):.3g} before: {steps}"
    with torch.no_grad():
        mean = diffusion.split(x, t)[0]
    if not all_finite(mean):
        level, name = float(sigma / alpha), type(diffusion.denoiser).__name__
        what = f"{name} returns non-finite values at level {level:.3g}, from a finite state"
        return f"{what}: correct it, or train longer with a smaller learning rate"
    if float(mean.abs().max()) > 1e3:
        return f"the denoiser gave means of up to {float(mean.abs().max()):.3g}: {steps}"
    name = type(sampler).__name__
    return f"the state and the denoiser's mean before were finite: correct the step of {name}, or {steps}"


@loose_arguments("diffusion", "shape", "sampler", "steps", "rng", "denoise", "dtype", "device", "grid")
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
    if not dtype.is_floating_point:
        raise TypeError(f"states are real numbers, got dtype={dtype}: take torch.float32 or torch.float64")
    diffusion, times = replace(diffusion, process=process), times.to(device, dtype)
    x = diffusion.prior(shape, rng.child("prior"), dtype, device, times[0])
    yield from trajectory_from(diffusion, x, sampler, times, rng, denoise)


@loose_arguments("diffusion", "shape", "sampler", "steps", "rng", "denoise", "dtype", "device", "grid")
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
