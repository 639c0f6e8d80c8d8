"""The gap between training and held-out loss at each noise level: memorization, as the loss sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .base import Array, as_rows
from .moments import Means
from .pool import Pool, permutation_test

__all__ = ["GeneralizationGap", "loss_gap"]


@dataclass(frozen=True)
class GeneralizationGap:
    """Losses of training and of held-out data at some noise levels.

    Arguments:
        levels: `(L,)`.
        train, held_out: Mean losses `(L,)`.
        z: Standardized differences, positive where held-out data are worse, `(L,)`.
        p_value: Of the largest, by permutations of data: how probable it is if training data are like held-out ones.
    """

    levels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    z: np.ndarray
    p_value: float

    @property
    def suspicious(self) -> bool:
        """Whether training data are learned better than chance explains in one of 500 fits, by a tenth of the loss or more."""
        wide = self.held_out > 1.1 * self.train
        return self.p_value <= 0.002 and bool((wide & (self.z > 3)).any())

    @property
    def verdict(self) -> str:
        """What the numbers say, in a sentence."""
        if self.p_value >= 0.01:
            return "Held-out data cost no more than training data do at any noise level."
        seen = self.levels[self.z > 3] if (self.z > 3).any() else self.levels[[int(self.z.argmax())]]
        where = f"at levels {seen.min():.3g} to {seen.max():.3g}" if len(seen) > 1 else f"at level {seen[0]:.3g}"
        ratio = float((self.held_out / np.where(self.train > 0, self.train, np.nan))[int(self.z.argmax())])
        tail = "the network learns its data by heart" if self.suspicious else "a gap too small to matter"
        return f"Held-out data cost more than training data {where}, up to {ratio:.2f} times as much: {tail}."


class _Largest:
    """The largest z of one sign."""

    def __init__(self, means: Means) -> None:
        self.means = means

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        return self.means.z(block, a, b).amax(1)


def loss_gap(
    levels: Array, train: Array, held_out: Array, *, permutations: int = 999, maximum: int = 20000, seed: int = 0
) -> GeneralizationGap:
    """Tests whether held-out data have a larger loss than training data at any noise level.

    Without memorization training and held-out data are alike, and so are their losses; the test exchanges data, a datum
    keeping its losses at all levels.

    Arguments:
        levels: Noise levels `(L,)`.
        train: The loss of each of some training data at each level, with noise of its own, `(N, L)`.
        held_out: The same of held-out data `(M, L)`.
        permutations: How many.
        maximum: At most this many data on either side.
        seed: Of the choice of data and of the permutations.

    Raises:
        ValueError: If there is not one loss a level, or losses are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train, held_out = rng.chisquare(5, size=(300, 2)), rng.chisquare(5, size=(300, 2)) * [1.5, 1.0]
        >>> loss_gap(np.array([0.1, 1.0]), train, held_out).suspicious
        True
    """
    at = as_rows(levels, "levels").flatten().double().cpu().numpy()
    rows = [as_rows(x, name).flatten(1) for x, name in ((held_out, "held_out"), (train, "train"))]
    if any(x.shape[1] != len(at) for x in rows):
        raise ValueError(
            f"losses must be (N, {len(at)}), one a level, got {tuple(rows[1].shape)}, {tuple(rows[0].shape)}"
        )
    pool = Pool.of(*rows, maximum=maximum, standardize=False, seed=seed)
    means = Means(pool.flat)
    found = permutation_test(pool, _Largest(means), "gap", permutations=permutations, resamples=0)
    here, there = (pool.flat[side].mean(0, dtype=torch.float64).cpu().numpy() for side in (pool.held, pool.drawn))
    z = means.z(pool.pair, *pool.observed())[0].double().cpu().numpy()
    return GeneralizationGap(at, here, there, z, float(found.p_value or 1.0))
