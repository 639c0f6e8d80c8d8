"""Grids of samples: tiles for images, fields and volumes, lines for signals."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .base import LIGHT, Chart, Theme, blank, canvas, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["GridStyle", "banded", "grid_style", "lines", "mosaic", "picture", "sample_grid", "signal_lines", "tiles"]

# From deep blue to cream: lightness increases evenly, which works without colour vision and in print.
ANCHORS = ((0x0D, 0x12, 0x38), (0x24, 0x39, 0x98), (0x4C, 0x7D, 0xCB), (0xA5, 0xC6, 0xDD), (0xFB, 0xF3, 0xDD))
FIELD = np.stack([np.interp(np.linspace(0, 4, 255), np.arange(5), [a[i] for a in ANCHORS]) for i in range(3)], 1)
GREY = np.repeat(np.linspace(0, 255, 255)[:, None], 3, 1)
GAP = 255  # the transparent entry of a palette


@dataclass(frozen=True)
class GridStyle:
    """How grids are drawn: as images ("colour", "grey") or as a "field", between the limits of each channel."""

    kind: str
    low: np.ndarray
    high: np.ndarray

    @property
    def palette(self) -> np.ndarray:
        """The 255 colours from low to high, `(255, 3)`."""
        return GREY if self.kind == "grey" else FIELD


def grid_style(held_out: np.ndarray) -> GridStyle:
    """The style for data like `held_out`, `(N, C, *S)`: whether they are images, and the limits of each channel."""
    channels, flat = held_out.shape[1], np.moveaxis(held_out, 1, 0).reshape(held_out.shape[1], -1)
    least, most = float(flat.min()), float(flat.max())
    whole = 127 < most <= 255 and bool((np.round(flat[:, :10000]) == flat[:, :10000]).all())
    if held_out.ndim == 4 and channels in (1, 3) and least >= 0 and (whole or 0.9 < most <= 1):
        top = 255.0 if whole else 1.0
        return GridStyle("colour" if channels == 3 else "grey", np.zeros(channels), np.full(channels, top))
    tail = 0.0005 if held_out.ndim == 3 else 0.005  # clipped lines look broken, clipped colours do not
    low, high = np.quantile(flat.astype(float), [tail, 1 - tail], axis=1)
    return GridStyle("field", low, np.where(high > low, high, low + 1))


def tiles(data: np.ndarray, style: GridStyle) -> list[list[np.ndarray]]:
    """The tiles that show each example: one, one per channel (up to four), or the three central slices of a volume.

    Each is `(H, W)`, or `(H, W, 3)` for colour images, with values from 0 to 1."""
    shape = (-1,) + (1,) * (data.ndim - 2)
    scaled = np.clip((data - style.low.reshape(shape)) / (style.high - style.low).reshape(shape), 0, 1)
    if style.kind == "colour":
        return [[np.moveaxis(example, 0, -1)] for example in scaled]
    if data.ndim == 4:
        return [list(example[:4]) for example in scaled]
    middle = [length // 2 for length in data.shape[2:]]
    return [[np.take(field, middle[a], a) for field in example[:2] for a in range(3)] for example in scaled]


def mosaic(groups: Sequence[Sequence[np.ndarray]], columns: int, scale: int = 1) -> np.ndarray:
    """Arranges tiles as palette indices `(H, W)`, or `(H, W, 4)` for colour images; gaps are transparent.

    The tiles of an example stay together; `scale` is the number of pixels per value."""
    height = max(tile.shape[0] for tile in groups[0]) * scale
    widths = [tile.shape[1] * scale for tile in groups[0]]
    colour = groups[0][0].ndim == 3
    near, wide = max(1, scale // 2), max(2, (3 if len(widths) == 1 else 6) * scale)
    span = sum(widths) + near * (len(widths) - 1)
    rows = -(-len(groups) // columns)
    size = (rows * height + (rows - 1) * max(2, 3 * scale), columns * span + (columns - 1) * wide)
    page = np.zeros((*size, 4), np.uint8) if colour else np.full(size, GAP, np.uint8)
    for place, group in enumerate(groups):
        top = (place // columns) * (height + max(2, 3 * scale))
        left = (place % columns) * (span + wide)
        for tile, width in zip(group, widths):
            big = tile.repeat(scale, 0).repeat(scale, 1)
            target = page[top : top + big.shape[0], left : left + width]
            if colour:
                target[..., :3], target[..., 3] = np.round(big * 255), 255
            else:
                target[...] = np.round(big * 254)
            left += width + near
    return page


def sample_grid(
    held_out: np.ndarray, samples: np.ndarray, theme: Theme = LIGHT, across: int | None = None
) -> tuple[bytes, bytes]:
    """Held-out data and samples `(N, C, *S)`, one picture each, with the same colours and limits.

    Arguments:
        held_out, samples, theme: The data and the colours.
        across: The number of examples in a row; what fits by default.
    """
    style = grid_style(held_out)
    if held_out.ndim == 3:
        return (signal_lines(held_out, style, theme, theme.muted), signal_lines(samples, style, theme, theme.accent))
    first = tiles(held_out[:1], style)[0]
    width = sum(tile.shape[1] for tile in first)
    columns = int(np.clip((260 if len(first) == 1 else 200) // width, 1, 6))
    rows = max(1, round(columns * width / max(tile.shape[0] for tile in first)))
    count = min(columns * min(rows, 8), len(held_out), len(samples))
    if across is not None:
        columns, count = across, min(len(held_out), len(samples))
    columns = min(columns, count)
    scale = max(1, round(900 / (columns * width)))
    pair = [picture(mosaic(tiles(data[:count], style), columns, scale), style) for data in (held_out, samples)]
    return pair[0], pair[1]


def picture(page: np.ndarray, style: GridStyle) -> bytes:
    """A mosaic as a PNG file."""
    image = require("PIL.Image")
    packed = io.BytesIO()
    if page.ndim == 3:
        image.fromarray(page).save(packed, "PNG", optimize=True)
    else:
        paletted = image.fromarray(page)
        paletted.putpalette(np.vstack([style.palette, [[0, 0, 0]]]).round().astype(np.uint8).tobytes())
        paletted.save(packed, "PNG", optimize=True, transparency=GAP)
    return packed.getvalue()


@Chart
def signal_lines(
    data: np.ndarray,
    style: GridStyle,
    theme: Theme,
    colour: str,
    layout: tuple[int, int] = (4, 3),
    size: tuple[float, float] = (480, 420),
    space: tuple[float, float] = (0.12, 0.15),
) -> Figure:
    """Signals `(N, C, L)`, each in its own small chart, with up to four channels above each other."""
    figure = canvas(*size)
    for place, signal in enumerate(data[: layout[0] * layout[1]]):
        axes = figure.add_subplot(*layout, place + 1)
        blank(axes)
        axes.set_xlim(0, data.shape[2] - 1)
        lines(axes, signal, style, theme, colour)
    figure.subplots_adjust(0, 0, 1, 1, *space)
    return figure


def lines(axes: Axes, signal: np.ndarray, style: GridStyle, theme: Theme, colour: str) -> list[Line2D]:
    """Draws the channels of one signal `(C, L)` in bands of height 1, and returns the lines."""
    shown = min(4, len(signal))
    axes.set_ylim(-0.05, shown + 0.05)
    drawn = []
    for channel in range(shown):
        axes.axhline(channel, color=theme.line, linewidth=0.8)
        drawn += axes.plot(banded(signal, style, channel), color=colour, linewidth=1.3)
    return drawn


def banded(signal: np.ndarray, style: GridStyle, channel: int) -> np.ndarray:
    """One channel of a signal, scaled into its band; the first channel is on top."""
    fraction = (signal[channel] - style.low[channel]) / (style.high[channel] - style.low[channel])
    band = min(4, len(signal)) - 1 - channel
    return np.asarray(np.clip(fraction, -0.03, 1.03) * 0.9 + 0.05 + band)
