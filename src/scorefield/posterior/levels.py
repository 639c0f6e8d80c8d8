"""Levels that reach down to the thinnest direction of a posterior, and a prior that answers below what it has learned."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..denoisers import Denoiser, Gaussian
from ..samplers.sampling import Sampling
from ..schedules import LogLevel
from .measured import StandardizedMeasurement

__all__ = ["SmallestLevel", "following", "thinnest"]

_FINE = 4.0  # steps for each e-fold of the level
_COARSE = 0.4  # the longest step, in e-folds, that resolves the thinnest direction
_AROUND = 4.0  # within this factor of it
_BELOW = 8.0  # a new last level is so much smaller than the thinnest direction
_MOST = 200  # steps


class SmallestLevel(Denoiser):
    """A denoiser that is asked at levels below the smallest that it has learned: there the score is that of this level.

    With the score s of the smallest level, D(x, level) = x + level² s(x) below it, as if the density did not change any more.
    A measurement whose noise is smaller than that level decides there along what it measured; elsewhere the distribution is
    that of data with noise of the smallest level.

    Arguments:
        prior: The denoiser.
        smallest: The smallest level that it knows.
    """

    def __init__(self, prior: Denoiser, smallest: float) -> None:
        super().__init__()
        self.prior = prior
        self.smallest = smallest

    def given_variables(self, values: Tensor, status: Tensor) -> Denoiser:
        return SmallestLevel(self.prior.given_variables(values, status), self.smallest)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        known = level.clamp_min(self.smallest)
        mean = self.prior(x, known)
        return torch.where(level >= self.smallest, mean, x + (level / known) ** 2 * (mean - x))


def thinnest(measured: StandardizedMeasurement, moments: Gaussian) -> float | None:
    """The standard deviation of Gaussian data in the direction that a linear measurement shows best; None for other operators.

    Arguments:
        measured: The measurement of states.
        moments: The mean and the covariance of states, whose variance is about 1.
    """
    if not measured.linear:
        return None
    with torch.inference_mode(False), torch.enable_grad():
        mean = moments.mean[None].detach().clone().requires_grad_()
        steepness = measured.linearize(mean).steepness(lambda v: v)
    return 1 / math.sqrt(1 + float(steepness))


def following(sampling: Sampling, thin: float) -> Sampling:
    """How a posterior is sampled whose thinnest direction has a standard deviation `thin`: as before, if the levels resolve it.

    Otherwise levels go down to an eighth of it, uniform in their logarithm, four steps for each e-fold.

    Raises:
        ValueError: If that takes more than 200 steps.
    """
    if sampling.process is None or sampling.sampler is None:
        return sampling
    levels = sampling.process.level(sampling.times())
    near = (levels >= thin / _AROUND) & (levels <= thin * _AROUND)
    lengths = (levels[:-1] / levels[1:]).log()[near[:-1] | near[1:]]
    reaches = float(levels[-1]) <= thin / _AROUND
    if reaches and (sampling.sampler.adaptive or (len(lengths) > 0 and float(lengths.max()) <= _COARSE)):
        return sampling
    low, high = sampling.process.ends()
    last = min(low, thin / _BELOW)
    process = sampling.process if last == low else sampling.process.spanning(last, high)
    if sampling.sampler.adaptive:
        return replace(sampling, process=process)
    steps = math.ceil(_FINE * math.log(high / last))
    if steps > _MOST:
        what = f"the measurement leaves a direction {thin:.1g} standard deviations thin, which takes {steps} steps"
        raise ValueError(
            f"{what} and {_MOST} are allowed: give the noise that it has, or Sampling(steps=…) and a process"
        )
    return replace(sampling, process=process, schedule=LogLevel(), steps=max(steps, sampling.step_count))
