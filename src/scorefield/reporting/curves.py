"""Charts of statistics of fields: mean curves of samples and of real data, with bands."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..metrics import Curve
from .base import LIGHT, Theme, canvas, dress, few_ticks, inset, label, log_scale, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve_chart"]

CHANNELS = 3  # are drawn at most


def curve_chart(curve: Curve, theme: Theme = LIGHT, width: float = 330) -> bytes:
    """The mean curve of samples in blue and of held-out data in grey.

    The dark band contains the mean of as many real fields, the faint band single held-out fields. There is one line per
    channel, three at most.

    Arguments:
        curve: the statistic.
        theme, width: the colours, and the width in pixels of the page.
    """
    figure = canvas(width, 208 if curve.axis else 190)
    axes = inset(figure, 46, 48 if curve.axis else 30, 6, 10)
    dress(axes, theme, 11)
    at = np.arange(len(curve.at)) if curve.places else np.asarray(curve.at, dtype=float)
    rows = (part[:CHANNELS] for part in (*curve.spread, curve.low, curve.high, curve.real, curve.samples))
    for channel in zip(*rows):
        if curve.places:
            _categories(axes, at, channel, theme)
        else:
            for piece in _increasing(at):
                _lines(axes, at[piece], [values[piece] for values in channel], theme)
    whole = np.concatenate([part[:CHANNELS].ravel() for part in (curve.real, curve.samples)])
    if whole.min() > 0 and whole.max() > 50 * whole.min():
        log_scale(axes, "y")
    else:
        few_ticks(axes.yaxis, 4)
    if curve.places:
        axes.set_xticks([])
    elif at.min() > 0 and at.max() > 20 * at.min():
        log_scale(axes, "x")
    if curve.axis:
        axes.set_xlabel(curve.axis, loc="right", **label(theme.muted, 10.5))
    axes.margins(x=0.02)
    return png(figure)


def _increasing(at: np.ndarray) -> list[slice]:
    """The pieces in which positions increase: a variogram has one for each axis."""
    ends = [0, *(np.flatnonzero(np.diff(at) <= 0) + 1).tolist(), len(at)]
    return [slice(a, b) for a, b in pairwise(ends)]


def _lines(axes: Axes, at: np.ndarray, channel: Sequence[np.ndarray], theme: Theme) -> None:
    least, most, low, high, real, drawn = channel
    axes.fill_between(at, least, most, color=theme.real, alpha=0.16, linewidth=0)
    axes.fill_between(at, low, high, color=theme.real, alpha=0.5, linewidth=0)
    axes.plot(at, real, color=theme.muted, linewidth=1.1)
    axes.plot(at, drawn, color=theme.accent, linewidth=1.6)


def _categories(axes: Axes, at: np.ndarray, channel: Sequence[np.ndarray], theme: Theme) -> None:
    """Statistics of different kinds, side by side, not joined by lines."""
    least, most, low, high, real, drawn = channel
    axes.vlines(at, least, most, color=theme.real, alpha=0.22, linewidth=7)
    axes.vlines(at, low, high, color=theme.real, alpha=0.6, linewidth=7)
    axes.plot(at, real, "_", color=theme.muted, markersize=7)
    axes.plot(at, drawn, "o", color=theme.accent, markersize=3.5)
