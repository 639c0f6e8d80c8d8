"""Where a few steps must be: a density of steps that is learned for a model, from a few of its own trajectories.

A deterministic sampler takes the same starts to slightly different ends in few steps and in many. The difference is a smooth
function of the density of steps, which has few parameters; Gauss-Newton steps make it small. Thin directions count little in
such a difference. So what the sampler does to Gaussian data of every standard deviation that the levels can tell from a point
is part of it, as far as it is wrong by more than a few per cent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Samples
from ..schedules import Learned
from .draw import sample
from .multistep import UniPC
from .resolution import variance_ratios
from .sampling import Sampling

__all__ = ["LearnedSteps", "learn_steps"]

_SAMPLES = 128  # trajectories that a density is learned from, and as many others that it is checked with
_EXACT = 64  # steps of UniPC, whose ends are taken for exact
_KNOTS, _ROUNDS, _DAMPINGS = 6, 6, 4
_DISTANCE, _VARIANCE = 0.01, 0.03  # what is accepted, of standard deviations and of variances
_FAR = 0.1  # standard deviations, from which on a difference counts less: a trajectory that ends at another mode
_THINNEST, _DIRECTIONS = 3.0, 14  # thinner than 3 smallest levels, the last denoising decides
_FREE, _CALM = 0.015, 0.002  # error of a deviation that costs nothing; the cost of a density that is not uniform
_SLIGHT, _LARGEST = 0.05, 1.0  # changes of a parameter: for derivatives, and in a round


@dataclass(frozen=True)
class LearnedSteps:
    """A sampling in few steps, and how far its samples are from those of many steps.

    Arguments:
        sampling: The sampling, with a schedule that was learned.
        distance: The root mean square distance to the converged samples from the same starts, in standard deviations of
            the data, measured with other samples than those it was learned from. Beyond 0.1, distances count less.
        variance: The largest relative error of the variance of Gaussian data in any direction.
    """

    sampling: Sampling
    distance: float
    variance: float

    @property
    def accurate(self) -> bool:
        """Whether both are small: below 0.01 and 3 %."""
        return self.distance <= _DISTANCE and self.variance <= _VARIANCE


def learn_steps(
    diffusion: Diffusion, shape: Sequence[int], sampling: Sampling, seed: int = 0, counts: Sequence[int] = (11, 15, 23)
) -> LearnedSteps | None:
    """The sampling with the fewest steps whose samples are those of many steps, with its schedule learned.

    It costs about as much as drawing 600 samples with 64 steps, for each count that is tried.

    Arguments:
        diffusion: The diffusion of vectors that samples are drawn from.
        shape: The shape `D` of a state.
        sampling: A deterministic sampler with fixed steps, and the process. A number of steps is the only one that is tried.
        seed: The seed of the trajectories.
        counts: The numbers of steps that are tried, in this order.

    Returns:
        The first that is accurate, or the last if none is; None if a trajectory becomes non-finite (NaN or inf).

    Raises:
        ValueError: If the sampler draws noise or chooses its own steps, or sampler or process is missing.

    Example:
        >>> from scorefield.denoisers import Mixture
        >>> from scorefield.processes import EDM
        >>> from scorefield.samplers import IPNDM
        >>> means = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()
        >>> data = Mixture(means, torch.tensor([0.2, 0.2]).double(), torch.tensor([0.5, 0.5]).double())
        >>> process = EDM(0.01, 40.0)
        >>> found = learn_steps(Diffusion(process, data, data.moments()), (2,), Sampling(IPNDM(3), process=process))
        >>> found.sampling.steps <= 23, found.accurate
        (True, True)
    """
    sampler, process = sampling.sampler, sampling.process
    if sampler is None or process is None or not sampler.deterministic or sampler.adaptive:
        need = "a deterministic sampler with fixed steps, and a process"
        raise ValueError(f"a schedule is learned for {need}, got {sampling}: Sampling(IPNDM(3), process=EDM())")
    found = None
    try:
        task = _Task.of(diffusion, tuple(shape), sampling, seed)
        for steps in counts if sampling.steps is None else (sampling.steps,):
            found = task.learned(steps)
            if found.accurate:
                break
    except RuntimeError:
        return None
    return found


@dataclass(frozen=True)
class _Task:
    """What a density is learned from: starts, by their seed, their exact ends, and the directions of Gaussian data."""

    diffusion: Diffusion
    sampling: Sampling
    starts: tuple[Samples, Samples]  # to learn from, and to check with
    ends: tuple[Tensor, Tensor]
    deviations: Tensor
    scale: float

    @classmethod
    def of(cls, diffusion: Diffusion, shape: tuple[int, ...], sampling: Sampling, seed: int) -> _Task:
        starts = tuple(Samples(seed, i * _SAMPLES, _SAMPLES, "learned steps") for i in range(2))
        exact = Sampling(UniPC(3), _EXACT, process=sampling.process)
        learned, checked = (sample(diffusion, (_SAMPLES, *shape), exact, each) for each in starts)
        low, high = (float(f"{level:.6g}") for level in exact.parts()[1].ends())
        widest = 1.0 if diffusion.moments is None else float(diffusion.moments.values.max().sqrt())
        thinnest = min(_THINNEST * low, widest)
        deviations = torch.logspace(math.log10(thinnest), math.log10(widest), _DIRECTIONS, dtype=torch.float64)
        scale = max(float(learned.std()), 1e-12)
        whole = replace(sampling, schedule=Learned((0.0,) * _KNOTS, high, low, _fallback(sampling)))
        return cls(diffusion, whole, (starts[0], starts[1]), (learned, checked), deviations, scale)

    def at(self, density: Tensor, steps: int) -> Sampling:
        """The sampling with a density of steps."""
        schedule = self.sampling.schedule
        values = tuple(round(value, 3) for value in (0.0, *density.tolist()))
        return replace(self.sampling, steps=steps, schedule=replace(schedule, density=values))  # type: ignore[type-var]

    def differences(self, sampling: Sampling, which: int) -> Tensor:
        """The differences to exact ends, `(N, n)`, in standard deviations; far ones as if they were less far."""
        exact = self.ends[which]
        drawn = sample(self.diffusion, exact.shape, sampling, self.starts[which])
        away = ((drawn - exact) / self.scale).flatten(1)
        return away / torch.sqrt(1 + away.square().mean(1, keepdim=True) / _FAR**2)

    def ratios(self, sampling: Sampling) -> Tensor:
        """The variances of Gaussian data over the true ones, without what the last denoising takes away."""
        low: float = sampling.parts()[1].ends()[0]
        ratios: Tensor = variance_ratios(sampling, self.deviations)
        return ratios * (1 + (low / self.deviations) ** 2)

    def residuals(self, density: Tensor, steps: int) -> Tensor:
        """What is to become small, one-dimensional."""
        sampling = self.at(density, steps)
        away, wrong = self.differences(sampling, 0).flatten(), (self.ratios(sampling).sqrt() - 1).abs()
        return torch.cat([away / math.sqrt(len(away)), (wrong - _FREE).clamp_min(0), _CALM * density])

    def learned(self, steps: int) -> LearnedSteps:
        density = _least_squares(lambda values: self.residuals(values, steps), _KNOTS - 1)
        sampling = self.at(density, steps)
        distance = float(self.differences(sampling, 1).square().mean().sqrt())
        return LearnedSteps(sampling, distance, float((self.ratios(sampling) - 1).abs().max()))


def _fallback(sampling: Sampling) -> int:
    others = None if sampling.schedule is None else sampling.schedule.others
    return 32 if others is None else others


def _least_squares(residuals: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """The values at which a sum of squares is least, from 0 on: Levenberg and Marquardt, with differences as derivatives."""
    values, damping = torch.zeros(count, dtype=torch.float64), 0.1
    now = residuals(values)
    for _ in range(_ROUNDS):
        shifted = [residuals(values + _SLIGHT * one) for one in torch.eye(count, dtype=torch.float64)]
        slopes = torch.stack([(each - now) / _SLIGHT for each in shifted], 1)
        square, slope = slopes.mT @ slopes, slopes.mT @ now
        best = float(now.square().sum())
        for _ in range(_DAMPINGS):
            found: Tensor = torch.linalg.solve(square + damping * square.diagonal().diag(), slope)
            change = -found.clamp(-_LARGEST, _LARGEST)
            then = residuals(values + change)
            if float(then.square().sum()) < best:
                break
            damping *= 5
        else:
            return values
        values, now, damping = values + change, then, max(damping / 4, 1e-3)
        if float(now.square().sum()) > 0.97 * best:
            return values
    return values
