"""What an evaluation means, in plain words, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from ..display import joined
from .base import Evaluation, Verdict
from .findings import conditionals_advice, conditionals_finding, range_finding, table_findings

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
        steps: How many steps training had; 0 if it is not known.
        seconds: How long it took.
    """

    level: Sequence[float]
    step: Sequence[int]
    loss: Sequence[Sequence[float]]
    steps: int = 0
    seconds: float = 0.0


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


def verdict(found: Evaluation, history: LossHistory | None, unseen: bool) -> Verdict:
    """What to conclude, why, and what to do; `unseen` says whether samples were compared with held-out data.

    All of it follows from the tests that `found.rejected` has, at one level for all, so that no part contradicts another. What
    to do follows from what was found: more training is advised where training was too short to be judged, and where nothing
    else explains the difference.
    """
    short = _apart(found) and _short(history)
    faults = table_findings(found)
    advice = list(faults)
    if short or _overfitted(found, unseen) or not faults:
        advice.append(_advice(found, history, unseen))
    advice += [range_finding(found), conditionals_advice(found)]
    drift = "" if found.drift is None else found.drift.sentence
    twin = "" if short else _twin(found)
    reasons = [_difference(found, unseen), _condition(found), _copies(found, unseen), drift, *_utility(found), twin]
    reasons.append(conditionals_finding(found))
    advice.append(_few(found))
    details = [f"Held out: {found.split}." if found.split else "", _power(found)]
    parts = ([sentence for sentence in several if sentence] for several in (reasons, advice, details))
    return Verdict(_conclusion(found, unseen, short) + _but(found), *map(tuple, parts))


def _apart(found: Evaluation) -> bool:
    """Whether samples differ from real data: by tests, or by distances where there are none."""
    return bool(found.rejected) if found.tests else any(not d.covered for d in found.distances)


def _short(history: LossHistory | None) -> bool:
    """Whether training ended before it could be seen whether the loss still falls."""
    return history is not None and len(history.loss) < _MEASURED


def _conclusion(found: Evaluation, unseen: bool, short: bool) -> str:
    """What to conclude, in a sentence."""
    apart, tests = _apart(found), len(found.tests)
    if unseen and found.copies_suspected:
        return "The model copies training data: do not use its samples as new data."
    if short:
        return "The model is not trained enough yet: its samples differ from real data."
    if found.drift is not None and found.drift.drifts and found.drift.fits and apart:
        return "The samples fit the rows the model was trained on, but the data drift: later rows differ."
    if apart:
        return "The samples differ from real data in ways that the tests can see."
    real = "held-out data" if unseen else "the training data"
    if not tests:
        return f"No difference between samples and {real} was found, but there are too few data for tests."
    return f"No difference between samples and {real} was found."


def _but(found: Evaluation) -> str:
    """What a conclusion about samples must not hide."""
    if _apart(found) or found.conditionals is None or not found.conditionals.rejected:
        return ""
    return " But values that are drawn given others differ from held-out ones."


def _condition(found: Evaluation) -> str:
    """Whether samples follow what was asked for."""
    check = found.condition
    if check is None:
        return ""
    own, real = (float(np.average(each, weights=check.counts)) for each in (check.samples, check.real))
    fails = check.distance.name in {d.name for d in found.rejected}
    said = "Samples do not follow their condition" if fails else "Samples follow their condition as real data do"
    worst = check.labels[int(np.argmax(check.samples - check.real))]
    least = f"; the difference is largest for {worst}" if fails and len(check.labels) > 1 else ""
    if check.classes:
        what = f"a classifier recognizes the class asked for in {100 * (1 - own):.3g} % of the samples"
        return f"{said}: {what}, and in {100 * (1 - real):.3g} % of the held-out data{least}."
    what = f"the condition is predicted from samples with a mean error of {own:.3g} standard deviations"
    return f"{said}: {what}, from held-out data of {real:.3g}{least}."


def _twin(found: Evaluation) -> str:
    if found.twin is None or found.twin.p_value is None or found.twin.p_value >= _SURE:
        return ""
    return (
        f"Another sampler gives different samples ({found.twin.note}): the learned score is not that of one distribution; "
        "scorefield compare shows which sampler is closer to the data."
    )


def _few(found: Evaluation) -> str:
    """That too few rows were held out for tests, where that is so."""
    if not 0 < found.fresh < FEWEST or (found.tests and not found.rows):
        return ""
    what = "independent rows are" if found.split else "rows are"
    more = "; those against all rows say nothing about overfitting" if found.rows else ""
    return f"Only {found.fresh} {what} held out, and tests against held-out rows need {FEWEST}: hold out more{more}."


def _power(found: Evaluation) -> str:
    """What could have been found."""
    if found.smallest is None:
        return ""
    return found.smallest.in_words("the tests find" if found.tests else "tests of moments and marginals would find")


def _difference(found: Evaluation, unseen: bool) -> str:
    """How many tests find a difference, and which one most clearly."""
    real = "held-out data" if unseen else "the training data"
    tests, rejected = found.tests, found.rejected
    if not tests:
        apart = [d for d in found.distances if not d.covered]
        if not apart:
            names = " and ".join(d.name for d in found.distances)
            return f"By {names}, the samples are as close to {real} as other real data are."
        worst = apart[0]
        return (
            f"The {worst.name} between samples and {real} is {worst.value:.3g}; between two sets of real data it is rarely "
            f"more than {worst.high:.3g}."
        )
    if not rejected:
        n, m = tests[0].counts
        if found.rows and m == found.rows:  # too few are held out for other tests
            return f"None of {len(tests)} tests of {_whole(found)} distinguishes the samples from all {m:,} rows."
        more = f", nor, by {_whole(found)}, from all {found.rows:,} rows" if found.rows else ""
        n, m = found.distances[0].counts
        return f"None of {len(tests)} tests distinguishes {n:,} samples from {m:,} rows of {real}{more}."
    least = [d for d in rejected if (d.p_value or 0.0) <= max(rejected[0].p_value or 0.0, _TIED)]
    where = {each.distance.name for each in found.families} | {each.distance.name for each in found.curves}
    telling = [d for d in least if d.name in where] or least  # these say where the difference is
    first = max(telling, key=lambda d: (d.value - d.floor) / max(d.high - d.low, 1e-300))
    why = f": {first.note.partition('; the value is')[0]}" if first.note else ""  # no value is given here
    return (
        f"{len(rejected)} of {len(tests)} tests find{'s' if len(rejected) == 1 else ''} a difference. "
        f"The clearest is in the {first.name} (p = {first.p_value:.2g}){why}."
    )


def _whole(found: Evaluation) -> str:
    """What is tested against all rows."""
    return joined([each.distance.name.partition(",")[0] for each in found.families if each.against == "all rows"])


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
    return f"{equal.said}; {visible}"


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
    if not _apart(found) or history is None:
        return ""
    if _short(history):
        return _longer(history)
    if found.drift is not None and found.drift.drifts and found.drift.fits:
        return ""
    still = still_falling(history)
    if still is None:
        return (
            "The held-out loss has stopped falling at every noise level, so that more time alone will help little. Try a "
            "larger network or more data; scorefield compare shows whether more steps of the sampler help."
        )
    low, high, drop = still
    return (
        f"Train longer: the held-out loss at noise levels {low:.2g} to {high:.2g} was still falling when the budget ended "
        f"(by {100 * drop:.2g} % over its last quarter)."
    )


def _longer(history: LossHistory) -> str:
    """That training was too short to be judged."""
    steps = history.steps or (max(history.step) if len(history.step) else 0)
    after = f" after {steps:,} step{'s' * (steps != 1)}" if steps else ""
    took = f" ({history.seconds:.2g} s)" if 0 < history.seconds < 100 else ""
    return (
        f"Train longer: training ended{after}{took}, too early to see whether the loss still falls. Fit again into a new "
        "folder with the default budget, or a larger one such as --minutes 10."
    )
