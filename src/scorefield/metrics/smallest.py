"""Many statistics tested together by the smallest of their p-values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .moments import TestFamily
from .pool import Pool, permutation_test

__all__ = ["SmallestPValue", "Statistics"]


Statistics = Callable[[slice, Tensor, Tensor, bool], Iterator[tuple[np.ndarray, np.ndarray]]]
"""A function of a block of rows, the weights `(K, rows)` of both sides, and whether to break ties as in `Ranks.columns`: for
each statistic its distances and p-values, `(K,)` each."""


class SmallestPValue:
    """Several statistics with p-values from their limit distributions; the largest −log₁₀ p is their joint statistic.

    Arguments:
        each: The statistics.
        values: What the values of samples and of real data are, in words.
    """

    def __init__(self, each: Statistics, values: str) -> None:
        self.each, self.values = each, values

    def tested(self, block: slice, a: Tensor, b: Tensor, fine: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Distances and p-values, `(K, statistics)` each."""
        distances, p = zip(*self.each(block, a, b, fine))
        return np.stack(distances, 1), np.stack(p, 1)

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        return -torch.from_numpy(self.tested(block, a, b, fine=True)[1]).log10().amin(1)

    def family(
        self, pool: Pool, name: str, labels: Sequence[str], sides: Sequence[tuple[float, ...]], permutations: int
    ) -> TestFamily:
        """The family, with a permutation test of its smallest p-value; `sides` are the values of samples and real data."""
        distance = permutation_test(pool, self, name, permutations=permutations)
        differences, p = (x[0] for x in self.tested(pool.pair, *pool.observed()))
        p = np.minimum(1, p * len(p))
        worst = int(p.argmin())
        summary = f"of {len(p)}, {labels[worst]} differs the most (Bonferroni p = {p[worst]:.2g}); "
        summary += f"{pool.sizes}; the value is −log₁₀ of the smallest p-value"
        drawn, real = np.array(sides).T
        return TestFamily(replace(distance, note=summary), tuple(labels), drawn, real, differences, p, self.values)
