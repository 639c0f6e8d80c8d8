"""The report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..evaluation import evaluate_run, split_of
from ..runs import Run
from .page import Content, write_page
from .words import duration

__all__ = ["report"]

_SHOWN = 2000  # vectors
_FRAMES = 36


def report(run: Run, x: Any | None = None, count: int | None = None, seed: int = 0) -> Path:
    """Evaluates a run and writes `reporting.html` into its folder: one file that needs nothing else.

    Arguments:
        run: The run.
        x: The data that were fitted; read again from where they came from by default.
        count: How many samples to draw for the distances.
        seed: The seed of the samples.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run, or the run was imported.
    """
    model = run.model
    if "imported" in run.read("run.json"):
        raise ValueError(f"{run.path} was imported, and has no training to report: evaluate and compare measure it")
    evaluation = evaluate_run(run, x, count, seed)
    _, held_out = split_of(run, model, x)
    vector = len(model.schema.inner_shape) == 1
    shown = _SHOWN if vector else 64
    kept, about = run.read("run.json"), run.read("fit.json")
    frames = [x.numpy() for _, x in model.trajectory(400 if vector else 16, seed, steps=_FRAMES)]
    content = Content(
        title=run.path.resolve().name,
        subtitle=f"{kept['shape'][0]:,} realizations of shape {' x '.join(map(str, kept['shape'][1:]))}",
        verdict=evaluation.verdict,
        facts=[
            ("Trained", f"{about['steps']:,} steps, {duration(about['seconds'])}"),
            ("Held-out loss", f"{about['held_out_loss']:.4f} (predicting nothing: 1)"),
            ("Sampling", f"{evaluation.count / evaluation.seconds:,.0f} a second"),
            ("Sampler", f"{type(model.sampler).__name__}, {model.steps} steps"),
            ("Network", next(value for name, value, _ in kept["choices"] if name == "network")),
        ],
        samples=model.schema.unpack(model.sample(shown, seed)).numpy(),
        held_out=held_out.take(range(min(shown, len(held_out)))).to(torch.float32).numpy(),
        names=[str(c) for c in model.schema.columns] if vector and model.schema.columns else None,
        chosen=evaluation.chosen,
        distances=evaluation.distances,
        families=evaluation.families,
        curves=evaluation.curves,
        twin=evaluation.twin,
        neighbours=evaluation.neighbours,
        levels=about["by_level"],
        log=run.log,
        frames=frames,
        calibration=[(n, v, r) for n, v, r in kept["noise_levels"]] + [(n, v, r) for n, v, r in kept["choices"]],
    )
    return write_page(run.file("report.html"), content)
