"""Charts of statistics of fields: mean curves of samples and of real data, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics import Curve
from .base import LIGHT, Chart, Theme, canvas, dress, few_ticks, inset, label, log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve_chart"]

CHANNELS = 3  # are drawn at most
STYLES = ("-", "--", ":")  # of the directions of a curve with several


@Chart
def curve_chart(curve: Curve, theme: Theme = LIGHT, width: float = 330) -> Figure:
    """The mean curve of samples in blue and of held-out data in grey, with a panel for each channel, three at most.

    The dark band contains the mean of as many real fields, the faint band single held-out fields.

    Arguments:
        curve: The statistic.
        theme, width: The colours, and the width in pixels of the page.
    """
    count = min(CHANNELS, len(curve.real))
    size, below = (150 if count == 1 else 108), 44 + 14 * _folded(curve)
    height = below + count * (size + 22)
    figure = canvas(width, height)
    at = np.arange(len(curve.at)) if curve.ticks or curve.places else np.asarray(curve.at, dtype=float)
    for channel in range(count):
        top = channel * (size + 22) + 20
        axes = inset(figure, 48, height - top - size, 8, top)
        dress(axes, theme, 11)
        _panel(axes, at, curve, channel, theme)
        title = curve.value
        if count > 1:
            title = f"{curve.channels[channel] if curve.channels else f'channel {channel + 1}'}: {curve.value}"
        axes.annotate(title, (0, 1), (-44, 5), "axes fraction", textcoords="offset points", **label(theme.ink, 10.5))
        if channel < count - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel(curve.axis, loc="right", **label(theme.ink, 10.5))
    return figure


def _panel(axes: Axes, at: np.ndarray, curve: Curve, channel: int, theme: Theme) -> None:
    """One channel: bands, lines and the scales of the axes."""
    rows = [part[channel] for part in (*curve.spread, curve.low, curve.high, curve.real, curve.samples)]
    whole = np.concatenate(rows[-2:])
    logarithmic = bool(whole.min() > 0 and whole.max() > 50 * whole.min())
    if logarithmic:  # a band that reaches below zero would be a cliff
        rows = [np.maximum(row, whole.min() / 3) for row in rows]
    if curve.ticks or curve.places:
        _categories(axes, at, rows, theme)
    else:
        for piece, style in zip(_increasing(at), STYLES):
            _lines(axes, at[piece], [values[piece] for values in rows], theme, style)
    if len(curve.directions) > 1:
        ends: dict[str, Any] = {"loc": "lower right", "frameon": False, "handlelength": 1.8, "labelspacing": 0.2}
        handles = [
            axes.plot([], [], style, color=theme.accent, label=n)[0] for n, style in zip(curve.directions, STYLES)
        ]
        axes.legend(handles=handles, prop={"size": 9.5}, labelcolor=theme.ink, **ends)
    if logarithmic:
        log_scale(axes, "y")
        axes.set_ylim(whole.min() / 2.2, max(row.max() for row in rows) * 1.5)
    else:
        few_ticks(axes.yaxis, 4)
    if curve.ticks:
        texts = [text.replace(" ", "\n") if _folded(curve) else text for _, text in curve.ticks]
        axes.set_xticks([place for place, _ in curve.ticks], texts)
    elif curve.places:
        axes.set_xticks([])
    elif at.min() > 0 and at.max() > 20 * at.min():
        log_scale(axes, "x")
    axes.margins(x=0.02)


def _folded(curve: Curve) -> bool:
    """Whether ticks have one word on a line: four names of several words are wider than a chart."""
    return len(curve.ticks) > 3 and any(" " in text for _, text in curve.ticks)


def _increasing(at: np.ndarray) -> list[slice]:
    """The pieces in which positions increase: a variogram has one for each axis."""
    ends = [0, *(np.flatnonzero(np.diff(at) <= 0) + 1).tolist(), len(at)]
    return [slice(a, b) for a, b in pairwise(ends)]


def _lines(axes: Axes, at: np.ndarray, channel: Sequence[np.ndarray], theme: Theme, style: str) -> None:
    least, most, low, high, real, drawn = channel
    if style == "-":
        axes.fill_between(at, least, most, color=theme.real, alpha=0.16, linewidth=0)
    axes.fill_between(at, low, high, color=theme.real, alpha=0.4, linewidth=0)
    axes.plot(at, real, style, color=theme.muted, linewidth=1.1)
    axes.plot(at, drawn, style, color=theme.accent, linewidth=1.6)


def _categories(axes: Axes, at: np.ndarray, channel: Sequence[np.ndarray], theme: Theme) -> None:
    """Statistics of different kinds, side by side, not joined by lines."""
    least, most, low, high, real, drawn = channel
    width = 7.0 if len(at) < 20 else 4.5
    axes.vlines(at, least, most, color=theme.real, alpha=0.22, linewidth=width)
    axes.vlines(at, low, high, color=theme.real, alpha=0.6, linewidth=width)
    axes.plot(at, real, "_", color=theme.muted, markersize=width)
    axes.plot(at, drawn, "o", color=theme.accent, markersize=3.5 if len(at) < 20 else 2.8)
