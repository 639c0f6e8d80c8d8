"""Pictures in panels, still and moving, for the figures of other examples, which import it; it has no command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from scorefield import Model
from scorefield.reporting.animation import animation


def mosaic(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The first images of `(N, H, W)` in rows and columns, with gaps of NaN, which are drawn as background."""
    tiles = np.pad(images[: rows * columns], ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    tiles = np.concatenate([tiles, np.full((rows * columns - len(tiles), *tiles.shape[1:]), np.nan)])
    return tiles.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2).reshape(rows * tiles.shape[1], -1)


def draw(
    panels: dict[str, np.ndarray],
    path: Path,
    grid: tuple[int, int],
    size: tuple[float, float],
    across: int | None = None,
    colours: str = "gray_r",
) -> None:
    """Panels with a `grid` of rows and columns of images, `(N, H, W)` from 0 to 1; `across` are side by side, or all."""
    from matplotlib.figure import Figure

    across = across or len(panels)
    figure = Figure(figsize=size, dpi=140, facecolor="white", layout="constrained")
    places = figure.subplots(-(-len(panels) // across), across, squeeze=False).flat
    for axes, (name, images) in zip(places, panels.items()):
        axes.imshow(mosaic(images, *grid), cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=11, color="#1f1e1b")
        axes.set_axis_off()
    figure.savefig(path)


def table(
    rows: Iterable[tuple[str, Sequence[np.ndarray]]],
    titles: Sequence[str],
    path: Path,
    size: tuple[float, float],
    limits: tuple[float, float] = (0, 255),
    colours: str = "gray",
) -> None:
    """Images `(H, W)` or `(H, W, 3)` in a table, with a name next to each row and a title above each column."""
    from figures import INK, Figure, save

    rows = list(rows)
    figure = Figure(figsize=size, dpi=160, facecolor="white", layout="constrained")
    places = figure.subplots(len(rows), len(titles), squeeze=False)
    for row, (name, images) in zip(places, rows):
        for axes, image in zip(row, images):
            axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
        row[0].set_ylabel(name, fontsize=9, color=INK)
    for axes, title in zip(places[0], titles):
        axes.set_title(title, fontsize=9, color=INK)
    for axes in places.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#d0cfc8")
    save(figure, path)


def animate(models: Iterable[Model], path: Path, count: int = 8, frames: int = 28) -> None:
    """The states of `count` samples from noise to images as a GIF, a row for each model; each state fills its range."""
    rows = []
    for model in models:
        states = [state.numpy() for _, state in model.trajectory(count)]
        chosen = [states[i] for i in np.linspace(0, len(states) - 1, frames).round().astype(int)]
        limits = [(min(np.quantile(x, 0.01), 0), max(np.quantile(x, 0.99), 1)) for x in chosen]
        rows.append([(x - low) / (high - low) for x, (low, high) in zip(chosen, limits)])
    together = [np.concatenate(states) for states in zip(*rows)]
    limits = np.stack([np.zeros_like(together[0][0]), np.ones_like(together[0][0])])
    path.write_bytes(animation(together, limits, count=frames)[0])
