"""Stein tests: identities that only the score of a distribution obeys on its data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..rng import Samples
from ..tensors import sum_events
from .base import ALPHA, ScoreCheck
from .states import NoisyStates

__all__ = ["Statistics", "p_values", "statistics", "stein"]

_ALL = 6  # up to this many coordinates every pair of them is tested
_DIRECTIONS = 8
_MEANING = (
    "On held-out data with noise, an exact score obeys E[s·f + ∇·f] = 0 for every function f: here for "
    "constants (a shift), linear ones (a rotation, a scale) and the score itself (a scale, sharpness). A test with a p-value; "
    "if it is flagged, the named identity is broken: the samples' place, width or correlation is off by as much."
)


class Statistics(NamedTuple):
    """Names of tests, and numbers `(N, T)` whose means are 0 for the exact score, one for each example and test."""

    names: list[str]
    values: Tensor


def statistics(state: NoisyStates, middle: Tensor) -> Statistics:
    """The identities at one level, made free of units by the width √(1 + σ²) of data with noise.

    For f = 1, f = x - m and f = s; of many coordinates the first two along some random directions. What breaks them is reported
    as a part of what they add up: of n for f = x - m, of E‖s‖² for f = s.
    """
    n, width = state.x[0].numel(), math.sqrt(1 + state.level**2)
    s = width * state.score.reshape(len(state.x), n)
    x = (state.x - middle).reshape(len(s), n) / width
    square = sum_events(s**2)
    sharpness = (square + width**2 * state.divergence) / square.mean()
    names, columns = ["scale", "sharpness"], [sum_events(s * x) / n + 1, sharpness]
    if n <= _ALL:
        left = right = torch.eye(n, dtype=s.dtype, device=s.device)
    else:
        rng = Samples(0, 0, 2, "directions")
        left, right = rng.normal((2, n, _DIRECTIONS), s.dtype, s.device) / math.sqrt(n)
    along, across = s @ left, x @ right
    for j in range(left.shape[1]):
        names.append("shift")
        columns.append(along[:, j])
        for k in range(right.shape[1]):
            names.append("scale" if n <= _ALL and j == k else "rotation or correlation")
            columns.append(along[:, j] * across[:, k] + left[:, j] @ right[:, k])
    return Statistics(names, torch.stack(columns, 1))


def p_values(values: Tensor) -> np.ndarray:
    """Two-sided p-values that means are 0, `(N, T)` to `(T,)`.

    Student's t with Hall's (1992) transformation: squares are skewed, and the tail of a plain t-test would be several times
    too heavy where small p-values matter.
    """
    from scipy.stats import t as student

    count = len(values)
    middle, scale = values.mean(0), values.std(0).clamp_min(1e-300)
    skew = ((values - middle) ** 3).mean(0) / scale**3 / math.sqrt(count)
    z = middle / scale * math.sqrt(count)
    z = z + skew * z**2 / 3 + skew**2 * z**3 / 27 + skew / 6
    return np.asarray(2 * student.sf(z.abs().cpu().numpy(), count - 1))


def stein(states: Sequence[NoisyStates], middle: Tensor) -> ScoreCheck:
    """All identities at all levels, and each over all levels together, at 0.1 % for all of them."""
    tests = [statistics(state, middle) for state in states]
    pooled = torch.stack([test.values for test in tests]).mean(0)
    found = np.stack([p_values(test.values) for test in tests] + [p_values(pooled)])
    p = min(1.0, float(found.min()) * found.size)
    row, column = divmod(int(found.argmin()), found.shape[1])
    values = [*(test.values for test in tests), pooled][row][:, column]
    size, error = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    by_level = tuple(float(min(1.0, table.min() * found.size)) for table in found[:-1])
    where = "over all levels" if row == len(tests) else f"at level {states[row].level:.3g}"
    said = f"The largest deviation is a {tests[0].names[column]} {where}: {size:+.2g} ± {error:.2g} (p = {p:.2g})"
    broken = [state.level for state, each in zip(states, by_level) if each < ALPHA]
    if len(broken) > 1:
        said += f"; broken at {len(broken)} of {len(states)} levels, {broken[0]:.3g} to {broken[-1]:.3g}"
    level = None if row == len(tests) else states[row].level
    z = abs(size) / max(error, 1e-300)
    return ScoreCheck("Stein tests", z, 0.0, p < ALPHA, said + ".", _MEANING, level, p, by_level)
