"""The report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..comparison import resolved
from ..evaluation import Evaluation, RunData, evaluate_run, run_of
from ..model import Model
from ..runs import Run
from ..samplers import Sampling, SamplingLike
from .base import number
from .page import Content, write_page
from .words import duration

__all__ = ["report"]

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
    data = run if isinstance(run, RunData) else None
    run = run_of(run)
    run.check_writable()
    if "imported" in run.read("run.json"):
        raise ValueError(f"{run.path} was imported, and has no training to report: evaluate and compare measure it")
    data = RunData.of(run, x).conditioned() if data is None else data
    data = data.with_sampling(sampling)
    model, held_out, evaluation = data.model, data.held_out, evaluate_run(data, count=count, seed=seed, target=target)
    vector = len(model.schema.inner_shape) == 1
    kept, about = run.read("run.json"), run.read("fit.json")
    samples, table = evaluation.samples, evaluation.table
    kind = torch.float32 if table is None else torch.float64  # dates have more digits than float32
    content = Content(
        title=run.path.resolve().name,
        subtitle=f"{kept['shape'][0]:,} samples of shape {' x '.join(map(str, kept['shape'][1:]))}",
        verdict=evaluation.verdict,
        facts=[
            ("Trained", f"{about['steps']:,} step{'s' * (about['steps'] != 1)}, {duration(about['seconds'])}"),
            ("Held-out loss", f"{about['held_out_loss']:.4f} (baseline: 1)"),
            ("Sampling", f"{number(evaluation.count / evaluation.seconds, 2)} samples per second"),
            ("Sampler", str(resolved(Sampling(), model))),
            ("Network", next(value for name, value, _ in kept["choices"] if name == "network")),
        ],
        samples=samples,
        held_out=held_out.take(range(min(len(samples), len(held_out))), kind).numpy(),
        names=[str(c) for c in model.schema.columns] if vector and model.schema.columns else None,
        chosen=evaluation.chosen,
        distances=evaluation.distances,
        families=evaluation.families,
        curves=evaluation.curves,
        twin=evaluation.twin,
        neighbours=evaluation.neighbours if table is None or table.privacy is None else None,
        levels=about["by_level"],
        log=run.log,
        frames=_states(model, evaluation, seed),
        calibration=[(n, v, r) for n, v, r in (*kept["noise_levels"], *kept["choices"])],
        table=table,
    )
    return write_page(run.file("report.html"), content)


def _states(model: Model, found: Evaluation, seed: int) -> list[np.ndarray]:
    """States of the reverse diffusion; none of rows with categories or missing values, which are not points of a space."""
    if found.table is not None and (np.isnan(found.samples).any() or any(c.size for c in found.table.columns)):
        return []
    steps = None if model.schedule.steps else _FRAMES  # unless the schedule has steps of its own
    count = 400 if len(model.schema.inner_shape) == 1 else 16
    return [x.numpy() for _, x in model.trajectory(count, seed, steps=steps)]
