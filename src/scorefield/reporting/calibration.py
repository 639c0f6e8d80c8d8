"""The picture of a calibration: distances between data, neighbouring levels, and data at each of several levels."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..data import Rows
from ..noise_levels import NoiseLevels
from ..rng import Samples
from ..standardize import Standardize
from .base import LIGHT, Theme, blank, canvas, dress, family, log_scale, number, png, require
from .grids import grid_style, mosaic, tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calibration_figure", "write_calibration"]

WIDTH, HEIGHT = 1016.0, 680.0
SHOWN = 8  # pictures of data, the first without noise
PAIRED = 1000  # data whose distances are shown
POINTS = 500
EDGE, GAP = 28.0, 12.0


def write_calibration(
    path: Path, calibration: NoiseLevels, rows: Rows, units: Standardize, theme: Theme = LIGHT
) -> Path:
    """Writes the picture of a calibration as a .png file, on paper.

    Arguments:
        path: The file.
        calibration: The calibration, with the number of numbers of a datum.
        rows: The data, of which some are shown.
        units: Their units.
        theme: Colours.

    Returns:
        The file.

    Raises:
        ValueError: If the file is no .png.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"the picture of a calibration is a .png file, got {path}: name it {path.with_suffix('.png')}")
    image = require("PIL.Image")
    some = np.linspace(0, len(rows) - 1, min(len(rows), PAIRED)).round().astype(int)
    x = units(rows.take(some, torch.float64))
    picture = image.open(io.BytesIO(calibration_figure(calibration, x, units, theme))).convert("RGBA")
    paper = image.new("RGBA", picture.size, theme.paper)
    paper.alpha_composite(picture)
    paper.convert("RGB").save(path, "PNG", optimize=True)
    return path


def calibration_figure(
    calibration: NoiseLevels, x: Tensor, units: Standardize | None = None, theme: Theme = LIGHT
) -> bytes:
    """Draws pairwise distances, the overlap of neighbouring levels, and data at several levels above the law of training.

    Arguments:
        calibration: The calibration, with the number of numbers of a datum.
        x: Standardized data, of shape `(N, *D)`.
        units: Their units.
        theme: Colours.

    Returns:
        A PNG on nothing.
    """
    figure = canvas(WIDTH, HEIGHT)

    def axes(left: float, top: float, width: float, height: float) -> Axes:
        return figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))

    half, whole = (WIDTH - 3 * EDGE) / 2, WIDTH - 2 * EDGE
    _say(figure, EDGE, "Distances between data", "in standard deviations; the largest is σ₁", theme)
    _distances(axes(EDGE, 52, half, 190), calibration, x, theme)
    share = f"{100 * calibration.ladder.overlap:.0f} % of a ring of noise lies on the next one"
    _say(figure, 2 * EDGE + half, "Neighbouring levels", share, theme)
    _overlap(axes(2 * EDGE + half, 52, half, 190), calibration, theme)
    _say(figure, EDGE, "At each level", "data with noise, shrunk to the width of the data", theme, 308)
    level, shown = _levels(calibration), _whole(x if units is None else units.inverse(x))
    side = (whole - GAP * (SHOWN - 1)) / SHOWN
    for i, drawn in enumerate(_noisy(x, level, units)):
        place = axes(EDGE + i * (side + GAP), 346, side, side)
        _datum(place, drawn, shown, theme)
        text = "data" if i == 0 else f"σ = {number(level[i])}"
        place.set_title(text, loc="center", fontsize=12, color=theme.ink, fontfamily=family(), pad=7)
    below = 346 + side + 36
    ladder = calibration.ladder
    text = f"{ladder.count} from {number(ladder.last)} to {number(ladder.first)}, each {ladder.gap:.4g} times the one before"
    _say(figure, EDGE, "Levels", text, theme, below)
    _law(axes(EDGE, below + 6, whole, HEIGHT - below - 6 - 34), calibration, theme)
    return png(figure)


def _say(figure: Figure, x: float, title: str, more: str, theme: Theme, y: float = 30.0) -> None:
    """A title in ink, and what it means in a quieter colour behind it."""
    style: dict[str, Any] = {"va": "baseline", "fontfamily": family()}
    height = 1 - y / HEIGHT
    first = figure.text(x / WIDTH, height, title, fontsize=15, color=theme.ink, **style)
    after = first.get_window_extent().x1 / figure.bbox.width + 10 / WIDTH
    figure.text(after, height, more, fontsize=12, color=theme.muted, **style)


def _whole(x: Tensor) -> Tensor:
    """Data that were integers, without the rounding errors of their units."""
    return x.round() if bool((x - x.round()).abs().max() < 1e-3) else x


def _distances(axes: Axes, calibration: NoiseLevels, x: Tensor, theme: Theme) -> None:
    """The histogram of the distances of some pairs, and the largest one of all."""
    first = calibration.ladder.first
    some = x[:PAIRED].reshape(len(x[:PAIRED]), -1).double()
    distance = torch.pdist(some).numpy()
    top = max(first, float(distance.max()))
    bins = np.linspace(0, 1.04 * top, 60)
    heights = np.histogram(distance, bins, density=True)[0]
    dress(axes, theme)
    axes.stairs(heights, bins, fill=True, color=theme.real, alpha=0.45)
    axes.plot([first, first], [0, 0.9 * heights.max()], color=theme.accent, linewidth=1.6)
    style: dict[str, Any] = {
        "color": theme.accent,
        "fontsize": 12,
        "fontfamily": family(),
        "ha": "right",
        "va": "bottom",
    }
    axes.text(1.04 * top, 0.94 * heights.max(), f"σ₁ = {number(first)}", **style)
    axes.set(xlim=(0, 1.04 * top), ylim=(0, 1.12 * heights.max()), yticks=[])


def _overlap(axes: Axes, calibration: NoiseLevels, theme: Theme) -> None:
    """The laws of the radius of noise at two neighbouring levels, and the part of one that the other covers."""
    ladder = calibration.ladder
    root, spread = math.sqrt(ladder.numbers), 1 / math.sqrt(2)
    gap = ladder.gap
    low, high = max(0.0, root - 4 * spread), root * gap + 4 * spread * gap
    radius = np.linspace(low, high, 600)

    def law(scale: float) -> np.ndarray:
        return np.exp(-(((radius / scale - root) / spread) ** 2) / 2) / scale

    inside = np.abs(radius / gap - root) <= 3 * spread
    dress(axes, theme)
    axes.fill_between(radius, 0, law(1.0), where=inside.tolist(), color=theme.accent, alpha=0.22, linewidth=0)
    axes.plot(radius, law(gap), color=theme.muted, linewidth=1.6)
    axes.plot(radius, law(1.0), color=theme.accent, linewidth=2)
    edges = [e for e in (gap * (root - 3 * spread), gap * (root + 3 * spread)) if low < e < high]
    for edge in edges:
        axes.plot([edge, edge], [0, 0.12], color=theme.muted, linewidth=1, dashes=(3, 2))
    style: dict[str, Any] = {"fontsize": 12, "fontfamily": family(), "va": "bottom"}
    axes.text(root, 1.03, "σ", color=theme.accent, ha="center", **style)
    axes.text(root * gap, 1 / gap + 0.03, f"{gap:.4g} σ", color=theme.muted, ha="center", **style)
    axes.set(xlim=(low, high), ylim=(0, 1.2), yticks=[])
    axes.xaxis.set_major_locator(require("matplotlib.ticker").MaxNLocator(5))


def _levels(calibration: NoiseLevels) -> list[float]:
    """No noise, then levels from the smallest to the largest."""
    ladder = calibration.ladder
    return [0.0, *np.geomspace(ladder.last, ladder.first, SHOWN - 1).tolist()]


def _noisy(x: Tensor, level: list[float], units: Standardize | None) -> list[Tensor]:
    """The first data with more and more of the same noise, shrunk to the width of the data."""
    count = 1 if x.ndim > 2 else min(len(x), POINTS)
    z = Samples(0, count=count).normal((count, *x.shape[1:]), x.dtype)
    shown = [(x[:count] + s * z) / math.sqrt(1 + s**2) for s in level]
    return shown if units is None else [units.inverse(part) for part in shown]


def _datum(axes: Axes, drawn: Tensor, x: Tensor, theme: Theme) -> None:
    """A datum, or a cloud of vectors, on the scale of the data."""
    blank(axes)
    data, shown = x.float().numpy(), drawn.float().numpy()
    if x.ndim > 3:
        look = grid_style(data)
        page = mosaic([tiles(shown, look)[0][:1]], 1)
        palette = np.vstack([look.palette, [[255, 255, 255]]]).astype(np.uint8)
        axes.imshow(page if page.ndim == 3 else palette[page], interpolation="nearest", aspect="equal")
        return
    if x.ndim == 3:
        low, high = (float(q) for q in np.quantile(data, [0.001, 0.999]))
        axes.plot(shown[0].T, color=theme.accent, linewidth=1)
        axes.set_ylim(low - 0.3 * (high - low), high + 0.3 * (high - low))
        return
    if x.shape[1] == 1:
        bins = np.linspace(float(data.min()), float(data.max()), 41)
        axes.stairs(np.histogram(shown[:, 0], bins)[0], bins, fill=True, color=theme.accent, alpha=0.6)
        return
    columns = np.argsort(data.std(0), kind="stable")[-2:]
    low, high = data[:, columns].min(0), data[:, columns].max(0)
    axes.plot(
        shown[:, columns[0]], shown[:, columns[1]], "o", color=theme.accent, markersize=2, markeredgewidth=0, alpha=0.6
    )
    room = 0.06 * (high - low)
    axes.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))


def _law(axes: Axes, calibration: NoiseLevels, theme: Theme) -> None:
    """The law of training levels, and the levels of the ladder below it."""
    ladder = calibration.ladder
    low, high = min(ladder.last, calibration.sigma_min), max(ladder.first, calibration.sigma_max)
    level = np.geomspace(low, high, 400)
    law = np.exp(-(((np.log(level) - calibration.level_mean) / calibration.level_std) ** 2) / 2)
    dress(axes, theme)
    log_scale(axes, "x")
    axes.fill_between(level, 0, law, color=theme.accent, alpha=0.12, linewidth=0)
    axes.plot(level, law, color=theme.accent, linewidth=1.8)
    axes.vlines(ladder.levels, -0.22, -0.04, color=theme.ink, linewidth=0.7, alpha=0.75)
    style: dict[str, Any] = {"fontsize": 12, "fontfamily": family(), "va": "bottom"}
    axes.text(math.exp(calibration.level_mean), 1.04, "where training looks", color=theme.accent, ha="center", **style)
    axes.spines["bottom"].set_visible(False)
    axes.set(xlim=(low / 1.02, high * 1.02), ylim=(-0.24, 1.3), yticks=[])
