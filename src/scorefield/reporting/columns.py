"""The charts of a table's columns: each by its kind, and the associations of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..display import shortened
from ..metrics import ColumnShape, TableTrends, TypedColumn, value_text
from .base import LIGHT, Chart, Theme, canvas, dress, few_ticks, fixed, inset, label, require
from .figures import span
from .words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["WIDTH", "association_matrix", "category_bars", "column_chart", "number_histogram"]

WIDTH = 320  # of the chart of a column, in pixels of the page
SPIKE = 0.05  # share of a value that is drawn apart from the histogram
LEVELS = 7  # of a category are drawn
ACROSS = 20  # columns of a matrix of associations; fewer on narrow screens
NEGATIVE = "#c2562d"


@Chart
def column_chart(
    column: TypedColumn, shape: ColumnShape, held_out: np.ndarray, samples: np.ndarray, theme: Theme = LIGHT
) -> Figure:
    """The chart of a column: bars of levels for categories, and a histogram for numbers, in shares of all rows.

    Arguments:
        column, shape: The column, and what was measured of it.
        held_out, samples: Its numbers or codes, `(M,)` and `(N,)`, NaN where a value is missing.
        theme: The colours.
    """
    if column.size:
        return category_bars.figure(column, held_out, samples, theme)
    return number_histogram.figure(column, shape, held_out, samples, theme)


@Chart
def number_histogram(
    column: TypedColumn, shape: ColumnShape, held_out: np.ndarray, samples: np.ndarray, theme: Theme = LIGHT
) -> Figure:
    """A histogram of held-out data in grey and of samples as a line; a value of large probability is a line of its own.

    Arguments:
        column, shape, held_out, samples, theme: As in `column_chart`.
    """
    figure = canvas(WIDTH, 150)
    axes = inset(figure, 10, 28, 10, 22)
    dress(axes, theme, 11)
    sides = [x[~np.isnan(x)] for x in (held_out, samples)]
    atom = shape.atom_value if max(shape.atom.samples, shape.atom.real) > SPIKE else np.nan
    rest = [x[x != atom] for x in sides]
    known = np.concatenate([np.concatenate(rest[:1] if len(rest[0]) else rest), [atom] * bool(np.isfinite(atom))])
    low, high = span(known) if len(known) else (0.0, 1.0)
    bins = np.linspace(low, high, 31)
    shares = [
        np.histogram(np.clip(x, low, high), bins)[0] / max(1, len(whole)) for x, whole in zip(rest, (held_out, samples))
    ]
    axes.stairs(shares[0], bins, fill=True, color=theme.real, alpha=0.45)
    axes.stairs(shares[1], bins, color=theme.accent, linewidth=1.6)
    top = float(max(shares[0].max(), shares[1].max())) or 1.0
    if np.isfinite(atom):
        _spike(axes, atom, column, shape, (high - low, top), theme)
    axes.set_ylim(0, 1.15 * top)
    axes.set_yticks([])
    axes.set_xlim(low, high)
    few_ticks(axes.xaxis, 4, whole=bool(all(np.array_equal(x, x.round()) for x in sides)))
    margin = 0.05 * (high - low)  # a label at the border would be cut off
    ticks = [place for place in axes.get_xticks() if low + margin <= place <= high - margin]
    if column.kind == "number":
        axes.set_xticks(ticks)
    else:
        ticks = [low + part * (high - low) for part in (0.2, 0.8)]
        axes.set_xticks(ticks, [shortened(value_text(column, place), 16) for place in ticks])
    return figure


def _spike(
    axes: Axes, atom: float, column: TypedColumn, shape: ColumnShape, size: tuple[float, float], theme: Theme
) -> None:
    """A value apart: two bars as high as the chart, for which the shares are written above it."""
    width, top = 0.012 * size[0], 1.15 * size[1]
    largest = max(shape.atom.real, shape.atom.samples)
    for share, colour, shift in ((shape.atom.real, theme.real, -0.7), (shape.atom.samples, theme.accent, 0.7)):
        axes.bar(atom + shift * width, top * share / largest, width, color=colour, alpha=0.85, linewidth=0)
    text = f"{shortened(value_text(column, atom), 12)}: {percent(shape.atom.real)} real, {percent(shape.atom.samples)} drawn"
    left = atom < sum(axes.get_xlim()) / 2
    style = label(theme.ink, 10, ha="left" if left else "right", va="bottom", annotation_clip=False)
    axes.annotate(text, (0.0 if left else 1.0, 1.0), (0, 4), "axes fraction", textcoords="offset points", **style)


@Chart
def category_bars(column: TypedColumn, held_out: np.ndarray, samples: np.ndarray, theme: Theme = LIGHT) -> Figure:
    """The shares of the most common levels: bars for held-out data, a mark for samples; missing values are a level.

    Arguments:
        column, held_out, samples, theme: As in `column_chart`.
    """
    codes = [np.where(np.isnan(x), -1, np.nan_to_num(x)).astype(np.int64) for x in (held_out, samples)]
    found = np.unique(np.concatenate(codes))
    shares = np.array([[np.mean(side == code) for code in found] for side in codes])
    order = np.argsort(-shares.sum(0), kind="stable")
    shown, others = order[:LEVELS], order[LEVELS:]
    names = ["missing" if found[k] < 0 else value_text(column, float(found[k])) for k in shown]
    values = shares[:, shown]
    if len(others):
        names.append(f"{len(others):,} others")
        values = np.concatenate([values, shares[:, others].sum(1, keepdims=True)], 1)
    figure = canvas(WIDTH, 30 + 22 * len(names))
    axes = inset(figure, 112, 26, 12, 2)
    dress(axes, theme, 11)
    places = np.arange(len(names))[::-1]
    axes.barh(places, values[0], 0.62, color=theme.real, alpha=0.5, linewidth=0)
    axes.vlines(values[1], places - 0.42, places + 0.42, color=theme.accent, linewidth=2.6)
    axes.set_yticks(places, [shortened(name, 16) for name in names])
    axes.grid(visible=False)
    axes.grid(axis="x", color=theme.line, linewidth=0.8)
    axes.set_xlim(0, max(1e-9, 1.08 * float(values.max())))
    axes.set_ylim(-0.6, len(names) - 0.4)
    few_ticks(axes.xaxis, 4)
    axes.xaxis.set_major_formatter(require("matplotlib.ticker").FuncFormatter(lambda value, _: percent(value)))
    return figure


@Chart
def association_matrix(trends: TableTrends, order: Sequence[int], theme: Theme = LIGHT, width: float = 680) -> Figure:
    """The associations of all pairs of columns: those of samples above the diagonal, those of held-out data below it.

    Arguments:
        trends: What was measured.
        order: The columns to show, the most important first; fewer of them on a narrow screen.
        theme, width: The colours, and the width in pixels of the page.
    """
    kept = sorted(order[: ACROSS if width > 500 else ACROSS // 2 + 2])
    drawn, real = (whole[np.ix_(kept, kept)] for whole in trends.matrix())
    shown = np.where(np.triu(np.ones_like(real), 1) > 0, drawn, real)
    names, margin = [shortened(trends.names[i], 14) for i in kept], 132.0
    size = width - margin - 8
    figure = canvas(width, size + 40)
    axes = inset(figure, margin, 36, 8, 4)
    dress(axes, theme, 11)
    colours = require("matplotlib.colors").LinearSegmentedColormap.from_list(
        "association", [NEGATIVE, theme.paper, theme.accent]
    )
    axes.imshow(shown, cmap=colours, vmin=-1, vmax=1, aspect="auto")
    axes.grid(visible=False)
    ticks = np.arange(len(kept))
    axes.set_yticks(ticks, [f"{name}  {i + 1}" for i, name in enumerate(names)])
    axes.set_xticks(ticks, [str(i + 1) for i in ticks])
    axes.spines["bottom"].set_visible(False)
    if size / len(kept) > 26:
        for (i, j), value in np.ndenumerate(shown):
            if np.isfinite(value):
                colour = theme.paper if abs(value) > 0.7 else theme.ink
                axes.text(j, i, fixed(value).replace("0.", ".", 1), ha="center", va="center", **label(colour, 10))
    return figure
