"""`distill`: from a run, or a model, to one that draws in a few evaluations, and to its folder."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..bars import shown
from ..checkpoint import read_tensors
from ..conditions import ContextCondition
from ..distributed import decided
from ..fitting import Distillation, Fitted, plan_distillation
from ..model import Model
from ..settings import Training
from ..training import Announcer, Progress, Successive, Trainer
from .folder import Run
from .session import Session

__all__ = ["distill", "teacher_of"]

_KEPT = ("split.safetensors", "context.safetensors")  # files of a run that say what was held out


@dataclass(frozen=True)
class _Distilling:
    """A distillation as the work of a session."""

    planned: Distillation
    run: Run

    def threads(self) -> AbstractContextManager[None]:
        return self.planned.threads()

    def trainer(self) -> Trainer | Successive:
        return self.planned.trainer()

    def finish(self, trainer: Trainer | Successive) -> Fitted:
        return self.planned.finish(trainer)

    def chosen(self) -> dict[str, Any]:
        about = self.run.read("run.json")
        kept = {name: about[name] for name in ("noise_levels", "shape")}
        choices = [list(choice) for choice in self.planned.choices]
        choices += [row for row in about["choices"] if row[0] in ("structure", "network", "process")]
        now = {"training": asdict(self.planned.training), "created": time.strftime("%Y-%m-%d %H:%M:%S")}
        return {"choices": choices, **kept, **now}

    def keep(self, folder: Run) -> None:
        for name in _KEPT:
            if self.run.file(name).is_file():
                shutil.copyfile(self.run.file(name), folder.file(name))


def distill(
    model: Model,
    run: str | os.PathLike[str] | None = None,
    steps: int = 2,
    *,
    minutes: float | None = None,
    training: Training | None = None,
    guidance: float | None = None,
    interval: tuple[float, float] | None = None,
    context: Any = None,
    matching: bool | None = None,
    seed: int = 0,
    device: str = "auto",
    trusting: Run | None = None,
    begin: Callable[[Distillation], None] = lambda planned: None,
    watch: Callable[[Progress], None] = lambda progress: None,
    progress: bool | None = None,
) -> Model:
    """A model that draws like another one in a few evaluations: `Model.distill`, which says what the arguments are.

    Arguments:
        model: The teacher.
        trusting: The run of the teacher, if its model needs `trusted` or a `network` to be read.
        begin: Is called once with all that was chosen, before the first step.
        watch: Is called after every step.
        run, steps, minutes, training, guidance, interval, context, matching, seed, device, progress: As for `Model.distill`.

    Raises:
        ValueError: If the model cannot be distilled, an option does not fit it, or the folder holds another run.
        RuntimeError: If a gradient becomes non-finite (NaN or inf), or the folder is in use.
    """
    folder = None if run is None else Run(run)
    if folder is not None:
        decided(folder.check_free)
    how = _with_minutes(training or Training(), minutes)
    home = _home(model, trusting, folder)
    name = "" if home is None else str(home.path)
    rows = _contexts(model, home, context)
    known = (steps, how, guidance, interval, rows, seed, device, matching)
    with shown(progress):
        planned = plan_distillation(model, name, *known)
        begin(planned)
        if folder is None or home is None:
            fitted = _trained(planned, watch)
        else:
            folder = Run(folder.path, home.trusted, home.network)
            fitted = Session(folder, _Distilling(planned, home)).run(_asked(planned, home, how), watch)
    place = {} if folder is None else {"run": str(folder.path), "reading": (folder.trusted, folder.network)}
    fitted.model.about = {**fitted.record, **place, "choices": planned.choices}
    return fitted.model


def teacher_of(run: Run) -> Run | None:
    """The run that a run was distilled from; None if it was not, or that folder is no longer there."""
    about = run.read("run.json")["asked"].get("distilled")
    if about is None or not (Path(about["teacher"]) / "model.safetensors").is_file():
        return None
    return Run(about["teacher"], run.trusted, run.network)


def _trained(planned: Distillation, watch: Callable[[Progress], None]) -> Fitted:
    """Trains without a folder."""
    with planned.threads():
        trainer, announce = planned.trainer(), Announcer()
        for progress in trainer.run():
            announce(progress)
            watch(progress)
        return planned.finish(trainer)


def _home(model: Model, trusting: Run | None, folder: Run | None) -> Run | None:
    """The run of the teacher; None for a model that comes from none."""
    home = trusting if trusting is not None else Run.of(model) if "run" in model.about else None
    if home is None and folder is not None:
        what = "the folder of a run says what data were held out, and this model comes from no run"
        raise ValueError(f"{what}: distill it without one, and save the model that this gives")
    if home is not None and folder is not None and home.path.resolve() == folder.path.resolve():
        raise ValueError(f"{folder.path} is the run that is distilled: name another folder for the new one")
    return home


def _contexts(model: Model, home: Run | None, context: Any) -> Tensor | None:
    """The contexts that were given, or those of held-out rows of the run; None where none are needed."""
    if model.context is None:
        if context is not None:
            raise ValueError("this model was fitted without context: leave context=… out")
        return None
    if context is not None:
        return model.context(context)  # type: ignore[no-any-return]
    if ContextCondition.among(model.conditions) is None and home is not None:
        place = home.file("context.safetensors")
        return read_tensors(place)[0]["held_out"] if place.is_file() else None
    return None


def _with_minutes(training: Training, minutes: float | None) -> Training:
    if minutes is None:
        return training
    if training.minutes is not None or training.steps is not None:
        raise ValueError(f"the budget is given twice, minutes={minutes:g} and in {training}: give it once")
    return replace(training, minutes=minutes)


def _asked(planned: Distillation, home: Run, how: Training) -> dict[str, Any]:
    """What was asked for, as plain data: what the data are, as the run of the teacher says, and the distillation."""
    asked = dict(home.read("run.json")["asked"])
    about = home.read("fit.json") if home.ended else {}
    asked["training"] = asdict(how)
    asked["distilled"] = {
        "teacher": str(home.path.resolve()),
        "evaluations": planned.steps,
        "guidance": planned.guidance,
        "interval": [end if math.isfinite(end) else None for end in planned.interval],
        "conditions": [each.summary for each in planned.teacher.conditions],
        "steps of the teacher": about.get("steps"),
        "loss of the teacher": about.get("held_out_loss"),
        "seed": planned.seed,
        **({"matching": True} if planned.matching else {}),  # runs of before know of none
    }
    plain: dict[str, Any] = json.loads(json.dumps(asked))
    return plain
