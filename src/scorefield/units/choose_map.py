"""The choice of the map of one column of numbers or of a category."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..rng import generator
from ..warned import warn_outside
from .candidates import BALANCED, Candidate, shape_of
from .column_map import Base, ColumnMap
from .cycles import on_clock
from .fit_cycle import fit_cycle, stands_out
from .fit_map import ColumnForm, spread_over_cells
from .forms import find_form
from .held_out_gain import folds_of, held_out_log_density
from .normal import normal_cdf
from .wishes import Wish, Wishes

__all__ = ["choose_map"]

_FEW, _SEVERAL = 3, 5  # values that are a category, and that are one where there are rows enough
_ROWS_EACH = 200  # on average
_COMPARED = 8000  # values, at most, by which maps are compared
_ENOUGH = 40  # values, below which there is no quantile map
_NORMAL = 0.015  # Kolmogorov-Smirnov distance, below which states count as normal; 1.36 / √n is its 95 % quantile
_MANY = 5000  # values, of which a quantile map costs next to nothing
_STRAIGHT = 1e-6  # of the largest value: over a smaller range a logarithm is a straight line, and digits are lost in it
_FEW_LEVELS = 8  # atoms next to other values, at most, that are levels of a category
_GAIN = 0.01  # nats a value that a map gains at least over a simpler one that knows the same bounds


def choose_map(
    values: np.ndarray, wish: Wish, distinct_rows: int = -1, wishes: Wishes | None = None, straight: bool = False
) -> tuple[ColumnMap, str]:
    """The map of a column and why, in words.

    Arguments:
        values: Those that are not missing, `(n,)`; codes for a category.
        wish: What was asked for.
        distinct_rows: The number of distinct rows of the table.
        wishes: What is asked of all columns: the seed of places in cells and of what is held out; what a map must gain.
            Smooth densities of two or three modes, with edges or with moderate tails, gain less than 0.1 nats a value by a
            quantile map, and small networks learn them better as they are.
        straight: Whether what is not an atom has location and scale alone, without bounds that were not declared.

    Returns:
        The map, and the reason.

    Raises:
        ValueError: If what was asked for does not fit the values.

    Example:
        >>> choose_map(np.arange(400) % 2.0, Wish())[1], choose_map(np.arange(400) % 4.0, Wish())[1]
        ('learned as a category: one of 0, 1', 'atoms: 4 values')
    """
    if wish.levels == 1 or not len(values):
        return ColumnMap(constant=0.0), "constant: one level" if len(values) else "no values: nothing is drawn"
    if wish.levels:
        return ColumnMap(levels=wish.levels), f"category: {wish.levels} levels"
    _check(values, wish)
    if values.min() == values.max():
        return ColumnMap(constant=float(values[0])), f"constant: always {wish.spelled(values[0])}"
    form = find_form(values, _bounds(values, wish), distinct_rows, wish.week is not None)
    wishes = wishes or Wishes()
    if wish.transform == "log" and wish.bounds == (None, None):  # the logarithm of what is asked for, with one bound
        form = replace(form, upper=None) if values.min() >= 0 else replace(form, lower=None)
    if form.discrete and _is_category(len(form.values), len(values)):
        levels = len(form.values)
        said = f"learned as a category: one of {', '.join(map(wish.spelled, form.values))}"
        return replace(form.plain, levels=levels), said
    if form.discrete:
        return form.plain, f"atoms: {len(form.values)} values"
    form, said = _with_cycle(form, values, wish)
    if straight:
        form = replace(form, lower=wish.bounds[0], upper=wish.bounds[1])
    line = spread_over_cells(values, form, generator(wishes.seed))
    column, reason = _continuous(line, form, wish, (wishes.seed, wishes.gain, wishes.cautious), straight)
    return replace(column, separate=_is_separate(form, values)), _described(form, reason, wish) + said


def _is_category(values: int, rows: int) -> bool:
    """Whether a column of nothing but a few values is a category: of so few, or of more where there are rows for each.

    A category knows no order, which few rows need. But a network blurs numbers, which weakens what depends on them, and the
    log-probability of a category takes one evaluation, where that of an interval is a mean over places.
    """
    return values <= _FEW or (values <= _SEVERAL and rows >= _ROWS_EACH * values)


def _is_separate(form: ColumnForm, values: np.ndarray) -> bool:
    """Whether a category says which atom a value is: of few atoms beyond all other values, or of dates with a cycle.

    Many preferred values would be many levels, which know no order.
    """
    return 0 < len(form.values) <= _FEW_LEVELS and (form.cycle is not None or not len(_inside(form.values, values)))


def _inside(atoms: Sequence[float], values: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """The atoms that lie among other values, or nearer to these than a margin."""
    found, rest = np.array(atoms), values[~np.isin(values, atoms)]
    inside: np.ndarray = found[(found > rest.min() - margin) & (found < rest.max() + margin)]
    return inside


def _with_cycle(form: ColumnForm, values: np.ndarray, wish: Wish) -> tuple[ColumnForm, str]:
    """What is known of a column of dates, with its cycle, and that in words; with a warning where another map was asked for.

    Dates that many rows share are atoms where they lie more than a week away from others, or are too frequent for their weekday
    and time of day.
    """
    if wish.week is None:
        return form, ""
    among = _inside(form.values, values, wish.week[1])
    near = values[np.isin(values, among) | ~np.isin(values, form.values)]
    clock = None if wish.clock is None else torch.tensor(wish.clock, dtype=torch.float64)
    shown, dates = on_clock(near, clock), on_clock(among, clock)
    found = fit_cycle(shown, wish.week)
    usual = among[:0] if found is None else among[~stands_out(dates, shown, found[0], wish.week[1])]
    kept = [(atom, p) for atom, p in zip(form.values, form.probabilities) if atom not in usual]
    if len(usual) < len(among):
        found = fit_cycle(shown[np.isin(near, usual) | ~np.isin(near, among)], wish.week)
    if found is None:
        return form, ""
    if wish.transform != "auto":
        what = f"the weekdays or the times of day of column {wish.name!r} are not learned, as another map was asked for"
        warn_outside(f"{what}, so that samples lie at other times, too")
        return form, ", days and weeks are not learned"
    atoms, shares = tuple(atom for atom, _ in kept), tuple(p for _, p in kept)
    return replace(form, values=atoms, probabilities=shares, cycle=found[0], clock=clock), f", {found[1]}"


def _check(values: np.ndarray, wish: Wish) -> None:
    """Whether values are finite and within their bounds."""
    if not np.isfinite(values).all():
        raise ValueError(f"column {wish.name!r} holds infinite values: make them missing, or leave out these rows")
    low, high = wish.bounds
    for bound, outside in (
        (low, low is not None and values.min() < low),
        (high, high is not None and values.max() > high),
    ):
        if outside:
            worst = values.min() if bound == low else values.max()
            ends = ", ".join("none" if end is None else wish.spelled(end) for end in (low, high))
            what = f"column {wish.name!r} is declared to be in [{ends}] and holds {wish.spelled(worst)}"
            raise ValueError(f"{what}: widen the bounds, or leave out these rows")


def _bounds(values: np.ndarray, wish: Wish) -> tuple[float | None, float | None]:
    """The declared bounds, or those that a transform needs: 0 for a logarithm, 0 and 1 for a logit."""
    low, high = float(values.min()), float(values.max())
    what, holds = f"column {wish.name!r} needs", f"it holds {wish.spelled(low)} to {wish.spelled(high)}"
    if wish.transform == "logit" and None in wish.bounds:
        if wish.bounds != (None, None) or low < 0 or high > 1:
            raise ValueError(f"the logit of {what} values in [0, 1] or two bounds, {holds}: give it bounds=(…, …)")
        return 0.0, 1.0
    if wish.transform == "log" and None not in wish.bounds:
        raise ValueError(
            f"the logarithm of {what} one bound, it has two, {wish.bounds}: leave one out, or ask for 'logit'"
        )
    if wish.transform != "log" or wish.bounds != (None, None):
        return wish.bounds
    if low < 0 < high:
        raise ValueError(f"the logarithm of {what} values of one sign, {holds}: give it bounds, or leave it out of log")
    return (0.0, None) if low >= 0 else (None, 0.0)


def _base_of(form: ColumnForm) -> Base:
    """The coordinates that know the bounds."""
    count = (form.lower is not None) + (form.upper is not None)
    bases: tuple[Base, ...] = ("affine", "log", "logit")
    return bases[count]


def _continuous(
    line: np.ndarray, form: ColumnForm, wish: Wish, setting: tuple[int, float, bool], straight: bool
) -> tuple[ColumnMap, str]:
    """The map of what is not an atom: the one that was asked for, or the one that held-out values choose."""
    bounded = _base_of(form)
    if straight:
        return Candidate(form, "affine", False).fit(line), "affine"
    if wish.transform == "auto":
        chosen, gain = _best(line, _candidates(line, form, bounded), *setting)
        why = f"held-out values {gain:.2g} nats likelier" if gain > _GAIN else "held-out values as likely, none far out"
        why = "" if chosen.is_affine else why
    else:
        asked: Base = "affine" if wish.transform in ("affine", "quantile") else bounded
        chosen, why = Candidate(form, asked, wish.transform == "quantile"), "as asked"
    return chosen.fit(line), chosen.words(line, why, wish)


def _best(
    line: np.ndarray, candidates: Sequence[Candidate], seed: int, gain: float, cautious: bool
) -> tuple[Candidate, float]:
    """The first map, or a later one under which held-out values are clearly more likely, by 2 standard errors at least.

    A quantile map brings values far out nearer, which networks learn more easily, but stretches densities that end in
    edges. It replaces an affine map of values that are neither skewed nor heavy-tailed for a large gain only. Where there
    are many values, it replaces one that leaves them so, or a logarithm that leaves states other than normal, also if
    nothing is gained. With `cautious`, every map must gain much to replace the affine one.

    Returns:
        The candidate, and how much more likely a value is than under the first one, in nats.
    """
    best = candidates[0]
    if len(candidates) == 1 or len(line) < 2 * len(candidates):
        return best, 0.0
    part = line[generator(seed).permutation(len(line))[:_COMPARED]]
    fold = folds_of(part, seed)
    first = found = held_out_log_density(part, best.fit, seed, fold)
    keeps = _keeps(best, line)
    for candidate in candidates[1:]:
        value = held_out_log_density(part, candidate.fit, seed, fold)
        more = value - found
        needed = max(_GAIN, _errors(more))
        if cautious and best.is_affine:
            needed = max(gain, needed)
        elif candidate.spline and not best.spline:
            if best.is_affine and keeps:
                needed = max(gain, needed)
            elif not keeps and len(line) >= _MANY:
                needed = -_GAIN
        if more.mean() > needed:
            best, found = candidate, value
            keeps = _keeps(best, line)
    return best, float((found - first).mean())


def _keeps(candidate: Candidate, line: np.ndarray) -> bool:
    """Whether its states are fine as they are: of an affine map neither skewed nor heavy-tailed, of another one normal."""
    z = np.sort(candidate.states(line))
    if candidate.is_affine:
        return shape_of(z) == BALANCED
    p = normal_cdf(torch.from_numpy(z)).numpy()
    distance = np.abs(p - (np.arange(len(z)) + 0.5) / len(z)).max()
    return bool(distance < max(_NORMAL, 1.36 / math.sqrt(len(z))))


def _errors(values: np.ndarray) -> float:
    """Two standard errors of the mean."""
    return 2 * float(values.std()) / math.sqrt(len(values))


def _candidates(line: np.ndarray, form: ColumnForm, bounded: Base) -> list[Candidate]:
    """The maps that are compared, simple ones first."""
    found = [Candidate(form, bounded, False)]
    positive = replace(form, lower=0.0)
    # no value of a lattice next to 0, which has no logarithm
    curved = line.min() > form.step and np.ptp(line) > _STRAIGHT * line.max()
    if bounded == "affine" and curved:
        found.append(Candidate(positive, "log", False))
    if len(line) >= _ENOUGH:
        found += [Candidate(form, "affine", True)]
        found += [Candidate(form, bounded, True)] if bounded != "affine" else []
        found += [Candidate(form, "affine", True, True)] if form.step > 0 and form.cycle is None else []
    return found


def _described(form: ColumnForm, reason: str, wish: Wish) -> str:
    """The reason, with atoms and lattice."""
    parts = []
    if form.values:
        order = np.argsort(form.probabilities)[::-1]
        shown = ", ".join(f"{wish.spelled(form.values[i])} ({100 * form.probabilities[i]:.2g} %)" for i in order[:3])
        parts.append(f"atoms at {shown}{f' and {len(order) - 3} more values' if len(order) > 3 else ''}, else {reason}")
    else:
        parts.append(reason)
    if form.lattice[1]:
        parts.append(wish.spacing(form.lattice[1] / form.lattice[2]))
    return ", ".join(parts)
