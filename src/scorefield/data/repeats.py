"""Rows that are equal: how many there are, and whether they are copies or equal by chance, as rows of few values are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .chunks import over_chunks
from .rows import Rows

__all__ = ["MOST_ROWS", "Repeats", "repeats_of", "row_hashes"]

MOST_ROWS = 2**26  # rows whose hashes are kept, 8 bytes each: 512 MB
_NUMBERS = 2**17  # that are hashed at a time, in the cache of the processor
_READ = 2**21  # that are read at a time
_FEW = 20  # different whole numbers of a column, up to which equal rows are to be expected
_SPIKES = 5  # rows that occur far more often than others, at most: more of them are copies
_FAR = 10  # times as often as a usual row
_VALUES = 256  # of a row, that distinguish nearly all rows
_EXAMPLES = 65536  # rows that say whether values are few
_SURE = 10  # distinct rows that all occur a multiple of k times, which chance does not make


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
    salt = _mixed(np.arange(1, len(range(start, features, step)) + 1, dtype=np.uint64))
    inner = max(1, _NUMBERS // max(1, len(salt)))

    def hashed(x: Tensor) -> Tensor:
        values, found = x.numpy().reshape(len(x), -1)[:, start::step], np.empty(len(x), np.uint64)
        for first in range(0, len(values), inner):
            some = values[first : first + inner] + 0.0
            some[np.isnan(some)] = np.nan  # one of its many patterns of bits
            found[first : first + len(some)] = _mixed(_mixed(some.view(np.uint64) ^ salt).sum(1, dtype=np.uint64))
        return torch.from_numpy(found.view(np.int64))

    found, done = np.empty(len(rows), np.int64), 0  # many small results between large chunks would scatter the memory
    for part in over_chunks(hashed, rows, max(1, _READ // features), shared):
        found[done : done + len(part)] = part.numpy()
        done += len(part)
    return found.view(np.uint64)


def _mixed(x: np.ndarray) -> np.ndarray:
    """Every bit of a number spread over all 64 (the finalizer of Steele, Lea and Flood, 2014, SplitMix)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def repeats_of(rows: Rows, shared: bool = False) -> Repeats:
    """Which rows are equal, and which of them are copies.

    Rows that are equal by chance say nothing: those of columns of a few whole numbers or categories, rounded numbers of a
    single column, and up to five rows that occur more than ten times as often as usual, such as all zeros. Others are
    copies if all distinct rows occur a multiple of k ≥ 2 times, or if most rows that agree in one half of their columns
    agree in the other half too, which chance does not make.

    Arguments:
        rows: The rows. They are read once, and twice more if some are equal; 8 bytes of each are kept, and 24 then. More than
            67 million are not examined.
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
    if _few_values(rows):
        return Repeats(count, distinct, None, f"columns have at most {_FEW} values each, and rows are equal by chance")
    usual = float(np.median(often))
    spikes = np.flatnonzero(often > _FAR * usual)
    spikes = spikes if len(spikes) <= _SPIKES else spikes[:0]
    free = np.isin(codes, spikes)
    reason = _copied(rows, often[np.setdiff1d(np.arange(distinct), spikes)], free, shared)
    if not reason:
        return Repeats(count, distinct, None, "values are rounded, and rows are equal by chance")
    codes[free] = distinct + np.arange(int(free.sum()))
    return Repeats(count, distinct, codes, reason)


def _distinguishing(rows: Rows, shared: bool) -> np.ndarray:
    """A hash for each row: of 256 of its values, and of all only where these are equal to those of another row."""
    step = max(1, math.prod(rows.shape[1:]) // _VALUES)
    hashes = row_hashes(rows, step, shared=shared)
    if step > 1:
        _, codes, often = np.unique(hashes, return_inverse=True, return_counts=True)
        alike = np.flatnonzero(often[codes.reshape(-1)] > 1)
        hashes[alike] = row_hashes(rows.subset(alike), shared=shared)
    return hashes


def _copied(rows: Rows, often: np.ndarray, free: np.ndarray, shared: bool) -> str:
    """Why the equal rows, other than the `free` ones, are copies; "" if they are not."""
    if not (often > 1).any():
        return ""
    times = int(np.gcd.reduce(often))
    if times > 1 and len(often) >= _SURE:
        return f"every row occurs {times} times or a multiple of that"
    if math.prod(rows.shape[1:]) == 1:
        return "" if _rounded(rows) else "equal numbers that are not rounded are copies"
    whole = _pairs(often)
    hashes = (row_hashes(rows, 2, start, shared)[~free] for start in (0, 1))
    halves = [_pairs(np.unique(each, return_counts=True)[1]) for each in hashes]
    return "rows that agree in half of the columns agree in all" if 2 * whole >= min(halves) else ""


def _pairs(often: np.ndarray) -> float:
    """How many pairs are equal, of values that occur so often."""
    return float((often.astype(np.float64) * (often - 1)).sum() / 2)


def _some(rows: Rows) -> np.ndarray:
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _EXAMPLES)).astype(np.int64))
    return rows.take(places, torch.float64).cpu().numpy().reshape(len(places), -1)


def _few_values(rows: Rows) -> bool:
    """Whether rows are vectors of whole numbers, among them codes of categories, of which each column has few."""
    if len(rows.shape) > 2:
        return False
    some = _some(rows)
    if not bool((np.isnan(some) | (some == np.round(some))).all()):
        return False
    return all(len(np.unique(column)) <= _FEW for column in some.T)


def _rounded(rows: Rows) -> bool:
    """Whether the values of a single column lie on a lattice, which they fill well enough that chance makes them equal."""
    values = np.unique(_some(rows))
    values = values[~np.isnan(values)]
    if len(values) < 3:
        return True
    step = float(np.diff(values).min())
    steps = (values - values[0]) / step
    return bool((np.abs(steps - np.round(steps)) < 1e-3).all()) and steps[-1] < 50 * len(rows)
