"""Drift: how far rows that were recorded later are from those before, next to how far samples are from either."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..metrics import Distance, Pool, energy_distance, energy_test
from ..metrics.base import subsample
from .base import Drift

__all__ = ["drift_of"]

_ROWS = 1000  # of either side
_STRETCHES = 3  # of training rows that say what is usual, at least


def drift_of(drawn: Tensor, train: Tensor, held_out: Tensor, order: np.ndarray, seed: int = 0) -> Drift:
    """Compares samples, training rows and later rows with each other.

    Arguments:
        drawn, train, held_out: Samples, training rows and held-out rows in standard units, `(N, *D)`.
        order: The places of the training rows in time, `(N,)`.
        seed: The seed of subsets and permutations.
    """
    ordered = train[torch.from_numpy(np.argsort(order[: len(train)]))]
    size = len(held_out)
    starts = range(
        len(ordered) - size, size - 1, -size
    )  # from the last stretch to the first that has as many rows before it
    usual = [_energy(ordered[start : start + size], ordered[:start], seed) for start in starts]
    test = energy_test(Pool.of(train, held_out, maximum=_ROWS, standardize=False, seed=seed))
    value = _energy(held_out, ordered, seed)
    low, middle, high = test.low, test.floor, test.high
    if len(usual) >= _STRETCHES:
        low, middle, high = min(usual), float(np.median(usual)), max(usual)
    counts, note = (len(train), size), f"of {len(usual)} earlier stretches"
    apart = Distance("training against held-out rows", value, middle, low, high, counts, test.p_value, note=note)
    fit = energy_test(Pool.of(drawn, train, maximum=_ROWS, standardize=False, seed=seed))
    return Drift(apart, _energy(drawn, held_out, seed), fit)


def _energy(x: Tensor, y: Tensor, seed: int) -> float:
    some = (subsample(x, _ROWS, seed), subsample(y, _ROWS, seed + 1))
    return energy_distance(some[0], some[1], standardize=False, seed=seed)
