"""The report as one self-contained HTML page: samples, tests, training, and the reasons for the settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation import Conditionals, ConditionCheck, TableEvaluation, Verdict
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
from .html import NIGHT, Picture, address, chart, positions, themed, write
from .tables import table_parts

__all__ = ["Content", "write_page"]

ROWS = 8  # of a family are shown
MOST_CLASSES, PER_CLASS = 12, 6  # of a condition are shown, and examples of each


@dataclass(frozen=True)
class Content:
    """The content of a report. Only the title is required: sections without data are left out.

    Arguments:
        title, subtitle: of the page.
        verdict: sentences; the first is set in large type.
        facts: labels and values, such as the numbers of samples and of parameters.
        samples, held_out: drawn samples and real data in the user's units, `(N, F)` or `(N, C, *S)`; of tables data matrices,
            with codes for categories and NaN for missing values.
        structure: "vector" or "grid", checked against the shapes if given.
        names: of the columns or channels.
        chosen: a sentence that says what is measured on such data.
        distances: between samples and held-out data, with the range between real data and, for tests, p-values.
        families: statistics that are tested together, such as the columns of a table.
        curves: statistics of fields.
        twin: samples of the model against others of its own, drawn by another sampler.
        neighbours: distances to the training data.
        levels: arrays `level`, `loss`, `zero_loss` and optionally `train_loss`.
        log: records of training with `step`, `loss`, and optionally `seconds` and `held_out`.
        frames: states of the reverse diffusion, in the layout of `samples`.
        calibration: settings, their values and the reasons for them.
        table: what was measured of a table.
        summary: the verdict by its parts, shown in place of `verdict`.
        condition: whether samples follow the conditions they were drawn with.
        asked: the condition of each example, in words: of the held-out example and of the sample at the same place.
        conditionals: whether values drawn given others are those of held-out rows.
        provenance: names and values: data, rows, version, seed, command.

    Raises:
        ValueError: If samples and held-out data differ in shape or do not fit `structure`, or hold infinite values, or NaN
            where they are not a table.
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
    table: TableEvaluation | None = None
    summary: Verdict | None = None
    condition: ConditionCheck | None = None
    asked: Sequence[str] = ()
    provenance: Sequence[tuple[str, str]] = ()
    conditionals: Conditionals | None = None

    def __post_init__(self) -> None:
        if (self.samples is None) != (self.held_out is None):
            raise ValueError("a report shows samples next to held-out data: pass both, or neither")
        if self.samples is None or self.held_out is None:
            if len(self.frames):
                raise ValueError("an animation needs held_out for its limits: pass samples and held_out")
            return
        shapes = self.samples.shape, self.held_out.shape
        if shapes[0][1:] != shapes[1][1:] or not 2 <= self.samples.ndim <= 5 or 0 in (*shapes[0], *shapes[1]):
            raise ValueError(
                "samples and held_out must be (N, F) or (N, C, *S) with one to three axes S, and of the same shape, "
                f"got {shapes[0]} and {shapes[1]}"
            )
        for name, data in (("samples", self.samples), ("held_out", self.held_out)):
            if not (np.isfinite(data) | (np.isnan(data) & (self.table is not None))).all():
                raise ValueError(
                    f"{name} has NaN or infinite values, which a report cannot show: find out where they come from"
                )
        if self.structure is not None and self.structure != ("vector" if self.samples.ndim == 2 else "grid"):
            raise ValueError(f'structure "{self.structure}" does not fit samples of shape {self.samples.shape}')

    @property
    def mixed(self) -> bool:
        """Whether rows have categories or missing values, so that they are not points of a space."""
        if self.table is None or self.samples is None or self.held_out is None:
            return False
        missing = any(bool(np.isnan(data).any()) for data in (self.samples, self.held_out))
        return missing or any(column.size for column in self.table.columns)

    @property
    def more_tests(self) -> list[Distance]:
        """The tests of the sections other than that of distances."""
        asked = [] if self.condition is None else [self.condition.distance]
        return [*asked, *(family.distance for family in self.families), *(curve.distance for curve in self.curves)]


def write_page(path: str | os.PathLike[str], content: Content) -> Path:
    """Writes the report as one self-contained HTML file: no network, no fonts, no scripts.

    Arguments:
        path: the file; its folder is created if it is missing, and an existing file is replaced atomically.
        content: what the report shows.
    """
    head = {name: getattr(content, name) for name in ("title", "subtitle", "verdict", "facts", "summary")}
    return write(path, "page", content=content, words=words, **head, **_parts(content))


def _parts(content: Content) -> dict[str, Any]:
    """The figures of the page by their names in the template; None where there are no data."""
    parts: dict[str, Any] = dict.fromkeys(
        ("pair", "singles", "matrix", "key", "levels", "training", "neighbours", "film")
    )
    tests = [distance for distance in content.distances if distance.p_value is not None]
    others = [distance for distance in content.distances if distance.p_value is None]
    twin = [content.twin] if content.twin is not None else []
    series = content.samples is not None and content.samples.ndim == 3
    phases = any("threshold" in curve.name or "chord" in curve.name for curve in content.curves)
    parts |= {"series": series, "film_names": None, "phases": phases}
    parts["strips"] = [strip(distance) for distance in (*tests, *others, *twin)]
    answers = () if content.conditionals is None else content.conditionals.tests
    parts["answers"] = [strip(distance) for distance in answers]
    parts["families"] = [
        (family, np.argsort(family.p_values, kind="stable")[:ROWS].tolist()) for family in content.families
    ]
    parts["curves"] = [
        (
            curve,
            themed(curve_chart(curve), curve_chart(curve, DARK), f"{curve.name} of samples and of held-out data", 330),
        )
        for curve in content.curves
    ]
    if content.levels is not None:
        parts["levels"] = chart(partial(level_losses, content.levels), "Loss at each noise level")
    if any(np.isfinite(record["loss"]) for record in content.log if record.get("loss") is not None):
        parts["training"] = chart(partial(training_curve, content.log), "Training loss against step")
    if content.neighbours is not None:
        text = "Histograms of distances to the nearest training example"
        parts["neighbours"] = chart(partial(neighbour_histogram, content.neighbours), text)
    parts |= table_parts(content.table, content.families, content.samples, content.held_out)
    if content.samples is not None and content.held_out is not None and not content.mixed:
        parts |= _samples(content, np.asarray(content.samples), np.asarray(content.held_out))
        if len(content.frames):
            parts["film"] = _film(content.frames, np.asarray(content.held_out))
            parts["film_names"] = _film_names(content)
    return parts


def _samples(content: Content, samples: np.ndarray, held_out: np.ndarray) -> dict[str, Any]:
    names = None if content.names is None else [str(name) for name in content.names]
    if samples.ndim > 2:
        key, classes = _key(held_out, names), _classes(content.asked, len(samples), len(held_out))
        if classes and samples.ndim > 3:
            rows, across = np.array([place for _, places in classes for place in places]), len(classes[0][1])
            held_out, samples = held_out[rows], samples[rows]
            key |= {"classes": [name for name, _ in classes]}
            pair = _pair(partial(sample_grid, held_out, samples, across=across), 560, fixed=True)
        else:
            pair = _pair(partial(sample_grid, held_out, samples), 560, fixed=samples.ndim > 3)
        return {"pair": pair, "key": key}
    parts: dict[str, Any] = {}
    size = min(SHOWN, samples.shape[1])
    if samples.shape[1] == 2:
        parts["pair"] = _pair(partial(scatter_pair, held_out, samples, names), 480)
    if samples.shape[1] <= 2:
        both = zip(*(histograms(held_out, samples, names, theme) for theme in (LIGHT, DARK)))
        parts["singles"] = [themed(light, dark, "Histogram of a column", 480) for light, dark in both]
    else:
        light, dark = (scatter_matrix(held_out, samples, names, theme) for theme in (LIGHT, DARK))
        text = "Histograms and scatter plots of the columns: held-out data in grey, drawn samples in blue"
        parts["matrix"] = themed(light, dark, text, round(matrix_width(size)))
    return parts | {"key": {"kind": "table", "shades": "", "shown": size, "columns": samples.shape[1], "classes": []}}


def _key(held_out: np.ndarray, names: list[str] | None) -> dict[str, Any]:
    """The legend of a grid of fields: its channels, slices and colours."""
    style = grid_style(held_out)
    channels = held_out.shape[1]
    limit = {3: 4, 4: 4, 5: 2}[held_out.ndim]
    names = names if names is not None and len(names) == channels else [f"channel {c + 1}" for c in range(channels)]
    shades = style.palette[np.linspace(0, 254, 9).astype(int)].round().astype(int)
    return {
        "kind": "signal" if held_out.ndim == 3 else style.kind,
        "channels": names[:limit] if style.kind == "field" else [],
        "ranges": list(zip(style.low.tolist(), style.high.tolist()))[:limit],
        "hidden": max(0, channels - limit) if style.kind == "field" else 0,
        "slices": held_out.ndim == 5,
        "shades": ", ".join("rgb({} {} {})".format(*shade) for shade in shades),
        "classes": [],
    }


def strip(distance: Distance) -> dict[str, Any]:
    """The positions of the range of real data, its median and the value on a strip, in percent of its width."""
    low = min(0.0, distance.low, distance.value)
    span = (max(distance.high, distance.value) - low) * 1.06 or 1.0
    return positions(distance, low, span)


def _pair(draw: Callable[[Theme], tuple[bytes, bytes]], width: int, fixed: bool = False) -> list[Picture]:
    """Held-out data and samples; `fixed` pictures are the same in every theme."""
    light = draw(LIGHT)
    dark = light if fixed else draw(DARK)
    return [themed(a, b, text, width) for a, b, text in zip(light, dark, ("Held-out data", "Drawn samples"))]


def _classes(asked: Sequence[str], *counts: int) -> list[tuple[str, list[int]]]:
    """Places of examples of each class, as many of all; none if conditions are not a few classes with examples enough."""
    names = list(asked[: min(counts)])
    found = {name: [i for i, other in enumerate(names) if other == name] for name in sorted(set(names), key=_natural)}
    if not 2 <= len(found) <= MOST_CLASSES:
        return []
    across = min(PER_CLASS, *map(len, found.values()))
    return [(name, places[:across]) for name, places in found.items()] if across > 1 else []


def _natural(text: str) -> tuple[float, str]:
    """Numbers in their order, before other names."""
    last = text.split(" = ")[-1]
    return (float(last) if last.replace(".", "", 1).isdigit() else np.inf), text


def _film_names(content: Content) -> tuple[str, str] | None:
    """What the axes of a moving cloud of points are."""
    if content.samples is None or content.samples.ndim != 2:
        return None
    features = content.samples.shape[1]
    names = [str(name) for name in content.names or ()]
    names = names if len(names) == features else [f"x{c + 1}" for c in range(features)]
    return names[0], names[1] if features > 1 else "rank"


def _film(frames: Sequence[np.ndarray], held_out: np.ndarray) -> dict[str, Picture]:
    """The moving picture, and its last frame for print and for readers who prefer reduced motion."""
    count = 18 if held_out.ndim == 3 else 28  # lines of noise take many bytes
    moving, still = animation(frames, held_out, LIGHT, count)
    width = 340 if held_out.ndim < 4 else 680
    dark: tuple[list[tuple[str, str]], list[tuple[str, str]]] = [], []
    if held_out.ndim < 4:
        moving_dark, still_dark = animation(frames, held_out, DARK, count)
        dark = [(NIGHT, address(moving_dark, "gif"))], [(NIGHT, address(still_dark))]
    return {
        "moving": Picture(address(moving, "gif"), "Animation of the reverse diffusion", width, dark[0]),
        "still": Picture(address(still), "The last state of the reverse diffusion", width, dark[1]),
    }
