"""Conditioning a model: on a context, on values of columns, by a classifier, on measurements."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self, cast

import torch
from torch import Tensor

from .bars import shown
from .calls import parse_call
from .conditions import (
    ClassifierGuidance,
    Condition,
    ContextCondition,
    KnownValues,
    Observation,
    keywords,
    same_values,
)
from .constraints import Rules, to_be_missing
from .context import Context
from .data import (
    Encoded,
    Readings,
    beyond,
    check_distinct,
    check_possible,
    gaps_to_fill,
    in_place_of,
    known_values,
    packed_with_gaps,
    rows_with_gaps,
    unknown_column,
    warn_impossible,
)
from .denoisers import DenoiserModule, NoisyClassifier
from .diffusion import Diffusion
from .display import listed
from .generative import GenerativeModel
from .known_readings import KnownReadings, known_readings
from .measurement import Measurement
from .posterior import MomentMatching, PosteriorMethod, ReplacementSMC, StandardizedMeasurement, TwistedParticles
from .posterior.levels import following, thinnest
from .posterior.outside import outside_of_data
from .progress import mapped
from .rng import Rng
from .samplers import Sampling, SamplingLike, unlearned
from .schedules import LogLevel
from .units import ReadingUnits
from .warned import warn_outside

__all__ = ["ConditionableModel"]

_FAR = 6.0  # standard deviations from the mean, where the range of the data is not known: a million normal numbers lie within
_EXACT_NUMBERS = 16  # vectors of up to so many numbers are drawn by particles


class ConditionableModel(GenerativeModel, abc.ABC):
    """A generative model that can be conditioned: each of these methods gives another model, which shares its weights."""

    denoiser: DenoiserModule
    context: Context | None

    @property
    @abc.abstractmethod
    def conditions(self) -> tuple[Condition, ...]:
        """What the model is conditioned on."""

    @abc.abstractmethod
    def replace(self, **changes: Any) -> Self:
        """A copy with other parts, which shares the rest."""

    def condition(
        self,
        context: Any = None,
        *,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        weak: ConditionableModel | None = None,
        **named: Any,
    ) -> Self:
        """The model conditioned on a context, as it was fitted with, or on values of columns of the data themselves.

        Conditioning again replaces what is given anew, and keeps the rest: other columns, and guidance.

        Arguments:
            context: The context in the form that `fit` took it: one for all samples, or M of them, of which sample i has
                that of row i mod M. Densities and latents of N examples take one, or N. Or a mapping from columns of the data
                to their values, or a table of such columns. Where rows are made of readings: readings in the form of the
                data, of which those with a value are known, and those with NaN are drawn, at the times that are given.
            guidance: The weight of guidance towards the context; 1 is none. Larger weights make samples more typical of the
                context, and follow no exact distribution.
            interval: The noise levels with guidance, in standard deviations of the data; all by default.
            weak: A weaker model of the same data to guide away from (autoguidance), with the same context; by default the
                model itself without context (classifier-free guidance).
            named: Instead of `context`: columns of the context, or of the data, by their names, at once or one after
                another. A list or a tuple holds one value for each row in turn, of which sample i has number i mod M, not a
                range or a set: for these draw more rows, and keep those within. A value of the data may be `scorefield.missing`
                where the data miss.

        Raises:
            ValueError: If the model does not know the class or the column, or has not learned what a missing context (NaN or
                None) or guidance needs; or if a column cannot take a value, by its bounds, lattice or type, or is given
                as missing and never misses in the data.

        Warns:
            UserWarning: If a value lies outside of the data: what is drawn there is extrapolated.

        Example:
            >>> import numpy as np, scorefield
            >>> label = np.random.default_rng(1).integers(2, size=400)
            >>> x = np.random.default_rng(0).normal(10.0 * label)
            >>> model = scorefield.fit(x, context=label, training=scorefield.Training(steps=300))
            >>> bool(model.condition(label=0).sample(100).mean() < 5 < model.condition(label=1).sample(100).mean())
            True
            >>> pairs = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=1000)
            >>> model = scorefield.fit(pairs, training=scorefield.Training(steps=1000))
            >>> bool(abs(model.condition({0: 1.0}).sample(200)[:, 1].mean() - 0.9) < 0.2)
            True
        """
        if self.schema.readings is not None and self.context is None:
            return self._with_readings(context, (*named, *(["guidance"] if guidance not in (None, 1) else [])))
        context, named = self._by_name(context, named)
        columns = {name: value for name, value in named.items() if self._is_column(name)}
        if columns:
            check_possible(self.schema, columns)
            known = self._with_known(columns)
            self._warn_beyond(columns)
            others = {name: value for name, value in named.items() if name not in columns}
            if not others and context is None and interval is None and weak is None and guidance in (None, 1):
                return known
            return known.condition(context, guidance=guidance, interval=interval, weak=weak, **others)
        if context is None and not named:
            self._check_given()
        encoding = self._encoding(named)
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

    def conditioned_on(self, rows: Tensor) -> Self:
        """The model conditioned on encoded contexts, `(M, *model.context.row_shape)`, as `model.context` makes them.

        Raises:
            ValueError: If the model was fitted without context.
        """
        self._encoding()
        return self._with_context(rows)

    def _by_name(self, context: Any, named: dict[str, Any]) -> tuple[Any, dict[Any, Any]]:
        """What is given as values by names, where it may be: a mapping, or a table of columns of the data."""
        table = hasattr(context, "columns") and hasattr(context, "iloc")
        of_data = table and self.context is None and self.schema.structure == "vector"
        if named or not (isinstance(context, Mapping) or of_data):
            return context, named
        if table:
            check_distinct(context)
        return None, {name: context[name] for name in context}

    def _encoding(self, named: Mapping[Any, Any] = MappingProxyType({})) -> Context:
        if self.context is not None:
            return self.context
        vectors = self.schema.structure == "vector"
        name = next(iter(named), None)
        if named and vectors and (self.schema.columns is not None or isinstance(name, int)):
            raise ValueError(unknown_column(self.schema, name))
        numbers = "; columns of the data are given by their numbers, condition({0: …})" if named and vectors else ""
        raise ValueError(
            f"this model was fitted without context and cannot be conditioned on one: fit(x, context=…){numbers}"
        )

    def _check_given(self) -> None:
        """Raises if nothing is given to a model that is conditioned on columns alone: says which there are."""
        if self.context is not None or self.schema.structure != "vector":
            return
        names = list(self.schema.columns or range(self.schema.inner_shape[0]))
        example = keywords([names[0]]) if isinstance(names[0], str) else f"{{{names[0]!r}: …}}"
        what = "this model was fitted without context, and is conditioned on columns of the data by their names"
        raise ValueError(f"{what}, {listed(names)}: model.condition({example})")

    def _warn_beyond(self, columns: Mapping[Any, Any]) -> None:
        """Warns of known values that lie outside of the data."""
        x, known = known_values(self.schema, columns)
        said = beyond(self.schema, x, known)
        if not self.schema.table and x.ndim == 2:
            far = known & (self.standardize.numbers_of(x.to(self.standardize.device)).cpu().abs() > _FAR)
            for place in far.any(0).nonzero()[:, 0].tolist():
                said.append(f"column {place}: {float(x[far[:, place], place][0]):g} lies far outside of the data")
        if said:
            warn_outside(f"{'; '.join(said)}: what is drawn there is extrapolated")

    def _is_column(self, name: Any) -> bool:
        """Whether a name is that of a column of the data, and not of the context."""
        if self.schema.structure != "vector" or (self.context is not None and name in self.context.names):
            return False
        return name in (self.schema.columns or range(self.schema.inner_shape[0]))

    def _with_readings(self, x: Any, named: Sequence[str] = ()) -> Self:
        """The model conditioned on readings: those that have a value, and times and channels of those that have none."""
        if x is None or named:
            got = f"got {', '.join(named)}" if named else "got none"
            what = f"this model is conditioned on readings in the form of the data, {got}"
            raise ValueError(f"{what}: model.condition(readings), with NaN as the value of those to be drawn")
        return self._given_readings(self._readings(x)[0])

    def _readings(self, x: Any) -> tuple[KnownReadings, Encoded]:
        form = cast(Readings, self.schema.readings)
        return known_readings(form, x, cast(ReadingUnits, self.standardize).span)

    def _given_readings(self, condition: KnownReadings) -> Self:
        before = KnownValues.among(self.conditions)
        return self.replace(conditions=(condition.to(self.device), *(c for c in self.conditions if c is not before)))

    def _impute_readings(self, x: Any, draws: int, seed: int, sampler: SamplingLike) -> Any:
        """`impute` for rows of readings, of which those without value are drawn."""
        self._check(draws, None)
        condition, encoded = self._readings(x)
        form, length = cast(Readings, self.schema.readings), condition.x.shape[1] // 3
        asked = condition.x[:, :length].isnan() & ~condition.x[:, 2 * length :].isnan()
        rows = asked.any(1).nonzero()[:, 0]
        tables = [condition.x[:, :length].clone() for _ in range(draws)]
        if len(rows):
            given = self._given_readings(KnownReadings(condition.x[rows], condition.known[rows]))
            seeds = [seed + 1_000_003 * k for k in range(draws)]
            with shown():
                drawn = mapped(lambda seed: torch.cat(list(given.batches(len(rows), seed, sampler))).double(), seeds)
                for table, values in zip(tables, drawn):
                    table[rows] = torch.where(asked[rows], values[:, :length], table[rows])
        filled = [form.filled(x, encoded, table.numpy()) for table in tables]
        return filled if draws > 1 else filled[0]

    def _with_known(self, values: Mapping[Any, Any], complete: bool = False) -> Self:
        """The model conditioned on values of columns of the data, besides those that were known before."""
        x, known = known_values(self.schema, values)
        whole = KnownValues(x, known).to(self.device).merged(KnownValues.among(self.conditions))
        relation = self.standardize.contradiction(whole.x, whole.known)
        if relation is not None:
            raise ValueError(f"the values that are given contradict {relation}, which holds in every row: change one")
        return self._with_rows(x, known, complete, tuple(map(str, values)))

    def _with_rows(self, x: Tensor, known: Tensor, complete: bool, names: Sequence[str] = ()) -> Self:
        before = KnownValues.among(self.conditions)
        condition = KnownValues(x, known, complete, names).merged(before).to(self.device)
        kept = (each for each in self.conditions if each is not before)
        sampling = self.sampling
        if not self.denoiser.completes:
            sampling = Sampling(ReplacementSMC(), 64, LogLevel()).merged(sampling)
        return self.replace(conditions=(condition, *kept), sampling=sampling)

    @property
    def _work(self) -> int:
        return self.denoiser.work * max((each.work for each in self.conditions), default=1)

    def _draw(
        self, diffusion: Diffusion, numbers: Tensor, rng: Rng, sampling: Sampling, denoise: bool = True
    ) -> Tensor:
        """The samples of some numbers; known values come back exactly, whatever the rounding of the units."""
        drawn = super()._draw(diffusion, numbers, rng, sampling, denoise)
        condition = KnownValues.among(self.conditions)
        if condition is None:
            return drawn
        rows = numbers % len(condition.x)
        x, known = condition.x.cpu().to(drawn)[rows], condition.known.cpu()[rows]
        return self.standardize.with_known(drawn, x, known)

    def _rules(self) -> Rules:
        """Of the model; where values are drawn as if none were missing, constraints do not say which are."""
        condition = KnownValues.among(self.conditions)
        return super()._rules() if condition is None or not condition.complete else super()._rules().without_missing()

    def _outside(self) -> Callable[[Tensor], Tensor] | None:
        """Of the units; what is left out has values of no use, which exclude nothing."""
        outside, condition = super()._outside(), KnownValues.among(self.conditions)
        if outside is None or condition is None or condition.left_out is None:
            return outside
        left_out, of_all = condition.left_out.cpu(), outside
        return lambda x: of_all(x.masked_fill(left_out, math.nan))

    def impute(
        self, x: Any, draws: int = 1, seed: int = 0, sampler: SamplingLike = None, columns: Sequence[Any] | None = None
    ) -> Any:
        """Fills the missing values of a table with draws from their conditional distribution, given all others of the row.

        Values are drawn jointly for each row, and as if the data had no gaps: whether a value is missing is taken to depend on
        known values alone (missing at random).

        Arguments:
            x: A table in the form that the model learned, with missing values; or an array of vectors with NaN. It may have
                no rows. Or readings, whose values are drawn where they are NaN: a forecast, where those are at later times.
            draws: How many imputed tables: several show how uncertain the missing values are (multiple imputation).
            seed: The seed. Draw k of row i depends on the seed, i and k alone.
            sampler: How they are drawn; by default as the model draws conditionals.
            columns: The columns that are filled, by name; by default all. What is known of the others is used all the same.

        Returns:
            The same table without missing values, but for those that a constraint says are missing; a list of them if `draws`
            is above 1. Known values stay, and so do columns that are left out of the model.

        Raises:
            ValueError: If the data are not a table or vectors, there is no such column, or `x` has other ones or one twice.

        Warns:
            UserWarning: If there are values that their column cannot take, with the numbers of rows: they stay as they are, and
                the gaps of these rows are filled as if they were not known.

        Example:
            >>> import numpy as np, scorefield
            >>> x = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=1000)
            >>> model = scorefield.fit(x, training=scorefield.Training(steps=1000))
            >>> model.impute(np.array([[1.0, np.nan], [0.3, 0.5]])).round(1)[1].tolist()
            [0.3, 0.5]
        """
        if self.schema.readings is not None and columns is not None:
            raise ValueError("columns= is for tables and vectors: give readings, those to be drawn without a value")
        if self.schema.readings is not None:
            return self._impute_readings(x, draws, seed, sampler)
        if self.schema.structure != "vector":
            raise ValueError(f"only tables and vectors are imputed, and these are {self.schema.reason}: observe a Mask")
        self._check(draws, None)
        data, impossible = rows_with_gaps(self.schema, x)
        warn_impossible(self.schema, impossible)
        gaps = data.isnan()
        asked = gaps_to_fill(self.schema, gaps, columns)
        rows = asked.any(1).nonzero()[:, 0]
        tables = [data.clone() for _ in range(draws)]
        if len(rows):
            known = self._together(data, ~(gaps | impossible))
            part = self._with_rows(data[rows], known[rows], complete=True)
            seeds = [seed + 1_000_003 * k for k in range(draws)]
            with shown():
                drawn = mapped(lambda seed: torch.cat(list(part.batches(len(rows), seed, sampler))).double(), seeds)
                for table, values in zip(tables, drawn):
                    filled = torch.where(gaps[rows], values, data[rows])
                    table[rows] = filled.masked_fill(to_be_missing(self.schema, filled, gaps[rows]), math.nan)
        packed = [in_place_of(x, packed_with_gaps(self.schema, t, gaps & ~asked), asked, impossible) for t in tables]
        return packed if draws > 1 else packed[0]

    def _together(self, x: Tensor, known: Tensor) -> Tensor:
        """The known values without those that leave no room for a column that follows from them, with a warning."""
        wrong = self.standardize.contradicting(x, known)
        if bool(wrong.any()):
            count = int(wrong.any(1).sum())
            rows = f"{count} row{'s' * (count > 1)}"
            what = f"known values contradict {self.standardize.contradiction(x, wrong)} in {rows}"
            warn_outside(f"{what}; they stay, and gaps in these rows are filled without them")
        return known & ~wrong

    def _with_context(
        self,
        rows: Tensor,
        missing: Sequence[str] = (),
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        weak: DenoiserModule | None = None,
    ) -> Self:
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

    def _weak(self, weak: ConditionableModel) -> DenoiserModule:
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

    def guide(self, classifier: NoisyClassifier, label: str | int, weight: float = 1.0) -> Self:
        """The model guided to a class by a classifier of noisy data.

        Arguments:
            classifier: The classifier, fitted for this model (`classifier_guidance.fit_classifier`). Guiding again by the
                same classifier replaces the class.
            label: The class.
            weight: How strongly; 1 gives the distribution of that class, if classifier and model are right.

        Raises:
            TypeError: If it is not a `NoisyClassifier`.
            ValueError: If the classifier does not give the class.
        """
        guidance = ClassifierGuidance(classifier, label, weight)
        guidance.check_classes(self.standardize.state_shape)
        kept = (each for each in self.conditions if not guidance.replaces(each))
        return self.replace(conditions=(*kept, guidance), sampling=unlearned(self.sampling))

    def observe(self, measurement: Measurement, method: PosteriorMethod | str | None = None) -> Self:
        """The model of the posterior given a measurement; independent measurements are observed one after another.

        Arguments:
            measurement: The measurement of one data point.
            method: How the posterior is sampled, one of `scorefield.posterior` or its call, "dps"; by default by
                `TwistedParticles` for vectors of up to 16 numbers, exact in the limit of many particles, and by moment matching
                for all else. `DAPS` and `RePaint` bring their own sampler, and have no log-density.

        Raises:
            TypeError: If it is not a measurement, or not a method.
            ValueError: If the operator does not fit the data or y, two measurements need different samplers, or the noise is so
                small that more than 200 steps are needed.

        Warns:
            UserWarning: If a measurement lies outside of the data: what is drawn there is extrapolated.
        """
        if not isinstance(measurement, Measurement):
            got = type(measurement).__name__
            raise TypeError(f"only a Measurement can be observed, got {got}: Measurement(operator, y, noise)")
        self.schema.require_one_length("a measurement", "give readings, model.condition(readings)")
        if isinstance(method, str):
            method = parse_call(method, PosteriorMethod)
        if method is not None and not isinstance(method, PosteriorMethod):
            raise TypeError(f"method must be one of scorefield.posterior, such as MomentMatching(), got {method!r}")
        measurement = measurement.like(self.schema.labels)
        measurement.check(self.schema.layout.shape, self.schema.layout.spatial_axes)
        method = self._default_method() if method is None else method
        sampling = method.sampling.merged(unlearned(self.sampling))
        if method.sampler is None:
            thin = thinnest(StandardizedMeasurement(measurement, self.schema.layout, self.standardize), self.moments)
            sampling = sampling if thin is None else following(sampling, thin)
        observation = Observation(measurement, method, self._smallest(sampling))
        observation.check_together(self.conditions)
        if said := outside_of_data(measurement, self.schema, self.standardize, self.moments):
            warn_outside(f"{'; '.join(said)}: what is drawn there is extrapolated")
        return self.replace(conditions=(*self.conditions, observation), sampling=sampling)

    def _smallest(self, sampling: Sampling) -> float:
        """The smallest level that was learned, if samples are drawn with smaller ones; otherwise 0."""
        earlier = max((each.smallest for each in self.conditions if isinstance(each, Observation)), default=0.0)
        learned = any(True for _ in self.denoiser.parameters())
        return self.process.ends()[0] if learned and earlier == 0 and sampling.process != self.process else earlier

    def _default_method(self) -> PosteriorMethod:
        """The exact method where it is affordable, if nothing else was chosen before."""
        shape, earlier = self.standardize.state_shape, [e for e in self.conditions if isinstance(e, Observation)]
        plain = self.standardize.variables is None and all(each.has_distribution for each in self.conditions)
        affordable = plain and len(shape) == 1 and shape[0] <= _EXACT_NUMBERS
        if affordable and all(each.method == TwistedParticles() for each in earlier):
            return TwistedParticles()
        return MomentMatching()

    def given(
        self,
        context: Any = None,
        *,
        method: PosteriorMethod | str | None = None,
        guidance: float | None = None,
        interval: tuple[float, float] | None = None,
        weak: ConditionableModel | None = None,
        **named: Any,
    ) -> Self:
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
