"""Whether the conditionals of a model are those of the data: values of held-out rows, drawn again given the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..conditions import ContextCondition, KnownValues
from ..constraints import Constraint, Rules
from ..data import Rows
from ..data.variables import FREE
from ..metrics import (
    ConditionalColumn,
    Distance,
    PlainColumn,
    TypedColumn,
    column_conditionals,
    completion_tests,
    one_per_group,
)
from ..metrics.base import stream
from ..model import Model
from ..samplers import SamplingLike, flow_sampling
from .base import Conditionals
from .drawing import drawn
from .hold_out import HoldOut
from .tables import table_columns
from .verdict import FEWEST

__all__ = ["check_conditionals"]

_ROWS = 512  # whose halves are drawn again
_FEWEST = 40  # held-out rows that are needed
_DRAWS = 9 * 512  # of single columns given all others, in all
_EACH = 3  # draws for each row and column
_COLUMNS = 24  # that are asked for given all others
_STEPS = 16  # of the probability flow: one column given all others has few thin directions
_REFERENCE = 20_000  # training rows
_QUESTIONS = 50  # that are tried for a row, until one can be answered
_ROUNDS = 6  # in which draws are repeated that violate declared constraints


def check_conditionals(
    model: Model, train: Rows, held_out: Rows, how: HoldOut | None = None, seed: int = 0
) -> Conditionals | None:
    """Draws values of held-out rows again, given the others, and tests whether they can be distinguished from the real ones.

    A random half of the columns of each row is drawn given the others, and all but one given that one, as the model draws; and
    each column given all others, by 16 steps or more of the probability flow. Real and drawn values can then be exchanged, if
    the conditionals are those of the data. The cost is bounded: at most 512 rows for each of the two kinds of
    completions, 4,608 draws of single columns, and 24 columns, chosen by the seed.

    What the model is conditioned on stays so: a context that each held-out row has, or one for all; columns, which are then
    not drawn, and of which rows with these values are taken.

    Arguments:
        model: The model.
        train, held_out: Its training rows and held-out rows, in the form it knows.
        how: How rows were held out: one row of each group is used.
        seed: The seed of the rows, the questions and the draws.

    Returns:
        What was found; None where it cannot be asked: if the denoiser does not complete rows, which one that is guided or
        given a measurement does not, if contexts do not belong to the rows, or if there are fewer than 40 held-out rows or
        fewer than two columns to be drawn.
    """
    free = model.replace(conditions=[c for c in model.conditions if not isinstance(c, KnownValues)])
    known = KnownValues.among(model.conditions)
    if len(model.schema.inner_shape) != 1 or not free.diffusion.denoiser.completes:
        return None
    places, contexts = _chosen(free, known, held_out, how, seed), ContextCondition.among(free.conditions)
    if places is None or len(places) < _FEWEST:
        return None
    x = held_out.take(places, torch.float64)
    context = None if contexts is None else contexts.rows.cpu()
    context = context[places] if context is not None and len(context) > 1 else context
    fixed = torch.zeros(x.shape[1], dtype=torch.bool) if known is None else known.known.cpu().any(0)
    asked = [i for i in range(x.shape[1]) if not fixed[i] and _varies(x[:, i])]
    if len(asked) < 2:
        return None
    question = _Question(free, x, context, tuple(_described(model)), _reference(train, known, seed), seed)
    try:
        return question.answered(asked)
    except RuntimeError as error:  # of drawing, which the joint distribution may allow where a conditional does not
        return Conditionals((), (), 0, 0, _EACH, str(error))


def _chosen(
    model: Model, known: KnownValues | None, held_out: Rows, how: HoldOut | None, seed: int
) -> np.ndarray | None:
    """The places of independent held-out rows that agree with what is known; None where that cannot be said."""
    contexts = ContextCondition.among(model.conditions)
    if contexts is not None and len(contexts.rows) not in (1, len(held_out)):
        return None
    groups = None if how is None or how.groups is None else how.groups[1]
    places = np.arange(len(held_out)) if groups is None else one_per_group(groups)
    if known is not None:
        if known.left_out is not None:
            return None
        places = places[_agree(held_out.take(places, torch.float64), known)]
    order = stream(seed, "conditionals").permutation(len(places))
    return places[order[: max(_ROWS, _DRAWS // _EACH)]]


def _reference(train: Rows, known: KnownValues | None, seed: int) -> np.ndarray:
    """Training rows, at most so many, as the data matrix: those that agree with what is known, if these are enough."""
    order = np.sort(stream(seed, "reference").permutation(len(train))[:_REFERENCE])
    rows = train.take(order, torch.float64)
    same = np.ones(len(rows), bool) if known is None else _agree(rows, known)
    return (rows[same] if same.sum() >= _FEWEST else rows).numpy()


def _agree(x: Tensor, condition: KnownValues) -> np.ndarray:
    """Which rows `(N, C)` have the known values of any row of a condition."""
    found = torch.zeros(len(x), dtype=torch.bool)
    for value, flag in zip(condition.x.cpu().to(x), condition.known.cpu()):
        same = (x == value) | (x.isnan() & value.isnan())
        found |= (same | ~flag).all(1)
    return found.numpy()


def _varies(values: Tensor) -> bool:
    present = values[~values.isnan()]
    return len(present) > 0 and (len(present) < len(values) or bool((present != present[0]).any()))


def _described(model: Model) -> Sequence[TypedColumn]:
    columns = table_columns(model.schema)
    if columns is not None:
        return columns
    names = model.schema.columns or [f"column {i}" for i in range(model.schema.inner_shape[0])]
    return [PlainColumn(name) for name in names]


@dataclass(frozen=True)
class _Question:
    """Held-out rows of which values are drawn again.

    Arguments:
        model: The model, without known values.
        x: The rows, `(N, C)` in float64.
        context: Their contexts, `(N, E)`, or one for all, `(1, E)`; None without.
        columns: A description per column.
        train: Training rows, `(M, C)`.
        seed: The seed.
    """

    model: Model
    x: Tensor
    context: Tensor | None
    columns: tuple[TypedColumn, ...]
    train: np.ndarray
    seed: int

    def answered(self, asked: Sequence[int]) -> Conditionals:
        """The check of some columns."""
        rows, tests = self._completions(self._random_columns(self.x[:_ROWS], asked, len(asked) // 2))
        if len(asked) > 3:  # otherwise that is what half of the columns are
            others = self._completions(self._random_columns(self.x[:_ROWS], asked, len(asked) - 1), 1)[1]
            tests = (*tests, *(replace(test, name=f"{test.name}, given one column") for test in others))
        single = self._one_by_one([i for i in asked if self._is_open(i)])
        columns = () if single is None else single.columns
        worst = sorted(columns, key=lambda column: (column.p_value, column.skill))
        tests = tests if single is None else (*tests, single.test)
        return Conditionals(tests, tuple(worst), rows, 0 if single is None else single.rows, _EACH)

    def _completions(self, ask: Tensor, stream: int = 0) -> tuple[int, tuple[Distance, ...]]:
        """The tests of rows of which some columns are drawn, and how many rows these are."""
        places = ask.any(1).nonzero()[:, 0].numpy()
        if len(places) < _FEWEST:
            return 0, ()
        completed, kept = self._completed(places, ask[places], stream=stream)
        sides = self.x[places].numpy(), completed.numpy(), ask[places].numpy()
        real, other, drawn = (self._whole(each, places)[kept] for each in sides)
        if len(real) < _FEWEST:
            return 0, ()
        found = completion_tests(
            real, other, drawn.astype(bool), self._reference, columns=self._columns, seed=self.seed
        )
        return len(real), found

    def _random_columns(self, rows: Tensor, asked: Sequence[int], count: int) -> Tensor:
        """So many random columns of each row, which can be drawn given the others; none where none are found.

        A sum that is given without its terms says nothing that a model could use: other columns are asked for then.
        """
        rng, ask = stream(self.seed, "halves"), torch.zeros(rows.shape, dtype=torch.bool)
        pending = np.arange(len(rows))
        for _ in range(_QUESTIONS):
            flags = torch.zeros((len(pending), rows.shape[1]), dtype=torch.bool)
            order = rng.random((len(pending), len(asked))).argsort(1)
            flags[:, list(asked)] = torch.from_numpy(order < count)
            good = self._answerable(rows[pending], ~flags)
            ask[pending[good]] = flags[torch.from_numpy(good)]
            pending = pending[~good]
            if not len(pending):
                break
        return ask

    def _answerable(self, x: Tensor, known: Tensor) -> np.ndarray:
        """In which rows the model can be given what is known."""
        if self._status(x, known) is not None:
            return np.ones(len(x), bool)
        return np.array([self._status(x[i : i + 1], known[i : i + 1]) is not None for i in range(len(x))])

    def _status(self, x: Tensor, known: Tensor) -> Tensor | None:
        """What each variable is, given what is known; None if that cannot be given."""
        units = self.model.standardize
        x, known = units.derived(x.to(units.device), known.to(units.device))
        try:
            return units.status(known, x)
        except ValueError:
            return None

    def _one_by_one(self, asked: Sequence[int]) -> _OneByOne | None:
        """The tests of columns given all others; None if there are none."""
        if len(asked) > _COLUMNS:
            asked = sorted(stream(self.seed, "columns").choice(asked, _COLUMNS, replace=False).tolist())
        if not asked:
            return None
        count = min(len(self.x), _ROWS, max(_FEWEST, _DRAWS // (_EACH * len(asked))))
        places, column = np.tile(np.repeat(np.arange(count), _EACH), len(asked)), np.repeat(asked, count * _EACH)
        ask = torch.zeros((len(places), self.x.shape[1]), dtype=torch.bool)
        ask[np.arange(len(places)), column] = True
        completed, kept = self._completed(places, ask, flow_sampling(self.model.process, _STEPS))
        draws = completed.numpy()[np.arange(len(places)), column].reshape(len(asked), count, _EACH)
        valid = np.asarray(kept.reshape(draws.shape).all(2))
        enough = np.flatnonzero(valid.sum(1) >= FEWEST)
        if not len(enough):
            return None
        test, columns = column_conditionals(
            self._whole(self.x[:count].numpy(), np.arange(count)),
            draws[enough],
            [asked[i] for i in enough.tolist()],
            self._reference,
            columns=self._columns,
            valid=valid[enough],
            learn=self.context is None,
            seed=self.seed,
        )
        return _OneByOne(test, columns, count)

    def _is_open(self, column: int) -> bool:
        """Whether a column is drawn, given all others: not if it follows from them."""
        known = torch.ones(self.x.shape, dtype=torch.bool)
        known[:, column] = False
        status = self._status(self.x, known)
        return status is not None and bool((status == FREE).any())

    def _completed(
        self, places: np.ndarray, ask: Tensor, how: SamplingLike = None, stream: int = 0
    ) -> tuple[Tensor, np.ndarray]:
        """The rows at some places, with what is asked for drawn given the rest; and which of them keep the constraints.

        Whether a row is among these depends on what is given and on the draws alone, so that real and drawn values can be
        exchanged in those that are.
        """
        rows, seed = self.x[places], self.seed + 7_000_003 * (1 + 2 * stream if how is None else 2)
        found, schema = rows.clone(), self.model.schema
        declared = [Constraint(text) for text in schema.constraints]
        rules = Rules([each for each in declared if not each.unique], schema.pack, schema.columns)
        model = self.model.replace(schema=replace(schema, constraints=()))
        pending = np.arange(len(rows))
        for attempt in range(_ROUNDS if rules else 1):
            part, given = rows[pending], ~ask[pending]
            values = drawn(self._given(model, part, given, places[pending]), len(part), seed + attempt, how)[0]
            values = torch.where(given | _same(values, part), part, values.to(part))
            found[pending] = values
            wrong = rules.violations(values).any(1) if rules else np.zeros(len(part), bool)
            pending = pending[wrong]
            if not len(pending):
                break
        kept = np.ones(len(rows), bool)
        kept[pending] = False
        return found, kept

    def _given(self, model: Model, x: Tensor, known: Tensor, places: np.ndarray) -> Model:
        """The model given known values of rows, and their contexts."""
        if self.context is not None:
            rows = self.context if len(self.context) == 1 else self.context[places]
            model = model.conditioned_on(rows)
        return model.replace(conditions=(KnownValues(x, known).to(model.device), *model.conditions))

    @property
    def _columns(self) -> tuple[TypedColumn, ...]:
        """The columns, and the numbers of the context after them, which are known and never drawn."""
        size = self._contexts(np.arange(1)).shape[1]
        return (*self.columns, *(PlainColumn(f"context {i}") for i in range(size)))

    @property
    def _reference(self) -> np.ndarray:
        return self._whole(self.train, np.arange(len(self.train)))

    def _whole(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, self._contexts(places)], 1)

    def _contexts(self, places: np.ndarray) -> np.ndarray:
        """The contexts of rows, in turn; one that is the same for all is of no use to a test."""
        if self.context is None or len(self.context) == 1:
            return np.zeros((len(places), 0))
        rows = self.context.flatten(1).double().numpy()
        return np.asarray(rows[places % len(rows)])


class _OneByOne(NamedTuple):
    """What was found of columns given all others."""

    test: Distance
    columns: tuple[ConditionalColumn, ...]
    rows: int


def _same(one: Tensor, other: Tensor) -> Tensor:
    """Which values are equal up to rounding: those that follow from known ones are computed, and not drawn."""
    error = max(1e-12, 16 * torch.finfo(one.dtype).eps)
    return (one.to(other) - other).abs() <= error * other.abs().nan_to_num().amax(0).clamp_min(1e-300)
