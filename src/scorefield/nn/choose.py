"""The default network for given data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from .fourier_features import FourierFeatures
from .mlp import MLP
from .reading_transformer import ReadingTransformer
from .residual_mlp import ResidualMLP
from .tokens import TokenTransformer
from .unet import UNet

__all__ = ["choose", "choose_for_readings", "choose_for_tables"]

_FINE_STEP = 0.08  # standard deviations: a smooth network does not resolve smaller steps
_SHORTEST, _LONGEST = 4.0, 0.8  # the range of periods: the first in steps, the second in standard deviations
_MAX_FEATURES = 256  # sines and cosines per patch
_MIN_COUNT, _MAX_VECTOR = 15_000, 16  # vectors get Fourier features from this count on, up to this many features
_TABLES = ((2_000, 128, 2), (10_000, 192, 3), (math.inf, 256, 3))  # below this count: width and blocks for tables
_FEW_COORDINATES, _NARROW = 16, 128  # of states of tables: up to so many, networks are not wider than that
_TOKENS = ((2_000, 32, 2), (10_000, 48, 3), (math.inf, 64, 3))  # the same with attention
_HEADS = 4  # of attention
_VECTOR_PERIODS = (4.0, 2.0, 1.0, 0.5, 0.25)
_TOP, _MULTIPLE = 48, 16  # features of the finest scale of grids; what those of larger networks are multiples of
_DEEP = 2.0  # from this growth on, networks for grids have two blocks per scale, which cost as much as 5/3 of one


def choose(
    shape: Sequence[int],
    count: int,
    widths: Sequence[int] | None = None,
    depth: int | None = None,
    patch: int | None = None,
    attention: bool = False,
    periodic: bool = False,
    context: int = 0,
    context_channels: int = 0,
    step: float | None = None,
    growth: float = 1.0,
    baseline: bool = False,
) -> tuple[nn.Module, str]:
    """Chooses a network from the shape of a sample and the size of the data set.

    Arguments:
        shape: The shape of a sample: `(F,)` for vectors, `(C, *S)` with one to three spatial axes for grids.
        count: The number of samples in the data set.
        widths: Overrides the widths: one for vectors, one per scale for grids.
        depth: Overrides the number of blocks (per scale, for grids).
        patch: Overrides the side of the patches (grids).
        attention: Whether positions attend to each other at the coarsest scale (grids).
        periodic: Whether the data wrap around at their edges (grids).
        context: The number of context values per sample.
        context_channels: The number of context channels per sample, on the grid of the sample (grids).
        step: The distance between neighbouring values, in standard deviations, if the network must resolve it (grids).
        growth: How many times as wide it is as one for a short budget on a CPU, or as deep and wide in the same ratio of
            computations.
        baseline: Whether the input has as many channels again, for the answer of another denoiser (grids).

    Returns:
        The network, and the reason for the choice in words.

    Raises:
        ValueError: If an option does not fit the shape.

    Example:
        >>> import torch
        >>> network, reason = choose((1, 28, 28), 60_000)
        >>> type(network).__name__, network(torch.zeros(2, 1, 28, 28), torch.zeros(2)).shape
        ('UNet', torch.Size([2, 1, 28, 28]))
    """
    if len(shape) == 1:
        if baseline:
            raise ValueError("networks for vectors see no answer of another denoiser: leave baseline out")
        if patch is not None or periodic:
            raise ValueError("patch and periodic apply to grids, and these data are vectors: set structure='grid'")
        if attention:
            what = "vectors of numbers alone have no attention"
            raise ValueError(f"{what}: leave it out, or ask for every conditional with conditionals='learn'")
        return _for_vectors(shape[0], count, widths, depth, context, growth)
    if len(shape) > 4:
        raise ValueError(f"grids have one channel axis and 1 to 3 spatial axes, got data of shape {tuple(shape)}")
    options = {"attention": attention, "periodic": periodic, "context": context, "context_channels": context_channels}
    return _for_grids(shape, widths, depth, patch, options, step, growth, shape[0] if baseline else 0)


def choose_for_tables(
    numbers: int,
    levels: Sequence[int],
    count: int,
    widths: Sequence[int] | None = None,
    depth: int | None = None,
    attention: bool = False,
    context: int = 0,
    growth: float = 1.0,
) -> tuple[ResidualMLP | TokenTransformer, str]:
    """Chooses a network for mixed states: numbers and categories of tables, with two flags for each.

    Arguments:
        numbers: The number of variables that are numbers.
        levels: The number of levels of each category.
        count: The number of samples in the data set.
        widths: Overrides the width, that of a token with attention: one.
        depth: Overrides the number of blocks.
        attention: Whether variables are tokens that attend to each other.
        context: The number of context values per sample.
        growth: How many times as wide it is as usual.

    Returns:
        The network, and the reason for the choice in words.

    Raises:
        ValueError: If there is not one width, or tokens do not have a multiple of four.

    Example:
        >>> network, reason = choose_for_tables(10, (20, 30, 50), 30_000)
        >>> type(network).__name__, network.width, network.depth
        ('ResidualMLP', 256, 3)
        >>> network, reason = choose_for_tables(10, (20, 30, 50), 30_000, attention=True)
        >>> type(network).__name__, network.width, network.depth
        ('TokenTransformer', 64, 3)
    """
    if widths is not None and len(widths) != 1:
        raise ValueError(f"a network for tables has one width, got {tuple(widths)}")
    sizes = _TOKENS if attention else _TABLES
    usual, blocks = next((width, blocks) for most, width, blocks in sizes if count < most)
    variables, features = numbers + len(levels), numbers + sum(levels)
    usual = min(usual, _NARROW) if features <= _FEW_COORDINATES else usual
    width, blocks = widths[0] if widths else _grown(usual, growth), blocks if depth is None else depth
    if not attention:
        what = f"states of {features} coordinates: a residual MLP with {blocks} blocks"
        owners = [*range(numbers), *(numbers + k for k, size in enumerate(levels) for _ in range(size))]
        network = ResidualMLP(features, width, blocks, context, 2 * variables, numbers=numbers, owners=owners)
        return network, f"{what} of width {width} for {count} samples"
    if width % _HEADS:
        raise ValueError(
            f"{_HEADS} heads of attention share the width of a token, got {width}: give a multiple of {_HEADS}"
        )
    what = f"{variables} variables: a transformer of one token each with {blocks} blocks of width {width}"
    return TokenTransformer(numbers, levels, width, blocks, _HEADS, context), f"{what} for {count} samples"


def _for_vectors(
    features: int, count: int, widths: Sequence[int] | None, depth: int | None, context: int, growth: float
) -> tuple[nn.Module, str]:
    if widths is not None and len(widths) != 1:
        raise ValueError(f"a network for vectors has one width, got {tuple(widths)}")
    width = widths[0] if widths else _grown(_width(features + context, count), growth)
    layers = depth if depth is not None else 2 if count < 2_000 else 4
    text = f"vectors of {features}: an MLP with {layers} hidden layers of width {width} for {count} samples"
    if count < _MIN_COUNT or features > _MAX_VECTOR or context:
        return MLP(features, width, layers, context), text
    network = MLP(features, width, layers, extra=2 * features * len(_VECTOR_PERIODS))
    return FourierFeatures(network, _VECTOR_PERIODS), f"{text}, with Fourier features of {len(_VECTOR_PERIODS)} periods"


def _width(features: int, count: int) -> int:
    """Wider for more features, narrower for small data sets, which call for a smooth score and short training."""
    if features <= 16:
        return 64 if count < 2_000 else 128
    return 256 if features <= 64 else 512


def _grown(width: int, growth: float) -> int:
    """A width that is so many times as large, about."""
    if growth == 1:
        return width
    return max(min(width, _MULTIPLE), _MULTIPLE * round(width * growth / _MULTIPLE), width if growth > 1 else 0)


def _for_grids(
    shape: Sequence[int],
    widths: Sequence[int] | None,
    depth: int | None,
    patch: int | None,
    options: Any,
    step: float | None,
    growth: float,
    smooth: int,
) -> tuple[nn.Module, str]:
    channels, size = shape[0], shape[1:]
    longest = max(size)
    if patch is None:
        patch = 1 if longest < 16 else 2 if longest <= 64 else 4
    blocks = (2 if growth >= _DEEP and widths is None else 1) if depth is None else depth
    if widths is None:
        scales = max(1, min(4, 1 + round(math.log2(max(longest / max(patch, 1), 1) / 5.5))))
        top = _grown(_TOP, growth / (5 / 3) ** 0.5 if depth is None and blocks > 1 else growth)
        widths = tuple(top * min(2**i, 4) for i in range(scales))
    periods = _periods(step, channels * patch ** len(size))
    network = UNet(len(size), channels, widths, blocks, patch, extra=2 * channels * len(periods) + smooth, **options)
    coarse = " x ".join(str(-(-n // (patch * 2 ** (len(widths) - 1)))) for n in size)
    text = f"{len(size)}-D grids: a U-Net on patches of {patch} with widths {tuple(widths)}, down to {coarse} points"
    text += f", {blocks} blocks at each" if blocks > 1 and depth is None else ""
    text += ", periodic" if options["periodic"] else ""
    if not periods:
        return network, text
    text += f", with Fourier features of {len(periods)} periods for steps of {step:.2g}"
    return FourierFeatures(network, periods, smooth), text


def _periods(step: float | None, channels: int) -> tuple[float, ...]:
    """The periods that resolve steps of that size, each twice the one before; none if `channels` are too many for them."""
    if step is None or step > _FINE_STEP:
        return ()
    count = max(1, 1 + round(math.log2(_LONGEST / (_SHORTEST * step))))
    return tuple(_SHORTEST * step * 2**i for i in range(count)) if 2 * count * channels <= _MAX_FEATURES else ()


def choose_for_readings(
    longest: int,
    channels: int,
    gap: float | None,
    widths: Sequence[int] | None = None,
    depth: int | None = None,
) -> tuple[ReadingTransformer, str]:
    """Chooses a network for rows of readings.

    Arguments:
        longest: The largest number of readings of a row.
        channels: The number of channels.
        gap: The distance of neighbouring times, in halves of their range; None for sets.
        widths: Overrides the width: one.
        depth: Overrides the number of blocks.

    Returns:
        The network, and the reason for the choice in words.

    Raises:
        ValueError: If there is not one width.

    Example:
        >>> network, reason = choose_for_readings(30, 2, 0.05)
        >>> network.width, network.depth, round(network.highest)
        (48, 3, 63)
    """
    if widths is not None and len(widths) != 1:
        raise ValueError(f"a network for readings has one width, got {tuple(widths)}")
    width, blocks = widths[0] if widths else 48, 3 if depth is None else depth
    times = (0, 1.0) if gap is None else (16, min(max(math.pi / gap, 4.0), 1000.0))
    text = f"rows of up to {longest} readings: a transformer with {blocks} blocks of width {width}, a token a reading"
    text += ", which does not know their order" if gap is None else ""
    return ReadingTransformer(longest, channels, *times, width=width, depth=blocks), text
