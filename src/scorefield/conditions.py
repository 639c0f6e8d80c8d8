"""What a model has been conditioned on, as values: a context, classifiers, measurements.

Conditions commute: whatever the order in which they were added, they are applied in one order: context and guidance,
known columns, classifiers, measurements. To add a kind of condition, write `transform`.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn as nn
from torch import Tensor

from . import spec
from .data.layout import Layout
from .data.variables import ABSENT, FREE, GIVEN
from .denoisers import ClassifierGuided, Denoiser, DenoiserModule, Gaussian, Guided, NoisyClassifier
from .measured_columns import given_what_was_measured
from .measurement import Measurement
from .posterior import KnownCoordinates, Posterior, PosteriorMethod, SmallestLevel, posterior_of
from .posterior.methods import MomentMatching
from .units import Units

__all__ = [
    "ClassifierGuidance",
    "Condition",
    "ContextCondition",
    "KnownValues",
    "Observation",
    "Stage",
    "apply_conditions",
    "keywords",
    "same_values",
]


@dataclass(frozen=True)
class Stage:
    """A learned denoiser while conditions are applied to it.

    Arguments:
        denoiser: The denoiser, or the conditional denoiser while no context has been applied.
        moments: The mean and the covariance of the data, which sampling starts from, in standard units.
        layout: The map from the axes of networks to those of the user.
        units: The units of the data.
        names: The names of the columns of the context.
    """

    denoiser: DenoiserModule
    moments: Gaussian
    layout: Layout
    units: Units
    names: tuple[str, ...] = ()

    def answering(self) -> Denoiser:
        """The denoiser; the unconditional one if no context has been applied.

        Raises:
            ValueError: If there is none, because a context is missing.
        """
        try:
            return self.denoiser.conditioned_on(None)
        except ValueError as error:
            raise ValueError(f"{error}: model.condition({keywords(self.names)})") from None


class Condition(nn.Module, abc.ABC):
    """Something that a model is conditioned on. To add one, write `transform`."""

    order: int = 0

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({'' if self.summary == name else self.summary})"

    """Conditions of a smaller order are applied first."""

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        return type(self).__name__

    work: int = 1
    """How many times the work of the learned denoiser a step takes, roughly: fewer samples are then computed together."""

    distills: bool = False
    """Whether a model that is distilled keeps it: it is part of the flow that is learned."""

    @property
    def needs_mean(self) -> bool:
        """Whether it works on E[x_0 | x], which a model that was distilled does not know."""
        return True

    only_draws: bool = False
    """Whether it says where samples are drawn, and nothing about the density of data that are given."""

    @property
    def has_distribution(self) -> bool:
        """Whether the denoiser that it gives is that of a distribution, which exact methods could follow."""
        return True

    @abc.abstractmethod
    def transform(self, stage: Stage) -> Stage:
        """The denoiser, and the moments, conditioned on this.

        Raises:
            ValueError: If that is not possible; the message says what is missing.
        """

    def check_density(self) -> None:  # most have one
        """Whether a log-density, and latents, belong to what is sampled.

        Raises:
            ValueError: If not, with what to take instead.
        """

    def check_saved(self) -> None:  # most can
        """Whether a file can hold it.

        Raises:
            ValueError: If it holds code of the user, with what to save instead.
        """


def apply_conditions(stage: Stage, conditions: Sequence[Condition]) -> tuple[Denoiser, Gaussian]:
    """The conditional denoiser, and the moments that sampling starts from.

    Arguments:
        stage: The learned denoiser.
        conditions: What it is conditioned on, in any order.

    Raises:
        ValueError: If a context is missing, or conditions do not go together.
    """
    for condition in sorted(conditions, key=lambda each: each.order):
        stage = condition.transform(stage)
    return stage.answering(), stage.moments


class ContextCondition(Condition):
    """A context, as the model was fitted with one, and guidance.

    Arguments:
        rows: M encoded contexts, `(M, size, *S)` (`Context.partial`); sample i has context i mod M.
        missing: The columns that are still to be given.
        guidance: The weight of guidance; 1 for none.
        interval: The noise levels with guidance, in standard deviations of the data.
        weak: The denoiser of a weaker model to guide away from (autoguidance); without it, the unconditional one
            (classifier-free guidance).

    Raises:
        ValueError: If the weight is not a finite number, the interval does not rise from 0 or more, or contexts are not finite.
    """

    distills = True
    rows: Tensor

    def __init__(
        self,
        rows: Tensor,
        missing: Sequence[str] = (),
        guidance: float = 1.0,
        interval: tuple[float, float] = (0.0, math.inf),
        weak: DenoiserModule | None = None,
    ) -> None:
        super().__init__()
        low, high = interval
        if not math.isfinite(guidance) or not 0 <= low < high:
            got = f"guidance={guidance:g}, interval=({low:g}, {high:g})"
            raise ValueError(f"guidance is a finite weight at levels low < high, from 0; got {got}")
        if not bool(rows.isfinite().all()):
            raise ValueError("a context must be finite numbers (None or NaN for none): got inf")
        self.register_buffer("rows", rows)
        self.missing = tuple(missing)
        self.guidance = guidance
        self.interval = (low, high)
        self.weak = weak

    @property
    def summary(self) -> str:
        """How many contexts, and the guidance."""
        guided = "" if self.guidance == 1 else f", guidance {self.guidance:g}"
        missing = f", without {', '.join(self.missing)}" if self.missing else ""
        return f"{len(self.rows):,} {'context' if len(self.rows) == 1 else 'contexts'}{missing}{guided}"

    @property
    def has_distribution(self) -> bool:
        return self.guidance == 1

    @property
    def needs_mean(self) -> bool:
        return self.guidance != 1

    @classmethod
    def among(cls, conditions: Sequence[Condition]) -> ContextCondition | None:
        """The context among conditions, if there is one."""
        return next((each for each in conditions if isinstance(each, cls)), None)

    def transform(self, stage: Stage) -> Stage:
        if self.missing:
            given = [name for name in stage.names if name not in self.missing]
            what = f"this model is conditioned on {', '.join(given)} so far, and {', '.join(self.missing)} is missing"
            raise ValueError(f"{what}: model.condition({keywords(self.missing)})")
        self.check_rows(stage.denoiser)
        strong = stage.denoiser.conditioned_on(self.rows)
        if self.guidance == 1:
            return replace(stage, denoiser=strong)
        self.check_guidance(stage.denoiser)
        other = self.weak or stage.denoiser
        weak = other.conditioned_on(self.rows if self.weak is not None and other.takes_context else None)
        return replace(stage, denoiser=Guided(strong, weak, self.guidance, *self.interval))

    def check_rows(self, denoiser: DenoiserModule) -> None:
        """Whether a denoiser, and the weak one, have learned what these contexts ask for.

        Raises:
            ValueError: If a context is empty (NaN or None), and they have not learned data without context.
        """
        empty = self.rows[:, -1].flatten(1).any(1) if self.rows.ndim > 2 else self.rows[:, -1] > 0
        learned = denoiser.unconditional and (self.weak is None or self.weak.unconditional)
        if learned or not bool(empty.any()):
            return
        which = f"context {int(empty.nonzero()[0])} of {len(empty)}" if len(empty) > 1 else "the context"
        what = f"{which} is missing (NaN or None), and this model has only learned data given a context"
        raise ValueError(f"{what}: give one, or fit with unconditional=0.1")

    def check_guidance(self, denoiser: DenoiserModule) -> None:
        """Whether a denoiser can be guided like this.

        Raises:
            ValueError: If it has not learned to do without context, and there is no weak one.
        """
        if self.guidance != 1 and self.weak is None and not denoiser.unconditional:
            need = "a model that has also learned data without context, or a weaker model to guide away from"
            raise ValueError(f"guidance needs {need}: fit with unconditional=0.1, or pass weak=…")

    def check_saved(self) -> None:
        if self.weak is not None:
            _check_plain(self.weak, "the weak model", "save both models, and guide the one that you loaded")


class KnownValues(Condition):
    """Exact values of some columns of the data themselves.

    A denoiser that knows conditionals gives the one of the other columns. Any other is combined with the values, and
    particles (`posterior.ReplacementSMC`) draw from the conditional distribution.

    Arguments:
        x: M rows of data, `(M, *D)` in the layout of networks: values of the known columns, NaN where one is missing.
        known: Which columns are known, true or false, `(M, *D)`; sample i has row i modulo M.
        complete: Whether no other value may be missing: they are drawn as if the data had no gaps.
        names: The names of the known columns, for messages.
        left_out: Columns that are neither known nor drawn, true or false, `(*D,)`: what is drawn is the distribution of the
            others, and their own values are of no use. For denoisers that know conditionals.

    Raises:
        ValueError: If the shapes differ.
    """

    order = 1
    x: Tensor
    known: Tensor
    left_out: Tensor | None

    def __init__(
        self,
        x: Tensor,
        known: Tensor,
        complete: bool = False,
        names: Sequence[str] = (),
        left_out: Tensor | None = None,
    ) -> None:
        super().__init__()
        if x.shape != known.shape:
            raise ValueError(f"rows of shape {tuple(x.shape)} need as many flags, got {tuple(known.shape)}")
        self.register_buffer("x", x)
        self.register_buffer("known", known.bool())
        self.register_buffer("left_out", left_out)
        self.complete = complete
        self.names = tuple(names)

    @property
    def summary(self) -> str:
        """Which columns, and how many rows."""
        rows = "" if len(self.x) == 1 else f" of {len(self.x):,} rows"
        return f"{', '.join(self.names) or 'some values'} known{rows}"

    @property
    def has_distribution(self) -> bool:
        return False  # not before its particles are weighted

    @classmethod
    def among(cls, conditions: Sequence[Condition]) -> KnownValues | None:
        """The known values among conditions, if there are some."""
        return next((each for each in conditions if isinstance(each, cls)), None)

    def merged(self, before: KnownValues | None) -> KnownValues:
        """These values, and those that were known before for other columns.

        Raises:
            ValueError: If both have several rows, and their numbers differ.
        """
        if before is None:
            return self
        one, two = len(before.x), len(self.x)
        if one != two and min(one, two) > 1:
            raise ValueError(f"values of {one} rows are known and values of {two} rows came: give as many, or one")
        shape = (max(one, two), *self.x.shape[1:])
        known, earlier = self.known.expand(shape), before.known.expand(shape)
        x = torch.where(known, self.x.expand(shape), before.x.expand(shape))
        names = dict.fromkeys((*before.names, *self.names))
        left_out = before.left_out if self.left_out is None else self.left_out
        return KnownValues(x, known | earlier, self.complete or before.complete, tuple(names), left_out)

    def transform(self, stage: Stage) -> Stage:
        x, known = stage.units.derived(self.x, self.known)
        denoiser, state = stage.answering(), stage.units(x.nan_to_num() if stage.units.variables is None else x)
        status = stage.units.status(known, x, self.complete)
        if denoiser.completes:
            if self.left_out is not None:
                out = stage.units.variables_of(self.left_out) & (status == FREE)
                status = torch.where(out, ABSENT, status)
            return replace(stage, denoiser=denoiser.given_variables(state, status))
        keep = (status == GIVEN).reshape(state.shape)
        return replace(stage, denoiser=KnownCoordinates(denoiser, state, keep))

    def check_density(self) -> None:
        columns = f"[{', '.join(map(repr, self.names))}]"
        what = "the density given some columns is a conditional of the model that is not conditioned on them"
        raise ValueError(f"{what}: model.density().conditional(x, given={columns})")


class ClassifierGuidance(Condition):
    """Guidance to a class by a classifier of noisy data.

    Arguments:
        classifier: The classifier, in the units of the model (`classifier_guidance.fit_classifier`).
        label: The class, one of `classifier.names`; its index if classes have no names.
        weight: How strongly; 1 for the distribution of that class.

    Raises:
        TypeError: If it is not a `NoisyClassifier`.
        ValueError: If the classifier does not know the class, or the weight is not finite.
    """

    order = 2
    distills = True

    def __init__(self, classifier: NoisyClassifier, label: str | int, weight: float = 1.0) -> None:
        super().__init__()
        if not isinstance(classifier, NoisyClassifier):
            name, how = type(classifier).__name__, "guide(NoisyClassifier(network), label=0)"
            raise TypeError(f"guidance needs a NoisyClassifier, got a {name}: {how} takes a network")
        numbered = hasattr(label, "__index__") and int(label) >= 0
        if not classifier.names and not numbered:
            raise ValueError(f"classes without names are numbered from 0, got label={label!r}")
        if classifier.names and label not in classifier.names:
            known = ", ".join(map(str, classifier.names[:10]))
            raise ValueError(f"the classifier has no class {label!r}: its classes are {known}")
        if not math.isfinite(weight):
            raise ValueError(f"classifier guidance needs a finite weight, got weight={weight:g}")
        self.classifier = classifier
        self.label = label
        self.weight = weight

    @property
    def summary(self) -> str:
        """The class and the weight."""
        return f"class {self.label} of a classifier, weight {self.weight:g}"

    @property
    def has_distribution(self) -> bool:
        return False

    def replaces(self, other: Condition) -> bool:
        """Whether the other is guidance by the same classifier."""
        return isinstance(other, ClassifierGuidance) and other.classifier is self.classifier

    def check_classes(self, shape: Sequence[int]) -> None:
        """Asks the classifier once, about a state of a shape, before anything is drawn.

        Raises:
            ValueError: If it does not give the class, or another number of classes than it has names.
        """
        device = next((p.device for p in self.classifier.parameters()), None)
        count = self.classifier(torch.zeros(1, *shape, device=device), torch.ones((), device=device)).shape[1]
        if not self.classifier.names and int(self.label) >= count:
            raise ValueError(f"the classifier gives the {count} classes 0 to {count - 1}, got label={self.label}")

    def transform(self, stage: Stage) -> Stage:
        names = self.classifier.names
        index = names.index(self.label) if names else int(self.label)
        return replace(stage, denoiser=ClassifierGuided(stage.answering(), self.classifier, index, self.weight))

    def check_saved(self) -> None:
        _check_plain(self.classifier, "the classifier", "save the model without it, and guide the one that you loaded")


class Observation(Condition):
    """A measurement y = A(x) + noise of one data point.

    Arguments:
        measurement: The measurement, in the units and axes of the user.
        method: How its posterior is sampled, by default by moment matching; one of `scorefield.posterior`.
        smallest: The smallest level that the denoiser has learned; below it, it is extrapolated.
    """

    order = 3

    def __init__(self, measurement: Measurement, method: PosteriorMethod | None = None, smallest: float = 0.0) -> None:
        super().__init__()
        self.measurement = measurement
        self.method = method or MomentMatching()
        self.smallest = smallest
        self.order = 3 if self.method.sampler is None else 4  # such samplers look for the last posterior
        self.work = 32 if self.method.sampler is None else 1  # derivatives, in several directions

    @property
    def summary(self) -> str:
        """What was measured, and how its posterior is sampled."""
        return f"a measurement by {type(self.measurement.operator).__name__}, {type(self.method).__name__}"

    def transform(self, stage: Stage) -> Stage:
        parts = (self.method.likelihood, stage.layout, stage.units, stage.moments)
        prior = given_what_was_measured(stage.answering(), self.measurement.operator, stage.units)
        if self.smallest > 0 and Posterior.of(prior) is None:
            prior = SmallestLevel(prior, self.smallest)
        denoiser, moments = posterior_of(prior, self.measurement, *parts)
        return replace(stage, denoiser=denoiser, moments=moments)

    def check_together(self, others: Sequence[Condition]) -> None:
        """Whether it can be observed together with other conditions.

        Raises:
            ValueError: If both need a sampler of their own, and these differ.
        """
        for other in others:
            one, two = self.method.sampler, other.method.sampler if isinstance(other, Observation) else None
            if one is not None and two is not None and one != two:
                names = " and ".join(sorted(type(each).__name__ for each in (one, two)))
                raise ValueError(f"{names} are samplers, and a model uses one: observe both with the same method")

    def check_density(self) -> None:
        if not self.method.has_density:
            what = f"{type(self.method).__name__} draws samples only and has no log-density or latents"
            raise ValueError(f"{what}: observe the measurement with method=MomentMatching()")

    def check_saved(self) -> None:
        try:
            spec.describe(self.measurement, [])
        except TypeError as error:
            name = type(self.measurement.operator).__name__
            instead = "save the model without the measurement, and y; load(path).observe(measurement) is this one again"
            raise ValueError(f"a file holds no code, and {name} is code of yours: {instead}") from error


def same_values(one: object, other: object) -> bool:
    """Whether two objects, such as units or encodings of contexts, are made of the same values."""
    tensors = list[Tensor](), list[Tensor]()
    if spec.describe(one, tensors[0]) != spec.describe(other, tensors[1]):
        return False
    return all(a.shape == b.shape and bool((a.cpu() == b.cpu()).all()) for a, b in zip(*tensors))


def _check_plain(module: nn.Module, what: str, instead: str) -> None:
    try:
        spec.describe(module, [])
    except TypeError as error:
        raise ValueError(f"a file holds one network of your own, and {what} has another: {instead}") from error


def keywords(names: Sequence[str]) -> str:
    """Names as the arguments of a call, for messages."""
    return ", ".join(f"{name}=…" for name in names)
