"""Rows that are equal: how many there are, and whether they are copies or equal by chance, as rows of few values are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .chunks import over_chunks
from .collisions import Collisions, mixed, value_hashes
from .rows import Rows

__all__ = ["MOST_ROWS", "Repeats", "repeats_of", "row_hashes"]

MOST_ROWS = 2**26  # rows whose hashes are kept, 8 bytes each: 512 MB
_NUMBERS = 2**17  # that are hashed at a time, in the cache of the processor
_READ = 2**21  # that are read at a time
_SPIKES = 5  # rows that occur far more often than others, at most: more of them are copies
_FAR = 10  # times as often as a usual row
_VALUES = 256  # of a row, that distinguish nearly all rows
_EXAMPLES = 65536  # rows that say whether values are few
_SURE = 10  # distinct rows, of which chance does not make all occur a multiple of k times
_UNLIKELY = 14.0  # minus the logarithm of a probability: 1e-6
_LIKELY = 3  # times as many equal rows as are expected, which chance still makes
_MORE = 2  # times as many equal pairs as chance makes, above which most are copies
_MORE_OF_FEW = 3  # the same of rows that are expected to be alone, which is known roughly
_LEVEL = 0.01  # of the test that there are more of them


@dataclass(frozen=True)
class Repeats:
    """The equal rows of data.

    Arguments:
        count, distinct: The number of rows, and of different ones.
        codes: The number of the distinct row that each row is, `(N,)` in int64, in which rows that are equal by chance have
            numbers of their own; None where no row is taken for a copy.
        reason: Why equal rows are taken for copies, or not; empty if no rows are equal.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> x = np.repeat(np.random.default_rng(0).normal(size=(50, 2)), 4, axis=0)
        >>> repeats = repeats_of(ArrayRows(x))
        >>> repeats.count, repeats.distinct, len(np.unique(repeats.codes))
        (200, 50, 50)
    """

    count: int
    distinct: int
    codes: np.ndarray | None = None
    reason: str = ""


def row_hashes(rows: Rows, step: int = 1, start: int = 0, shared: bool = False) -> np.ndarray:
    """A hash of 64 bits for each row, `(N,)`, the same for equal rows; −0 equals 0, and missing equals missing.

    Arguments:
        rows: The rows, which are read once, by parts.
        step, start: Every how many values count, and from which on: all by default.
        shared: Whether each process reads a part of the rows; all must call it.
    """
    features = max(1, math.prod(rows.shape[1:]))
    salt = mixed(np.arange(1, len(range(start, features, step)) + 1, dtype=np.uint64))
    inner = max(1, _NUMBERS // max(1, len(salt)))

    def hashed(x: Tensor) -> Tensor:
        values, found = x.numpy().reshape(len(x), -1)[:, start::step], np.empty(len(x), np.uint64)
        for first in range(0, len(values), inner):
            some = values[first : first + inner]
            found[first : first + len(some)] = mixed(value_hashes(some, salt).sum(1, dtype=np.uint64))
        return torch.from_numpy(found.view(np.int64))

    found, done = np.empty(len(rows), np.int64), 0  # many small results between large chunks would scatter the memory
    for part in over_chunks(hashed, rows, max(1, _READ // features), shared):
        found[done : done + len(part)] = part.numpy()
        done += len(part)
    return found.view(np.uint64)


def repeats_of(rows: Rows, shared: bool = False) -> Repeats:
    """Which rows are equal, and which of them are copies.

    Rows that are equal by chance say nothing. Equal rows are copies if all distinct rows occur a multiple of k ≥ 2 times, or
    if significantly more pairs are equal than twice as many as chance makes (`Collisions`), or than three times as many among
    rows that are expected to be alone. Never taken for copies are rows that are expected where they are, in a third of their
    number or more, and up to five rows that occur more than ten times as often as usual, such as all zeros. Equal numbers of a
    single column are copies if they are not rounded.

    Arguments:
        rows: The rows. They are read once, and once or twice more if some are equal; 8 bytes of each are kept, and 40 then.
            More than 67 million are not examined.
        shared: Whether each process reads a part of the rows; all must call it.
    """
    count = len(rows)
    if count > MOST_ROWS:
        return Repeats(count, count, None, f"more than {MOST_ROWS:,} rows are not searched for equal ones")
    hashes = _distinguishing(rows, shared)
    ordered = np.sort(hashes)
    distinct = 1 + int((ordered[1:] != ordered[:-1]).sum())
    del ordered
    if distinct == count:
        return Repeats(count, count)
    _, codes, often = np.unique(hashes, return_inverse=True, return_counts=True)
    codes = codes.reshape(-1).astype(np.int64)
    spikes = np.flatnonzero(often > _FAR * float(np.median(often)))
    free = np.isin(codes, spikes if len(spikes) <= _SPIKES else spikes[:0])
    others, reason = often[codes] - 1, _all_repeated(often[np.unique(codes[~free])])
    if not reason and math.prod(rows.shape[1:]) == 1:
        reason = "" if _rounded(rows) or not others[~free].any() else "equal numbers that are not rounded are copies"
    elif not reason:
        reason, near = _more_than_by_chance(rows, others, ~free, shared)
        free |= (near >= 1) & (_LIKELY * near >= others)
    if not reason:
        return Repeats(count, distinct, None, "values are few or rounded, and rows are equal by chance")
    codes[free] = distinct + np.arange(int(free.sum()))
    return Repeats(count, distinct, codes, reason)


def _all_repeated(often: np.ndarray) -> str:
    """That all rows occur a multiple of times, which chance does not make; "" if they do not."""
    times = int(np.gcd.reduce(often)) if len(often) else 1
    sure = times > 1 and len(often) >= _SURE and len(often) * math.log(times) >= _UNLIKELY
    return f"every row occurs {times} times or a multiple of that" if sure else ""


def _more_than_by_chance(rows: Rows, others: np.ndarray, kept: np.ndarray, shared: bool) -> tuple[str, np.ndarray]:
    """That more of the rows that are `kept`, `(N,)`, equal `others`, `(N,)`, than by chance; "" if they do not.

    Also how many others chance makes equal to each. Where rows are dense and many are equal by chance, these hide copies of
    others: so the rows that are expected to be alone count by themselves, too.
    """
    near = np.zeros(len(rows))
    if not others[kept].any():
        return "", near
    collisions = Collisions(rows, kept)
    near = collisions.expected_equal(kept, shared)
    for which, more in ((kept, _MORE), (kept & (near < 1), _MORE_OF_FEW)):
        pairs = float(others[which].sum() / 2)
        chance = collisions.expected(pairs, which) if pairs else 0.0
        if pairs > more * chance and _poisson_tail(pairs, chance) <= _LEVEL:
            said = "a pair of rows is" if pairs == 1 else f"{pairs:,.0f} pairs of rows are"
            return f"{said} equal, and chance makes {'fewer than 1' if chance < 1 else f'about {chance:,.0f}'}", near
    return "", near


def _poisson_tail(count: float, mean: float) -> float:
    """The probability that a Poisson variable is as large."""
    from scipy.stats import poisson

    return float(poisson.sf(count - 1, mean))


def _distinguishing(rows: Rows, shared: bool) -> np.ndarray:
    """A hash for each row: of 256 of its values, and of all only where these are equal to those of another row."""
    step = max(1, math.prod(rows.shape[1:]) // _VALUES)
    hashes = row_hashes(rows, step, shared=shared)
    if step > 1:
        _, codes, often = np.unique(hashes, return_inverse=True, return_counts=True)
        alike = np.flatnonzero(often[codes.reshape(-1)] > 1)
        hashes[alike] = row_hashes(rows.subset(alike), shared=shared)
    return hashes


def _some(rows: Rows) -> np.ndarray:
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _EXAMPLES)).astype(np.int64))
    return rows.take(places, torch.float64).cpu().numpy().reshape(len(places), -1)


def _rounded(rows: Rows) -> bool:
    """Whether the values of a single column lie on a lattice, which they fill well enough that chance makes them equal."""
    values = np.unique(_some(rows))
    values = values[~np.isnan(values)]
    if len(values) < 3:
        return True
    step = float(np.diff(values).min())
    steps = (values - values[0]) / step
    return bool((np.abs(steps - np.round(steps)) < 1e-3).all()) and steps[-1] < 50 * len(rows)
