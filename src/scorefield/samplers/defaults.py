"""How samples are drawn where nothing else is known: what was measured is in docs/samplers.md."""

from __future__ import annotations

import math

from ..processes import Process
from .multistep import DPM, UniPC
from .sampling import Sampling

__all__ = ["flow_sampling", "sde_sampling"]

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
