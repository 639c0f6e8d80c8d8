"""How much more likely held-out values are under one map of a column than under another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..rng import generator
from .column_map import ColumnMap
from .number_maps import smooth_states

__all__ = ["density_of_states", "folds_of", "held_out_log_density"]

_FOLDS = 4
_REACH, _BINS = 8.0, 1024
_ELSEWHERE = 0.02  # the share of a wide distribution: a value far from all others costs what it would cost a model
_WIDE = 4.0


def held_out_log_density(
    line: np.ndarray, fit: Callable[[np.ndarray], ColumnMap], seed: int = 0, fold: np.ndarray | None = None
) -> np.ndarray:
    """The log-density of each value under a map that is fitted to three quarters of the others, `(n,)`.

    After the map comes a kernel density estimate of the states, whose bandwidth goes with states of unit scale: what a
    network can resolve, too. A map is good if it leaves a smooth density of that scale, be it normal or not.

    Arguments:
        line: Continuous values, `(n,)`.
        fit: What makes a map from such values.
        seed: The seed of the folds.
        fold: The folds, from `folds_of`, where several maps are compared.

    Example:
        >>> from scorefield.units.fit_map import ColumnForm, fit_base
        >>> x = np.exp(3 * np.random.default_rng(0).normal(size=400))
        >>> gain = held_out_log_density(x, lambda part: fit_base(part, ColumnForm(lower=0.0), "log"))
        >>> float((gain - held_out_log_density(x, lambda part: fit_base(part, ColumnForm(), "affine"))).mean()) > 1
        True
    """
    fold = folds_of(line, seed) if fold is None else fold
    states, log_slope = _states([fit(line[fold != f]) for f in range(_FOLDS)], line)
    found = np.empty(len(line))
    for f in range(_FOLDS):
        test = fold == f
        found[test] = _log_density(states[~test, f], states[test, f]) + log_slope[test, f]
    return found


def density_of_states(z: np.ndarray, seed: int = 0) -> np.ndarray:
    """The log-density of each state `(n,)` in the kernel density estimate of those of the other folds, `(n,)`."""
    fold, found = folds_of(z, seed), np.empty(len(z))
    for f in range(_FOLDS):
        found[fold == f] = _log_density(z[fold != f], z[fold == f])
    return found


def folds_of(line: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each value, `(n,)`: a value that is repeated stays in one."""
    values, index = np.unique(line, return_inverse=True)
    found: np.ndarray = (generator(seed).permutation(len(values)) % _FOLDS)[index]
    return found


def _states(maps: Sequence[ColumnMap], line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The states of values by several maps, and their log-derivatives, `(n, maps)`: together, as each call costs much."""
    z, log_slope = smooth_states(maps, torch.from_numpy(line)[:, None].repeat(1, len(maps)))
    return z.numpy(), log_slope.numpy()


def _log_density(known: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Of a kernel density estimate with bandwidth 1.06 n^(-1/5), mixed with a wide Cauchy distribution."""
    width = 2 * _REACH / _BINS
    bandwidth = 1.06 * len(known) ** -0.2
    inside = known.clip(-_REACH, _REACH - 1e-9)
    place = ((inside + _REACH) / width).astype(np.int64)
    place -= inside < place * width - _REACH  # which rounding has put above an edge
    counts = np.bincount(place, minlength=_BINS) / len(known)
    offsets = np.arange(-(_BINS // 4), _BINS // 4 + 1) * width
    kernel = np.exp(-0.5 * (offsets / bandwidth) ** 2) / (bandwidth * math.sqrt(2 * math.pi))
    density = np.convolve(counts, kernel, "same")
    centers = -_REACH + width * (np.arange(_BINS) + 0.5)
    inner = np.interp(z, centers, density, left=0.0, right=0.0)
    outer = 1 / (math.pi * _WIDE * (1 + (z / _WIDE) ** 2))
    return np.log((1 - _ELSEWHERE) * inner + _ELSEWHERE * outer)  # type: ignore[no-any-return]
