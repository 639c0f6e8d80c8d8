"""The generalization gap at each noise level: overfitting, measured by the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .base import Array, as_rows
from .moments import Means
from .pool import Pool, permutation_test

__all__ = ["GeneralizationGap", "loss_gap"]


@dataclass(frozen=True)
class GeneralizationGap:
    """The losses of training and held-out data at several noise levels.

    Arguments:
        levels: The noise levels, `(L,)`.
        train, held_out: The mean losses of training and of held-out data, `(L,)`.
        z: Standardized differences, positive if the held-out loss is larger, `(L,)`.
        p_value: The p-value of the largest difference, by permutations of samples.
    """

    levels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    z: np.ndarray
    p_value: float

    @property
    def suspicious(self) -> bool:
        """Whether the gap is significant (p ≤ 0.002) and at least a tenth of the loss: the network overfits."""
        large = self.held_out > 1.1 * self.train
        return self.p_value <= 0.002 and bool((large & (self.z > 3)).any())

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.p_value >= 0.01:
            return "The held-out loss is not larger than the training loss at any noise level."
        levels = self.levels[self.z > 3] if (self.z > 3).any() else self.levels[[int(self.z.argmax())]]
        least, most = levels.min(), levels.max()
        where = f"at levels {least:.3g} to {most:.3g}" if len(levels) > 1 else f"at level {least:.3g}"
        ratio = float((self.held_out / np.where(self.train > 0, self.train, np.nan))[int(self.z.argmax())])
        tail = "the network overfits" if self.suspicious else "a gap too small to matter"
        return f"The held-out loss exceeds the training loss {where}, by a factor of up to {ratio:.2f}: {tail}."


def loss_gap(
    levels: Array, train: Array, held_out: Array, *, permutations: int = 999, maximum: int = 20000, seed: int = 0
) -> GeneralizationGap:
    """Tests whether held-out data have a larger loss than training data at any noise level.

    Without overfitting the losses of training and held-out data have the same distribution. The test permutes samples, each
    with its losses at all levels.

    Arguments:
        levels: The noise levels, `(L,)`.
        train, held_out: The losses of training samples `(N, L)` and of held-out samples `(M, L)`, each with its own noise.
        permutations, maximum: The number of permutations, and the maximum number of samples of each side.
        seed: The seed of the subsets and of the permutations.

    Raises:
        ValueError: If there is not one loss per level, or a loss is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train, held_out = rng.chisquare(5, size=(300, 2)), rng.chisquare(5, size=(300, 2)) * [1.5, 1.0]
        >>> loss_gap(np.array([0.1, 1.0]), train, held_out).suspicious
        True
    """
    at = as_rows(levels, "levels").flatten().double().cpu().numpy()
    rows = [as_rows(x, name).flatten(1) for x, name in ((held_out, "held_out"), (train, "train"))]
    if any(x.shape[1] != len(at) for x in rows):
        shapes = f"{tuple(rows[1].shape)}, {tuple(rows[0].shape)}"
        raise ValueError(f"losses must be (N, {len(at)}), one per level, got {shapes}")
    pool = Pool.of(*rows, maximum=maximum, standardize=False, seed=seed)
    means = Means(pool.flat)
    found = permutation_test(
        pool, lambda *sides: means.z(*sides).amax(1), "gap", permutations=permutations, resamples=0
    )
    train_loss, held_out_loss = (
        pool.flat[side].mean(0, dtype=torch.float64).cpu().numpy() for side in (pool.held, pool.drawn)
    )
    z = means.z(pool.pair, *pool.observed())[0].double().cpu().numpy()
    return GeneralizationGap(at, train_loss, held_out_loss, z, float(found.p_value or 1.0))
