"""The model: what `fit` returns, what a file holds, what every command starts from."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import torch.nn as nn
from torch import Tensor

from . import checkpoint
from .calls import parse_call
from .conditions import (
    ClassifierGuidance,
    Condition,
    ContextCondition,
    Observation,
    Stage,
    apply_conditions,
    keywords,
    same_values,
)
from .context import Context
from .data import Schema
from .denoisers import DenoiserModule, Gaussian, NoisyClassifier
from .diffusion import Diffusion
from .display import Facts, displayed, listed, rounded
from .generative import GenerativeModel
from .likelihood import DataDensity, Density, LogProb
from .measurement import Measurement
from .posterior import PosteriorMethod
from .samplers import Sampling, SamplingLike
from .units import Standardize

__all__ = ["Model", "load"]


@displayed
class Model(GenerativeModel):
    """A generative model of data, in the units and the form of the data.

    It is a value: conditioning it, guiding it or observing something gives another model, which shares its weights.

    Arguments:
        schema: The form of the data.
        standardize: Their units.
        denoiser: What was learned: the denoiser of standardized data, or the conditional denoiser.
        moments: The mean and the covariance of standardized data.
        sampling: How samples are drawn by default: the noise process (any will do), and the sampler, its steps and the
            schedule; 16 steps of `ExponentialAdams` in the clock of the process where it does not say them.
        context: The encoding of contexts, if the denoiser is a conditional one.
        conditions: What the model is conditioned on (`scorefield.conditions`), in any order.

    Raises:
        ValueError: If `sampling` has no process, or a conditional denoiser has no encoding of contexts.
    """

    def __init__(
        self,
        schema: Schema,
        standardize: Standardize,
        denoiser: DenoiserModule,
        moments: Gaussian,
        sampling: Sampling,
        context: Context | None = None,
        conditions: Sequence[Condition] = (),
    ) -> None:
        super().__init__(schema, standardize, moments, sampling)
        if denoiser.takes_context and context is None:
            raise ValueError("a conditional denoiser needs an encoding of contexts: Model(…, context=Context.of(…))")
        self.denoiser = denoiser
        self.context = context
        self._conditions = nn.ModuleList(conditions)

    def _facts(self) -> Facts:
        count, schema = sum(p.numel() for p in self.denoiser.parameters()), self.schema
        network = dict(self.denoiser.named_children()).get("network", self.denoiser)
        facts = {"data": f"{schema.kind}, {schema.dtype}, shape {schema.shape}"}
        facts |= {"columns": listed(schema.columns)} if schema.columns else {}
        if self.context is not None:
            free = "may be left out" if self.denoiser.unconditional else "needed"
            facts["context"] = f"{listed(self.context.names)} ({free})"
        facts |= {"conditions": "; ".join(each.summary for each in self.conditions)} if self.conditions else {}
        facts |= {"network": f"{type(network).__name__}, {count:,} parameters", "process": rounded(repr(self.process))}
        return f"Model of {schema.structure}s", facts | {"sampling": str(self.sampling.replace(process=None))}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the model is conditioned on."""
        return tuple(self._conditions)  # type: ignore[arg-type]  # a list of modules

    @property
    def diffusion(self) -> Diffusion:
        """The diffusion of standardized data, conditioned: what samplers and likelihoods take.

        Raises:
            ValueError: If a context is still missing, or conditions do not go together.
        """
        names = () if self.context is None else self.context.names
        stage = Stage(self.denoiser, self.moments, self.schema.layout, self.standardize, names)
        return Diffusion(self.process, *apply_conditions(stage, self.conditions))

    @property
    def _precise(self) -> Diffusion:
        """The diffusion for densities and latents: never in bfloat16, and for vectors in float64."""
        for condition in self.conditions:
            condition.check_density()
        diffusion = self.diffusion
        denoiser = diffusion.denoiser.full_precision()
        if len(self.schema.inner_shape) == 1:
            denoiser = copy.deepcopy(denoiser).double()
        return dataclasses.replace(diffusion, denoiser=denoiser)

    def replace(self, **changes: Any) -> Model:
        """A copy with other parts, which shares the rest.

        Arguments:
            changes: Arguments of the constructor, by their names.

        Raises:
            TypeError: If there is no such argument.
        """
        names = ("schema", "standardize", "denoiser", "moments", "sampling", "context", "conditions")
        parts = {name: getattr(self, name) for name in names} | changes
        return Model(**parts).train(self.training)

    def with_sampling(self, sampling: SamplingLike) -> Model:
        """The model with another default of how samples are drawn; what `sampling` leaves out stays.

        Arguments:
            sampling: A `Sampling`, a sampler or a call, `"heun(steps=20)"`.

        Raises:
            ValueError: If a call cannot be read.

        Example:
            >>> import numpy as np, scorefield
            >>> model = scorefield.fit(np.random.default_rng(0).normal(size=500), training=scorefield.Training(steps=200))
            >>> model.with_sampling("heun(steps=20)").sampler
            Heun()
        """
        return self.replace(sampling=self._chosen(sampling))

    def log_prob(
        self,
        x: Any,
        probes: int | None = None,
        tolerance: float | None = None,
        seed: int = 0,
        batch: int | None = None,
        target_error: float | None = None,
        extrapolate: bool = False,
    ) -> LogProb:
        """The log-density of data, in nats and in the units of the data, with its errors.

        It is that of data plus noise of the smallest level, whose effect is estimated (`truncation`).

        Arguments:
            x: Data in the form that the model learned.
            probes: How many Hutchinson probes estimate the divergence; by default it is exact up to 64 dimensions.
            tolerance, target_error, extrapolate: As for `scorefield.likelihood.log_prob`.
            seed: The seed of the probes.
            batch: How many rows are integrated at once.

        Returns:
            The values, their errors, and the numbers of evaluations, each of shape `(N,)`.

        Raises:
            ValueError: If `x` has another form, a context is missing, or a method has no log-density (`DAPS`, `RePaint`).
        """
        return self.density(seed, probes, tolerance, batch, target_error, extrapolate).log_prob(x)

    def density(
        self,
        seed: int = 0,
        probes: int | None = None,
        tolerance: float | None = None,
        batch: int | None = None,
        target_error: float | None = None,
        extrapolate: bool = False,
    ) -> Density:
        """Bits per dimension, bounds, marginals, conditionals and p-values, with the arguments of `log_prob`.

        Raises:
            ValueError: As `log_prob`.
        """
        self._check(1, batch)
        how = (batch or self._batch(), seed, probes, tolerance, target_error, extrapolate)
        return Density(self.schema, DataDensity(self._precise, self.standardize, *how))

    def condition(
        self,
        context: Any = None,
        *,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        weak: Model | None = None,
        **named: Any,
    ) -> Model:
        """The model conditioned on a context, as it was fitted with.

        Conditioning again replaces what is given anew, and keeps the rest: other columns, and guidance.

        Arguments:
            context: The context in the form that `fit` took it: one for all samples, or M of them, of which sample i has
                that of row i mod M. Densities and latents of N examples take one, or N.
            guidance: The weight of guidance towards the context; 1 is none. Larger weights make samples more typical of the
                context, and follow no exact distribution.
            interval: The noise levels with guidance, in standard deviations of the data; all by default.
            weak: A weaker model of the same data to guide away from (autoguidance), with the same context; by default the
                model itself without context (classifier-free guidance).
            named: Instead of `context`: columns by their names, at once or one after another.

        Raises:
            ValueError: If the model was fitted without context, does not know the class or the column, or has not learned
                what a missing context (NaN or None) or guidance needs.

        Example:
            >>> import numpy as np, scorefield
            >>> label = np.arange(400) % 2
            >>> x = np.random.default_rng(0).normal(10.0 * label)
            >>> model = scorefield.fit(x, context=label, training=scorefield.Training(steps=300))
            >>> bool(model.condition(label=0).sample(100).mean() < 5 < model.condition(label=1).sample(100).mean())
            True
        """
        encoding = self._encoding()
        if context is not None and named:
            raise ValueError(f"give the context at once or by columns, not both: got a value and {', '.join(named)}")
        before = ContextCondition.among(self.conditions)
        if context is None and not named:
            if before is None:
                raise ValueError(f"there is no context yet: model.condition({keywords(encoding.names)})")
            rows, missing = before.rows, before.missing
        else:
            rows, missing = encoding.partial(named if context is None else context)
            if before is not None:
                rows, missing = encoding.completed(rows, missing, before.rows, before.missing)
        return self._with_context(rows, missing, guidance, interval, None if weak is None else self._weak(weak))

    def conditioned_on(self, rows: Tensor) -> Model:
        """The model conditioned on encoded contexts, `(M, *model.context.row_shape)`, as `model.context` makes them.

        Raises:
            ValueError: If the model was fitted without context.
        """
        self._encoding()
        return self._with_context(rows)

    def _encoding(self) -> Context:
        if self.context is None:
            what = "this model was fitted without context and cannot be conditioned on one"
            raise ValueError(f"{what}: fit(x, context=…)")
        return self.context

    def _with_context(
        self,
        rows: Tensor,
        missing: Sequence[str] = (),
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        weak: DenoiserModule | None = None,
    ) -> Model:
        before = ContextCondition.among(self.conditions)
        unused = [name for name, value in (("interval", interval), ("weak", weak)) if value is not None]
        if unused and (guidance if guidance is not None else 1.0 if before is None else before.guidance) == 1:
            what = f"{' and '.join(unused)} {'belong' if len(unused) > 1 else 'belongs'} to guidance"
            raise ValueError(f"{what}, and its weight is 1: pass guidance=…")
        if before is not None:
            guidance = before.guidance if guidance is None else guidance
            interval = before.interval if interval is None else interval
            weak = before.weak if weak is None else weak
        guidance, interval = 1.0 if guidance is None else guidance, interval or (0.0, math.inf)
        condition = ContextCondition(rows.to(self.device), missing, guidance, interval, weak)
        condition.check_rows(self.denoiser)
        condition.check_guidance(self.denoiser)
        return self.replace(conditions=(condition, *(each for each in self.conditions if each is not before)))

    def _weak(self, weak: Model) -> DenoiserModule:
        """The denoiser of a weaker model, which must be of the same data and as it was fitted."""
        if weak.conditions:
            raise ValueError("weak=… takes a model without conditions: it gets the same context as this one")
        if weak.schema.inner_shape != self.schema.inner_shape or weak.schema.columns != self.schema.columns:
            same = weak.schema.inner_shape == self.schema.inner_shape
            pair = [each.schema.columns if same else each.schema.inner_shape for each in (weak, self)]
            what = f"this one has {'columns' if same else 'shape'} {pair[0]}, not {pair[1]}"
            raise ValueError(f"weak=… takes a model of the same data, and {what}: fit both to the same data")
        if not same_values(weak.standardize, self.standardize):
            raise ValueError("weak=… takes a model of the same data in the same units: fit both to the same data")
        if weak.denoiser.takes_context and not same_values(weak.context, self.context):
            raise ValueError("weak=… takes a model with the same context, or without one: fit both with the same one")
        return weak.denoiser

    def guide(self, classifier: NoisyClassifier, label: str | int, weight: float = 1.0) -> Model:
        """The model guided to a class by a classifier of noisy data.

        Arguments:
            classifier: The classifier, fitted for this model (`classifier_guidance.fit_classifier`). Guiding again by the
                same classifier replaces the class.
            label: The class.
            weight: How strongly; 1 gives the distribution of that class, if classifier and model are right.

        Raises:
            ValueError: If the classifier does not know the class.
        """
        guidance = ClassifierGuidance(classifier, label, weight)
        kept = (each for each in self.conditions if not guidance.replaces(each))
        return self.replace(conditions=(*kept, guidance))

    def observe(self, measurement: Measurement, method: PosteriorMethod | str | None = None) -> Model:
        """The model of the posterior given a measurement; independent measurements are observed one after another.

        Arguments:
            measurement: The measurement of one data point.
            method: How the posterior is sampled, one of `scorefield.posterior` or its call, "dps"; by default by moment
                matching. `DAPS` and `RePaint` bring their own sampler, and have no log-density.

        Raises:
            TypeError: If it is not a measurement, or not a method.
            ValueError: If the operator does not fit the data or y, or two measurements need different samplers.
        """
        if not isinstance(measurement, Measurement):
            got = type(measurement).__name__
            raise TypeError(f"only a Measurement can be observed, got {got}: Measurement(operator, y, noise)")
        if isinstance(method, str):
            method = parse_call(method, PosteriorMethod)
        if method is not None and not isinstance(method, PosteriorMethod):
            raise TypeError(f"method must be one of scorefield.posterior, such as MomentMatching(), got {method!r}")
        measurement.check(self.schema.layout.shape)
        observation = Observation(measurement, method)
        observation.check_together(self.conditions)
        sampling = Sampling(observation.method.sampler).merged(self.sampling)
        return self.replace(conditions=(*self.conditions, observation), sampling=sampling)

    def given(
        self,
        context: Any = None,
        *,
        method: PosteriorMethod | str | None = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        weak: Model | None = None,
        **named: Any,
    ) -> Model:
        """`condition`, or `observe` for a `Measurement`.

        Arguments:
            context: A context, or a `scorefield.measurement.Measurement`.
            method: For a measurement, as for `observe`.
            guidance, interval, weak, named: For a context, as for `condition`.

        Raises:
            ValueError: If an argument belongs to the other kind, and as `condition` and `observe` do.
        """
        if isinstance(context, Measurement):
            others = {"guidance": guidance, "interval": interval, "weak": weak, **named}
            extra = [name for name, value in others.items() if value is not None]
            if extra:
                what = f"{', '.join(extra)} belong{'s' * (len(extra) == 1)} to a context, not to a measurement"
                names = () if self.context is None or named else self.context.names
                raise ValueError(f"{what}: model.condition({keywords((*names, *extra))}).observe(…)")
            return self.observe(context, method)
        if method is not None:
            raise ValueError("method belongs to a measurement, not to a context: model.observe(measurement, method=…)")
        return self.condition(context, guidance=guidance, interval=interval, weak=weak, **named)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model: one `.safetensors` file, whole or not at all.

        Raises:
            ValueError: If a condition holds code of yours, which files do not.
        """
        for condition in self.conditions:
            condition.check_saved()
        checkpoint.save(self, path)


def load(
    path: str | os.PathLike[str], trusted: tuple[str, ...] = ("scorefield",), network: nn.Module | None = None
) -> Model:
    """Reads a model that `Model.save` or `fit` wrote. No code of the file is run.

    Arguments:
        path: The file, or the folder of a run.
        trusted: The packages whose classes may be built.
        network: Your own network, if the model was fitted with one that cannot be built from its arguments.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, foreign, or not a model.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "model.safetensors")
    model = checkpoint.load(path, trusted, network)
    if not isinstance(model, Model):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a model: read it with scorefield.checkpoint.load")
    return model
