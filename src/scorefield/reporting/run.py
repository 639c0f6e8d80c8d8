"""The report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..comparison import compare_with_teacher, resolved
from ..context import ContextColumn
from ..display import joined
from ..distributed import decided
from ..evaluation import Evaluation, RunData, evaluate_run, run_of
from ..evaluation.naming import channel_names, is_photograph
from ..model import Model
from ..runs import Run
from ..samplers import Sampling, SamplingLike
from .base import number
from .page import Content, write_page
from .provenance import provenance
from .words import duration

__all__ = ["report", "report_content"]

_FRAMES = 36


def report(
    run: Run | RunData,
    x: Any | None = None,
    count: int | None = None,
    seed: int = 0,
    sampling: SamplingLike = None,
    target: str | None = None,
) -> Path:
    """Evaluates a run and writes `report.html` into its folder: one file that needs nothing else.

    Processes that `torchrun` has started share the drawing and the losses, if all of them call it.

    Arguments:
        run: The run, or a `RunData`, which may be conditioned on a context.
        x: The data that were fitted; read again from where they came from by default.
        count, seed: How many samples to draw for the distances, and their seed.
        sampling: How they are drawn; by default as the model draws.
        target: The name of the column of a table that is predicted from the others; the last category by default.

    Raises:
        TypeError: If it is not a run.
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run, or the run was imported.
    """
    content = report_content(run, x, count, seed, sampling, target)
    path = run_of(run).file("report.html")
    decided(lambda: str(write_page(path, content)))
    return path


def report_content(
    run: Run | RunData,
    x: Any | None = None,
    count: int | None = None,
    seed: int = 0,
    sampling: SamplingLike = None,
    target: str | None = None,
) -> Content:
    """Evaluates a run: what its report shows, as data; `page_figures` gives its charts as matplotlib figures.

    Arguments:
        run, x, count, seed, sampling, target: As in `report`.

    Raises:
        TypeError: If it is not a run.
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run, or the run was imported.
    """
    data = run if isinstance(run, RunData) else None
    run = run_of(run)
    run.check_writable()
    if "imported" in run.read("run.json"):
        raise ValueError(f"{run.path} was imported, and has no training to report: evaluate and compare measure it")
    data = RunData.of(run, x).conditioned() if data is None else data
    data = data.with_sampling(sampling)
    model, held_out, evaluation = data.model, data.held_out, evaluate_run(data, count=count, seed=seed, target=target)
    vector = len(model.schema.inner_shape) == 1
    about = run.read("fit.json")
    samples, table = evaluation.samples, evaluation.table
    kind = torch.float32 if table is None else torch.float64  # dates have more digits than float32
    names = [str(c) for c in model.schema.columns] if vector and model.schema.columns else None
    return Content(
        title=run.path.resolve().name,
        subtitle=_subtitle(data),
        verdict=evaluation.verdict,
        summary=evaluation.summary,
        facts=[*_facts(data, evaluation), *_next_to_teacher(data, seed)],
        samples=samples,
        held_out=held_out.take(range(min(len(samples), len(held_out))), kind).numpy(),
        names=names if vector else channel_names(model.schema),
        chosen=evaluation.chosen,
        distances=evaluation.distances,
        families=evaluation.families,
        curves=evaluation.curves,
        twin=evaluation.twin,
        neighbours=evaluation.neighbours if table is None or table.privacy is None else None,
        levels=about["by_level"],
        log=run.log,
        frames=_states(model, evaluation, seed),
        calibration=_settings(run),
        table=table,
        condition=evaluation.condition,
        conditionals=evaluation.conditionals,
        asked=_asked(data, min(len(samples), len(held_out))),
        provenance=provenance(data, __version__, seed, evaluation.count),
    )


def _settings(run: Run) -> list[tuple[str, Any, str]]:
    kept = run.read("run.json")
    return [(n, v, r) for n, v, r in (*kept["noise_levels"], *kept["choices"])]


def _facts(data: RunData, found: Evaluation) -> list[tuple[str, Any]]:
    """The few facts of the head of the page."""
    kept, about, rate = data.run.read("run.json"), data.run.read("fit.json"), found.count / found.seconds
    loss = ("Held-out loss (predicting nothing: 1)", f"{about['held_out_loss']:.3f}")
    if data.model.denoiser.distilled_from is not None:
        loss = ("Error of the flow map on held-out paths", f"{number(about['held_out_loss'], 2)}")
    if "energy_distance" in about:
        loss = ("Energy distance to held-out samples of its teacher", f"{number(about['energy_distance']['after'], 2)}")
    return [
        ("Training", f"{about['steps']:,} step{'s' * (about['steps'] != 1)}, {duration(about['seconds'])}"),
        loss,
        ("Sampling speed", _speed(rate)),
        ("Sampler", str(resolved(Sampling(), data.model))),
        ("Network", next(value for name, value, _ in kept["choices"] if name == "network")),
    ]


def _speed(rate: float) -> str:
    """Samples per second, or seconds for each."""
    return f"{number(rate, 2)} samples per second" if rate >= 1 else f"{number(1 / rate, 2)} s per sample"


def _next_to_teacher(data: RunData, seed: int) -> list[tuple[str, Any]]:
    """A model that was distilled and its teacher: evaluations, speed, and the first distance; none of other models."""
    found = compare_with_teacher(data, seed=seed)
    facts: list[tuple[str, Any]] = []
    for row, who in zip(() if found is None else found.rows, ("This model", "Its teacher")):
        first, speed = row.distances[0], _speed(found.count / row.seconds)  # type: ignore[union-attr]  # there are rows
        quality = f"{first.name} {number(first.value, 2)} (real data up to {number(first.high, 2)})"
        facts.append((who, f"{row.name}: {number(row.evaluations, 2)} evaluations, {speed}, {quality}"))
    return facts


def _subtitle(data: RunData) -> str:
    """How many examples of which shape, as the user has them, and on what the model is conditioned."""
    schema, count = data.model.schema, data.run.read("run.json")["shape"][0]
    by = " × ".join(map(str, schema.shape))
    if len(schema.inner_shape) == 1:
        what = f"{count:,} rows of {by} columns" if schema.columns else f"{count:,} vectors of {by} numbers"
        what = what if len(schema.shape) == 1 else f"{count:,} arrays of shape {by}, as vectors"
    else:
        axes = len(schema.inner_shape) - 1
        kind = {1: "series", 2: "images" if is_photograph(schema) else "fields", 3: "volumes"}[axes]
        what = f"{count:,} {kind} of shape {by}"
    context = data.model.context
    if context is None:
        return what
    given = "fields" if context.shape else joined([_column(c) for c in context.columns])
    return f"{what}, conditional on {given}"


def _column(column: ContextColumn) -> str:
    return column.name if column.categories is None else f"{column.name} ({len(column.categories)} classes)"


def _asked(data: RunData, count: int) -> list[str]:
    """The classes that the first samples, and the held-out rows at the same places, have as conditions."""
    context, rows = data.model.context, data.contexts
    if context is None or rows is None or context.shape or context.sets > 1 or len(rows) != len(data.held_out):
        return []
    if not all(column.categories for column in context.columns):
        return []
    texts: list[list[str]] = [[] for _ in range(min(count, len(rows)))]
    start = 0
    for column in context.columns:
        for text, k in zip(texts, rows[:, start : start + column.size].argmax(1).tolist()):
            text.append(f"{column.name} = {column.categories[k]}")  # type: ignore[index]
        start += column.size
    return [", ".join(text) for text in texts]


def _states(model: Model, found: Evaluation, seed: int) -> list[np.ndarray]:
    """States of the reverse diffusion; none of rows with categories or missing values, which are not points of a space."""
    if model.denoiser.distilled_from is not None:  # which has no states on its way
        return []
    if found.table is not None and (np.isnan(found.samples).any() or any(c.size for c in found.table.columns)):
        return []
    steps = None if model.schedule.steps else _FRAMES  # unless the schedule has steps of its own
    count = 400 if len(model.schema.inner_shape) == 1 else 16
    return [x.numpy() for _, x in model.trajectory(count, seed, steps=steps)]
