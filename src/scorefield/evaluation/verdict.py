"""What an evaluation means, in plain words, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from .base import Evaluation
from .findings import table_findings

__all__ = ["FEWEST", "LossHistory", "still_falling", "verdict"]

_DROP = 0.005  # of a loss over the last quarter of training: what counts as falling
FEWEST = 20  # held-out rows that tests need
_MEASURED = 8  # measurements during training that a trend needs
_SURE = 0.01  # level of the test between two samplers
_TIED = 1 / 400  # p-values below it are alike: those of permutations reach 1/500, others any number


@dataclass(frozen=True)
class LossHistory:
    """The held-out loss while training, by noise level.

    Arguments:
        level: The borders of parts of the noise levels, P + 1 of them, in standard deviations of the data.
        step: T steps.
        loss: The losses after them, `(T, P)`.
    """

    level: Sequence[float]
    step: Sequence[int]
    loss: Sequence[Sequence[float]]


def still_falling(history: LossHistory) -> tuple[float, float, float] | None:
    """Where the held-out loss was still falling when training ended: the levels, and by what part in its last quarter.

    A part of the levels counts if its loss fell by half a percent or more and ended at its lowest; of neighbouring parts that
    do, the levels together, and the largest drop.

    Example:
        >>> losses = [[1.0, 1.0 - 0.02 * t] for t in range(20)]
        >>> still_falling(LossHistory([0.01, 0.1, 10.0], range(20), losses))  # doctest: +ELLIPSIS
        (0.1, 10.0, 0.11...)
    """
    losses = np.asarray(history.loss, dtype=float)
    if len(losses) < _MEASURED:
        return None
    late = losses[len(losses) * 3 // 4]
    drop = (late - losses[-1]) / np.abs(late)
    down = (drop > _DROP) & (losses[-3:].min(0) <= losses.min(0))
    found, start = [], 0
    for still, members in groupby(down):
        stop = start + len(list(members))
        if still:
            found.append((float(history.level[start]), float(history.level[stop]), float(drop[start:stop].max())))
        start = stop
    return max(found, key=lambda part: part[2]) if found else None


def verdict(found: Evaluation, history: LossHistory | None, unseen: bool) -> tuple[str, ...]:
    """The sentences; `unseen` says whether samples were compared with held-out data.

    All of them follow from the tests that `found.rejected` has, at one level for all, so that none contradicts another. What
    to do follows from what was found: more training is advised only where nothing else explains the difference.
    """
    drift = "" if found.drift is None else found.drift.sentence
    said = [_quality(found, unseen), *_held_out(found), _power(found), drift, *_utility(found), _copies(found, unseen)]
    if found.twin is not None and found.twin.p_value is not None and found.twin.p_value < _SURE:
        said.append(
            f"Another sampler gives different samples ({found.twin.note}): the score is not that of one distribution; "
            "scorefield compare shows which sampler is closer to the data."
        )
    faults = table_findings(found)
    if _overfitted(found, unseen) or not faults:
        faults = (*faults, _advice(found, history, unseen))
    return tuple(sentence for sentence in (*said, *faults) if sentence)


def _held_out(found: Evaluation) -> tuple[str, ...]:
    """How rows were held out, and that too few were, where that is so."""
    said = (f"Held out: {found.split}.",) if found.split else ()
    if not 0 < found.fresh < FEWEST or (found.tests and not found.rows):
        return said
    what = "independent rows are" if found.split else "rows are"
    more = "; those against all rows say nothing about overfitting" if found.rows else ""
    few = f"Only {found.fresh} {what} held out, and tests against held-out rows need {FEWEST}: hold out more{more}."
    return (*said, few)


def _power(found: Evaluation) -> str:
    """What could have been found."""
    if found.smallest is None:
        return ""
    return found.smallest.in_words("the tests find" if found.tests else "tests of moments and marginals would find")


def _quality(found: Evaluation, unseen: bool) -> str:
    real = "unseen data" if unseen else "the training data"
    tests, rejected = found.tests, found.rejected
    if not tests:
        apart = [d for d in found.distances if not d.covered]
        if not apart:
            names = " and ".join(d.name for d in found.distances)
            return f"By {names}, the samples are as close to {real} as other real data are; there are too few data for tests."
        worst = apart[0]
        return (
            f"The samples differ from real data: their {worst.name} is {worst.value:.3g}, that between sets of real data "
            f"is rarely more than {worst.high:.3g}."
        )
    if not rejected:
        n, m = tests[0].counts
        if found.rows and m == found.rows:  # too few are held out for other tests
            return f"None of {len(tests)} tests of moments and marginals distinguishes the samples from all {m:,} rows."
        more = f", nor, by moments and marginals, from all {found.rows:,} rows" if found.rows else ""
        return f"None of {len(tests)} tests distinguishes the samples from {real}, {n:,} against {m:,}{more}."
    least = [d for d in rejected if (d.p_value or 0.0) <= max(rejected[0].p_value or 0.0, _TIED)]
    where = {each.distance.name for each in found.families} | {each.distance.name for each in found.curves}
    telling = [d for d in least if d.name in where] or least  # these say where the difference is
    first = max(telling, key=lambda d: (d.value - d.floor) / max(d.high - d.low, 1e-300))
    why = f": {first.note}" if first.note else ""
    return (
        f"{len(rejected)} of {len(tests)} tests distinguish{'es' if len(rejected) == 1 else ''} the samples from real data. "
        f"The clearest is {first.name} (p = {first.p_value:.2g}){why}."
    )


def _copies(found: Evaluation, unseen: bool) -> str:
    if not unseen:
        return "Nothing was held out: whether samples are copies of training data cannot be tested; hold out a part."
    if found.copies_suspected:
        equal = found.neighbours.equal
        counted = (
            f" {equal.count:,} of {equal.samples:,} samples equal a training row." if equal and equal.count else ""
        )
        return (
            "Some samples lie closer to the training data than chance explains: the model has begun to memorize them."
            f"{counted}"
        )
    same = f"No copies of training data were found: {_visible_copies(found)}"
    if found.gap is not None and found.gap.suspicious:
        return f"{same} But {found.gap.verdict[0].lower()}{found.gap.verdict[1:]}"
    return same


def _visible_copies(found: Evaluation) -> str:
    """How many samples equal training rows, and which shares of copies would have been found."""
    near, private = found.neighbours, None if found.table is None else found.table.privacy
    if near.equal is not None and private is not None and private.equal is not None and not found.split:
        least = min(near.smallest_equal, private.equal.smallest)
        near = replace(near, equal=replace(private.equal, smallest=least))
    equal, visible = near.equal, near.what_is_visible
    if equal is None:
        return "what share of copies would have been found is not known."
    return (
        f"{equal.count:,} of {equal.samples:,} samples equal a training row, and {equal.real:,} of {equal.rows:,} real rows "
        f"equal another; {visible}"
    )


def _utility(found: Evaluation) -> tuple[str, ...]:
    """Where real rows teach more than samples do, as a sentence."""
    utility = None if found.table is None else found.table.utility
    if utility is None or not utility.worse:
        return ()
    return (
        f"Boosted trees that learned from samples predict {utility.target} less well than trees that learned from as many "
        f"real rows: {utility.statistic} {utility.samples:.3g} against {utility.real:.3g}, on held-out rows.",
    )


def _overfitted(found: Evaluation, unseen: bool) -> bool:
    return unseen and (found.copies_suspected or (found.gap is not None and found.gap.suspicious))


def _advice(found: Evaluation, history: LossHistory | None, unseen: bool) -> str:
    if _overfitted(found, unseen):
        return "Use more data, a smaller network, or a shorter budget."
    apart = bool(found.rejected) if found.tests else any(not d.covered for d in found.distances)
    if not apart or history is None or len(history.loss) < _MEASURED:
        return ""
    still = still_falling(history)
    if found.drift is not None and found.drift.drifts and found.drift.fits:
        return ""
    if still is None:
        return (
            "The held-out loss has stopped falling at every noise level: more time alone will help little; a larger "
            "network or more data may, and scorefield compare shows whether more steps of the sampler do."
        )
    low, high, drop = still
    return (
        f"More training: the held-out loss at levels {low:.2g} to {high:.2g} was still falling when the budget ended "
        f"(by {100 * drop:.2g} % over its last quarter)."
    )
