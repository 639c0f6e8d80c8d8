"""From a model to one that draws in a few evaluations: its flow map is learned."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..conditions import ContextCondition
from ..denoisers import ConditionalConsistency, ConsistencyFunction, Denoiser, DenoiserModule, Gaussian
from ..diffusion import Diffusion
from ..model import Model
from ..objectives import DistributionMatching, FlowMapMatching, LogNormal, PathLevels
from ..progress import parts
from ..samplers import Consistency, Sampling, flow_sampling
from ..schedules import Angle
from ..settings import Training
from ..tensors import device_named
from ..training import MatchingTrainer, Successive, Trainer, losses_by_level, parts_of
from .fitted import Fitted
from .options import GIVEN, Choice
from .paths import Paths, Starts

__all__ = ["Distillation", "plan_distillation"]

_PART = 4  # of the steps of a fit, one is what distillation takes by default
_LEAST = 1000  # steps, of vectors
_USUAL = 2500  # steps, of vectors, where it is not known how long the fit was
_HELD_OUT = (512, 64)  # paths that the loss is measured on: of vectors, of grids
_SAMPLES = 256  # of the teacher that those of a student are compared with, of grids
_SHARE = 1 / 3  # of the steps of a distillation of grids, those that learn the flow map
_NOISE = (0.5, 1.25)  # mean and deviation of the logarithm of the levels at which distributions are matched
_ABOVE = (1, 2)  # standard deviations of the data at which a second evaluation begins: of flow maps, of what is matched
_MEASURED = 12  # times that distributions are compared, each of which costs as much as some steps
_PATH_STEPS = (32, 16)  # of the teacher, at least: for vectors, for grids
_RATES = ((2e-3, 0.0), (3e-3, 0.015))  # of AdamW and Muon: for vectors, for grids; those of a fit


@dataclass(frozen=True)
class Distillation:
    """A distillation before its first step: as a `Plan` of a fit, for a model in place of data.

    Arguments:
        teacher: The model, as it was asked for: with its context, and guided by a classifier if it is.
        name: The teacher in words, for the messages of the model.
        guidance: The weight of guidance by the context that is distilled in; 1 for none.
        interval: The noise levels with guidance.
        contexts: Encoded contexts of data, `(N, *row_shape)`; None for an unconditional model.
        unconditional: The fraction of the paths without a context.
        steps: How many evaluations a sample takes by default.
        matching: Whether distributions are matched once the flow map is roughly known.
        training: How to train, with nothing left open.
        seed: The seed of everything that is random.
        device: Where to train.
        choices: All of these in words, with the reasons.
    """

    teacher: Model
    name: str
    guidance: float
    interval: tuple[float, float]
    contexts: Tensor | None
    unconditional: float
    steps: int
    matching: bool
    training: Training
    seed: int
    device: torch.device
    choices: tuple[Choice, ...]

    @property
    def path(self) -> Sampling:
        """How paths are drawn."""
        return _path(self.teacher)

    @property
    def objective(self) -> FlowMapMatching:
        """The loss."""
        process = self.teacher.process
        levels = process.level(self.path.merged(Sampling(process=process)).times())
        return FlowMapMatching(PathLevels(tuple(levels.tolist())), _scale(self.teacher))

    def diffusion(self, contexts: Tensor | None = None) -> Diffusion:
        """The teacher's diffusion for some encoded contexts, with its guidance."""
        if contexts is None:
            return self.teacher.diffusion
        before = ContextCondition.among(self.teacher.conditions)
        weak = None if before is None else before.weak
        given = ContextCondition(contexts, (), self.guidance, self.interval, weak)
        others = (each for each in self.teacher.conditions if each is not before)
        return self.teacher.replace(conditions=(given, *others)).diffusion

    def trainer(self) -> Trainer | Successive:
        """The training, before its first step."""
        teacher, device = self.teacher, self.device
        contexts = None if self.contexts is None else self.contexts.to(device)
        shape, batch = teacher.standardize.state_shape, self.training.batch or 1
        known = (self.diffusion, self.path, shape, batch, self.seed, device)
        paths = Paths(*known, contexts, self.unconditional)
        grid, samples = len(shape) > 1, self.matching
        with self.threads():
            held_out, context = paths.held_out(_SAMPLES if samples else _HELD_OUT[grid], self.seed)
        sets = 1 if teacher.context is None else teacher.context.sets
        few = _HELD_OUT[grid]
        measured = held_out[:few], self.objective
        given = None if context is None else context[:few]
        steps = replace(self.training, **self._budget(_SHARE)) if samples else self.training
        first = Trainer(self._student().to(device), paths, *measured, steps, self.seed, given, sets)
        if not samples:
            return first
        return Successive(first, lambda left: self._matched(left, paths, held_out[:, [0, -1]], context, sets), _SHARE)

    def _budget(self, share: float) -> dict[str, Any]:
        """A part of the budget: the first one, or, of a negative share, all but that one."""
        steps, minutes = self.training.steps, self.training.minutes
        if steps is None:
            return {"minutes": (minutes or 0.0) * (share if share > 0 else 1 + share)}
        first = max(1, round(steps * abs(share)))
        return {"steps": first if share > 0 else steps - first}

    def _matched(
        self, student: DenoiserModule, paths: Paths, held_out: Tensor, context: Tensor | None, sets: int
    ) -> MatchingTrainer:
        """The training that matches distributions, of what has learned the flow map."""
        how, ladder = self.training, self.ladder
        rates = (how.learning_rate or 0.0) / 2, (how.muon_learning_rate or 0.0) / 2
        changes = {**self._budget(-_SHARE), "learning_rate": rates[0], "muon_learning_rate": rates[1]}
        how = replace(how, **changes, evaluations=min(how.evaluations, _MEASURED))
        scale, network = _scale(self.teacher), network_of(self.teacher)
        own = [copy.deepcopy(network).requires_grad_(True).to(self.device) for _ in range(2)]
        loss = DistributionMatching(LogNormal(_NOISE[0] + math.log(scale), _NOISE[1]), ladder, scale)
        starts = Starts(paths, max(1, paths.batch // 4), self.seed)
        known = (own, lambda rows: self.diffusion(rows).denoiser, starts, held_out, loss)
        return MatchingTrainer(student, *known, self.objective, how, self.seed, context, sets)

    @property
    def schedule(self) -> Angle:
        """The levels that samples are drawn through in several evaluations."""
        return Angle(_ABOVE[self.matching] * _scale(self.teacher))

    @property
    def ladder(self) -> tuple[float, ...]:
        """The levels of samples in one, two and four evaluations, those of two as probable as those of four."""
        process = self.teacher.process
        of = {steps: process.level(self.schedule.times(process, steps))[:-1].tolist() for steps in (2, 4)}
        return (of[2][0], *sorted((*of[2][1:], *of[4][1:]), reverse=True))

    def _student(self) -> DenoiserModule:
        """A consistency function whose network begins with the weights of the teacher's."""
        learned = copy.deepcopy(network_of(self.teacher)).requires_grad_(True)
        known = (self.teacher.process.ends()[0], self.name)
        if isinstance(learned, Denoiser):
            return ConsistencyFunction(learned, *known)
        return ConditionalConsistency(learned, *known)  # type: ignore[arg-type]  # there are two kinds

    @contextlib.contextmanager
    def threads(self) -> Iterator[None]:
        """As many threads as are useful: one for small networks on the CPU, as in a fit."""
        before = torch.get_num_threads()
        width = max((p.shape[0] for p in self.teacher.denoiser.parameters() if p.ndim), default=1)
        vectors = len(self.teacher.standardize.state_shape) == 1
        if self.device.type == "cpu" and vectors and width * (self.training.batch or 1) < 2**19:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def finish(self, trainer: Trainer | Successive) -> Fitted:
        """Ends training: the model with the best weights, and what was measured on paths that it did not see."""
        step = parts({"choosing weights": 1, "losses by noise level": 1})
        with step("choosing weights"):
            chosen, loss = trainer.finish()
        levels = torch.tensor(self.objective.levels.values).flip(0)
        with step("losses by noise level"):
            measured = (trainer.held_out, self.objective, levels, self.seed)
            losses = losses_by_level(trainer.denoiser, *measured, trainer.context)
            zero = losses_by_level(_zero(trainer.held_out[:, -1]), *measured)
        record: dict[str, Any] = {
            "weights": chosen,
            "held_out_loss": float(losses.mean()) if self.matching else loss,
            "share_of_network": 1.0,
            "stopped": trainer.stopped,
            "steps": trainer.step,
            "seconds": trainer.seconds,
            "by_level": {n: x.tolist() for n, x in _rows(levels, losses.mean(0), zero.mean(0)).items()},
            "on_the_way": {
                "level": parts_of(self.objective.levels).tolist(),
                "step": [step for step, _ in trainer.parts],
                "loss": [parts for _, parts in trainer.parts],
            },
            "warning": "",
        }
        if self.matching:
            record["energy_distance"] = {"before": trainer.history[0][1], "after": loss}
        return Fitted(self._model(trainer.denoiser.cpu()).to("cpu").eval(), record)

    def _model(self, denoiser: DenoiserModule) -> Model:
        """The teacher with the consistency function in place of its denoiser, and what was distilled in left out."""
        before = ContextCondition.among(self.teacher.conditions)
        kept = () if before is None else (ContextCondition(before.rows, before.missing),)
        sampling = Sampling(Consistency(), self.steps, self.schedule, self.teacher.process)
        return self.teacher.replace(denoiser=denoiser, conditions=kept, sampling=sampling)


def _rows(level: Tensor, loss: Tensor, zero: Tensor) -> dict[str, Tensor]:
    return {"level": level, "loss": loss.cpu(), "zero_loss": zero.cpu()}


def _zero(like: Tensor) -> Denoiser:
    """The denoiser of a network whose answer is 0."""
    return Gaussian(torch.zeros_like(like[0]), torch.ones_like(like[0]))


def network_of(model: Model) -> DenoiserModule:
    """The part of a denoiser that is a network between affine maps, with which distillation begins.

    Raises:
        ValueError: If there is none.
    """
    for module in model.denoiser.modules():
        if isinstance(module, DenoiserModule) and module.preconditioned is not None:
            return module
    name = type(model.denoiser).__name__
    raise ValueError(f"distillation begins with the network of a fit, and this model is a {name}: fit(x) makes one")


def _scale(model: Model) -> float:
    """The standard deviation of the states."""
    network: Any = network_of(model)
    return float(network.parametrization.scale)


def _path(model: Model) -> Sampling:
    """The solver of the probability flow by which paths are drawn."""
    return flow_sampling(model.process, _PATH_STEPS[len(model.standardize.state_shape) > 1])


def plan_distillation(
    model: Model,
    name: str,
    steps: int = 2,
    training: Training | None = None,
    guidance: float | None = None,
    interval: tuple[float, float] | None = None,
    contexts: Tensor | None = None,
    seed: int = 0,
    device: str = "auto",
    matching: bool | None = None,
) -> Distillation:
    """Chooses whatever was left open.

    Arguments:
        model: The teacher.
        name: The teacher in words.
        steps: How many evaluations a sample shall take by default.
        training: How to train.
        guidance, interval: The guidance that is distilled in; by default that of the model.
        contexts: Encoded contexts, for a conditional model that is not conditioned on some.
        seed, device: As for `fit`.
        matching: Whether distributions are matched; by default for images of 8 bits.

    Raises:
        ValueError: If the model cannot be distilled, or an option does not fit it; the message says what to do.
    """
    if steps < 1:
        raise ValueError(f"samples take at least 1 evaluation, got steps={steps}: 1, 2 or 4 are usual")
    if matching and (len(model.standardize.state_shape) == 1 or (training or Training()).steps == 1):
        raise ValueError("distributions of grids are matched, in two steps or more: leave matching out")
    _check(model)
    condition = ContextCondition.among(model.conditions)
    guided = (1.0 if condition is None else condition.guidance) if guidance is None else guidance
    where = ((0.0, math.inf) if condition is None else condition.interval) if interval is None else interval
    rows, share = _contexts(model, condition, contexts, guided)
    how, choices = _training(model, training or Training())
    matches = _matches(model, how) if matching is None else matching
    path = _path(model).replace(process=None)
    choices = [
        Choice("teacher", name, GIVEN),
        *_objectives(matches),
        Choice("paths", str(path), "of the probability flow of the teacher, new ones all the time"),
        *([Choice("guidance", f"{guided:g}", "distilled in")] if guided != 1 else []),
        *choices,
        Choice(
            "sampling", str(Sampling(Consistency(), steps)), "so many evaluations a sample; any other number will do"
        ),
    ]
    place = torch.device(device_named(device))
    teacher = copy.deepcopy(model).to(place).eval().requires_grad_(False)  # the user's stays where it is
    return Distillation(teacher, name, guided, where, rows, share, steps, matches, how, seed, place, tuple(choices))


def _matches(model: Model, training: Training) -> bool:
    """Whether distributions are matched by default: of images, with steps for the flow map before."""
    return model.schema.dtype == "uint8" and len(model.standardize.state_shape) > 1 and training.steps != 1


def _objectives(matches: bool) -> list[Choice]:
    """The losses, with the reasons."""
    first = "the error of the flow map itself, which can be measured on held-out paths"
    if not matches:
        return [Choice("objective", "FlowMapMatching", first)]
    then = "a squared error blurs what the network cannot resolve: then samples as probable and as various as the teacher's"
    return [Choice("objective", "FlowMapMatching, then DistributionMatching", f"{first}; {then}")]


def _check(model: Model) -> None:
    """Raises a ValueError unless a model can be distilled."""
    model.denoiser.check_mean("distillation")
    if model.standardize.variables is not None:
        what = "a flow that ends at categories, atoms or missing values jumps, and a network does not"
        raise ValueError(f"only data of plain numbers are distilled: {what}; sample this model as it is")
    for condition in model.conditions:
        if not condition.distills:
            what = f"{type(condition).__name__} is not distilled in: distill the model without it"
            raise ValueError(f"{what}, and ask the model that is not distilled for posteriors")
    network_of(model)


def _contexts(
    model: Model, condition: ContextCondition | None, contexts: Tensor | None, guidance: float
) -> tuple[Tensor | None, float]:
    """The contexts that paths have, and the fraction of paths that have none."""
    if model.context is None:
        if guidance != 1:
            raise ValueError(f"guidance={guidance:g} sharpens a context, and this model has none: leave it out")
        return None, 0.0
    if condition is not None:
        condition.check_guidance(model.denoiser)
        return condition.rows, 0.0
    if contexts is None:
        raise ValueError(
            "a conditional model is distilled for the contexts of its data: pass them, context=…, or fit it with a folder"
        )
    ContextCondition(contexts[:1], (), guidance).check_guidance(model.denoiser)
    return contexts, Training().unconditional if model.denoiser.unconditional else 0.0


def _training(model: Model, wish: Training) -> tuple[Training, list[Choice]]:
    """The settings, with nothing left open, and the reasons."""
    if wish.epochs is not None:
        raise ValueError("distillation draws new paths all the time and knows no epochs: give minutes or steps")
    if wish.compile or wish.channels_last:
        raise ValueError("compile and channels_last are for fits, and do not go with distillation: leave them out")
    shape, known = model.standardize.state_shape, model.about.get("steps")
    grid, given, choices = len(shape) > 1, wish.minutes is not None or wish.steps is not None, []
    changes: dict[str, Any] = {"unconditional": 0.0, "reference_batch": 0}
    if not given:
        if known is None and grid:
            raise ValueError("it is not known how long this model was fitted: give a budget, minutes=2")
        changes["steps"] = _USUAL if known is None else max(1 if grid else _LEAST, int(known) // _PART)
        reason = (
            "the default for vectors" if known is None else f"a part of the {int(known):,} of the fit: one in {_PART}"
        )
        choices.append(Choice("steps", str(changes["steps"]), reason))
    rates = _RATES[grid]
    usual: dict[str, float] = {"batch": max(4, min(64, 100_000 // math.prod(shape))) if grid else 256}
    usual |= {"learning_rate": rates[0], "muon_learning_rate": rates[1]}
    for name, value in usual.items():
        if getattr(wish, name) is None:
            changes[name] = value
            choices.append(Choice(name, f"{value:g}", "as in a fit"))
    return replace(wish, **changes), choices
