"""How large a network and a batch are, from the data, the budget and the device: a function of these, and of no clock."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

import torch
from torch import nn

from ..nn.counted import Counted
from ..settings import Training
from ..training.flat import inside
from ..training.optimizer import multiplications
from .hardware import Hardware

__all__ = ["batch_for_grids", "compiles", "growth", "muon_every", "muon_reason", "muon_share"]

_MINUTES, _OF_GRIDS = 10.0, 60.0  # of a CPU, up to which no wider network than that of `nn.choose` was found better
_EXAMPLES = 200_000  # grids that the network of reference sees in them
_GRIDS, _ROWS = 6_000, 50_000  # examples that a network of the size of reference needs not to memorize them
_MOST = 8.0  # times the width
_NUMBERS = 2**21  # in a batch of grids on a GPU, which is then busy
_LARGEST = 512  # batches
_BYTES = 4000  # that a step keeps for each number of a grid, in a network three times as wide as that of reference
_SHARE, _RAREST = 1 / 8, 2  # of the work of the network, that Muon adds at most; and more rarely was no gain
_WORTH = 5.0  # minutes, or as many examples of grids: compiling takes one or two


def _examples(training: Training, count: int) -> float:
    """How many examples a budget in steps or epochs sees."""
    if training.epochs is not None:
        return training.epochs * count
    return (training.steps or 0) * (training.batch or 1) * training.accumulate


def growth(training: Training, hardware: Hardware, count: int, grid: bool) -> float:
    """How many times as wide as the network of reference a network is, 1 to 8.

    Of C times as much work, half of the factor goes to more examples, half to a larger network (Hoffmann et al., 2022): its
    parameters grow as C^½, so its width as C^¼. Few examples allow no more than a number of parameters in proportion to them.
    C is the product of minutes and the nominal rate of the device. A budget in steps or epochs says nothing of time: on a CPU
    the network stays, on a GPU the size of that of grids grows in proportion to the examples seen, and that of vectors as their
    number allows, since a GPU computes small networks no faster than large ones.

    Arguments:
        training: The settings, with a budget and a batch.
        hardware: The device.
        count: The number of training examples.
        grid: Whether they are grids.

    References:
        Hoffmann et al., 2022, Training compute-optimal large language models.

    Example:
        >>> growth(Training(minutes=10), Hardware(), 54_000, grid=True)
        1.0
        >>> growth(Training(minutes=960), Hardware(), 54_000, grid=True)
        2.0
    """
    wanted, allowed = 1.0, math.sqrt(max(1.0, count / (_GRIDS if grid else _ROWS)))
    if training.minutes is not None:
        wanted = math.sqrt(math.sqrt(hardware.speed * training.minutes / (_OF_GRIDS if grid else _MINUTES)))
    elif hardware.gpu:
        wanted = math.sqrt(_examples(training, count) / _EXAMPLES) if grid else math.inf
    return max(1.0, min(wanted, allowed, _MOST))


def batch_for_grids(numbers: int, count: int, hardware: Hardware) -> int:
    """The batch size for grids: small on a CPU, and on a GPU as large as keeps it busy, a power of two.

    Arguments:
        numbers: How many numbers a grid has.
        count: The number of training examples: a batch is at most a sixteenth of them.
        hardware: The device, whose memory holds the batch.

    Example:
        >>> batch_for_grids(3072, 45_000, Hardware()), batch_for_grids(3072, 45_000, Hardware.of_gpu(132, 9, 80e9))
        (32, 512)
    """
    small = max(4, min(64, 100_000 // numbers))
    if not hardware.gpu:
        return small
    held = hardware.memory / 2 / (_BYTES * numbers)
    most = min(_LARGEST, _NUMBERS // numbers, count // 16, held)
    return max(min(small, max(1, int(held))), 1 << int(math.log2(max(1, most))))


def compiles(training: Training, hardware: Hardware, grid: bool, count: int) -> bool:
    """Whether a network is worth compiling: one for grids, on a GPU where PyTorch's compiler is there, for a long budget.

    Arguments:
        training: The settings, with a budget and a batch.
        hardware: The device.
        grid: Whether the data are grids.
        count: The number of training examples.
    """
    if not (grid and hardware.gpu) or importlib.util.find_spec("triton") is None:
        return False
    if training.minutes is not None:
        return training.minutes >= _WORTH
    return _examples(training, count) >= _WORTH * _EXAMPLES


def muon_share(network: nn.Module, shape: Sequence[int], training: Training) -> float | None:
    """What Muon in each step adds to the work of a network for grids; None where the network does not say how much that is.

    The work is that of products: of matrices with their transposes, whatever the batch; and in the layers, for which the
    gradients take twice as much as the answer.

    Arguments:
        network: The network.
        shape: The shape of a sample, `(C, *S)`.
        training: The settings, with a batch and a precision.
    """
    counted = network.multiplications(shape[1:]) if isinstance(network, Counted) else None
    if counted is None:
        return None
    dtype = torch.float32 if training.precision == "float32" else torch.bfloat16
    matrices = [(p.shape[0], p.numel() // p.shape[0]) for p in network.parameters() if inside(p)]
    added = sum(multiplications(*each, dtype) for each in matrices)
    return added / (3 * counted * (training.batch or 1) * training.accumulate)


def muon_every(share: float | None) -> int:
    """In how many steps Muon moves matrices once: 2 where it would otherwise add more than an eighth to the work, else 1.

    Arguments:
        share: What it adds in each step, as `muon_share` says it.

    Example:
        >>> from ..nn import choose
        >>> made = [(choose((1, n, n), 2000)[0], (1, n, n), Training(batch=b)) for n, b in ((28, 64), (64, 24), (128, 6))]
        >>> [muon_every(muon_share(*each)) for each in made]
        [1, 2, 2]
    """
    return 1 if share is None else max(1, min(_RAREST, math.ceil(share / _SHARE)))


def muon_reason(share: float | None) -> str:
    """Why Muon moves matrices once in `muon_every(share)` steps, in words.

    Example:
        >>> muon_reason(0.9)
        'more rarely was no gain; Muon adds 45 % to the multiplications of a step'
    """
    if share is None:
        return "in each step, since this network does not say how much work it is"
    every = muon_every(share)
    added = f"Muon adds {100 * share / every:.2g} % to the multiplications of a step"
    if share / every > _SHARE:
        return f"more rarely was no gain; {added}"
    return f"in each step, {added}" if every == 1 else f"once in {every} steps, {added}"
