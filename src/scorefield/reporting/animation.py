"""The reverse diffusion from noise to data as a GIF, one state per frame."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .base import LIGHT, Theme, blank, canvas, require
from .grids import GAP, GridStyle, banded, grid_style, lines, mosaic, tiles

__all__ = ["animation"]

COLOURS = 64
PIXELS = 600_000  # of all frames together; frames of noise take about as many bytes
HOLD = 2400  # milliseconds for which the last frame is shown


def animation(
    frames: Sequence[np.ndarray], held_out: np.ndarray, theme: Theme = LIGHT, count: int = 28
) -> tuple[bytes, bytes]:
    """The frames as a GIF that loops, and the last one as a still picture for readers who prefer reduced motion.

    The limits follow the state: where it is wider than the data, as noise is, it is shown between its own quantiles, so
    that every frame has full contrast.

    Arguments:
        frames: states `(K, *D)`, from noise to data.
        held_out: real data `(M, *D)`, for the limits of the axes.
        theme: the colours of points and lines; images are the same in every theme.
        count: the largest number of frames; more are thinned evenly, keeping the first and the last.

    Raises:
        ValueError: If there are no frames.
    """
    if len(frames) == 0:
        raise ValueError("an animation needs at least one frame, got none")
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    states = [np.nan_to_num(np.asarray(frames[index], dtype=float)) for index in chosen]
    if held_out.ndim == 2:
        images = list(_clouds(states, held_out, theme))
    elif held_out.ndim == 3:
        images = list(_signals(states, held_out, theme))
    else:
        images = list(_pictures(states, held_out))
    moving, still = io.BytesIO(), io.BytesIO()
    extra = {} if images[0].info.get("transparency") is None else {"transparency": images[0].info["transparency"]}
    pause = int(np.clip(3000 / len(images), 60, 200))
    images[0].save(
        moving,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=[3 * pause] + [pause] * (len(images) - 2) + [HOLD] if len(images) > 1 else HOLD,
        loop=0,
        disposal=1,
        **extra,
    )
    images[-1].save(still, "PNG", optimize=True, **extra)
    return moving.getvalue(), still.getvalue()


def _view(state: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The limits of each feature or channel: those of the data, or of the state where it is wider."""
    flat = np.moveaxis(state, 1, 0).reshape(state.shape[1], -1)
    least, most = np.quantile(flat, [0.01, 0.99], axis=1)
    return np.minimum(least, low), np.maximum(most, high)


def _pictures(states: list[np.ndarray], held_out: np.ndarray) -> Iterator[Any]:
    image = require("PIL.Image")
    style = grid_style(held_out)
    shape = states[0].shape
    stride = max(1, -(-max(shape[2:]) // 96))
    cut = (slice(None), slice(None), *(slice(None, None, stride),) * (len(shape) - 2))
    area = sum(tile[..., 0].size if tile.ndim == 3 else tile.size for tile in tiles(states[0][cut][:1], style)[0])
    shown = int(np.clip(PIXELS // (area * len(states)), 1, min(16, len(states[0]))))
    columns = shown if shown <= 4 else -(-shown // 2)
    shown -= shown % columns
    shades = np.linspace(0, 254, COLOURS - 1).round().astype(int)
    for state in states:
        view = GridStyle(style.kind, *_view(state, style.low, style.high))
        page = mosaic(tiles(state[cut][:shown], view), columns)
        if page.ndim == 3:
            yield _reduced(image.fromarray(page))
            continue
        coarse = np.where(page == GAP, COLOURS - 1, np.round(page / 254 * (COLOURS - 2))).astype(np.uint8)
        frame = image.fromarray(coarse)
        frame.putpalette(np.vstack([style.palette[shades], [[0, 0, 0]]]).round().astype(np.uint8).tobytes())
        frame.info["transparency"] = COLOURS - 1
        yield frame


def _reduced(frame: Any) -> Any:
    """An RGB picture in a palette of `COLOURS` entries, the last of which is transparent for the gaps."""
    image = require("PIL.Image")
    gaps = np.asarray(frame)[..., 3] == 0
    paletted = frame.convert("RGB").quantize(COLOURS - 1, dither=image.Dither.NONE)
    palette = (paletted.getpalette() or [])[: 3 * (COLOURS - 1)]
    indices = np.where(gaps, COLOURS - 1, np.asarray(paletted)).astype(np.uint8)
    reduced = image.fromarray(indices)
    reduced.putpalette(palette + [0] * (3 * COLOURS - len(palette)))
    reduced.info["transparency"] = COLOURS - 1
    return reduced


def _drawn(figure: Any, theme: Theme) -> Any:
    """The figure on the page's background, in 12 colours."""
    image = require("PIL.Image")
    figure.set_facecolor(theme.paper)
    figure.canvas.draw()
    pixels = image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    return pixels.quantize(12, dither=image.Dither.NONE)


def _clouds(states: list[np.ndarray], held_out: np.ndarray, theme: Theme) -> Iterator[Any]:
    """The first two columns as points over held-out data; a single column against its rank."""
    low, high = np.quantile(held_out[:, :2].astype(float), [0.005, 0.995], axis=0)
    room = np.where(high > low, 0.1 * (high - low), 0.5)
    low, high = low - room, high + room
    figure = canvas(180, 180)
    axes = figure.add_axes((0, 0, 1, 1))
    blank(axes)
    (real,) = axes.plot([], [], "o", color=theme.real, markersize=1.7, alpha=0.35, markeredgewidth=0)
    (cloud,) = axes.plot([], [], "o", color=theme.accent, markersize=2.1, alpha=0.7, markeredgewidth=0)
    real.set_data(*_plane(held_out[:600]))
    for state in states:
        least, most = _view(state[:, :2], low, high)
        axes.set_xlim(least[0], most[0])
        axes.set_ylim(*(least[1], most[1]) if len(least) > 1 else (-0.05, 1.05))
        cloud.set_data(*_plane(np.clip(state[:600, :2], least, most)))
        yield _drawn(figure, theme)


def _plane(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if rows.shape[1] > 1:
        return rows[:, 0], rows[:, 1]
    return rows[:, 0], np.argsort(np.argsort(rows[:, 0])) / max(1, len(rows) - 1)


def _signals(states: list[np.ndarray], held_out: np.ndarray, theme: Theme) -> Iterator[Any]:
    """Four signals, one below another."""
    style = grid_style(held_out)
    shown = min(4, len(states[0]))
    figure = canvas(230, 46 * shown + 8)
    curves = []
    for place in range(shown):
        axes = figure.add_subplot(shown, 1, place + 1)
        blank(axes)
        axes.set_xlim(0, held_out.shape[2] - 1)
        curves.append(lines(axes, states[0][place], style, theme, theme.accent))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.99, 0, 0.1)
    for state in states:
        view = GridStyle(style.kind, *_view(state, style.low, style.high))
        for place, channels in enumerate(curves):
            for channel, curve in enumerate(channels):
                curve.set_ydata(banded(state[place], view, channel))
        yield _drawn(figure, theme)
