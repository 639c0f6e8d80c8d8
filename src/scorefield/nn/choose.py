"""Which network for which data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn as nn

from .fourier_features import FourierFeatures
from .mlp import MLP
from .unet import UNet

__all__ = ["choose"]

_FINE = 0.08  # standard deviations: networks hardly see steps below that
_SHORTEST, _LONGEST = 4.0, 0.8  # of the waves that show them, in steps and in standard deviations
_MOST = 256  # numbers that these make of a patch
_PLENTY, _PLAIN = 15_000, 16  # so many vectors, of so few features, bear waves of these periods; few are better without
_COILS = (4.0, 2.0, 1.0, 0.5, 0.25)


def choose(
    shape: Sequence[int],
    count: int,
    widths: Sequence[int] | None = None,
    depth: int | None = None,
    patch: int | None = None,
    attention: bool = False,
    periodic: bool = False,
    context: int = 0,
    beside: int = 0,
    step: float | None = None,
) -> tuple[nn.Module, str]:
    """A network for data, sized by their shape and their number.

    Arguments:
        shape: The shape of a datum: `(F,)` for vectors, `(C, *S)` with one to three spatial axes for grids.
        count: How many data there are.
        widths: The widths to take instead: one for vectors, one a scale for grids.
        depth: The number of blocks (a scale) to take instead.
        patch: The side of the patches to take instead (grids).
        attention: Whether positions attend to each other at the coarsest scale (grids).
        periodic: Whether the data wrap around at their edges (grids).
        context: How many numbers are given beside a datum.
        beside: How many channels are given beside a datum, on its own grid (grids).
        step: The step between neighbouring values in standard deviations, if it is to be seen (grids).

    Returns:
        The network, and the reason for its size in words.

    Raises:
        ValueError: If an option does not fit the shape.

    Example:
        >>> import torch
        >>> network, reason = choose((1, 28, 28), 60_000)
        >>> type(network).__name__, network(torch.zeros(2, 1, 28, 28), torch.zeros(2)).shape
        ('UNet', torch.Size([2, 1, 28, 28]))
    """
    if len(shape) == 1:
        if patch is not None or attention or periodic:
            raise ValueError(
                "patch, attention and periodic are for grids, these data are vectors: set structure='grid'"
            )
        return _vector(shape[0], count, widths, depth, context)
    if len(shape) > 4:
        raise ValueError(f"grids have one channel axis and 1 to 3 spatial axes, got data of shape {tuple(shape)}")
    return _grid(shape, widths, depth, patch, attention, periodic, context, beside, step)


def _vector(
    features: int, count: int, widths: Sequence[int] | None, depth: int | None, context: int
) -> tuple[nn.Module, str]:
    if widths is not None and len(widths) != 1:
        raise ValueError(f"a network for vectors has one width, got {tuple(widths)}")
    width = widths[0] if widths else _width(features + context, count)
    layers = depth if depth is not None else 2 if count < 2_000 else 4
    text = f"vectors of {features}: an MLP with {layers} inner layers of width {width} for {count} data"
    if count < _PLENTY or features > _PLAIN or context:
        return MLP(features, width, layers, context), text
    network = MLP(features, width, layers, more=2 * features * len(_COILS))
    return FourierFeatures(network, _COILS), f"{text}, whose fine structure {len(_COILS)} waves show it"


def _width(features: int, count: int) -> int:
    """Wider for more features, narrower for few data: these ask for a smooth law, and soon."""
    if features <= 16:
        return 64 if count < 2_000 else 128
    return 256 if features <= 64 else 512


def _grid(
    shape: Sequence[int],
    widths: Sequence[int] | None,
    depth: int | None,
    patch: int | None,
    attention: bool,
    periodic: bool,
    context: int,
    beside: int,
    step: float | None,
) -> tuple[nn.Module, str]:
    channels, size = shape[0], shape[1:]
    longest = max(size)
    if patch is None:
        patch = 1 if longest < 16 else 2 if longest <= 64 else 4
    if widths is None:
        scales = max(1, min(4, 1 + round(math.log2(max(longest / max(patch, 1), 1) / 5.5))))
        widths = tuple(48 * min(2**i, 4) for i in range(scales))
    periods = _periods(step, channels * patch ** len(size))
    given = {"context": context, "beside": beside, "more": 2 * channels * len(periods)}
    network = UNet(len(size), channels, widths, 1 if depth is None else depth, patch, attention, periodic, **given)
    coarse = " x ".join(str(-(-n // (patch * 2 ** (len(widths) - 1)))) for n in size)
    text = f"{len(size)}-D grids: a U-Net on patches of {patch} with widths {tuple(widths)}, down to {coarse} points"
    text += ", periodic" if periodic else ""
    if not periods:
        return network, text
    return FourierFeatures(network, periods), f"{text}; {len(periods)} waves show it steps of {step:.2g} deviations"


def _periods(step: float | None, gathered: int) -> tuple[float, ...]:
    """The periods of waves that show steps of that size, each twice as long as the one before."""
    if step is None or step > _FINE:
        return ()
    count = max(1, 1 + round(math.log2(_LONGEST / (_SHORTEST * step))))
    return tuple(_SHORTEST * step * 2**i for i in range(count)) if 2 * count * gathered <= _MOST else ()
