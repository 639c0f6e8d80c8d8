"""What a sampler does to thin directions: exact on Gaussian data, and the steps that keep their variance.

Along a direction in which Gaussian data have the standard deviation s, every sampler with fixed steps is a linear map of the
noise that it draws. So the variance that it gives is known without sampling: the sum of the squares of the responses to each
draw alone. On `LogLevel` each step divides the level by the same factor, and the error in a thin direction depends on that
factor, not on s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..denoisers.exact import Gaussian
from ..diffusion import Diffusion
from ..processes import Process
from ..rng import Rng
from ..schedules import DEFAULT_SCHEDULE, Schedule
from .base import Sampler
from .draw import sample
from .sampling import Sampling

__all__ = ["finest_level", "resolving", "steps_for", "variance_ratios"]

_FIRST, _GROWTH = 6, 1.1  # numbers of steps that are tried


class _Pulses(Rng):
    """Draw k is 1 in row k and 0 in the others; all children count the same draws."""

    def __init__(self, drawn: list[None] | None = None) -> None:
        self.drawn: list[None] = [] if drawn is None else drawn

    def child(self, purpose: str) -> Rng:
        return _Pulses(self.drawn)

    def normal(
        self, shape: Sequence[int], dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        z, row = torch.zeros(tuple(shape), dtype=dtype, device=device), len(self.drawn)
        self.drawn.append(None)
        z[row : row + 1] = 1  # no row, once there are more draws than rows
        return z

    def uniform(
        self, shape: Sequence[int], dtype: torch.dtype | None = None, device: torch.device | None = None
    ) -> Tensor:
        what = "the variance of a sampler that draws uniform numbers, as a Metropolis test does, has no formula"
        raise ValueError(f"{what}: choose its steps by comparing samples with more of them")

    def stratified(self, count: int, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Tensor:
        return self.uniform((count,), dtype, device)


def variance_ratios(sampling: Sampling, deviations: Tensor) -> Tensor:
    """The variances that a sampler gives to Gaussian data with an exact denoiser, over the true ones.

    Exact for samplers with fixed steps, without sampling; for a deterministic one that chooses its steps, those of one standard
    deviation. What the last denoising takes away is part of it: with the smallest level σ it leaves s²/(s² + σ²).

    Arguments:
        sampling: The sampler, its steps, the schedule and the process.
        deviations: Standard deviations s of the data along independent directions, of shape `(n,)`, in the units of the state.

    Returns:
        Ratios of variances, of shape `(n,)`, in float64; 1 is right.

    Raises:
        ValueError: If the sampler draws noise and chooses its own steps, or draws uniform numbers; or the process or the
            number of steps is missing.
        RuntimeError: If a state becomes non-finite (NaN or inf).

    Example:
        >>> from scorefield.processes import VP
        >>> from scorefield.samplers import UniPC
        >>> from scorefield.schedules import UniformTime
        >>> s = torch.tensor([1.0, 0.1, 0.01])
        >>> variance_ratios(Sampling(UniPC(), 32, process=VP()), s).round(decimals=2)
        tensor([1.0000, 1.0000, 0.9900], dtype=torch.float64)
        >>> variance_ratios(Sampling(UniPC(), 32, UniformTime(), VP()), s).round(decimals=2)  # few steps at small levels
        tensor([0.9900, 0.4400, 0.0300], dtype=torch.float64)
    """
    sampler, process, _ = sampling.parts()
    if sampler.adaptive and not sampler.deterministic:
        what = f"{type(sampler).__name__} chooses its steps by the noise"
        raise ValueError(f"{what}, and its variance has no formula: measure it with samples")
    s = deviations.double()
    data = Gaussian(torch.zeros_like(s), s**2)
    diffusion = Diffusion(process, data, data)
    rows = 1  # the first state
    if not sampler.deterministic:
        count = _Pulses()
        sample(diffusion, (1, len(s)), sampling, count)
        rows = len(count.drawn)
    responses = sample(diffusion, (rows, len(s)), sampling, _Pulses())
    return responses.square().sum(0) / s**2


def finest_level(thinnest: float, error: float = 0.05) -> float:
    """The smallest noise level for data of which the thinnest direction has the standard deviation `thinnest`.

    The last denoising, from the level σ, leaves s²/(s² + σ²) of a variance s². At this level that costs half of `error`.

    Arguments:
        thinnest: The standard deviation s, in the units of the state.
        error: The relative error of the variance that is allowed.

    Raises:
        ValueError: If `thinnest` is not positive, or `error` not between 0 and 1.

    Example:
        >>> round(finest_level(0.01), 5)
        0.0016
    """
    if not 0 < thinnest < math.inf:
        raise ValueError(f"the thinnest direction needs a positive standard deviation, got thinnest={thinnest:g}")
    if not 0 < error < 1:
        raise ValueError(f"the error of a variance lies between 0 and 1, got error={error:g}: 0.05 is five per cent")
    return thinnest * math.sqrt(error / (2 - error))


def steps_for(
    thinnest: float,
    sampler: Sampler,
    process: Process,
    schedule: Schedule | None = None,
    error: float = 0.05,
    widest: float = 1.0,
    most: int = 1000,
) -> int:
    """The number of steps with which no direction of Gaussian data loses or gains variance, measured and not estimated.

    `variance_ratios` is asked for more and more steps, until all directions between `thinnest` and `widest` are within `error`
    and stay so with a tenth more. It takes milliseconds for samplers without noise, and up to a second for others. Where data
    are not Gaussian that many steps are the least that their thin directions need.

    Arguments:
        thinnest: The smallest standard deviation of the data along any direction, in the units of the state.
        sampler: The sampler. One that chooses its own steps needs 1.
        process: The noise process, whose smallest level must be `finest_level(thinnest, error)` or not much above.
        schedule: The schedule; by default `DEFAULT_SCHEDULE`, `LogLevel()`.
        error: The relative error of a variance that is allowed.
        widest: The largest standard deviation of the data along any direction.
        most: The largest number of steps that is tried.

    Raises:
        ValueError: If an argument is out of range; if the smallest level of the process is too large for `thinnest`, with the
            level that is needed; or if more than `most` steps are needed.

    Example:
        >>> from scorefield.processes import EDM
        >>> from scorefield.samplers import DDIM, UniPC
        >>> steps_for(0.01, UniPC(3), EDM(0.0015, 80.0)), steps_for(0.01, DDIM(), EDM(0.0015, 80.0))
        (18, 194)
    """
    need = finest_level(thinnest, error)
    process = process.checked()
    low = process.ends()[0]
    if low**2 / (thinnest**2 + low**2) >= error:
        have = f"{type(process).__name__} ends at level {low:.3g}"
        what = f"where the last denoising takes {low**2 / (thinnest**2 + low**2):.0%} of the variance of a direction"
        raise ValueError(f"{have}, {what} as thin as {thinnest:.3g}: it must go down to {need:.2g}")
    if sampler.adaptive:
        return 1
    directions = _between(thinnest, max(widest, thinnest))
    found: int | None = None
    steps = _FIRST
    while steps <= most * _GROWTH:
        within = _worst(Sampling(sampler, steps, schedule, process), directions) <= error
        if within and found is not None:
            return found
        found = steps if within else None
        steps = max(steps + 1, round(steps * _GROWTH))
    call = f"{type(sampler).__name__} on {type(schedule or DEFAULT_SCHEDULE).__name__}"
    what = f"{call} needs more than {most} steps to keep a variance within {error:.0%}"
    raise ValueError(f"{what} where data are as thin as {thinnest:.3g}: take UniPC(), or a larger error")


def _between(low: float, high: float) -> Tensor:
    """Standard deviations from one to another, four a decade."""
    count = 1 + math.ceil(4 * math.log10(high / low))
    return torch.logspace(math.log10(low), math.log10(high), max(count, 2), dtype=torch.float64)


def _worst(sampling: Sampling, deviations: Tensor) -> float:
    """The largest error of a ratio of variances; infinite if samples are."""
    try:
        return float((variance_ratios(sampling, deviations) - 1).abs().max())
    except RuntimeError:
        return math.inf


def resolving(sampling: Sampling, thinnest: float, error: float = 0.05, widest: float = 1.0) -> Sampling:
    """How samples are drawn, made fine enough for a thin direction: levels, schedule and steps, and not more than it needs.

    Arguments:
        sampling: A sampler and a process, and the number of steps that it takes at least.
        thinnest, error, widest: As for `steps_for`.

    Returns:
        The same sampler; the process with levels down to `finest_level(thinnest, error)` if it did not reach them; the
        schedule `DEFAULT_SCHEDULE`, or the given one; the number of steps of `steps_for`, or the given one if it is larger.

    Raises:
        ValueError: As `steps_for` does; or if sampler or process is missing, or the process cannot reach these levels.

    Example:
        >>> from scorefield.processes import EDM
        >>> from scorefield.samplers import UniPC
        >>> fine = resolving(Sampling(UniPC(), process=EDM(0.01, 40.0)), thinnest=0.001)
        >>> fine.steps, fine.process.ends()[0] < 0.0002
        (20, True)
    """
    if sampling.sampler is None or sampling.process is None:
        raise ValueError("a sampler and a process are needed: Sampling(UniPC(), process=EDM())")
    process, need = sampling.process.checked(), finest_level(thinnest, error)
    low, high = process.ends()
    if low > need:
        process = process.spanning(need, high)
    schedule = sampling.schedule or DEFAULT_SCHEDULE
    if schedule.steps is not None:
        raise ValueError(f"{type(schedule).__name__} has levels of its own: leave the schedule out")
    steps = steps_for(thinnest, sampling.sampler, process, schedule, error, widest)
    return replace(sampling, steps=max(steps, sampling.steps or 1), schedule=schedule, process=process)
