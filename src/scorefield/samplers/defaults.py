"""How samples are drawn where nothing else is known: what was measured is in docs/samplers.md."""

from __future__ import annotations

import math

from ..processes import Process
from ..schedules import Learned, LogLevel
from .multistep import DPM, IPNDM, UniPC
from .sampling import Sampling

__all__ = ["few_steps_sampling", "flow_sampling", "image_sampling", "sde_sampling", "unlearned"]

FEW = 11  # steps and the last denoising: 12 evaluations

_FACTOR = 1.5  # by which a step divides the level at most: no variance is 5 % off then
_LONG = 0.385  # the logarithm of the factor of few steps: variances are 8 % off at most
_THIN = 0.03  # of the standard deviation of data: little is to be seen of thinner directions of images


def flow_sampling(process: Process, least: int = 32) -> Sampling:
    """The probability flow: exact for small networks, which fit tables well, and for exact scores.

    Arguments:
        process: The noise process.
        least: The smallest number of steps; there are more if levels reach far.

    Example:
        >>> from scorefield.processes import EDM
        >>> flow_sampling(EDM(0.01, 40.0)).steps, flow_sampling(EDM(1e-5, 40.0)).steps
        (32, 38)
    """
    return Sampling(UniPC(3), _steps(process, least), process=process)


def few_steps_sampling(process: Process) -> Sampling:
    """The probability flow in few steps, once `learn_steps` has found where they must be.

    Arguments:
        process: The noise process.

    Example:
        >>> from scorefield.processes import EDM
        >>> str(few_steps_sampling(EDM(0.01, 40.0)).replace(process=None))
        'IPNDM(order=3, steps=11, schedule=Learned)'
    """
    return Sampling(IPNDM(3), FEW, Learned(fallback=_steps(process, 32)), process)


def unlearned(sampling: Sampling) -> Sampling:
    """How samples are drawn from another distribution than the one that was learned: its posterior, say.

    Arguments:
        sampling: A complete sampling. Where its schedule serves all, and its sampler does not correct errors of a score, it is
            returned as it is.

    Example:
        >>> from scorefield.processes import EDM
        >>> str(unlearned(few_steps_sampling(EDM(0.01, 40.0))).replace(process=None))
        'UniPC(steps=32)'
    """
    others = None if sampling.schedule is None else sampling.schedule.others
    if sampling.process is None:
        return sampling
    if sampling.sampler is not None and sampling.sampler.corrects:
        return sde_sampling(sampling.process)
    if others is None:
        return sampling
    deterministic = sampling.sampler is None or sampling.sampler.deterministic
    return flow_sampling(sampling.process, others) if deterministic else sde_sampling(sampling.process, others)


def sde_sampling(process: Process, least: int = 24) -> Sampling:
    """The reverse SDE, whose fresh noise forgets errors of a network: for images and fields, and for categories.

    Arguments:
        process: The noise process.
        least: The smallest number of steps; there are more if levels reach far.

    Example:
        >>> from scorefield.processes import EDM
        >>> str(sde_sampling(EDM(0.01, 40.0)).replace(process=None))
        'DPM(eta=1, steps=24)'
    """
    return Sampling(DPM(2, eta=1.0), _steps(process, least), process=process)


def image_sampling(process: Process, scale: float = 1.0) -> Sampling:
    """The reverse SDE in few steps: for images in whole numbers, whose network leaves the largest levels to a mixture.

    Arguments:
        process: The noise process.
        scale: The standard deviation of the data.

    Example:
        >>> from scorefield.processes import EDM
        >>> str(image_sampling(EDM(0.003, 55.0)).replace(process=None))
        'DPM(eta=1, bounded=True, steps=20, schedule=LogLevel(shift=0.03, fallback=25))'
    """
    low, high = process.checked().ends()
    shift = _THIN * scale
    steps = max(12, math.ceil(math.log((high + shift) / (low + shift)) / _LONG))
    return Sampling(DPM(2, eta=1.0, bounded=True), steps, LogLevel(shift, _steps(process, 24)), process)


def _steps(process: Process, least: int) -> int:
    low, high = process.checked().ends()
    return max(least, math.ceil(math.log(high / low) / math.log(_FACTOR)))
