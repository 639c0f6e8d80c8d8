"""A picture of noise levels: distances between examples, the overlap of neighbouring levels, and data at several levels."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..checkpoint import write_atomically
from ..data import Rows
from ..noise_levels import NoiseLevels
from ..rng import Samples
from ..units import Units
from .base import LIGHT, Theme, blank, canvas, dress, few_ticks, label, log_scale, number, png, require
from .grids import grid_style, mosaic, tiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calibration_figure", "write_calibration"]

WIDTH, HEIGHT = 1016.0, 680.0
SHOWN = 8  # pictures of noisy data, the first without noise
PAIRED = 1000  # examples whose distances are shown
POINTS = 500
EDGE, GAP = 28.0, 12.0


def write_calibration(path: Path, calibration: NoiseLevels, rows: Rows, units: Units, theme: Theme = LIGHT) -> Path:
    """Writes a picture of noise levels as an opaque .png file.

    Arguments:
        path, theme: The file and its colours.
        calibration: The noise levels, with the number of values per example.
        rows, units: The data, some of which are shown, and their standardization.

    Raises:
        ValueError: If the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"the picture of noise levels is a .png file, got {path}: name it {path.with_suffix('.png')}")
    image = require("PIL.Image")
    index = np.linspace(0, len(rows) - 1, min(len(rows), PAIRED)).round().astype(int)
    x = units(rows.take(index, torch.float64))
    picture = image.open(io.BytesIO(calibration_figure(calibration, x, units, theme))).convert("RGBA")
    page = image.new("RGBA", picture.size, theme.paper)
    page.alpha_composite(picture)
    content = io.BytesIO()
    page.convert("RGB").save(content, "PNG", optimize=True)
    write_atomically(path, content.getvalue())
    return path


def calibration_figure(calibration: NoiseLevels, x: Tensor, units: Units | None = None, theme: Theme = LIGHT) -> bytes:
    """Draws pairwise distances, the overlap of neighbouring levels, data at several levels, and the training levels.

    `x` are standardized data `(N, *D)`, and `units` their standardization."""
    figure = canvas(WIDTH, HEIGHT)

    def axes(left: float, top: float, width: float, height: float) -> Axes:
        return figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))

    half, full = (WIDTH - 3 * EDGE) / 2, WIDTH - 2 * EDGE
    _heading(figure, EDGE, "Distances between examples", "in standard deviations; the largest is σ₁", theme)
    _distances(axes(EDGE, 52, half, 190), calibration, x, theme)
    share = f"{100 * calibration.ladder.overlap:.0f} % of the noise at one level overlaps with the next"
    _heading(figure, 2 * EDGE + half, "Neighbouring levels", share, theme)
    _overlap(axes(2 * EDGE + half, 52, half, 190), calibration, theme)
    _heading(figure, EDGE, "At each level", "data plus noise, rescaled to the variance of the data", theme, 308)
    ladder = calibration.ladder
    level = [0.0, *np.geomspace(ladder.last, ladder.first, SHOWN - 1).tolist()]
    shown = _rounded(x if units is None else units.inverse(x))
    side = (full - GAP * (SHOWN - 1)) / SHOWN
    for i, drawn in enumerate(_noisy(x, level, units)):
        place = axes(EDGE + i * (side + GAP), 346, side, side)
        _example(place, drawn, shown, theme)
        text = "data" if i == 0 else f"σ = {number(level[i])}"
        place.set_title(text, loc="center", pad=7, **label(theme.ink))
    below = 346 + side + 36
    text = f"{ladder.count} from {number(ladder.last)} to {number(ladder.first)}, ratio {ladder.gap:.4g}"
    _heading(figure, EDGE, "Levels", text, theme, below)
    _training_levels(axes(EDGE, below + 6, full, HEIGHT - below - 6 - 34), calibration, theme)
    return png(figure)


def _heading(figure: Figure, x: float, title: str, note: str, theme: Theme, y: float = 30.0) -> None:
    """A title, followed by an explanation in muted colour."""
    baseline = 1 - y / HEIGHT
    first = figure.text(x / WIDTH, baseline, title, va="baseline", **label(theme.ink, 15))
    after = first.get_window_extent().x1 / figure.bbox.width + 10 / WIDTH
    figure.text(after, baseline, note, va="baseline", **label(theme.muted))


def _rounded(x: Tensor) -> Tensor:
    """Integer data without the rounding errors of the change of units."""
    return x.round() if bool((x - x.round()).abs().max() < 1e-3) else x


def _distances(axes: Axes, calibration: NoiseLevels, x: Tensor, theme: Theme) -> None:
    """The histogram of pairwise distances, and the largest distance."""
    first = calibration.ladder.first
    some = x[:PAIRED].reshape(len(x[:PAIRED]), -1).double()
    distance = torch.pdist(some).numpy()
    top = max(first, float(distance.max()))
    bins = np.linspace(0, 1.04 * top, 60)
    heights = np.histogram(distance, bins, density=True)[0]
    dress(axes, theme)
    axes.stairs(heights, bins, fill=True, color=theme.real, alpha=0.45)
    axes.plot([first, first], [0, 0.9 * heights.max()], color=theme.accent, linewidth=1.6)
    style = label(theme.accent, ha="right", va="bottom")
    axes.text(1.04 * top, 0.94 * heights.max(), f"σ₁ = {number(first)}", **style)
    axes.set(xlim=(0, 1.04 * top), ylim=(0, 1.12 * heights.max()), yticks=[])


def _overlap(axes: Axes, calibration: NoiseLevels, theme: Theme) -> None:
    """The distributions of the norm of noise at two neighbouring levels, and their overlap."""
    ladder = calibration.ladder
    root, spread = math.sqrt(ladder.numbers), 1 / math.sqrt(2)
    gap = ladder.gap
    low, high = max(0.0, root - 4 * spread), root * gap + 4 * spread * gap
    radius = np.linspace(low, high, 600)

    def density(scale: float) -> np.ndarray:
        return np.exp(-(((radius / scale - root) / spread) ** 2) / 2) / scale

    inside = np.abs(radius / gap - root) <= 3 * spread
    dress(axes, theme)
    axes.fill_between(radius, 0, density(1.0), where=inside.tolist(), color=theme.accent, alpha=0.22, linewidth=0)
    axes.plot(radius, density(gap), color=theme.muted, linewidth=1.6)
    axes.plot(radius, density(1.0), color=theme.accent, linewidth=2)
    for edge in (gap * (root - 3 * spread), gap * (root + 3 * spread)):
        if low < edge < high:
            axes.plot([edge, edge], [0, 0.12], color=theme.muted, linewidth=1, dashes=(3, 2))
    axes.text(root, 1.03, "σ", **label(theme.accent, ha="center", va="bottom"))
    axes.text(root * gap, 1 / gap + 0.03, f"{gap:.4g} σ", **label(theme.muted, ha="center", va="bottom"))
    axes.set(xlim=(low, high), ylim=(0, 1.2), yticks=[])
    few_ticks(axes.xaxis, 5)


def _noisy(x: Tensor, level: list[float], units: Units | None) -> list[Tensor]:
    """The first examples plus the same noise at each level, rescaled to the variance of the data."""
    count = 1 if x.ndim > 2 else min(len(x), POINTS)
    z = Samples(0, count=count).normal((count, *x.shape[1:]), x.dtype)
    shown = [(x[:count] + s * z) / math.sqrt(1 + s**2) for s in level]
    return shown if units is None else [units.inverse(part) for part in shown]


def _example(axes: Axes, drawn: Tensor, x: Tensor, theme: Theme) -> None:
    """An example, or a scatter plot of vectors, on the scale of the data."""
    blank(axes)
    data, shown = x.float().numpy(), drawn.float().numpy()
    if x.ndim > 3:
        style = grid_style(data)
        page = mosaic([tiles(shown, style)[0][:1]], 1)
        palette = np.vstack([style.palette, [[255, 255, 255]]]).astype(np.uint8)
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
    x_values, y_values = shown[:, columns].T
    axes.plot(x_values, y_values, "o", color=theme.accent, markersize=2, markeredgewidth=0, alpha=0.6)
    margin = 0.06 * (high - low)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))


def _training_levels(axes: Axes, calibration: NoiseLevels, theme: Theme) -> None:
    """The density of training noise levels, and the levels of the ladder below it."""
    ladder = calibration.ladder
    low, high = min(ladder.last, calibration.sigma_min), max(ladder.first, calibration.sigma_max)
    level = np.geomspace(low, high, 400)
    density = np.exp(-(((np.log(level) - calibration.level_mean) / calibration.level_std) ** 2) / 2)
    dress(axes, theme)
    log_scale(axes, "x")
    axes.fill_between(level, 0, density, color=theme.accent, alpha=0.12, linewidth=0)
    axes.plot(level, density, color=theme.accent, linewidth=1.8)
    axes.vlines(ladder.levels, -0.22, -0.04, color=theme.ink, linewidth=0.7, alpha=0.75)
    style = label(theme.accent, ha="center", va="bottom")
    axes.text(math.exp(calibration.level_mean), 1.04, "training noise levels", **style)
    axes.spines["bottom"].set_visible(False)
    axes.set(xlim=(low / 1.02, high * 1.02), ylim=(-0.24, 1.3), yticks=[])
