"""What is measured of a model, by what suits its data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import metrics
from ..data import Rows
from ..metrics import DISTANCES, Curve, Distance, GeneralizationGap, Pool, SmallestDefects, TestFamily
from ..metrics.moments import directions
from ..model import Model
from ..objectives import DenoisingScoreMatching, LogUniform
from ..rng import Samples
from ..samplers import Sampling, flow_sampling, sde_sampling
from ..training import losses_by_level
from .base import Evaluation, TableEvaluation
from .tables import evaluate_table, matrix_of, table_columns
from .verdict import LossHistory, verdict

__all__ = ["DISTANCES", "evaluate", "standard"]

_NUMBERS = 2**27  # of training data that are compared with, at most
_TESTED = 20  # data on either side that tests need
_COLUMNS = 64  # of vectors whose columns are tested one by one
_ROWS = 50_000  # of the training data of a table of mixed columns as vectors
_SIDE = 4  # points along each axis that make a field
_LOSSES = 256  # data whose losses are compared
_SHOWN = {True: 2000, False: 64}  # samples that are kept for pictures: of vectors, of grids
_ALL = 20_000  # rows of either side, of the tests against all rows
_AXES = 12  # principal directions of grids of which the smallest defects are known
_TWINS = {True: 1000, False: 250}  # samples drawn by another sampler: of vectors, of grids


def evaluate(
    model: Model,
    train: Any,
    held_out: Any,
    count: int | None = None,
    seed: int = 0,
    history: LossHistory | None = None,
    matched: bool = True,
    own: Mapping[str, Callable[[Any, Any], float]] | None = None,
    target: str | None = None,
) -> Evaluation:
    """Draws samples and compares them with held-out data, and with training data.

    What is measured depends on the data. All get the battery of `metrics.battery`; vectors the distributions of their
    columns and of pairs of them, grids what is known of fields and microstructures; tables each column by its kind, missing
    values, a test with boosted trees, utility and privacy. Distances of vectors and grids are in standard deviations of the
    data. Tables with categories or missing values become vectors by `metrics.table_features`.

    Arguments:
        model: The model.
        train, held_out: The data it was trained on and held-out data, in the form it knows, or rows of them; the same object
            if nothing was held out.
        count, seed: How many samples to draw, 2,000 vectors or 1,000 grids by default; their seed.
        history: The held-out loss while training, for the advice.
        matched: Whether training data follow the same distribution as held-out data, and can be compared with them: not if
            these were chosen by a context.
        own: Further distances by their names, functions of two samples `(N, *D)` in standard units.
        target: The name of the column of a table that is predicted, from samples and from real rows; the last category by
            default.

    Raises:
        ValueError: If there are fewer than two held-out data, or no column of the target's name.
    """
    known, fresh = (x if isinstance(x, Rows) else model.schema.rows(x) for x in (train, held_out))
    unseen = known is not fresh
    if len(fresh) < 2:
        need = f"samples are compared with at least 2 held-out data, got {len(fresh)}"
        raise ValueError(f"{need}: hold out a larger part")
    vectors = len(model.schema.inner_shape) == 1
    count = (2000 if vectors else 1000) if count is None else count
    packed, seconds = _timed(model, count, seed)
    samples = model.schema.rows(packed)
    vector = _vectors(model, known)
    drawn, real, learned = vector(samples, count), vector(fresh, 2 * count), vector(known, None)
    others, earlier = (learned, known) if unseen and matched else (None, None)
    curves: tuple[Curve, ...] = ()
    tested = min(len(drawn), len(real)) >= _TESTED
    table, families = _columns(model, samples, fresh, earlier, target) if tested else (None, ())
    if tested and not vectors and min(model.schema.inner_shape[1:]) >= _SIDE:
        curves = metrics.field_tests(drawn, real, others)
    rows, every = _all_rows(drawn, real, others) if tested else (0, ())
    families = (*families, *every)
    found = Evaluation(
        count=count,
        seconds=seconds,
        chosen=_chosen(model, tested, families, curves),
        distances=_distances(drawn, real, others, own or {}) + (() if table is None else (table.boosted,)),
        families=families,
        curves=curves,
        neighbours=metrics.memorization(
            drawn,
            learned,
            real,
            keys=[metrics.row_keys(_parts(x)) for x in (samples, known, fresh)],
            matched=unseen and matched and not model.schema.table,
        ),
        gap=_gap(model, known, fresh) if unseen and matched and tested else None,
        twin=_twin(model, drawn, vector, seed),
        samples=model.schema.unpack(packed, torch.float64 if table else torch.float32)[: _SHOWN[vectors]].numpy(),
        table=table,
        rows=rows,
    )
    where = "column" if vectors else "principal direction"
    found = replace(found, smallest=_smallest(found, torch.cat([real, learned[: len(real)]]), where))
    return replace(found, verdict=verdict(found, history, unseen))


def _timed(model: Model, count: int, seed: int) -> tuple[Any, float]:
    start = time.perf_counter()
    packed = model.sample(count, seed)
    return packed, time.perf_counter() - start


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


def _parts(rows: Rows) -> Iterator[np.ndarray]:
    """All rows in the units of the data, by parts."""
    return (x.numpy() for x in rows.chunks(8192, torch.float64))


def _all_rows(drawn: Tensor, real: Tensor, others: Tensor | None) -> tuple[int, tuple[TestFamily, ...]]:
    """Tests against all rows, where fewer were held out than samples were drawn: how many rows, and the tests.

    They find that a model does not fit. Of overfitting they are not a test: a model that follows the training rows too
    closely is rejected less often than others, so that the level holds.
    """
    if others is None or len(real) >= len(drawn):
        return 0, ()
    pool = Pool.of(drawn, torch.cat([real, others]), maximum=_ALL)
    found = (metrics.moment_test(pool), metrics.marginal_test(pool))
    named = (replace(each, distance=replace(each.distance, name=f"{each.distance.name}, all rows")) for each in found)
    return pool.m, tuple(named)


def _smallest(found: Evaluation, real: Tensor, where: str) -> SmallestDefects | None:
    """The smallest defects that the tests find at these sizes; those of grids along their principal directions."""
    if not found.tests:
        return None
    features = real.flatten(1).shape[1]
    if where != "column":
        flat = real.flatten(1)
        real = flat @ directions(flat, _AXES)
    held_out = next(d.counts[1] for d in found.distances)
    sides = [held_out, *([found.rows] if found.rows else [])]
    return metrics.smallest_defects(real, found.count, sides, len(found.tests), where, features)


def _distances(
    drawn: Tensor, real: Tensor, others: Tensor | None, own: Mapping[str, Callable[[Any, Any], float]]
) -> tuple[Distance, ...]:
    if min(len(drawn), len(real)) >= _TESTED:
        return metrics.battery(drawn, real, others, maximum=max(20_000, len(real)), own=own)
    every = DISTANCES | dict(own)
    return tuple(metrics.with_floor(distance, drawn, real, others, name=name) for name, distance in every.items())


def _vectors(model: Model, known: Rows) -> Callable[[Rows, int | None], Tensor]:
    """A function that gives the first rows as vectors or grids without missing values: standardized, or features of tables."""
    described = model.schema.table
    size = max(1, int(np.prod(model.schema.inner_shape)))
    if not described:
        return lambda rows, count: standard(model, rows, max(2, _NUMBERS // size) if count is None else count)
    reference = matrix_of(known, _ROWS)
    return lambda rows, count: metrics.table_features(matrix_of(rows, count or _ROWS), reference, described)[0]


def _columns(
    model: Model, samples: Rows, fresh: Rows, known: Rows | None, target: str | None
) -> tuple[TableEvaluation | None, tuple[TestFamily, ...]]:
    """Columns and pairs of them: of tables by their kinds, of other vectors as numbers."""
    count = 2 * len(samples)
    columns = table_columns(model.schema)
    if columns is not None:
        earlier = None if known is None else matrix_of(known)
        return evaluate_table(matrix_of(samples), earlier, matrix_of(fresh, count), columns, target)
    shape = model.schema.inner_shape
    if len(shape) != 1 or not 1 < shape[0] <= _COLUMNS:
        return None, ()
    tables = (None if rows is None else matrix_of(rows, count) for rows in (samples, fresh, known))
    return None, metrics.table_tests(*tables)


def _chosen(model: Model, tested: bool, families: tuple[TestFamily, ...], curves: tuple[Curve, ...]) -> str:
    shape = model.schema.inner_shape
    what = f"vectors of {shape[0]} numbers" if len(shape) == 1 else f"grids of {' x '.join(map(str, shape[1:]))} points"
    what = what if table_columns(model.schema) is None else f"tables of {shape[0]} columns"
    if not tested:
        return f"Fewer than {_TESTED} {what} on a side: distances alone, for tests would have no power."
    parts = [
        "moments, marginal distributions, a classifier, energy, kernel and transport distances, precision and recall"
    ]
    parts += [", ".join(each.distance.name for each in families)] if families else []
    parts += [", ".join(each.name for each in curves)] if curves else []
    parts += ["boosted trees, utility and privacy"] if table_columns(model.schema) is not None else []
    return f"On {what}: {'; '.join(parts)}."


def _gap(model: Model, known: Rows, fresh: Rows) -> GeneralizationGap | None:
    """Losses of training and of held-out data at nine levels, with noise of their own, without their contexts."""
    if not model.denoiser.unconditional:
        return None
    denoiser = model.denoiser.conditioned_on(None)
    low, high = (float(x) for x in model.process.level(torch.tensor([0.0, 1.0], dtype=torch.float64)))
    levels = torch.logspace(np.log10(low), np.log10(high), 9)
    objective = DenoisingScoreMatching(LogUniform(low, high))
    losses = (
        losses_by_level(denoiser, standard(model, x, _LOSSES).to(model.device), objective, levels, seed).cpu()
        for seed, x in enumerate((known, fresh))
    )
    return metrics.loss_gap(levels, *losses)


def _twin(model: Model, drawn: Tensor, vector: Callable[[Rows, int | None], Tensor], seed: int) -> Distance:
    """The model's samples against others of its own, drawn with fresh noise if those are not, and without if they are."""
    few = _TWINS[len(model.schema.inner_shape) == 1]
    sampling, name = _other(model)
    other = model.sample(min(few, len(drawn)), seed + 1, sampling)
    count = min(len(drawn), 2 * few)
    found = metrics.energy_test(Pool.of(drawn[:count], vector(model.schema.rows(other), few)))
    note = f"energy test of {count:,} samples against {found.counts[1]:,} drawn {name}, p = {found.p_value:.2g}"
    return replace(found, name="two ways of sampling", note=note)


def _other(model: Model) -> tuple[Sampling, str]:
    """The probability flow for a sampler that draws noise, the reverse SDE for a deterministic one; and its name."""
    steps = max(24, model.steps)
    if model.sampler.deterministic:
        return sde_sampling(model.process, 2 * steps), "by the reverse SDE"
    return flow_sampling(model.process, steps), "by the probability flow"
