"""The evaluation of a run, on the data that it held out."""

from __future__ import annotations

from typing import Any

from ..checkpoint import read_tensors
from ..data import Rows, read
from ..fitting import split
from ..model import Model
from ..runs import Run, fingerprint
from .base import Evaluation
from .measure import evaluate
from .verdict import LossHistory

__all__ = ["evaluate_run", "split_of"]


def evaluate_run(run: Run, x: Any | None = None, count: int | None = None, seed: int = 0) -> Evaluation:
    """Evaluates the model of a run on the data that were held out when it was fitted, and keeps `evaluation.json`.

    Arguments:
        run: The run.
        x: The data that were fitted; read again from where they came from by default.
        count: How many samples to draw.
        seed: The seed of the samples.

    Raises:
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run.
    """
    model = run.model
    train, held_out = split_of(run, model, x)
    if model.context is not None:
        model = model.conditioned_on(read_tensors(run.file("context.safetensors"))[0]["held_out"])
    way = run.read("fit.json").get("on_the_way") if run.ended else None
    evaluation = evaluate(model, train, held_out, count, seed, LossHistory(**way) if way else None)
    run.write("evaluation.json", evaluation.plain())
    return evaluation


def split_of(run: Run, model: Model, x: Any | None = None) -> tuple[Rows, Rows]:
    """The data that a run was trained on, and those that were held out."""
    asked = run.read("run.json")["asked"]
    if x is None:
        source = asked["source"]
        if source is None:
            raise ValueError(f"the data of {run.path} were given in memory: pass them again")
        x = read(**source)
    rows = model.schema.rows(x)
    if asked["fingerprint"] is None:  # a model that was imported: nobody knows what it has seen
        return rows, rows
    if fingerprint(rows) != asked["fingerprint"]:
        raise ValueError(f"these are not the data that {run.path} was fitted to: pass those, or fit these")
    parts = split(rows, asked["data"]["held_out"], asked["seed"])
    return parts.train, parts.held_out
