"""One self-contained HTML page: what was learned, how good it is, and why the settings are what they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..metrics import Curve, Distance, Neighbours, TestFamily
from . import words
from .animation import animation
from .base import DARK, LIGHT, Theme
from .curves import curve_chart
from .figures import (
    SHOWN,
    histograms,
    level_losses,
    matrix_width,
    neighbour_histogram,
    scatter_matrix,
    scatter_pair,
    training_curve,
)
from .grids import grid_style, sample_grid
from .html import NIGHT, STILL, Picture, address, chart, themed, write

__all__ = ["Content", "write_page"]

ROWS = 8  # of a family that are shown


@dataclass(frozen=True)
class Content:
    """What a report tells. Only the title is needed: a part without its numbers is left out.

    Arguments:
        title, subtitle: of the page.
        verdict: sentences in plain words; the first is set large.
        facts: labels and values, such as the number of data and of parameters.
        samples, held_out: drawn samples and real data in the user's units, `(N, F)` or `(N, C, *S)`.
        structure: "vector" or "grid", checked against the shapes if given.
        names: of the columns or channels.
        chosen: what is measured on such data, in a sentence.
        distances: between samples and held-out data, with their floors and, where they are tests, p-values.
        families: many statistics together, such as the columns of a table.
        curves: what is measured on fields.
        twin: samples of the model against others of its own, drawn in another way.
        neighbours: distances to the training data.
        levels: arrays `level`, `loss`, `zero_loss` and perhaps `train_loss`.
        log: records of training with `step`, `loss`, and perhaps `seconds` and `held_out`.
        frames: states of the reverse diffusion, each of the layout of `samples`.
        calibration: quantities, their values and the reasons for them.

    Raises:
        ValueError: for samples and held-out data of different shapes, or of a shape that is not `structure`.
    """

    title: str
    subtitle: str = ""
    verdict: Sequence[str] = ()
    facts: Sequence[tuple[str, Any]] = ()
    samples: np.ndarray | None = None
    held_out: np.ndarray | None = None
    structure: str | None = None
    names: Sequence[str] | None = None
    chosen: str = ""
    distances: Sequence[Distance] = ()
    families: Sequence[TestFamily] = ()
    curves: Sequence[Curve] = ()
    twin: Distance | None = None
    neighbours: Neighbours | None = None
    levels: Mapping[str, Any] | None = None
    log: Sequence[Mapping[str, Any]] = ()
    frames: Sequence[np.ndarray] = ()
    calibration: Sequence[tuple[str, Any, str]] = ()

    def __post_init__(self) -> None:
        if (self.samples is None) != (self.held_out is None):
            raise ValueError("a report shows samples beside held-out data: give both, or neither")
        if self.samples is None or self.held_out is None:
            if len(self.frames):
                raise ValueError("an animation needs held_out for the limits of its view: give samples and held_out")
            return
        shapes = self.samples.shape, self.held_out.shape
        if shapes[0][1:] != shapes[1][1:] or not 2 <= self.samples.ndim <= 5 or 0 in (*shapes[0], *shapes[1]):
            raise ValueError(
                "samples and held_out must be (N, F) or (N, C, *S) with one to three axes S and of one shape, "
                f"got {shapes[0]} and {shapes[1]}"
            )
        for name, data in (("samples", self.samples), ("held_out", self.held_out)):
            if not np.isfinite(data).all():
                raise ValueError(
                    f"{name} holds NaN or infinite values: a report cannot show them, find out where they come from"
                )
        if self.structure is not None and self.structure != ("vector" if self.samples.ndim == 2 else "grid"):
            raise ValueError(f'structure "{self.structure}" does not go with samples of shape {self.samples.shape}')


def write_page(path: str | os.PathLike[str], content: Content) -> Path:
    """Writes the report as one HTML file that needs nothing else: no network, no fonts, no scripts.

    Arguments:
        path: of the file; its folder is made where it is missing, and a file of that name is replaced at once.
        content: what to tell.

    Returns:
        The path.
    """
    head = {name: getattr(content, name) for name in ("title", "subtitle", "verdict", "facts")}
    return write(path, "page", content=content, words=words, **head, **_parts(content))


def _parts(content: Content) -> dict[str, Any]:
    """The figures of the page, by the names that the template knows them by; None for what there are no numbers for."""
    parts: dict[str, Any] = dict.fromkeys(
        ("pair", "singles", "matrix", "key", "levels", "training", "neighbours", "film")
    )
    tests = [distance for distance in content.distances if distance.p_value is not None]
    others = [distance for distance in content.distances if distance.p_value is None]
    twin = [content.twin] if content.twin is not None else []
    parts["strips"] = [strip(distance) for distance in (*tests, *others, *twin)]
    parts["families"] = [(family, most_apart(family)) for family in content.families]
    parts["curves"] = [(curve, _curve(curve)) for curve in content.curves]
    if content.levels is not None:
        parts["levels"] = chart(lambda *look: level_losses(content.levels or {}, *look), "Loss at each noise level")
    if any(np.isfinite(record["loss"]) for record in content.log if record.get("loss") is not None):
        parts["training"] = chart(lambda *look: training_curve(content.log, *look), "Loss over the steps of training")
    if content.neighbours is not None:
        close = content.neighbours
        parts["neighbours"] = chart(
            lambda *look: neighbour_histogram(close, *look), "Histograms of distances to the nearest training datum"
        )
    if content.samples is not None and content.held_out is not None:
        parts |= _samples(content, np.asarray(content.samples), np.asarray(content.held_out))
        if len(content.frames):
            parts["film"] = _film(content.frames, np.asarray(content.held_out))
    return parts


def _samples(content: Content, samples: np.ndarray, held_out: np.ndarray) -> dict[str, Any]:
    names = None if content.names is None else [str(name) for name in content.names]
    if samples.ndim > 2:
        draw = lambda theme: sample_grid(held_out, samples, theme)  # noqa: E731
        return {"pair": _pair(draw, 560, fixed=samples.ndim > 3), "key": _key(held_out, names)}
    parts: dict[str, Any] = {}
    size = min(SHOWN, samples.shape[1])
    if samples.shape[1] == 2:
        parts["pair"] = _pair(lambda theme: scatter_pair(held_out, samples, names, theme), 480)
    if samples.shape[1] <= 2:
        both = zip(*(histograms(held_out, samples, names, theme) for theme in (LIGHT, DARK)))
        parts["singles"] = [themed(light, dark, "Histogram of one column", 480) for light, dark in both]
    else:
        light, dark = (scatter_matrix(held_out, samples, names, theme) for theme in (LIGHT, DARK))
        text = "Histograms and scatter plots of the columns: held-out data in grey, drawn samples in blue"
        parts["matrix"] = themed(light, dark, text, round(matrix_width(size)))
    return parts | {"key": {"kind": "table", "shades": "", "shown": size, "columns": samples.shape[1]}}


def _key(held_out: np.ndarray, names: list[str] | None) -> dict[str, Any]:
    """What the reader of a grid of fields must know: its channels, slices and colours."""
    look = grid_style(held_out)
    channels = held_out.shape[1]
    limit = {3: 4, 4: 4, 5: 2}[held_out.ndim]
    names = names if names is not None and len(names) == channels else [f"channel {c + 1}" for c in range(channels)]
    shades = look.palette[np.linspace(0, 254, 9).astype(int)].round().astype(int)
    return {
        "kind": "signal" if held_out.ndim == 3 else look.kind,
        "channels": names[:limit] if look.kind == "field" else [],
        "ranges": list(zip(look.low.tolist(), look.high.tolist()))[:limit],
        "hidden": max(0, channels - limit) if look.kind == "field" else 0,
        "slices": held_out.ndim == 5,
        "shades": ", ".join("rgb({} {} {})".format(*shade) for shade in shades),
    }


def strip(distance: Distance) -> dict[str, Any]:
    """Where the band of real data, its median and the value lie on a strip, in percent of its width."""
    low = min(0.0, distance.low, distance.value)
    span = (max(distance.high, distance.value) - low) * 1.06 or 1.0
    place = {key: round(100 * (getattr(distance, key) - low) / span, 2) for key in ("low", "high", "floor", "value")}
    return {"distance": distance, **place}


def most_apart(family: TestFamily) -> list[int]:
    """Which statistics of a family to show: those with the least p-values."""
    return [int(i) for i in np.argsort(family.p_values, kind="stable")[:ROWS]]


def _curve(curve: Curve) -> Picture:
    light, dark = (curve_chart(curve, theme) for theme in (LIGHT, DARK))
    return themed(light, dark, f"The {curve.name} of samples and of held-out data", 330)


def _pair(draw: Callable[[Theme], tuple[bytes, bytes]], width: int, fixed: bool = False) -> list[Picture]:
    """Held-out data and samples; `fixed` says that no theme changes them."""
    light = draw(LIGHT)
    dark = light if fixed else draw(DARK)
    return [themed(a, b, text, width) for a, b, text in zip(light, dark, ("Held-out data", "Drawn samples"))]


def _film(frames: Sequence[np.ndarray], held_out: np.ndarray) -> Picture:
    moving, still = animation(frames, held_out, LIGHT)
    sources = [(STILL, address(still))]
    width = 340 if held_out.ndim < 4 else 680
    if held_out.ndim < 4:
        moving_dark, still_dark = animation(frames, held_out, DARK)
        sources = [(f"{STILL} and {NIGHT}", address(still_dark)), *sources, (NIGHT, address(moving_dark, "gif"))]
    return Picture(address(moving, "gif"), "Animation of the reverse diffusion", width, sources)
