"""Samplers compared on one page: samples of the same seeds next to held-out data, and the measurements."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..comparison import Comparison, SamplerResult
from ..metrics import Distance
from .base import DARK, LIGHT, Theme, number
from .figures import POINTS, chosen_columns, histograms, scatter, span
from .grids import grid_style, mosaic, picture, signal_lines, tiles
from .html import Picture, positions, themed, write

__all__ = ["write_comparison"]

_MARKED = 5  # samples that are numbered in scatter plots
_BANDS = 6  # the axis of a distance reaches this many widths of the band of real data beyond it
_PANEL, _STRIP = (320, 300), 1016  # pixels of the page
_Draw = Callable[[int, Theme], bytes]  # by index: -1 for held-out data, i for the samples of sampler i


def write_comparison(path: str | os.PathLike[str], comparison: Comparison, title: str) -> Path:
    """Writes a comparison as one self-contained HTML file: no network, no fonts, no scripts.

    Arguments:
        path: the file; its folder is created if it is missing, and an existing file is replaced atomically.
        comparison: the comparison.
        title: of the page.
    """
    count, rows = comparison.count, comparison.rows
    vectors = comparison.held_out.ndim == 2
    return write(
        path,
        "compare",
        title=title,
        subtitle=f"{len(rows)} samplers with the same seeds" if len(rows) > 1 else "One sampler",
        verdict=comparison.verdict,
        facts=[
            ("Samples per sampler", count),
            ("Seed", comparison.seed),
            ("Held-out examples", rows[0].distances[0].counts[1]),
        ],
        shape="panels" if vectors else "strips-of-data",
        pictures=_pictures(comparison),
        marked=_MARKED if vectors and comparison.held_out.shape[1] > 1 else 0,
        columns=comparison.held_out.shape[1] if vectors else 0,
        names=[distance.name for distance in rows[0].distances],
        floors=[track(distance, rows, j) for j, distance in enumerate(rows[0].distances)],
        rows=[
            {
                "row": row,
                "per_second": count / row.seconds,
                "tracks": [track(d, rows, j) for j, d in enumerate(row.distances)],
            }
            for row in rows
        ],
        failed=comparison.failed,
    )


def track(distance: Distance, rows: Sequence[SamplerResult], place: int) -> dict[str, Any]:
    """The positions of a distance and of the band of real data on the axis of all rows, in percent of its width.

    The axis ends a few widths of the band beyond it; larger values are drawn at its end.
    """
    values = [row.distances[place].value for row in rows]
    low = min(0.0, distance.low, *values)
    most = distance.high + _BANDS * (distance.high - distance.low)
    top = low + 1.04 * (max(distance.high, min(most, max(values))) - low) or 1.0
    return positions(distance, low, top - low)


def _pictures(comparison: Comparison) -> list[tuple[str, str, Picture]]:
    """Name, cost and picture of held-out data and of each sampler; a single column shows both in one picture."""
    real, drawn, names = comparison.held_out, comparison.samples, comparison.columns
    captions = [(row.name, f"{number(row.evaluations)} evaluations") for row in comparison.rows]
    if real.ndim == 2 and real.shape[1] == 1:
        pairs = [[histograms(real, data, names, theme, _PANEL)[0] for theme in (LIGHT, DARK)] for data in drawn]
    else:
        captions.insert(0, ("Held-out data", ""))
        draw = {2: _clouds, 3: _signals}.get(real.ndim, _tiles)(real, drawn, names)
        pairs = [[draw(i, theme) for theme in (LIGHT, DARK)] for i in range(-1, len(drawn))]
    width = _PANEL[0] if real.ndim == 2 else _STRIP
    return [(name, cost, themed(light, dark, name, width)) for (name, cost), (light, dark) in zip(captions, pairs)]


def _clouds(real: np.ndarray, drawn: Sequence[np.ndarray], names: Sequence[str] | None) -> _Draw:
    """Two columns as scatter plots on the same axes."""
    columns = chosen_columns(real, np.concatenate(drawn), 2)
    titles = [f"x{c + 1}" if names is None else names[c] for c in columns]
    ranges = (span(real[:, columns[0]]), span(real[:, columns[1]]))
    count = min(POINTS, *map(len, drawn))

    def draw(i: int, theme: Theme) -> bytes:
        data, colour, marked = (real, theme.real, 0) if i < 0 else (drawn[i], theme.accent, _MARKED)
        return scatter(data[:count, columns], ranges, titles, theme, colour, _PANEL, marked)

    return draw


def _tiles(real: np.ndarray, drawn: Sequence[np.ndarray], names: Sequence[str] | None) -> _Draw:
    """A row of images or fields; those of the same seed are below each other."""
    style = grid_style(real)
    first = tiles(real[:1], style)[0]
    width, height = sum(tile.shape[1] for tile in first), max(tile.shape[0] for tile in first)
    count = min(int(np.clip(round(11 * height / width), 2, 16)), *map(len, (real, *drawn)))
    scale = max(1, round(_STRIP / (count * width)))

    def draw(i: int, theme: Theme) -> bytes:
        data = real if i < 0 else drawn[i]
        return picture(mosaic(tiles(data[:count], style), count, scale), style)

    return draw


def _signals(real: np.ndarray, drawn: Sequence[np.ndarray], names: Sequence[str] | None) -> _Draw:
    """A row of five signals `(C, L)`, with up to four channels above each other."""
    style = grid_style(real)

    def draw(i: int, theme: Theme) -> bytes:
        data, colour = (real, theme.muted) if i < 0 else (drawn[i], theme.accent)
        size = (_STRIP, 60 + 30 * min(4, data.shape[1]))
        return signal_lines(data, style, theme, colour, (1, 5), size, (0.08, 0))

    return draw
