"""The choice of the map of one column of numbers or of a category."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .column_map import Base, ColumnMap
from .fit_map import Form, fit_base, fit_quantile, spread_over_cells
from .forms import find_form
from .held_out_gain import held_out_log_density
from .wishes import Wish

__all__ = ["choose_map"]

_COMPARED = 8000  # values, at most, by which maps are compared
_ENOUGH = 40  # values, below which there is no quantile map
_GAIN = 0.02  # nats a value that a map gains at least over a simpler one that knows the same bounds


def choose_map(
    values: np.ndarray, wish: Wish, distinct_rows: int = -1, seed: int = 0, gain: float = 0.1
) -> tuple[ColumnMap, str]:
    """The map of a column and why, in words.

    Arguments:
        values: Those that are not missing, `(n,)`; codes for a category.
        wish: What was asked for.
        distinct_rows: The number of distinct rows of the table.
        seed: The seed of places in cells and of what is held out.
        gain: What a quantile map must gain over an affine one, in nats a value: smooth densities of two or three modes,
            with edges or with moderate tails, gain less than 0.1, and small networks learn them better as they are.

    Returns:
        The map, and the reason.

    Raises:
        ValueError: If what was asked for does not fit the values.

    Example:
        >>> choose_map(np.arange(400) % 2.0, Wish())[1]
        'atoms: 2 values'
    """
    if wish.levels == 1 or not len(values):
        return ColumnMap(constant=0.0), "constant: one level" if len(values) else "no values: nothing is drawn"
    if wish.levels:
        return ColumnMap(levels=wish.levels), f"category: {wish.levels} levels"
    _check(values, wish)
    if values.min() == values.max():
        return ColumnMap(constant=float(values[0])), f"constant: always {values[0]:.6g}"
    form = find_form(values, wish.bounds, distinct_rows)
    if wish.transform == "log":
        form = _with_bound(form, values, wish)
    if form.discrete:
        return form.plain, f"atoms: {len(form.values)} values"
    line = spread_over_cells(values, form, np.random.default_rng(seed))
    column, reason = _continuous(line, form, wish, (seed, gain))
    return column, _described(form, reason)


def _check(values: np.ndarray, wish: Wish) -> None:
    """Whether values are within their bounds."""
    low, high = wish.bounds
    for bound, outside in (
        (low, low is not None and values.min() < low),
        (high, high is not None and values.max() > high),
    ):
        if outside:
            worst = values.min() if bound == low else values.max()
            what = f"column {wish.name!r} is declared to be in [{low}, {high}] and holds {worst:.6g}"
            raise ValueError(f"{what}: widen the bounds, or leave out these rows")


def _with_bound(form: Form, values: np.ndarray, wish: Wish) -> Form:
    """The form of a column whose logarithm was asked for: with one bound, 0 if none was given."""
    if wish.bounds != (None, None):
        return form
    if values.min() >= 0:
        return replace(form, lower=0.0, upper=None)
    if values.max() <= 0:
        return replace(form, lower=None, upper=0.0)
    what = f"the logarithm of column {wish.name!r} needs values of one sign, it holds {values.min():.6g} to {values.max():.6g}"
    raise ValueError(f"{what}: give it bounds, or leave it out of log")


def _simple(form: Form) -> Base:
    """The coordinates that know the bounds."""
    count = (form.lower is not None) + (form.upper is not None)
    bases: tuple[Base, ...] = ("affine", "log", "logit")
    return bases[count]


def _continuous(line: np.ndarray, form: Form, wish: Wish, setting: tuple[int, float]) -> tuple[ColumnMap, str]:
    """The map of what is not an atom: the one that was asked for, or the one that held-out values choose."""
    simple = _simple(form)
    if wish.transform == "auto":
        chosen, why = _candidates(line, form, simple), ""
        if len(chosen) > 1:
            chosen = [chosen[_best(line, chosen, *setting)]]
    else:
        asked: Base = "affine" if wish.transform in ("affine", "quantile") else simple
        chosen, why = [_Candidate(form, asked, wish.transform == "quantile")], "as asked"
    candidate = chosen[0]
    return candidate.fit(line), candidate.words(line, why)


def _best(line: np.ndarray, candidates: Sequence[_Candidate], seed: int, gain: float) -> int:
    """The first map, or a later one under which held-out values are clearly more likely, by 2 standard errors at least."""
    order = np.random.default_rng(seed).permutation(len(line))[:_COMPARED]
    best, found = 0, np.zeros(0)
    for i, candidate in enumerate(candidates):
        value = held_out_log_density(line[order], candidate.fit, seed)
        needed = (
            gain if candidate.spline and candidates[best].base == "affine" and not candidates[best].spline else _GAIN
        )
        more = value - found if i else value
        if i and more.mean() > max(needed, 2 * float(more.std()) / math.sqrt(len(more))):
            best = i
        if best == i:
            found = value
    return best


@dataclass(frozen=True)
class _Candidate:
    """A kind of map for what is not an atom.

    Arguments:
        form: What is known of the column; with a bound at 0 that only the logarithm needs.
        base: The coordinates.
        spline: Whether a quantile map follows.
    """

    form: Form
    base: Base
    spline: bool

    def fit(self, line: np.ndarray) -> ColumnMap:
        return fit_quantile(line, self.form, self.base)[0] if self.spline else fit_base(line, self.form, self.base)

    def words(self, line: np.ndarray, why: str) -> str:
        """What it is and why."""
        if not self.spline:
            return f"{self.base}{': ' if why or self.base != 'affine' else ''}{why or self._range(line)}"
        _, tails, beyond = fit_quantile(line, self.form, self.base)
        heavy = [tail.heavy for tail in tails]
        ends = [side for side, tail in zip(("below", "above"), tails) if tail.shape < 0]
        shapes = " and ".join(f"{tail.shape:.2g}" for tail in tails if tail.heavy)
        said = [f"generalized Pareto tails of shape {shapes} for the outer {100 * beyond:.2g} %"] if any(heavy) else []
        said += [f"ends at its bound {' and '.join(ends)}"] if ends else []
        said += ["normal tails"] if not said else []
        start = "quantile" if self.base == "affine" else f"quantile of {self.base}"
        return f"{start}: {why or 'not near normal'}, {', '.join(said)}"

    def _range(self, line: np.ndarray) -> str:
        if self.base != "log":
            return "" if self.base == "affine" else "between two bounds"
        low, high = self.form.plain.extent
        distance = line - low if math.isfinite(low) else high - line
        first, last = np.quantile(distance, (0.001, 0.999))
        decades = math.log10(last / max(first, 1e-300))
        side = (
            ("positive" if self.form.lower == 0 else f"above {low:.4g}") if math.isfinite(low) else f"below {high:.4g}"
        )
        return f"{side}, spans {decades:.0f} decades"


def _candidates(line: np.ndarray, form: Form, simple: Base) -> list[_Candidate]:
    """The maps that are compared, simple ones first."""
    found = [_Candidate(form, simple, False)]
    positive = replace(form, lower=0.0)
    if simple == "affine" and form.step == 0 and line.min() > 0:
        found.append(_Candidate(positive, "log", False))
    if len(line) >= _ENOUGH:
        found.append(_Candidate(form, "affine", True))
        if simple != "affine":
            found.append(_Candidate(form, simple, True))
    return found


def _described(form: Form, reason: str) -> str:
    """The reason, with atoms and lattice."""
    parts = []
    if form.values:
        order = np.argsort(form.probabilities)[::-1]
        shown = ", ".join(f"{form.values[i]:.6g} ({100 * form.probabilities[i]:.2g} %)" for i in order[:3])
        parts.append(f"atoms at {shown}{f' and {len(order) - 3} more values' if len(order) > 3 else ''}, else {reason}")
    else:
        parts.append(reason)
    if form.lattice[1]:
        parts.append(f"steps of {form.lattice[1] / form.lattice[2]:.6g}")
    return ", ".join(parts)
