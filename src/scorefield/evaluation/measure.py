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
from ..data import Rows, repeats_of
from ..data.repeats import row_hashes
from ..metrics import DISTANCES, Curve, Distance, GeneralizationGap, Neighbours, Pool, SmallestDefects, TestFamily
from ..metrics.moments import directions
from ..model import Model
from ..objectives import DenoisingScoreMatching, LogUniform
from ..progress import mapped, parts
from ..rng import Samples
from ..samplers import Sampling, flow_sampling, sde_sampling
from ..training import losses_by_level
from .base import Evaluation, TableEvaluation
from .drift import drift_of
from .hold_out import HoldOut
from .tables import evaluate_table, matrix_of, table_columns
from .verdict import FEWEST, LossHistory, verdict

__all__ = ["DISTANCES", "evaluate", "standard"]

_NUMBERS = 2**27  # of training data that are compared with, at most
_COLUMNS = 64  # of vectors whose columns are tested one by one
_ROWS = 50_000  # of the training data of a table of mixed columns as vectors
_SIDE = 4  # points along each axis that make a field
_LOSSES = 256  # data whose losses are compared
_SHOWN = {True: 2000, False: 64}  # samples that are kept for pictures: of vectors, of grids
_ALL = 20_000  # rows of either side, of the tests against all rows
_AXES = 12  # principal directions of grids of which the smallest defects are known
_SHARES = {
    "drawing samples": 4,
    "drift": 0.5,
    "tests of columns": 2,
    "tests of fields": 3,
    "tests of distributions": 4,
    "search for copies": 1,
    "losses": 1,
    "drawing in another way": 2,
    "power of the tests": 1,
}  # about how long each takes
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
    how: HoldOut | None = None,
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
        how: How rows were held out, if by groups, by distinct rows or by time: tests use one row of each group then, and
            rows that are later are compared with earlier ones, too.

    Raises:
        ValueError: If there are fewer than two held-out data, or no column of the target's name.
    """
    known, fresh = (x if isinstance(x, Rows) else model.schema.rows(x) for x in (train, held_out))
    unseen = known is not fresh
    _check_count(fresh)
    vectors = len(model.schema.inner_shape) == 1
    count = (2000 if vectors else 1000) if count is None else count
    step, how = parts(_SHARES), how if unseen else None
    with step("drawing samples"):
        packed = _timed(model, count, seed)
    samples, matched = model.schema.rows(packed[0]), matched and not (how and how.later)
    few, single = (known, fresh) if how is None else how.independent(known, fresh)
    single = single if len(single) > 1 else fresh
    vector = _vectors(model, known)
    drawn, real, learned = vector(samples, count), vector(single, 2 * count), vector(few, None)
    others = learned if unseen and matched else None
    drift = None
    if how is not None and how.order is not None:
        with step("drift"):
            drift = drift_of(drawn, learned, real, how.order)
    tested = min(len(drawn), len(real)) >= FEWEST
    known_too = few if unseen and matched else None
    table, families, curves = _of_parts(model, (samples, single, known_too), (drawn, real, others), target, tested)
    with step("tests of distributions"):
        rows, every = _all_rows(drawn, real, others)
        distances = _distances(drawn, real, others, own or {}) + (() if table is None else (table.boosted,))
    own_tests = _of_model(model, (samples, known, fresh), vector, drawn, unseen and matched, how, tested, seed)
    families = (*families, *every)
    found = Evaluation(
        count=count,
        seconds=packed[1],
        chosen=_chosen(model, tested, families, curves),
        distances=distances,
        families=families,
        curves=curves,
        **own_tests,
        samples=model.schema.unpack(packed[0], torch.float64 if table else torch.float32)[: _SHOWN[vectors]].numpy(),
        table=table,
        rows=rows,
        fresh=len(single),
        split=_overlap(known, fresh) if how is None and unseen else "" if how is None else how.said,
        drift=drift,
    )
    with step("power of the tests"):
        known_rows = torch.cat([real, learned[: len(real) if tested else 400]])
        smallest = _smallest(found, known_rows, "column" if vectors else "principal direction", tested)
    return _with_verdict(replace(found, smallest=smallest), history, unseen)


def _of_model(
    model: Model,
    rows: tuple[Rows, Rows, Rows],
    vector: Callable[[Rows, int | None], Tensor],
    drawn: Tensor,
    matched: bool,
    how: HoldOut | None,
    tested: bool,
    seed: int,
) -> dict[str, Any]:
    """The search for copies, the losses, and samples drawn in another way, as fields of an evaluation."""
    step = parts(_SHARES)
    with step("search for copies"):
        neighbours = _copies(model, rows, vector, matched, how)
    with step("losses"):
        gap = _gap(model, *rows[1:], how) if matched and (tested or how) else None
    with step("drawing in another way"):
        twin = _twin(model, drawn, vector, seed)
    return {"neighbours": neighbours, "gap": gap, "twin": twin}


def _check_count(fresh: Rows) -> None:
    if len(fresh) < 2:
        need = f"samples are compared with at least 2 held-out data, got {len(fresh)}"
        raise ValueError(f"{need}: hold out a larger part")


def _of_parts(
    model: Model,
    rows: tuple[Rows, Rows, Rows | None],
    vectors: tuple[Tensor, Tensor, Tensor | None],
    target: str | None,
    tested: bool,
) -> tuple[TableEvaluation | None, tuple[TestFamily, ...], tuple[Curve, ...]]:
    """What is tested of columns and of fields: of samples, held-out rows and training rows, as rows and as vectors."""
    step, shape = parts(_SHARES), model.schema.inner_shape
    table: TableEvaluation | None = None
    families: tuple[TestFamily, ...] = ()
    curves: tuple[Curve, ...] = ()
    if tested:
        with step("tests of columns"):
            table, families = _columns(model, *rows, target)
    if tested and len(shape) > 1 and min(shape[1:]) >= _SIDE:
        with step("tests of fields"):
            curves = metrics.field_tests(*vectors)
    return table, families, curves


def _with_verdict(found: Evaluation, history: LossHistory | None, unseen: bool) -> Evaluation:
    return replace(found, verdict=verdict(found, history, unseen))


def _overlap(known: Rows, fresh: Rows) -> str:
    """What is to be said of held-out rows that are copies of training rows; "" if a tenth of them or fewer are."""
    train, held_out = (row_hashes(rows) for rows in (known, fresh))
    both = int(np.isin(held_out, train).sum())
    if 10 * both <= len(held_out) or repeats_of(known).codes is None:
        return ""
    what = f"{len(held_out):,} rows, of which {both:,} are copies of training rows, so that overfitting cannot be seen"
    return f"{what}: fit again, which keeps copies of a row together"


def _copies(
    model: Model,
    rows: tuple[Rows, Rows, Rows],
    vector: Callable[[Rows, int | None], Tensor],
    matched: bool,
    how: HoldOut | None,
) -> Neighbours:
    """The tests of copies of samples, training and held-out rows: of distinct rows, where some are copies of others."""
    samples, known, fresh = rows
    keys = [metrics.row_keys(_parts(x)) for x in rows]
    near, far = (known, fresh) if how is None else how.without_copies(known, fresh)
    drawn, learned, real = vector(samples, len(samples)), vector(near, None), vector(far, None)
    groups = None
    if how is not None and how.groups is not None and how.named:
        groups = [codes[: len(x)] for codes, x in zip(how.groups, (learned, real))]
    matched = matched and not model.schema.table
    return metrics.memorization(drawn, learned, real, keys=keys, matched=matched, groups=groups)


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
    if others is None or len(real) >= len(drawn) or min(len(drawn), len(real) + len(others)) < FEWEST:
        return 0, ()
    pool = Pool.of(drawn, torch.cat([real, others]), maximum=_ALL)
    found = (metrics.moment_test(pool), metrics.marginal_test(pool))
    named = (replace(each, distance=replace(each.distance, name=f"{each.distance.name}, all rows")) for each in found)
    return pool.m, tuple(named)


def _smallest(found: Evaluation, real: Tensor, where: str, tested: bool) -> SmallestDefects | None:
    """The smallest defects that the tests find at these sizes; those of grids along their principal directions.

    Where too few rows are held out for tests, what tests of moments and marginals alone would find with them.
    """
    if tested and not found.tests:
        return None
    features = real.flatten(1).shape[1]
    if where != "column":
        flat = real.flatten(1)
        real = flat @ directions(flat, _AXES)
    held_out = next(d.counts[1] for d in found.distances) if tested else found.fresh
    sides = [*([held_out] if tested or not found.rows else []), *([found.rows] if found.rows else [])]
    return metrics.smallest_defects(real, found.count, sides, len(found.tests) or 2, where, features)


def _distances(
    drawn: Tensor, real: Tensor, others: Tensor | None, own: Mapping[str, Callable[[Any, Any], float]]
) -> tuple[Distance, ...]:
    if min(len(drawn), len(real)) >= FEWEST:
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
        return f"Fewer than {FEWEST} {what} on a side: distances alone, for tests would have no power."
    parts = [
        "moments, marginal distributions, a classifier, energy, kernel and transport distances, precision and recall"
    ]
    parts += [", ".join(each.distance.name for each in families)] if families else []
    parts += [", ".join(each.name for each in curves)] if curves else []
    parts += ["boosted trees, utility and privacy"] if table_columns(model.schema) is not None else []
    return f"On {what}: {'; '.join(parts)}."


def _gap(model: Model, known: Rows, fresh: Rows, how: HoldOut | None) -> GeneralizationGap | None:
    """Losses of training and of held-out data at nine levels, with noise of their own, without their contexts.

    Where whole groups were held out, the losses are means over each group.
    """
    if not model.denoiser.unconditional:
        return None
    denoiser = model.denoiser.conditioned_on(None)
    low, high = (float(x) for x in model.process.level(torch.tensor([0.0, 1.0], dtype=torch.float64)))
    levels = torch.logspace(np.log10(low), np.log10(high), 9)
    objective = DenoisingScoreMatching(LogUniform(low, high))
    groups, count = (None, _LOSSES) if how is None or how.groups is None else (how.groups, 4 * _LOSSES)

    def measured(side: int) -> Tensor:
        x = standard(model, (known, fresh)[side], count).to(model.device)
        return losses_by_level(denoiser, x, objective, levels, side).cpu()

    losses = [*mapped(measured, (0, 1))]
    if groups is not None:
        losses = [metrics.means_of(each, codes[: len(each)]) for each, codes in zip(losses, groups)]
    return None if min(map(len, losses)) < 2 else metrics.loss_gap(levels, *losses)


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
