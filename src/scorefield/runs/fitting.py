"""`fit`: from data to a model, and to the folder of a run."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .. import checkpoint, spec
from ..bars import shown
from ..data import native
from ..denoisers.precondition import Parametrization
from ..deprecation import renamed_arguments, suggests_arguments
from ..distributed import decided, launched, threads as threads_of_processes
from ..fitting import Fitted, Options, Plan, finish, plan as planned, prepare, threads, train, trainer_of
from ..model import Model
from ..noise_levels import NoiseLevels
from ..objectives import LevelDistribution, LevelObjective
from ..processes import Process
from ..progress import part
from ..samplers import Sampler, Sampling
from ..settings import Data, Network, Training
from ..training import Progress, Trainer
from ..units import Standardize
from .folder import Run
from .log import tensorboard_writer
from .record import asked, chosen, packages, resumed
from .session import Session
from .split import write_split

__all__ = ["fit"]

_CONTEXTS = 4096  # of the held-out examples that are kept, for evaluation


@dataclass(frozen=True)
class _Fit:
    """A fit as the work of a session."""

    plan: Plan

    def threads(self) -> AbstractContextManager[None]:
        return threads(self.plan)

    def trainer(self) -> Trainer:
        return trainer_of(self.plan)

    def finish(self, trainer: Trainer) -> Fitted:
        return finish(self.plan, trainer)

    def chosen(self) -> dict[str, Any]:
        return chosen(self.plan)

    def keep(self, folder: Run) -> None:
        write_split(folder, self.plan.prepared.split)
        if self.plan.prepared.context is not None:
            kept = {"held_out": self.plan.prepared.context.held_out[:_CONTEXTS]}
            checkpoint.write_tensors(folder.file("context.safetensors"), kept, {})


@renamed_arguments(calibration="noise_levels")
@suggests_arguments
def fit(
    x: Any,
    run: str | os.PathLike[str] | None = None,
    *,
    context: Any = None,
    groups: Any = None,
    minutes: float | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    process: Process | str | None = None,
    objective: LevelObjective | Callable[[LevelDistribution], LevelObjective] | str | None = None,
    parametrization: Parametrization | type[Parametrization] | str | None = None,
    sampler: Sampling | Sampler | str | None = None,
    noise_levels: NoiseLevels | str | None = None,
    units: Standardize | tuple[float, float] | None = None,
    data: Data | None = None,
    network: nn.Module | Network | None = None,
    training: Training | None = None,
    seed: int = 0,
    device: str = "auto",
    source: Mapping[str, Any] | None = None,
    tensorboard: bool = False,
    begin: Callable[[Plan], None] = lambda plan: None,
    watch: Callable[[Progress], None] = lambda progress: None,
    progress: bool | None = None,
) -> Model:
    """Learns the distribution of data, and returns the model.

    Whatever is left out is chosen from the data. Process, objective, parametrization, sampler and noise levels are objects,
    or calls as on the command line: `process="vp"`, `objective="slicedscorematching(count=2)"`.

    Processes that `torchrun` has started share the steps (`scorefield.distributed.joined`), to the same numbers for any
    number of them that divides the parts of a step.

    Arguments:
        x: Samples: an array or a tensor `(N, *D)`, a DataFrame, a DataArray, a memory map; a Dataset or a DataLoader of torch,
            the rows of which are read into memory once.
        run: A folder to keep the run in. If it holds a run of the same data and settings that was interrupted, that run
            is resumed, to the same numbers; if it ended, its model is returned.
        context: The context of each example, for a conditional model: labels `(N,)`, numbers `(N, P)`, a DataFrame, or
            fields on the grid of the data; NaN or None where it is missing.
        groups: Which rows belong together, and are held out together: a label for each row, or the name of a column.
        minutes: The budget in minutes of training. One budget at most: minutes, steps or epochs.
        steps: The budget in optimizer steps.
        epochs: The budget in passes through the data.
        process: The noise process to sample by.
        objective: The loss, or its class.
        parametrization: What the network predicts, or its class.
        sampler: How samples are drawn by default: "heun(steps=20)".
        noise_levels: The noise levels; a call may give some: "noiselevels(sigma_min=0.001)".
        units: What is subtracted from the data and what they are divided by, in place of mean and standard deviation.
        data: How to read the data.
        network: A network F(x, c) of your own, or what to build.
        training: How to train.
        seed: The seed of everything that is random.
        device: "auto", "cpu", "cuda", …
        source: Where `x` was read from, as arguments of `scorefield.data.read`, so that `evaluate` can read it again.
        tensorboard: Whether the run's folder also gets a log for TensorBoard.
        begin: Is called once with all that was chosen, before the first step.
        watch: Is called after every step.
        progress: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line of what takes long.

    Warns:
        UserWarning: If columns are left out, as identifiers or free text; if neighbouring rows are alike, so that held-out
            rows are not independent of others; if the model will hold objects of yours, for which
            `load` needs `trusted`; if there are fewer than 10 examples, or the network has memorized them.

    Raises:
        TypeError: If the data are not numbers, or an argument has another type.
        ValueError: If nothing can be learned from the data, an option does not fit them, or the folder holds another run.
        RuntimeError: If a gradient becomes non-finite (NaN or inf), or the folder is in use.
        OSError: If the folder cannot be written, because the disk is full, say; what was there stays.
        ImportError: If a log for TensorBoard is asked for and it is not installed.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal([10, -5], [1, 2], size=(500, 2))
        >>> model = fit(x, steps=200)
        >>> model.sample(3, seed=1).shape
        (3, 2)
    """
    folder = None if run is None else Run(run)  # before the data are read, which may take long
    if folder is not None:
        decided(folder.check_free)
    if tensorboard:
        tensorboard_writer(None)
    if training is not None and not isinstance(training, Training):
        raise TypeError(f"training must be Training(…), got {training!r}: the budget has arguments of its own, steps=5")
    how = _with_budget(training or Training(), minutes, steps, epochs)
    chosen = (noise_levels, process, objective, parametrization, sampler, units)
    data, labels = _grouped(data or Data(), groups)
    options = Options(data, network or Network(), how, *chosen, seed, device)
    then = _with_threads(options if folder is None else resumed(options, folder))
    with shown(progress), _computing_with(then.training.threads):
        x = native(x)
        with part(0, 1, "reading the form of the data"):
            prepared = prepare(x, then, context, labels)
        with part(0, 1, "choosing noise levels"):
            found = planned(prepared, then)
        _name_left_out(found)
        if folder is None:
            begin(found)
            fitted = train(found, watch)
        else:
            trusted = packages(found)
            if len(trusted) > 1:
                warnings.warn(_how_to_read(found, folder, trusted), stacklevel=4)
            trusting = Run(folder.path, trusted, network if isinstance(network, nn.Module) else None)
            begin(found)
            fitted = Session(trusting, _Fit(found), tensorboard).run(asked(options, found, x, source, labels), watch)
    if fitted.warning:
        warnings.warn(fitted.warning, stacklevel=4)
    place = {} if folder is None else _place(trusting)
    fitted.model.about = {**fitted.record, **place, "choices": found.choices}
    return fitted.model


def _place(folder: Run) -> dict[str, Any]:
    """Where a model lies, and what its file is read with."""
    return {"run": str(folder.path), "reading": (folder.trusted, folder.network)}


def _with_threads(options: Options) -> Options:
    """The options with the number of threads, where several processes share the work: bits depend on it."""
    if not launched() or options.training.threads is not None:
        return options
    return replace(options, training=replace(options.training, threads=threads_of_processes()))


@contextlib.contextmanager
def _computing_with(count: int | None) -> Iterator[None]:
    """Within it, PyTorch computes with so many threads; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _grouped(data: Data, groups: Any) -> tuple[Data, Any]:
    """How data are read, with the column of groups if a name is given; the labels if they are given."""
    if groups is None:
        return data, None
    if data.groups is not None:
        raise ValueError(f"groups are given twice, groups=… and data=Data(groups={data.groups!r}): give them once")
    if isinstance(groups, str | int):
        return replace(data, groups=groups), None
    if data.by_time:
        raise ValueError(f"rows are held out by groups or by time, got groups and split={data.split!r}: choose one")
    return data, groups


def _name_left_out(plan: Plan) -> None:
    """Warns of the columns that are not modelled, and of rows that are not independent."""
    if plan.prepared.split.warning:
        warnings.warn(plan.prepared.split.warning, stacklevel=5)
    left_out = plan.prepared.schema.left_out
    if left_out:
        which = "; ".join(f"{name!r} ({reason})" for name, reason in left_out)
        warnings.warn(f"left out of the model: {which}", stacklevel=5)


def _how_to_read(plan: Plan, folder: Run, trusted: tuple[str, ...]) -> str:
    """What `load` needs for a model that holds objects of the user's."""
    own = ""
    try:
        spec.describe(plan.network, [])
    except TypeError:  # it does not keep its arguments
        own = ", network=…"
    what = f"the model will hold objects of {', '.join(trusted[1:])}"
    return f"{what}: read it with load({str(folder.path)!r}, trusted={trusted}{own})"


def _with_budget(training: Training, minutes: float | None, steps: int | None, epochs: float | None) -> Training:
    """Settings with the budget that was given as an argument of its own."""
    budget: dict[str, Any] = {"minutes": minutes, "steps": steps, "epochs": epochs}
    budget = {name: value for name, value in budget.items() if value is not None}
    for name, value in budget.items():
        if isinstance(value, bool | str) or not hasattr(value, "__float__"):
            raise TypeError(f"{name} must be a number, got {value!r}: write {name}=2, say")
        if getattr(training, name) is not None:
            both = f"{name}={value:g} and training=Training({name}={getattr(training, name):g})"
            raise ValueError(f"the budget is given twice, {both}: give it once")
    return replace(training, **budget)
