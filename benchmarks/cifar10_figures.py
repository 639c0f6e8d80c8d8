"""Figures of a model of images: samples next to data, interpolations from the prior, and the curve of its distances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scorefield.model import Model

__all__ = ["draw_figures", "tiled"]


def tiled(images: np.ndarray, columns: int, scale: int = 2) -> np.ndarray:
    """Images `(N, H, W, 3)` side by side in rows of `columns`, with white lines between them, each pixel `scale` wide."""
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + 2, images.shape[2] + 2
    page = np.full((rows * height, columns * width, 3), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * height + 1, i % columns * width + 1
        page[y : y + height - 2, x : x + width - 2] = image
    return page.repeat(scale, 0).repeat(scale, 1)


def draw_figures(model: Model, real: np.ndarray, results: dict[str, Any], folder: Path, count: int = 64) -> None:
    """Writes `samples.png`, `data.png`, `interpolation.png`, and `curve.png` if the curve was measured."""
    from PIL import Image

    pages = {"samples": tiled(np.asarray(model.sample(count)), 8), "data": tiled(real[:count], 8)}
    lines = min(8, count)
    frames = np.stack([np.asarray(x) for x in model.interpolate_seeds(lines, sampler="unipc(steps=16)")], 1)
    pages["interpolation"] = tiled(frames.reshape(-1, *frames.shape[2:]), frames.shape[1])
    for name, page in pages.items():
        Image.fromarray(page).save(folder / f"{name}.png")
    if results.get("curve"):
        _draw_curve(results["curve"], folder / "curve.png")


def _draw_curve(curve: dict[str, Any], path: Path) -> None:
    """The distance against images seen, and the floor."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    points = curve["points"]
    axes.loglog([p["images"] for p in points], [p["distance"] for p in points], "o-", label="samples")
    axes.axhline(curve["floor"], color="0.5", label="real images")
    axes.set(xlabel="images seen", ylabel="Fréchet distance")
    minutes = axes.secondary_xaxis("top")
    minutes.set_xticks([p["images"] for p in points], [f"{p['minutes']:.2g}" for p in points])
    minutes.set_xlabel("minutes")
    for axis in (axes.xaxis, minutes.xaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.legend()
    figure.savefig(path)
