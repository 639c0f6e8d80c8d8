"""What a column of numbers is: its lattice, its atoms, its bounds, found in its values."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..data.lattice import Lattice
from .fit_map import ColumnForm

__all__ = ["find_atoms", "find_bounds", "find_form", "find_lattice"]

MOST_ATOMS = 256  # of a column of atoms alone
MOST_SPIKES = 64  # among continuous values
_FEW = 10  # values, each of which is an atom if it occurs 5 times on average
_FEWEST = 10  # values that are not atoms: fewer are atoms as well
_FINEST = 1e-3  # standard deviations: below it cells are points
_ENOUGH = 30  # values that are needed to find a bound
_SHARE = 0.002  # of the rows, that a spike has at least
_FEWEST_ON_BOUND = 5  # values that are 0 or 1 where scaling has not made them so
_WINDOW = 3  # cells to both sides, with which a spike on a lattice is compared


def find_form(
    x: np.ndarray,
    bounds: tuple[float | None, float | None] = (None, None),
    distinct_rows: int = -1,
    dates: bool = False,
) -> ColumnForm:
    """What is known of a column from its values.

    Arguments:
        x: The values, `(n,)`, finite, at least two of them different.
        bounds: The bounds that were declared, None where they were not.
        distinct_rows: The number of distinct rows of a table of several columns: repeated rows do not make atoms.
        dates: Whether these are dates, of which the first one other than atoms is like the others: a bound there lies a step
            before it.

    Returns:
        Lattice, atoms with their probabilities, and bounds.

    Example:
        >>> rain = np.round(np.random.default_rng(0).gamma(0.7, 6.0, 1000), 1) * (np.arange(1000) % 5 > 2)
        >>> form = find_form(rain)
        >>> form.lower, form.lattice, form.values
        (0.0, (0.0, 1.0, 10.0), (0.0,))
    """
    x = x + 0.0  # -0 becomes 0
    values, counts = np.unique(x, return_counts=True)
    lattice = find_lattice(x, values)
    atoms = find_atoms(values, counts, lattice, distinct_rows)
    rest = x[~np.isin(x, values[atoms])]  # whose spread an atom such as 9999-12-31 does not change
    fine = len(rest) > 0 and lattice[1] / lattice[2] < _FINEST * float(rest.std())
    first = float(rest.min()) if dates and len(rest) else 0.0
    found = find_bounds(x, values[atoms], first)
    if lattice[1] == 0 and not atoms[[0, -1]].any():
        found = _around_scaled(values, counts, found)
    if dates and (fine or lattice[1] == 0) and found[0] == first and first not in values[atoms]:
        found = first - (lattice[1] / lattice[2] or 1.0), found[1]
    lower, upper = (given if given is not None else own for given, own in zip(bounds, found))
    if lattice[1] == 0 or fine:  # no density is finite on a bound
        atoms |= np.isin(values, [bound for bound in (lower, upper) if bound is not None])
    if atoms.any() and (counts[~atoms]).sum() < _FEWEST and len(values) <= MOST_ATOMS:
        atoms[:] = True
    held = tuple(values[atoms].tolist()), tuple((counts[atoms] / len(x)).tolist())
    if atoms.all():
        return ColumnForm(*bounds, lattice, False, *held)
    return ColumnForm(lower, upper, lattice, fine, *held)


def find_lattice(x: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """(origin, step, denominator) of the lattice (origin + k step) / denominator that all values lie on; step 0 if none does.

    Decimals of up to six places are found in any number of values, other spacings where few values occur often.

    Example:
        >>> halves = np.array([0.5, 1.0, 2.5, 4.0, 1.5, 3.0, 9.5, 7.0])
        >>> find_lattice(halves, np.unique(halves))
        (0.0, 5.0, 10.0)
    """
    few = values[:: -(-len(values) // 256)]  # most columns fail with some of their values
    for places in range(7):
        off = few * 10.0**places
        if (np.abs(off - off.round()) > np.minimum(0.01, 3e-7 * np.abs(off) + 1e-9)).any():
            continue
        scaled = values * 10.0**places
        k = scaled.round()
        if np.abs(k).max() > 2**52 or len(values) < 3:
            break
        near = np.abs(scaled - k) <= np.minimum(0.01, 3e-7 * np.abs(k) + 1e-9)
        if near.all() and (np.diff(k) > 0).all():
            step = int(np.gcd.reduce(np.diff(k).astype(np.int64)))
            return float(int(k[0]) % step), float(step), 10.0**places
    lattice = Lattice((1,), torch.float64)
    lattice.begin(torch.from_numpy(x)[:, None])
    lattice.add(torch.from_numpy(x)[:, None])
    step_found = float(lattice.step[0])
    if step_found == 0 or len(values) < 3:
        return 0.0, 0.0, 1.0
    return _with_denominator(float(values[0]), step_found)


def _with_denominator(origin: float, step: float) -> tuple[float, float, float]:
    """A lattice of k/255, say, in whole numbers, which are free of rounding."""
    parts = round(1 / step) if step < 1 else 0
    if parts and abs(parts * step - 1) < 1e-6 and abs(origin * parts - round(origin * parts)) < 1e-3:
        return 0.0, 1.0, float(parts)
    return origin, step, 1.0


def find_atoms(
    values: np.ndarray, counts: np.ndarray, lattice: tuple[float, float, float], distinct_rows: int = -1
) -> np.ndarray:
    """Which distinct values are atoms, `(d,)`.

    All are, where there are few values and many rows for each: up to 10 with 5 rows each on average and 3 at the median,
    or up to 256 with 40 rows each on a lattice and 10 elsewhere. Otherwise those are that occur in 0.2 % of the rows and 5
    times at least, and much more often than the values around them: on a lattice three times as often as the mean of
    those up to 3 cells away, and more often than chance would have it in one of 1000 columns (in one of 20, once there is such
    a value), elsewhere three times as often as the median value.
    There are at most 64 of these.

    Example:
        >>> find_atoms(np.array([0.0, 0.31, 0.47, 0.8]), np.array([20, 1, 1, 1]), (0.0, 0.0, 1.0))
        array([ True, False, False, False])
    """
    d, n, on_lattice = len(values), int(counts.sum()), lattice[1] > 0
    each = n / d
    if (d <= 2 < n) or (d <= _FEW and each >= 5 and np.median(counts) >= 3):
        return np.ones(d, dtype=bool)
    if d <= MOST_ATOMS and each >= (40 if on_lattice else 10) and d != distinct_rows:
        return np.ones(d, dtype=bool)
    enough = counts >= max(5, _SHARE * n)
    usual = _around(values, counts, lattice) if on_lattice else np.full(d, float(np.median(counts)))
    spikes: np.ndarray = enough & (counts > 3 * usual + 4 * np.sqrt(usual))
    if on_lattice:  # of as many values as there are, chance would make one a spike in a thousandth of the tables
        evidence = _exponent(counts, _WINDOW * 2 * usual, 1 / (2 * _WINDOW + 1))
        clear = spikes & (evidence > math.log(1000 * d))
        spikes &= (evidence > math.log(20 * d)) & clear.any()  # where there is one, others are less surprising
    if spikes.sum() > MOST_SPIKES:
        spikes &= counts >= np.sort(counts[spikes])[-MOST_SPIKES]
    return spikes


def _exponent(count: np.ndarray, others: np.ndarray, share: float) -> np.ndarray:
    """Minus the logarithm of Chernoff's bound on the probability of so many of `count + others`, each with a `share`."""
    total = np.maximum(count + others, 1.0)
    part = count / total
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(part < 1, (1 - part) * np.log((1 - part) / (1 - share)), 0.0)
    return np.where(part > share, total * (part * np.log(part / share) + rest), 0.0)


def _around(values: np.ndarray, counts: np.ndarray, lattice: tuple[float, float, float]) -> np.ndarray:
    """The mean count of the cells around each value, empty ones too, within the range of the data."""
    k = ((values * lattice[2] - lattice[0]) / lattice[1]).round()
    total = np.concatenate(([0], counts.cumsum()))
    low, high = np.maximum(k - _WINDOW, k[0]), np.minimum(k + _WINDOW, k[-1])
    rows = total[np.searchsorted(k, high, "right")] - total[np.searchsorted(k, low, "left")] - counts
    mean: np.ndarray = rows / np.maximum(high - low, 1)
    return mean


def find_bounds(x: np.ndarray, atoms: np.ndarray, zero: float = 0.0) -> tuple[float | None, float | None]:
    """The bounds that values other than atoms show by themselves, None where there are none.

    An atom at the smallest or largest value, near to others, is a bound: values are cut off there. 0 is a lower bound of
    others that are not negative and crowd at it, or are skewed to it. 1 or 100 is an upper one of values above 0 that crowd
    at it. Values crowd at a bound where the half of the outer tenth that lies nearer to it has a quarter of its values or
    more. Of fewer than 30 values only 0 can be a bound: of those that are not negative, where normal ones sometimes would be.

    Arguments:
        x: The values, `(n,)`.
        atoms: Those of positive probability.
        zero: What stands in the place of 0, for dates.

    Example:
        >>> find_bounds(np.random.default_rng(0).exponential(size=500), np.zeros(0))
        (0.0, None)
        >>> find_bounds(np.random.default_rng(0).normal(size=500), np.zeros(0))
        (None, None)
    """
    low, high = float(x.min()), float(x.max())
    rest = x[~np.isin(x, atoms)]
    if len(rest) < _ENOUGH:
        return (0.0 if _never_negative(x) else None), None
    first, last = np.quantile(rest, (0.05, 0.95))
    near = 0.5 * (last - first)  # an atom far from all others, such as -999, cuts nothing off
    lower = low if low in atoms and first - low < near else None
    upper = high if high in atoms and high - last < near else None
    if lower is None and rest.min() >= zero and (_crowded(rest - zero) or _skewed(rest - zero)):
        lower = zero
    if upper is None and lower is not None and lower >= 0:
        natural = next((top for top in (1.0, 100.0) if rest.max() <= top), math.inf)
        if math.isfinite(natural) and _crowded(natural - rest):
            upper = natural
    return lower, upper


def _around_scaled(
    values: np.ndarray, counts: np.ndarray, found: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """Bounds of values that were scaled to [0, 1] by their range, half a gap beyond it; others are left as they are.

    There 0 and 1 are the smallest and the largest value of a continuous distribution, and no atoms.
    """
    if (values[0], values[-1]) != (0.0, 1.0) or max(counts[0], counts[-1]) >= _FEWEST_ON_BOUND:
        return found
    low, high = (float(each) / 2 for each in (values[1] - values[0], values[-1] - values[-2]))
    return (None if found[0] is None else -low), (None if found[1] is None else 1.0 + high)


def _never_negative(x: np.ndarray) -> bool:
    """Whether no value is below 0, where 1 % of normal values of that mean and deviation would be."""
    return bool(x.min() >= 0) and float(x.mean()) < 2.33 * float(x.std())


def _crowded(distance: np.ndarray) -> bool:
    """Whether the density does not vanish at distance 0."""
    reach = float(np.quantile(distance, 0.1))
    near = int((distance <= reach / 2).sum())
    return near >= 3 and near >= 0.25 * int((distance <= reach).sum())


def _skewed(x: np.ndarray) -> bool:
    """Whether values above 0 have a long tail away from it and come near to it."""
    first, middle, last = np.quantile(x, (0.05, 0.5, 0.95))
    return bool(x.min() < 0.2 * middle and last - middle > 1.5 * (middle - first))
