"""How samples are drawn where nothing else is known: what was measured is in docs/samplers.md."""

from __future__ import annotations

import math

from ..processes import Process
from ..schedules import Learned
from .multistep import DPM, IPNDM, UniPC
from .sampling import Sampling

__all__ = ["few_steps_sampling", "flow_sampling", "sde_sampling", "unlearned"]

FEW = 11  # steps and the last denoising: 12 evaluations

_FACTOR = 1.5  # by which a step divides the level at most: no variance is 5 % off then


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
        sampling: A complete sampling. Where its schedule was not learned, and its sampler does not correct errors of a score,
            it is returned as it is.

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
    return flow_sampling(sampling.process, others)


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


def _steps(process: Process, least: int) -> int:
    low, high = process.checked().ends()
    return max(least, math.ceil(math.log(high / low) / math.log(_FACTOR)))
