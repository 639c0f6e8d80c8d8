"""The charts of a report: each takes numbers and a theme and returns a transparent PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..display import shortened
from ..metrics import Neighbours, sliced_wasserstein
from .base import LIGHT, Chart, Theme, blank, canvas, dress, few_ticks, fixed, inset, label, log_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "SHOWN", "chosen_columns", "histogram", "histograms", "level_losses", "matrix_width", "neighbour_histogram", "scatter",
    "scatter_matrix", "scatter_pair", "span", "training_curve",
]  # fmt: skip

SHOWN = 6  # columns of a scatter matrix
POINTS = 1200  # of samples and of real data each, in a scatter plot


@Chart
def training_curve(log: Sequence[Mapping[str, Any]], theme: Theme = LIGHT, width: float = 680) -> Figure:
    """The training loss: single records faint, their running mean dark, and the held-out loss in the accent colour.

    Arguments:
        log: records with `step` and `loss`, some of them with `held_out`.
        theme, width: the colours, and the width in pixels of the page.
    """
    steps, loss = _column(log, "loss")
    held_steps, held = _column(log, "held_out")
    figure, axes = _chart(width, theme)
    smooth = _running_mean(loss, max(1, len(loss) // 40))
    thin = slice(None, None, max(1, len(loss) // 800))
    axes.plot(steps[thin], loss[thin], color=theme.real, linewidth=0.8, alpha=0.45)
    axes.plot(steps[thin], smooth[thin], color=theme.ink, linewidth=1.6)
    ends = [(smooth[-1], "training", theme.ink)] if len(loss) else []
    if len(held):
        axes.plot(held_steps, held, color=theme.accent, linewidth=1.8)
        axes.plot(held_steps[-1], held[-1], "o", color=theme.accent, markersize=5)
        ends.append((held[-1], "held out", theme.accent))
    shown = np.concatenate([smooth, held])
    low, high = float(shown.min()), float(shown.max())
    if low > 0 and high / low > 20:
        log_scale(axes, "y")
        axes.set_ylim(low / 1.3, high * 1.3)
    else:
        margin = 0.08 * (high - low or abs(high) or 1)
        axes.set_ylim(low - margin, high + margin)
        few_ticks(axes.yaxis, 5)
    axes.set_xlim(0, max(steps[-1:].tolist() + held_steps[-1:].tolist() + [1]))
    few_ticks(axes.xaxis, 6 if width > 500 else 3)
    _name_axes(axes, theme, "training step", "loss, relative")
    _label_ends(axes, ends)
    return figure


@Chart
def level_losses(levels: Mapping[str, Any], theme: Theme = LIGHT, width: float = 680) -> Figure:
    """The loss at each noise level, and the baseline, which is the loss of a network that outputs zero.

    Arguments:
        levels: arrays `level`, `loss`, `zero_loss` and optionally `train_loss`, of the same length.
        theme, width: the colours, and the width in pixels of the page.
    """
    order = np.argsort(np.asarray(levels["level"], dtype=float))
    table = np.stack([np.asarray(levels[key], dtype=float)[order] for key in ("level", "loss", "zero_loss")])
    train = np.asarray(levels["train_loss"], dtype=float)[order] if levels.get("train_loss") is not None else None
    finite = np.isfinite(table).all(0)
    level, loss, zero = table[:, finite]
    figure, axes = _chart(width, theme)
    log_scale(axes, "x")
    axes.fill_between(level, loss, zero, where=zero >= loss, color=theme.accent, alpha=0.09, linewidth=0)
    axes.plot(level, zero, color=theme.muted, linewidth=1.2, dashes=(4, 3))
    ends = [(zero[-1], "baseline", theme.muted)]
    shown = np.concatenate([loss, zero])
    if train is not None and np.isfinite(train[finite]).all():
        train = train[finite]
        axes.plot(level, train, color=theme.ink, linewidth=1.4)
        ends.append((train[-1], "training", theme.ink))
        shown = np.concatenate([shown, train])
    axes.plot(level, loss, color=theme.accent, linewidth=2)
    axes.plot(level, loss, "o", color=theme.accent, markersize=3.5)
    ends.append((loss[-1], "held out", theme.accent))
    low, high = float(shown.min()), float(shown.max())
    if low > 0 and high / low > 20:
        log_scale(axes, "y")
        axes.set_ylim(low / 1.4, high * 1.4)
    else:
        axes.set_ylim(min(0.0, low), high * 1.12)
    axes.set_xlim(level[0] / (level[-1] / level[0]) ** 0.02, level[-1])
    _name_axes(axes, theme, "noise level, standard deviations" if width > 500 else "noise level", "loss, relative")
    _label_ends(axes, ends)
    return figure


@Chart
def neighbour_histogram(neighbours: Neighbours, theme: Theme = LIGHT, width: float = 680) -> Figure:
    """Histograms of distances to the nearest training example: held-out data in grey, samples as a line; medians marked."""
    figure, axes = _chart(width, theme, left=3, right=3)
    both = np.concatenate([neighbours.samples, neighbours.held_out])
    top = float(np.quantile(both, 0.995)) or 1.0
    bins = np.linspace(0, top * 1.05, int(np.clip(len(neighbours.samples) ** 0.5 * 1.5, 12, 48)) + 1)
    highest = _two_histograms(axes, neighbours.held_out, neighbours.samples, bins, theme)
    axes.set_xlim(0, bins[-1])
    axes.set_ylim(0, highest * 1.36)
    axes.set_yticks([])
    medians = [(float(np.median(neighbours.samples)), "drawn", theme.accent)]
    medians.append((float(np.median(neighbours.held_out)), "held out", theme.muted))
    cramped = min(middle for middle, *_ in medians) < 0.25 * bins[-1]
    for left, (middle, text, colour) in zip((not cramped, False), sorted(medians)):
        top = 1.34 if cramped and middle == min(medians)[0] else 1.18
        axes.plot([middle, middle], [0, highest * top], color=colour, linewidth=1.2)
        style = label(colour, ha="right" if left else "left", va="center", textcoords="offset points")
        axes.annotate(text, (middle, highest * (top - 0.03)), (-6 if left else 6, 0), **style)
    _name_axes(
        axes,
        theme,
        "distance to the nearest training example, standard deviations"
        if width > 500
        else "distance to the nearest example, sd",
        "",
    )
    return figure


def chosen_columns(held_out: np.ndarray, samples: np.ndarray, count: int = SHOWN) -> list[int]:
    """The columns to show, in order: all, or the `count` in which samples and held-out data differ most."""
    features = held_out.shape[1]
    if features <= count:
        return list(range(features))
    distances = [sliced_wasserstein(samples[:, f], held_out[:, f], projections=1, order=1) for f in range(features)]
    return sorted(int(f) for f in np.argsort(distances, kind="stable")[-count:])


@Chart
def scatter_matrix(
    held_out: np.ndarray, samples: np.ndarray, names: Sequence[str] | None = None, theme: Theme = LIGHT
) -> Figure:
    """All pairs of up to six columns: histograms on the diagonal, points below it, correlations above it.

    Arguments:
        held_out, samples: real data `(M, F)` and drawn samples `(N, F)`.
        names, theme: of the columns; the colours.
    """
    columns = chosen_columns(held_out, samples)
    ranges = {c: span(held_out[:, c]) for c in columns}
    width, height, size = matrix_width(len(columns)), 26 + 0.84 * matrix_width(len(columns)), len(columns)
    names = _names(names, held_out.shape[1], 0.9 * width / size)
    figure = canvas(width, height)
    places = {"left": 36 / width, "right": 0.995, "top": 1 - 24 / height, "bottom": 28 / height}
    grid = figure.add_gridspec(size, size, wspace=0.1, hspace=0.24, **places)
    font = 12 if size < 5 else 11
    for row, vertical in enumerate(columns):
        for column, across in enumerate(columns):
            axes = figure.add_subplot(grid[row, column])
            if row < column:
                blank(axes)
                _correlations(axes, held_out[:, [across, vertical]], samples[:, [across, vertical]], theme, font)
                continue
            dress(axes, theme, font - 1)
            if row == column:
                _histogram(axes, held_out[:, across], samples[:, across], ranges[across], theme)
                axes.set_title(names[across], loc="left", pad=6, **label(theme.ink, font))
            else:
                pairs = [[np.clip(x[:, c], *ranges[c]) for c in (across, vertical)] for x in (held_out, samples)]
                _points(axes, pairs[0], pairs[1], theme, size)
                axes.set_ylim(*ranges[vertical])
                few_ticks(axes.yaxis, 3, whole=_whole(held_out[:, vertical]))
                axes.tick_params(labelleft=column == 0)
            axes.set_xlim(*ranges[across])
            few_ticks(axes.xaxis, 3, whole=_whole(held_out[:, across]))
            axes.tick_params(labelbottom=row == size - 1)
    return figure


def matrix_width(columns: int) -> float:
    """The width of a scatter matrix with this many columns, in pixels of the page."""
    return min(1016.0, 290.0 * columns)


def histograms(
    held_out: np.ndarray,
    samples: np.ndarray,
    names: Sequence[str] | None = None,
    theme: Theme = LIGHT,
    size: tuple[float, float] = (480, 220),
) -> tuple[bytes, ...]:
    """One histogram per column: held-out data in grey, samples as a line."""
    shown = enumerate(_names(names, held_out.shape[1], size[0]))
    return tuple(histogram(held_out[:, c], samples[:, c], name, theme, size) for c, name in shown)


@Chart
def histogram(
    held_out: np.ndarray,
    samples: np.ndarray,
    name: str,
    theme: Theme = LIGHT,
    size: tuple[float, float] = (480, 220),
) -> Figure:
    """The histogram of a column: held-out data in grey, samples as a line.

    Arguments:
        held_out, samples: Its values, `(M,)` and `(N,)`.
        name, theme, size: Its name, the colours, and the size in pixels of the page.
    """
    figure = canvas(*size)
    axes = inset(figure, 0.01 * size[0], 46, 0.01 * size[0], 26)
    dress(axes, theme)
    limits = span(held_out)
    _histogram(axes, held_out, samples, limits, theme)
    axes.set_xlim(*limits)
    _name_axes(axes, theme, name, "density", 2)
    return figure


def scatter_pair(
    held_out: np.ndarray, samples: np.ndarray, names: Sequence[str] | None = None, theme: Theme = LIGHT
) -> tuple[bytes, bytes]:
    """Two columns: held-out data in one picture and as many samples in another, on the same axes."""
    count = min(len(held_out), len(samples), 2 * POINTS)
    ranges = (span(held_out[:, 0]), span(held_out[:, 1]))
    real, drawn = (
        scatter(data[:count], ranges, names, theme, colour)
        for data, colour in ((held_out, theme.real), (samples, theme.accent))
    )
    return real, drawn


@Chart
def scatter(
    data: np.ndarray,
    ranges: tuple[tuple[float, float], tuple[float, float]],
    names: Sequence[str] | None,
    theme: Theme,
    colour: str,
    size: tuple[float, float] = (480, 440),
    marked: int = 0,
) -> Figure:
    """Two columns `(N, 2)` as points between given limits; the first `marked` are numbered."""
    names = _names(names, 2, size[0])
    figure = canvas(*size)
    axes = inset(figure, 38, 48, 10, 35)
    dress(axes, theme)
    x, y = (np.clip(data[:, c], *ranges[c]) for c in range(2))
    dots = (3.2 if len(data) > 500 else 4.5) * math.sqrt(size[0] / 480)
    axes.plot(x, y, "o", color=colour, markersize=dots, alpha=0.55, markeredgewidth=0)
    for i in range(min(marked, len(data))):
        axes.plot(x[i], y[i], "o", color=theme.ink, markersize=14, markeredgecolor=theme.paper, markeredgewidth=1)
        axes.text(x[i], y[i], str(i + 1), ha="center", va="center_baseline", zorder=3, **label(theme.paper, 9))
    axes.grid(axis="x", color=theme.line, linewidth=0.8)
    axes.set_xlim(*ranges[0])
    axes.set_ylim(*ranges[1])
    _name_axes(axes, theme, names[0], names[1])
    return figure


def _chart(width: float, theme: Theme, left: float = 44, right: float = 86) -> tuple[Figure, Axes]:
    figure = canvas(width, 300 if width > 500 else 250)
    axes = inset(figure, left, 46, right, 28)
    dress(axes, theme)
    return figure, axes


def _name_axes(axes: Axes, theme: Theme, x: str, y: str, shift: float = -36) -> None:
    """Labels the axes: y above its tick labels, `shift` pixels from the axis, x below the right end of its own."""
    style = label(theme.ink, textcoords="offset points", annotation_clip=False)
    axes.annotate(y, (0, 1), (shift, 12), "axes fraction", va="bottom", **style)
    axes.annotate(x, (1, 0), (0, -28), "axes fraction", va="top", ha="right", **style)


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Labels lines at their ends, moved apart where labels would overlap."""
    height = axes.get_window_extent().height * 72 / axes.get_figure().dpi  # type: ignore[union-attr]
    wanted: list[list[Any]] = []
    for value, text, colour in ends:
        fraction = axes.transAxes.inverted().transform(axes.transData.transform((axes.get_xlim()[1], value)))[1]
        wanted.append([float(np.clip(fraction, 0, 1)) * height, 15.0 * (1 + text.count("\n")), text, colour])
    wanted.sort(key=lambda end: end[0])
    for below, above in pairwise(wanted):
        above[0] = max(above[0], below[0] + (below[1] + above[1]) / 2)
    for above, below in pairwise([[height + 16.0, 0.0], *reversed(wanted)]):
        below[0] = min(below[0], above[0] - (below[1] + above[1]) / 2)
    for position, _, text, colour in wanted:
        style = label(colour, va="center", textcoords="offset points", annotation_clip=False)
        axes.annotate(text, (1, position / height), (8, 0), "axes fraction", **style)


def _column(log: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(record["step"], record[key]) for record in log if record.get(key) is not None]
    table = np.asarray(pairs, dtype=float).reshape(-1, 2)
    table = table[np.isfinite(table).all(1)]
    return table[:, 0], table[:, 1]


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centred means over at most `width` records on each side, fewer at the ends."""
    if len(values) == 0:
        return values
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    reach = np.minimum(width, np.minimum(place, len(values) - 1 - place) + 2)
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(values))
    return np.asarray((total[high] - total[low]) / (high - low))


def _names(names: Sequence[str] | None, count: int, room: float) -> list[str]:
    """The names of columns, as much of them as there is room for in so many pixels of the page."""
    given = names if names is not None and len(names) == count else [f"x{c + 1}" for c in range(count)]
    return [shortened(name, max(8, int(room / 7))) for name in given]


def span(values: np.ndarray) -> tuple[float, float]:
    """Axis limits that show all but the outermost values."""
    low, high = (float(q) for q in np.quantile(values, [0.002, 0.998]))
    margin = 0.08 * (high - low) or 0.5 * abs(low) or 0.5
    return low - margin, high + margin


def _whole(values: np.ndarray) -> bool:
    return bool(np.array_equal(values, np.round(values)))


def _bins(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    whole = _whole(values) and limits[1] - limits[0] < 40
    if whole:
        return np.arange(np.floor(limits[0]) - 0.5, np.ceil(limits[1]) + 1.5)
    return np.linspace(*limits, int(np.clip(len(values) ** 0.5 * 1.5, 12, 40)) + 1)


def _two_histograms(axes: Axes, real: np.ndarray, drawn: np.ndarray, bins: np.ndarray, theme: Theme) -> float:
    """Draws both as densities and returns the height of the highest bar."""
    heights = [np.histogram(np.clip(v, bins[0], bins[-1]), bins, density=True)[0] for v in (real, drawn)]
    axes.stairs(heights[0], bins, fill=True, color=theme.real, alpha=0.45)
    axes.stairs(heights[1], bins, color=theme.accent, linewidth=1.8)
    return float(max(heights[0].max(), heights[1].max()))


def _histogram(axes: Axes, real: np.ndarray, drawn: np.ndarray, limits: tuple[float, float], theme: Theme) -> None:
    highest = _two_histograms(axes, np.clip(real, *limits), np.clip(drawn, *limits), _bins(real, limits), theme)
    axes.set_ylim(0, highest * 1.1)
    axes.set_yticks([])


def _points(axes: Axes, real: list[np.ndarray], drawn: list[np.ndarray], theme: Theme, size: int) -> None:
    """Equally many points of both, in random order, so that neither covers the other."""
    count = min(len(real[0]), len(drawn[0]), POINTS)
    order = np.random.default_rng(0).permutation(2 * count)
    x, y = (np.concatenate([real[axis][:count], drawn[axis][:count]])[order] for axis in range(2))
    shades = np.repeat([theme.real, theme.accent], count)
    axes.scatter(x, y, s=7 if size > 3 or count > 500 else 14, c=shades[order].tolist(), alpha=0.6, linewidths=0)


def _correlations(axes: Axes, real: np.ndarray, drawn: np.ndarray, theme: Theme, size: float) -> None:
    for data, colour, height in ((real, theme.muted, 0.58), (drawn, theme.accent, 0.4)):
        with np.errstate(invalid="ignore", divide="ignore"):
            value = float(np.corrcoef(np.asarray(data, dtype=float), rowvar=False)[0, 1])
        axes.text(0.5, height, fixed(value), ha="center", va="center", **label(colour, size + 1))
