"""What is measured of a model, by what suits its data."""

from __future__ import annotations

import math
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
from ..data.rows import Joined
from ..distributed import each
from ..fitting.splitting import chosen_split
from ..metrics import DISTANCES, Distance, GeneralizationGap, Neighbours, Pool, SmallestDefects
from ..metrics.moments import directions
from ..model import Model
from ..objectives import DenoisingScoreMatching, LogUniform
from ..progress import mapped, parts
from ..samplers import Sampling, flow_sampling, sde_sampling
from ..settings import Data
from ..training import losses_by_level
from .base import Conditionals, Evaluation
from .conditionals import check_conditionals
from .drawing import drawn
from .drift import drift_of
from .hold_out import HoldOut
from .tables import table_columns
from .testing import RealData, Tested, standard, vectors_of
from .verdict import FEWEST, LossHistory, verdict

__all__ = ["DISTANCES", "evaluate", "standard"]

_TOGETHER = ': fit again with split="distinct" (--split distinct), which keeps copies of a row together'
_LOSSES = 256  # data whose losses are compared
_SHOWN = {True: 2000, False: 64}  # samples that are kept for pictures: of vectors, of grids
_AXES = 12  # principal directions of grids of which the smallest defects are known
_SHARES = {
    "drawing samples": 4,
    "tests": 9,
    "drift": 0.5,
    "search for copies": 1,
    "losses": 1,
    "drawing with another sampler": 2,
    "conditionals": 3,
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
    values, a test with boosted trees, utility and privacy; models that know conditionals, values drawn given others
    (`check_conditionals`). Distances of vectors and grids are in standard deviations of the data. Samples of models of complete
    rows are compared before what they miss is drawn. Tables with categories or missing values become vectors by
    `metrics.table_features`.

    Processes that `torchrun` has started share the drawing and the losses, if all of them ask for the same.

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
    model.schema.require_one_length(
        "evaluate", "compare samples with held-out rows yourself, or take model.log_prob(x)"
    )
    known, fresh, unseen = _rows_of(model, train, held_out)
    vectors = len(model.schema.inner_shape) == 1
    count = (2000 if vectors else 1000) if count is None else count
    step, how = parts(_SHARES), how if unseen else None
    with step("drawing samples"):
        packed = _timed(model, count, seed)
    samples, matched = model.schema.rows(packed[0]), matched and not (how and how.later)
    data = RealData(model, known, fresh, matched, how, own, target)
    with step("tests"):
        tested = data.test(samples)
    (few, single), vector = data.independent(), vectors_of(model, known)
    new, real, learned = vector(samples, count), vector(single, 2 * count), vector(few, None)
    with step("drift"):
        drift = None if how is None or how.order is None else drift_of(new, learned, real, how.order)
    enough, table = min(len(new), len(real)) >= FEWEST, tested.table
    with step("search for copies"):
        neighbours = _copies(model, (samples, known, fresh), vector, unseen and matched, how)
    with step("losses"):
        gap = _gap(model, known, fresh, how) if unseen and matched and (enough or how) else None
    with step("drawing with another sampler"):
        twin = _twin(model, new, vector, seed)
    with step("conditionals"):
        checked = check_conditionals(model, known, fresh, how, seed) if unseen else None
    found = Evaluation(
        count=count,
        seconds=packed[1],
        chosen=_chosen(model, enough, tested, checked),
        distances=tested.distances,
        families=tested.families,
        curves=tested.curves,
        neighbours=neighbours,
        gap=gap,
        twin=twin,
        samples=model.schema.unpack(packed[0], torch.float64 if table else torch.float32)[: _SHOWN[vectors]].numpy(),
        table=table,
        rows=tested.rows,
        fresh=len(single),
        split=_overlap(known, fresh) if how is None and unseen else "" if how is None else how.said,
        drift=drift,
        condition=tested.condition,
        conditionals=checked,
    )
    with step("power of the tests"):
        smallest = _smallest(found, torch.cat([real, learned[: len(real) if enough else 400]]), vectors, enough)
    return _with_verdict(replace(found, smallest=smallest), history, unseen)


def _with_verdict(found: Evaluation, history: LossHistory | None, unseen: bool) -> Evaluation:
    summary = verdict(found, history, unseen)
    return replace(found, verdict=summary.sentences, summary=summary)


def _overlap(known: Rows, fresh: Rows) -> str:
    """What is to be said of held-out rows that are copies of training rows; "" if a tenth of them or fewer are."""
    train, held_out = (row_hashes(rows) for rows in (known, fresh))
    both = int(np.isin(held_out, train).sum())
    codes = repeats_of(rows := Joined(known, fresh)).codes if 10 * both > len(held_out) else None
    both = 0 if codes is None else int(np.isin(codes[len(known) :], codes[: len(known)]).sum())
    if 10 * both <= len(held_out):
        return ""
    what = f"{len(held_out):,} rows, of which {both:,} are copies of training rows, so that overfitting cannot be seen"
    together = chosen_split(None, rows, Data(held_out=len(fresh) / len(rows)), 0).groups is not None
    return what + (_TOGETHER if together else "")


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
    new, learned, real = vector(samples, len(samples)), vector(near, None), vector(far, None)
    groups = None
    if how is not None and how.groups is not None and how.named:
        groups = [codes[: len(x)] for codes, x in zip(how.groups, (learned, real))]
    matched = matched and not model.schema.table
    return metrics.memorization(new, learned, real, keys=keys, matched=matched, groups=groups)


def _timed(model: Model, count: int, seed: int) -> tuple[Any, float]:
    start = time.perf_counter()
    packed = model.schema.pack(drawn(model, count, seed)[0])
    return packed, time.perf_counter() - start


def _parts(rows: Rows) -> Iterator[np.ndarray]:
    """All rows in the units of the data, by parts."""
    return (x.numpy() for x in rows.chunks(8192, torch.float64))


def _smallest(found: Evaluation, real: Tensor, vectors: bool, tested: bool) -> SmallestDefects | None:
    """The smallest defects that the tests find at these sizes; those of grids along their principal directions.

    Where too few rows are held out for tests, what tests of moments and marginals alone would find with them.
    """
    if tested and not found.tests:
        return None
    features, where = real.flatten(1).shape[1], "column" if vectors else "principal direction"
    if not vectors:
        flat = real.flatten(1)
        real = flat @ directions(flat, _AXES)
    held_out = next(d.counts[1] for d in found.distances) if tested else found.fresh
    sides = [*([held_out] if tested or not found.rows else []), *([found.rows] if found.rows else [])]
    pairs = max(
        (len(each.labels) for each in found.families if each.distance.name.startswith("associations")), default=0
    )
    return metrics.smallest_defects(real, found.count, sides, len(found.tests) or 2, where, features, pairs)


def _chosen(model: Model, enough: bool, tested: Tested, conditionals: Conditionals | None) -> str:
    shape = model.schema.shape
    by = " x ".join(map(str, shape))
    what = f"vectors of {by} numbers" if len(model.schema.inner_shape) == 1 else f"grids of shape {by}"
    what = f"series of {by} values" if len(shape) == 1 and len(model.schema.inner_shape) == 2 else what
    what = what if table_columns(model.schema) is None else f"tables of {model.schema.inner_shape[0]} columns"
    if not enough:
        what = what.replace("tables of", "rows of")
        return f"Fewer than {FEWEST} {what} on a side: distances alone, for tests would have no power."
    parts = [
        "moments, marginal distributions, a classifier, energy, kernel and transport distances, precision and recall"
    ]
    families, curves = tested.families, tested.curves
    parts += ["agreement with the condition"] if tested.condition is not None else []
    parts += [", ".join(each.distance.name for each in families)] if families else []
    parts += [", ".join(each.name for each in curves)] if curves else []
    parts += ["boosted trees, utility and privacy"] if table_columns(model.schema) is not None else []
    parts += ["values given others"] if conditionals is not None else []
    gaps = ", with values missing as in the data, before they are drawn given the rest" if model.schema.complete else ""
    return f"On {what}{gaps}: {'; '.join(parts)}."


def _gap(model: Model, known: Rows, fresh: Rows, how: HoldOut | None) -> GeneralizationGap | None:
    """Losses of training and of held-out data at nine levels, with noise of their own, without their contexts.

    Where whole groups were held out, the losses are means over each group.
    """
    if not model.denoiser.unconditional or model.denoiser.distilled_from is not None:
        return None
    denoiser = model.denoiser.conditioned_on(None)
    low, high = (float(x) for x in model.process.level(torch.tensor([0.0, 1.0], dtype=torch.float64)))
    levels = torch.logspace(np.log10(low), np.log10(high), 9)
    objective = DenoisingScoreMatching(LogUniform(low, high))
    groups, count = (None, _LOSSES) if how is None or how.groups is None else (how.groups, 4 * _LOSSES)

    def measured(side: int) -> Tensor:
        x = standard(model, (known, fresh)[side], count).to(model.device)
        return losses_by_level(denoiser, x, objective, levels, side, each=each).cpu()

    losses = [*mapped(measured, (0, 1))]
    if groups is not None:
        losses = [metrics.means_of(each, codes[: len(each)]) for each, codes in zip(losses, groups)]
    return None if min(map(len, losses)) < 2 else metrics.loss_gap(levels, *losses)


def _twin(model: Model, new: Tensor, vector: Callable[[Rows, int | None], Tensor], seed: int) -> Distance | None:
    """The model's samples against others of its own, drawn with fresh noise if those are not, and without if they are.

    None for a model that was distilled, which has no other samplers.
    """
    if model.denoiser.distilled_from is not None:
        return None
    few = _TWINS[len(model.schema.inner_shape) == 1]
    sampling, name = _other(model)
    other = model.schema.pack(drawn(model, min(few, len(new)), seed + 1, sampling)[0])
    count = min(len(new), 2 * few)
    found = metrics.energy_test(Pool.of(new[:count], vector(model.schema.rows(other), few)))
    note = f"energy test of {count:,} samples against {found.counts[1]:,} drawn {name}, p = {found.p_value:.2g}"
    return replace(found, name="two ways of sampling", note=note)


def _other(model: Model) -> tuple[Sampling, str]:
    """The probability flow for a sampler that draws noise, the reverse SDE for a deterministic one; and its name."""
    steps = max(24, model.steps)
    if model.sampler.deterministic:
        return sde_sampling(model.process, 2 * steps), "by the reverse SDE"
    return flow_sampling(model.process, steps), "by the probability flow"


def _rows_of(model: Model, train: Any, held_out: Any) -> tuple[Rows, Rows, bool]:
    """Training and held-out data as rows, and whether they differ; an error if too few are held out."""
    known, fresh = (x if isinstance(x, Rows) else model.schema.rows(x) for x in (train, held_out))
    if len(fresh) < 2:
        need, total = f"samples are compared with at least 2 held-out data, got {len(fresh)}", len(known)
        total += len(fresh) if known is not fresh else 0
        if total < 4:
            raise ValueError(f"{need} of {total} rows: fit to more data, 4 rows or more")
        share = f"{max(0.2, math.ceil(20 / total) / 10):g}"
        raise ValueError(f"{need}: fit again with a larger part held out, held_out={share} (--held-out {share})")
    return known, fresh, known is not fresh
