"""The tests of samples against held-out data: the same ones for `evaluate`, the report and `compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..conditions import ContextCondition
from ..data import Rows
from ..metrics import DISTANCES, Curve, Distance, Pool, TestFamily
from ..model import Model
from ..rng import Samples
from .base import ConditionCheck, TableEvaluation, WithTests
from .by_condition import check_condition
from .fields import range_of_fields, shares_of_atoms
from .hold_out import HoldOut
from .naming import channel_names, is_photograph, point_names, values_of
from .tables import evaluate_table, matrix_of, table_columns, table_tests
from .verdict import FEWEST

__all__ = ["RealData", "Tested", "standard", "vectors_of"]

_NUMBERS = 2**27  # of training data that are compared with, at most
_COLUMNS = 64  # of vectors whose columns are tested one by one
_WIDE = 256  # of tables whose associations are tested against all rows
_ROWS = 50_000  # of the training data of a table of mixed columns as vectors
_SIDE = 4  # points along each axis that make a field
_ALL = 20_000  # rows of either side, of the tests against all rows

Own = Mapping[str, Callable[[Any, Any], float]]
Vectors = Callable[[Rows, int | None], Tensor]


@dataclass(frozen=True)
class Tested(WithTests):
    """What was measured of a set of samples.

    Arguments:
        distances: Tests, which have a p-value, and distances.
        families: Many statistics together: columns of tables, and pairs of them.
        curves: Of fields.
        table: Of tables.
        condition: Of conditional models.
        rows: How many real rows there are, if some tests use all of them; 0 otherwise.
    """

    distances: tuple[Distance, ...]
    families: tuple[TestFamily, ...] = ()
    curves: tuple[Curve, ...] = ()
    table: TableEvaluation | None = None
    condition: ConditionCheck | None = None
    rows: int = 0


@dataclass(frozen=True)
class RealData:
    """The real data that samples of a model are tested against.

    Arguments:
        model: The model.
        known, fresh: The rows it was trained on, and held-out rows; the same object if nothing was held out.
        matched: Whether training rows follow the distribution of held-out rows.
        how: How rows were held out, if not one by one at random.
        own: Further distances by their names.
        target: The name of the column of a table that is predicted.
    """

    model: Model
    known: Rows
    fresh: Rows
    matched: bool = True
    how: HoldOut | None = None
    own: Own | None = None
    target: str | None = None

    @property
    def unseen(self) -> bool:
        """Whether anything was held out."""
        return self.known is not self.fresh

    @property
    def later(self) -> bool:
        """Whether held-out rows were recorded after training rows."""
        return self.how is not None and self.how.later

    def independent(self) -> tuple[Rows, Rows]:
        """Training and held-out rows, one of each group where groups were held out as a whole."""
        few, single = (self.known, self.fresh) if self.how is None else self.how.independent(self.known, self.fresh)
        return few, single if len(single) > 1 else self.fresh

    def test(self, samples: Rows, whole: bool = True) -> Tested:
        """Tests samples.

        Arguments:
            samples: The samples, as rows of the model's schema.
            whole: Whether to measure of tables also what is not a test: shapes, utility, privacy.
        """
        count, model = len(samples), self.model
        few, single = self.independent()
        vector = vectors_of(model, self.known)
        compared = self.unseen and self.matched and not self.later
        drawn, real = vector(samples, count), vector(single, 2 * count)
        others = vector(few, None) if compared else None
        table, families, curves = None, tuple[TestFamily, ...](), tuple[Curve, ...]()
        boosted: tuple[Distance, ...] = ()
        if min(len(drawn), len(real)) >= FEWEST:
            table, families, boosted = self._columns(samples, single, few if compared else None, whole)
            shape = model.schema.inner_shape
            if len(shape) > 1 and min(shape[1:]) >= _SIDE:
                photograph, names = is_photograph(model.schema), channel_names(model.schema)
                options: dict[str, Any] = {"units": values_of(model), "channels": names}
                curves = metrics.field_tests(drawn, real, others, phases=not photograph, **options)
            if len(shape) > 1:
                families = range_of_fields(model.schema, samples, [single, *([few] if compared else [])])
                families += shares_of_atoms(model.schema, model.standardize, samples, single, few if compared else None)
        names = feature_names(model, self.known)
        rows, every = _all_rows(drawn, real, others, names)
        every += self._associations(samples, few, single) if rows else ()
        distances = self._distances(drawn, real, others, names) + boosted
        return Tested(distances, (*families, *every), curves, table, self._condition(drawn, vector), rows)

    def _distances(
        self, drawn: Tensor, real: Tensor, others: Tensor | None, names: tuple[str, ...]
    ) -> tuple[Distance, ...]:
        own = self.own or {}
        if min(len(drawn), len(real)) >= FEWEST:
            return metrics.battery(drawn, real, others, maximum=max(20_000, len(real)), own=own, names=names)
        every = DISTANCES | dict(own)
        return tuple(metrics.with_floor(distance, drawn, real, others, name=name) for name, distance in every.items())

    def _columns(
        self, samples: Rows, fresh: Rows, known: Rows | None, whole: bool
    ) -> tuple[TableEvaluation | None, tuple[TestFamily, ...], tuple[Distance, ...]]:
        """Columns and pairs of them: of tables by their kinds, of other vectors as numbers."""
        count, columns = 2 * len(samples), table_columns(self.model.schema)
        if columns is not None:
            earlier = None if known is None else matrix_of(known)
            given = matrix_of(samples), earlier, matrix_of(fresh, count), columns
            if not whole:
                families, boosted = table_tests(*given)
                return None, families, (boosted,)
            table, families = evaluate_table(*given, self.target)
            return table, families, (table.boosted,)
        shape = self.model.schema.inner_shape
        if len(shape) != 1 or not 1 < shape[0] <= _COLUMNS:
            return None, (), ()
        x, held_out = matrix_of(samples, count), matrix_of(fresh, count)
        learned = None if known is None else matrix_of(known, count)
        real = np.concatenate([matrix_of(rows) for rows in (fresh, known) if rows is not None])
        outside = () if self.model.schema.low is not None else metrics.range_test(x, real)
        return None, (*metrics.table_tests(x, held_out, learned), *outside), ()

    def _associations(self, samples: Rows, known: Rows, fresh: Rows) -> tuple[TestFamily, ...]:
        """The test of associations of columns against all rows; none where there are no columns, or one, or too many."""
        columns, shape = table_columns(self.model.schema), self.model.schema.inner_shape
        if len(shape) != 1 or not 1 < shape[0] <= (_COLUMNS if columns is None else _WIDE):
            return ()
        real = np.concatenate([matrix_of(fresh, _ALL), matrix_of(known, _ALL)])
        return (metrics.all_rows_test(matrix_of(samples, _ALL), real, columns=columns or (), maximum=_ALL),)

    def _condition(self, drawn: Tensor, vector: Vectors) -> ConditionCheck | None:
        """Whether samples follow their conditions, if each was drawn with that of a held-out row."""
        context, rows = self.model.context, [c.rows for c in self.model.conditions if isinstance(c, ContextCondition)]
        if context is None or len(rows) != 1 or len(rows[0]) != len(self.fresh) or not self.unseen:
            return None
        return check_condition(context, vector(self.fresh, len(self.fresh)), rows[0].cpu(), drawn)


def standard(model: Model, rows: Rows, count: int) -> Tensor:
    """The first `count` rows in standard units, of shape `(M, *D)`, as training has them: at places in their cells, with
    draws for missing values. A large offset would cost the digits of float32.
    """
    some, found, units = rows.subset(range(min(len(rows), count))), list[Tensor](), model.standardize
    for i, x in enumerate(some.chunks(8192, torch.float64)):
        place = (
            Samples(i, 0, len(x), "cell").uniform(tuple(x.shape), x.dtype, model.device) if units.has_cells else None
        )
        found.append(units.filled(units(x.to(model.device), place), i).float().cpu())
    return torch.cat(found)


def vectors_of(model: Model, known: Rows) -> Vectors:
    """A function that gives the first rows as vectors or grids without missing values: standardized, or features of tables."""
    described = model.schema.table
    size = max(1, int(np.prod(model.schema.inner_shape)))
    if not described:
        return lambda rows, count: standard(model, rows, max(2, _NUMBERS // size) if count is None else count)
    reference = matrix_of(known, _ROWS)
    return lambda rows, count: metrics.table_features(matrix_of(rows, count or _ROWS), reference, described)[0]


def feature_names(model: Model, known: Rows) -> tuple[str, ...]:
    """What the numbers of an example are called; () where they have no names."""
    described = model.schema.table
    if len(model.schema.inner_shape) > 1:
        return point_names(model.schema)
    if not described:
        columns = tuple(map(str, model.schema.columns or ()))
        return columns if len(columns) == int(np.prod(model.schema.inner_shape)) else ()
    return metrics.table_features(matrix_of(known, 2), matrix_of(known, _ROWS), described)[1]


def _all_rows(
    drawn: Tensor, real: Tensor, others: Tensor | None, names: tuple[str, ...]
) -> tuple[int, tuple[TestFamily, ...]]:
    """Tests against all rows, where fewer were held out than samples were drawn: how many rows, and the tests.

    They find that a model does not fit. Of overfitting they are not a test: a model that follows the training rows too
    closely is rejected less often than others, so that the level holds.
    """
    if others is None or len(real) >= len(drawn) or min(len(drawn), len(real) + len(others)) < FEWEST:
        return 0, ()
    every = Pool.of(drawn, torch.cat([real, others]), maximum=_ALL)
    pool = replace(every, against="real rows, held out or not", names=names)
    found = (metrics.moment_test(pool), metrics.marginal_test(pool))
    return pool.m, tuple(each.against_all_rows() for each in found)
