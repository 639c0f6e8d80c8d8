"""Samplers side by side on one page: the same seeds drawn in each way beside held-out data, and what was measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..comparison import Comparison, SamplerResult
from ..metrics import Distance
from .base import DARK, LIGHT, Theme, blank, canvas, number, png
from .figures import POINTS, chosen_columns, histograms, scatter, span
from .grids import grid_style, lines, mosaic, picture, tiles
from .html import Picture, themed, write

__all__ = ["write_comparison"]

_MARKED = 5  # seeds that carry their number in scatter plots
_BANDS = 6  # how many widths of the band of real data an axis of distances shows
_PANEL, _STRIP = (320, 300), 1016  # pixels of the page
_Draw = Callable[[int, Theme], bytes]  # of a set: -1 are held-out data, others the samples of a way


def write_comparison(path: str | os.PathLike[str], comparison: Comparison, title: str) -> Path:
    """Writes a comparison as one HTML file that needs nothing else: no network, no fonts, no scripts.

    Arguments:
        path: of the file; its folder is made where it is missing, and a file of that name is replaced at once.
        comparison: what to show.
        title: of the page.

    Returns:
        The path.
    """
    count, rows = comparison.count, comparison.rows
    vectors = comparison.held_out.ndim == 2
    return write(
        path,
        "compare",
        title=title,
        subtitle=f"The same seeds through {len(rows)} samplers" if len(rows) > 1 else "One sampler",
        verdict=comparison.verdict,
        facts=[
            ("Samples of each", count),
            ("Seed", comparison.seed),
            ("Held-out data", rows[0].distances[0].counts[1]),
        ],
        shape="panels" if vectors else "strips-of-data",
        pictures=_pictures(comparison),
        marked=_MARKED if vectors and comparison.held_out.shape[1] > 1 else 0,
        columns=comparison.held_out.shape[1] if vectors else 0,
        names=[distance.name for distance in rows[0].distances],
        floors=[track(distance, rows, j) for j, distance in enumerate(rows[0].distances)],
        rows=[_line(row, comparison) for row in rows],
        failed=comparison.failed,
    )


def _line(row: SamplerResult, comparison: Comparison) -> dict[str, Any]:
    tracks = [track(distance, comparison.rows, j) for j, distance in enumerate(row.distances)]
    return {"row": row, "per_second": comparison.count / row.seconds, "tracks": tracks}


def track(distance: Distance, rows: Sequence[SamplerResult], place: int) -> dict[str, Any]:
    """Where a distance and the band of real data lie on the axis that all rows share, in percent of its width.

    The axis ends a few widths of the band beyond it; what is farther lies on its end.
    """
    values = [row.distances[place].value for row in rows]
    low = min(0.0, distance.low, *values)
    most = distance.high + _BANDS * (distance.high - distance.low)
    top = low + 1.04 * (max(distance.high, min(most, max(values))) - low) or 1.0
    found = {name: getattr(distance, name) for name in ("low", "high", "floor", "value")}
    at = {name: round(100 * min(1.0, (value - low) / (top - low)), 2) for name, value in found.items()}
    return {"distance": distance, **at}


def _pictures(comparison: Comparison) -> list[tuple[str, str, Picture]]:
    """The name, the cost and the picture of held-out data and of each way; a single column shows both in one."""
    real, drawn, names = comparison.held_out, comparison.samples, comparison.columns
    told = [(str(row.sampling), f"{number(row.evaluations)} evaluations") for row in comparison.rows]
    if real.ndim == 2 and real.shape[1] == 1:
        pairs = [[histograms(real, data, names, theme, _PANEL)[0] for theme in (LIGHT, DARK)] for data in drawn]
    else:
        told.insert(0, ("Held-out data", ""))
        draw = {2: _clouds, 3: _signals}.get(real.ndim, _tiles)(real, drawn, names)
        pairs = [[draw(i, theme) for theme in (LIGHT, DARK)] for i in range(-1, len(drawn))]
    width = _PANEL[0] if real.ndim == 2 else _STRIP
    return [(name, cost, themed(light, dark, name, width)) for (name, cost), (light, dark) in zip(told, pairs)]


def _clouds(real: np.ndarray, drawn: Sequence[np.ndarray], names: Sequence[str] | None) -> _Draw:
    """Two columns as points on the same axes."""
    columns = chosen_columns(real, np.concatenate(drawn), 2)
    titles = [f"x{c + 1}" if names is None else names[c] for c in columns]
    ranges = (span(real[:, columns[0]]), span(real[:, columns[1]]))
    count = min(POINTS, *map(len, drawn))

    def draw(i: int, theme: Theme) -> bytes:
        data, colour, marked = (real, theme.real, 0) if i < 0 else (drawn[i], theme.accent, _MARKED)
        return scatter(data[:count, columns], ranges, titles, theme, colour, _PANEL, marked)

    return draw


def _tiles(real: np.ndarray, drawn: Sequence[np.ndarray], names: Sequence[str] | None) -> _Draw:
    """A row of images or fields: the same seeds lie below each other."""
    look = grid_style(real)
    first = tiles(real[:1], look)[0]
    width, height = sum(tile.shape[1] for tile in first), max(tile.shape[0] for tile in first)
    count = min(int(np.clip(round(11 * height / width), 2, 16)), *map(len, (real, *drawn)))
    scale = max(1, round(_STRIP / (count * width)))

    def draw(i: int, theme: Theme) -> bytes:
        data = real if i < 0 else drawn[i]
        return picture(mosaic(tiles(data[:count], look), count, scale), look)

    return draw


def _signals(real: np.ndarray, drawn: Sequence[np.ndarray], names: Sequence[str] | None) -> _Draw:
    """A row of five signals `(C, L)`; up to four channels lie one above the other."""
    look = grid_style(real)

    def draw(i: int, theme: Theme) -> bytes:
        data, colour = (real, theme.muted) if i < 0 else (drawn[i], theme.accent)
        figure = canvas(_STRIP, 60 + 30 * min(4, data.shape[1]))
        for place, datum in enumerate(data[:5]):
            axes = figure.add_subplot(1, 5, place + 1)
            blank(axes)
            axes.set_xlim(0, data.shape[2] - 1)
            lines(axes, datum, look, theme, colour)
        figure.subplots_adjust(0, 0, 1, 1, 0.08, 0)
        return png(figure)

    return draw
