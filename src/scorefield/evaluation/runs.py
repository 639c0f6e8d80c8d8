"""A run with its data, read once, and its evaluation on the data that it held out."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bars import shown
from ..checkpoint import read_tensors
from ..data import Rows, read
from ..distributed import decided
from ..fitting import Split
from ..model import Model
from ..reading import reading
from ..runs import Run, fingerprint, read_split
from ..samplers import SamplingLike
from ..tensors import device_named
from .base import Evaluation
from .hold_out import HoldOut
from .measure import evaluate
from .verdict import LossHistory

__all__ = ["RunData", "evaluate_run", "run_of", "split_of"]


@dataclass(frozen=True)
class RunData:
    """A run with its model and its data, read and checked once: what evaluation, comparison, diagnosis and report share.

    Arguments:
        run: The run.
        model: Its model.
        train: The rows that it was trained on.
        held_out: The held-out rows; the same object as `train` if it is not known what the model was trained on.
        matched: Whether held-out rows follow the same distribution as training rows: not if they were chosen by a context.
        how: How rows were held out, if by groups, by distinct rows or by time; None if one by one at random.
    """

    run: Run
    model: Model
    train: Rows
    held_out: Rows
    matched: bool = True
    how: HoldOut | None = None

    @classmethod
    def of(
        cls, run: Run | RunData | str | os.PathLike[str], x: Any | None = None, device: str | None = None
    ) -> RunData:
        """Opens a run; what is open already is returned as it is, on the device that is asked for.

        Arguments:
            run: The run, or its folder.
            x: The data that were fitted; read again from where they came from by default.
            device: Where the model computes; by default a GPU if there is one.

        Raises:
            TypeError: If it is not a run.
            FileNotFoundError: If the run has no model yet.
            ValueError: If the data are not those of the run, or there is no such device.
        """
        if isinstance(run, RunData):
            return run if device is None else run.to(device_named(device))
        run = run_of(run)
        model = run.model.to(device_named(device or "auto"))
        parts = _split(run, model, x)
        return cls(run, model, parts.train, parts.held_out, how=HoldOut.of(parts))

    def independent(self) -> RunData:
        """The same with independent rows: one of each group, if whole groups were held out."""
        if self.how is None:
            return self
        train, held_out = self.how.independent(self.train, self.held_out)
        return replace(self, train=train, held_out=held_out, how=None, matched=self.matched and not self.how.later)

    def to(self, device: str) -> RunData:
        """The same with the model on a device."""
        return replace(self, model=self.model.to(device))

    def with_sampling(self, sampling: SamplingLike) -> RunData:
        """The same with a model that draws samples as `sampling` says."""
        return replace(self, model=self.model.with_sampling(sampling))

    @property
    def contexts(self) -> Tensor | None:
        """The contexts of the first held-out rows, as numbers for the network; None for a model without context."""
        if self.model.context is None:
            return None
        return read_tensors(self.run.file("context.safetensors"))[0]["held_out"]

    def conditioned(self, context: Any = None, guidance: float = 1.0, interval: Any = None) -> RunData:
        """The same for a model with a context: conditioned on that of each held-out row, or on one, with the rows that have it.

        Arguments:
            context: One context, as `Model.condition` takes it; by default that of each held-out row.
            guidance: The weight of guidance.
            interval: The noise levels at which it guides.

        Raises:
            ValueError: If the model was fitted without context, or fewer than 2 held-out rows have this one.
        """
        contexts, options = self.contexts, {"guidance": guidance} | ({} if interval is None else {"interval": interval})
        if contexts is None:
            if context is not None or guidance != 1 or interval is not None:
                raise ValueError("this model was fitted without context, and cannot be conditioned: fit(x, context=…)")
            return self
        if context is None:
            model = self.model.conditioned_on(contexts)
            return replace(self, model=model.condition(**options) if guidance != 1 or interval is not None else model)
        model = self.model.condition(context, **options)
        wanted = self.model.context(context)  # type: ignore[misc]  # there is one where there are contexts
        if len(wanted) != 1:
            raise ValueError(f"held-out rows are chosen by one context, got {len(wanted)}: give one")
        same = (contexts - wanted.to(contexts)).abs().flatten(1).amax(1) < 1e-6
        if int(same.sum()) < 2:
            what = f"{int(same.sum())} of {len(contexts)} held-out rows have this context"
            raise ValueError(f"{what}, and samples are compared with 2 or more: leave it out to use those of all rows")
        places = torch.nonzero(same)[:, 0].numpy()
        how = None if self.how is None else self.how.subset(places)
        return replace(self, model=model, held_out=self.held_out.subset(places), matched=False, how=how)


def run_of(run: Run | RunData | str | os.PathLike[str]) -> Run:
    """The run of any of the forms in which one is asked for.

    Raises:
        TypeError: If it is none of these, but a model, say.
    """
    if isinstance(run, str | os.PathLike):
        return Run(run)
    run = run.run if isinstance(run, RunData) else run
    if not isinstance(run, Run):
        need = "a Run or its folder is needed, as fit(x, run='folder') keeps one"
        instead = "for a model alone there is scorefield.evaluation.evaluate(model, train, held_out)"
        raise TypeError(f"{need}; got a {type(run).__name__}: {instead}")
    return run


def evaluate_run(
    run: Run | RunData | str | os.PathLike[str],
    x: Any | None = None,
    count: int | None = None,
    seed: int = 0,
    sampling: SamplingLike = None,
    target: str | None = None,
    device: str | None = None,
    progress: bool | None = None,
) -> Evaluation:
    """Evaluates the model of a run on the data that were held out when it was fitted, and keeps `evaluation.json`.

    Processes that `torchrun` has started share the drawing and the losses, if all of them call it.

    Arguments:
        run: The run. If its model has a context, each sample is drawn given that of a held-out row, unless a `RunData` is
            conditioned otherwise.
        x: The data that were fitted; read again from where they came from by default.
        count, seed: The number of samples to draw, and their seed.
        sampling: How they are drawn; by default as the model draws.
        target: The name of the column of a table that is predicted from the others; the last category by default.
        device: Where the network computes; by default a GPU if there is one, or the device of a `RunData`. Tests of
            samples run on the CPU.
        progress: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line of what takes long.

    Raises:
        FileNotFoundError: If the run has no model yet.
        ValueError: If the data are not those of the run, or there is no column of the target's name or no such device.
    """
    run_of(run).check_writable()
    opened = RunData.of(run, x, device)
    data = opened if isinstance(run, RunData) else opened.conditioned()
    data = data.with_sampling(sampling)
    known = _history(data.run)
    with shown(progress):
        evaluation = evaluate(
            data.model, data.train, data.held_out, count, seed, known, data.matched, target=target, how=data.how
        )
    decided(lambda: data.run.write("evaluation.json", evaluation.plain()))
    return evaluation


def _history(run: Run) -> LossHistory | None:
    """The held-out loss while training, and how long that was; None if it is not known, or is that of a flow map."""
    if not run.ended or "distilled" in run.read("run.json")["asked"]:
        return None
    about = run.read("fit.json")
    with reading(run.file("fit.json"), "restore it, or start a new run"):
        measured = about.get("on_the_way")
        return LossHistory(**measured, steps=int(about["steps"]), seconds=float(about["seconds"])) if measured else None


def split_of(run: Run, model: Model, x: Any | None = None) -> tuple[Rows, Rows]:
    """The rows that a run was trained on, and those that were held out.

    Arguments:
        run: The run.
        model: Its model.
        x: The data that were fitted; read again from where they came from by default.

    Raises:
        ValueError: If the data are not those of the run, or were given in memory and are not passed again.
    """
    parts = _split(run, model, x)
    return parts.train, parts.held_out


def _split(run: Run, model: Model, x: Any | None) -> Split:
    """The split of a run; of an imported one all rows are on both sides."""
    asked = run.read("run.json")["asked"]
    if x is None:
        source = asked["source"]
        if source is None:
            raise ValueError(f"the data of {run.path} were given in memory: pass them again")
        with reading(run.file("run.json"), "pass the data again"):
            x = read(**source)
    rows = model.schema.rows(x)
    if asked["fingerprint"] is None:  # a model that was imported: it is not known what it was trained on
        whole = np.arange(len(rows))
        return Split(rows, rows, (whole, whole))
    if fingerprint(rows) != asked["fingerprint"]:
        raise ValueError(f"these are not the data that {run.path} was fitted to: pass those, or fit these")
    return read_split(run, rows)
