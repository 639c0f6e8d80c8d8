"""Many statistics tested together by the smallest of their p-values."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .moments import TestFamily
from .pool import Pool, permutation_test

__all__ = ["SmallestPValue"]


class SmallestPValue(abc.ABC):
    """Several statistics with p-values from their limit distributions; the largest −log₁₀ p is their joint statistic."""

    @abc.abstractmethod
    def each(self, block: slice, a: Tensor, b: Tensor, fine: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each statistic its distances and p-values, `(K,)` each; `fine` breaks ties as in `Ranks.columns`."""

    def tested(self, block: slice, a: Tensor, b: Tensor, fine: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Distances and p-values, `(K, statistics)` each."""
        distances, p = zip(*self.each(block, a, b, fine))
        return np.stack(distances, 1), np.stack(p, 1)

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        return -torch.from_numpy(self.tested(block, a, b, fine=True)[1]).log10().amin(1)

    def family(
        self, pool: Pool, name: str, labels: Sequence[str], sides: Sequence[tuple[float, ...]], permutations: int
    ) -> TestFamily:
        distance = permutation_test(pool, self, name, permutations=permutations)
        differences, p = (x[0] for x in self.tested(pool.pair, *pool.observed()))
        p = np.minimum(1, p * len(p))
        worst = int(p.argmin())
        summary = f"of {len(p)}, {labels[worst]} differs the most (Bonferroni p = {p[worst]:.2g}); "
        summary += f"{pool.sizes}; the value is −log₁₀ of the smallest p-value"
        drawn, real = np.array(sides).T
        return TestFamily(replace(distance, note=summary), tuple(labels), drawn, real, differences, p)
