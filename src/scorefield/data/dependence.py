"""Whether neighbouring rows are alike, as those of a series in time or of the same subject are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from .rows import Rows

__all__ = ["Dependence", "dependence_of"]

_ROWS = 4096  # that are examined, at most
_STRETCH = 512  # of them lie side by side where there are more
_COLUMNS = 16
_FEWEST = 20  # rows, below which nothing can be said
_LEVEL = 0.001  # of a table: one in a thousand tables of independent rows is said to be dependent
_LIKELY = 0.05  # by the normal limit: whether permutations are worth their time
_CERTAIN = 1e-8  # by the normal limit: permutations would only say the same
_PERMUTATIONS = 1999
_ENOUGH = 10  # orders with a larger correlation: the rest need not be tried (Besag and Clifford, 1991)


@dataclass(frozen=True)
class Dependence:
    """The dependence of neighbouring rows.

    Arguments:
        column: The column in which it is most significant, by its number.
        correlation: The correlation of the ranks of each row and the next one.
        p_value: That rows are in random order, for all columns together.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> x = np.random.default_rng(0).normal(size=(500, 2))
        >>> dependence_of(ArrayRows(x)).dependent, dependence_of(ArrayRows(np.cumsum(x, 0))).dependent
        (False, True)
    """

    column: int
    correlation: float
    p_value: float

    @property
    def dependent(self) -> bool:
        """Whether rows are dependent, at a level of 0.1 %."""
        return self.p_value <= _LEVEL


def dependence_of(rows: Rows, seed: int = 0) -> Dependence | None:
    """Tests whether rows are in random order, by the correlation of the ranks of each row with those of the next one.

    The largest correlation of up to 16 columns is compared with that of random orders of the rows, which makes the test
    exact for all columns together. Of more than 4,096 rows eight stretches of 512 are examined.

    Arguments:
        rows: The rows, in the order in which they were recorded.
        seed: The seed of the permutations.

    Returns:
        What was found; None if there are fewer than 20 rows, or no column varies.

    References:
        Wald and Wolfowitz, 1943, An exact test for randomness in the non-parametric case based on serial correlation.
    """
    count = len(rows)
    if count < _FEWEST:
        return None
    places = np.arange(count)
    if count > _ROWS:
        starts = np.linspace(0, count - _STRETCH, _ROWS // _STRETCH).astype(np.int64)
        places = (starts[:, None] + np.arange(_STRETCH)).reshape(-1)
    x = rows.take(places, torch.float64).cpu().numpy().reshape(len(places), -1)
    x = x[:, np.unique(np.linspace(0, x.shape[1] - 1, min(x.shape[1], _COLUMNS)).astype(np.int64))]
    ranks = np.stack([_ranks(column) for column in x.T], 1)
    kept = np.flatnonzero(ranks.any(0))
    if not len(kept):
        return None
    ranks = ranks[:, kept]
    next_to = np.flatnonzero(np.diff(places) == 1)
    z = (ranks[next_to] * ranks[next_to + 1]).sum(0) / math.sqrt(len(next_to))
    worst = int(np.abs(z).argmax())
    p = min(1.0, len(kept) * math.erfc(abs(float(z[worst])) / math.sqrt(2)))
    if _CERTAIN < p < _LIKELY:
        p = _permuted(ranks, next_to, float(np.abs(z).max()), seed)
    original = np.unique(np.linspace(0, math.prod(rows.shape[1:]) - 1, x.shape[1]).astype(np.int64))
    return Dependence(int(original[kept[worst]]), float(z[worst]) / math.sqrt(len(next_to)), p)


def _ranks(column: np.ndarray) -> np.ndarray:
    """Ranks with mean 0 and variance 1, those of equal values the same; 0 for missing ones, and where nothing varies."""
    _, code, often = np.unique(column, return_inverse=True, return_counts=True)
    middle = np.cumsum(often) - (often - 1) / 2
    ranks: np.ndarray = middle[code.reshape(-1)]
    known = ~np.isnan(column)
    if not known.any():
        return np.zeros(len(column))
    ranks = np.where(known, ranks - ranks[known].mean(), 0.0)
    spread = math.sqrt(float((ranks**2).mean()))
    return ranks / spread if spread > 0 else ranks


def _permuted(ranks: np.ndarray, next_to: np.ndarray, found: float, seed: int) -> float:
    """The p-value of the largest |z| by random orders of the rows."""
    rng, more, scale = np.random.default_rng([seed & 0xFFFF_FFFF, 0xDE9]), 0, math.sqrt(len(next_to))
    for done in range(_PERMUTATIONS):
        order = rng.permutation(len(ranks))
        mixed = ranks[order]
        more += bool(np.abs((mixed[next_to] * mixed[next_to + 1]).sum(0)).max() / scale >= found - 1e-9)
        if more == _ENOUGH:
            return more / (1 + done)
    return (1 + more) / (1 + _PERMUTATIONS)
