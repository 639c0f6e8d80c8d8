"""Tests based on a matrix of all distances or kernel values: energy distance and maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, paired, rows_alike
from .pool import Pool, permutation_test

__all__ = ["energy_test", "kernel_distance", "kernel_test", "mmd", "mmd_test"]

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # bandwidths of the multi-scale kernel, in units of the median distance
BLOCK = 2**22  # kernel values held in memory at once: 32 MB in float64


class _Quadratic:
    """The mean of k within one side + that within the other − 2 times that across, over pairs of different rows."""

    def __init__(self, kernel: Tensor) -> None:
        # A constant in k cancels; subtracting it keeps the precision of the sums in float32.
        kernel = kernel - (kernel.sum(dtype=torch.float64) / (len(kernel) * (len(kernel) - 1))).float()
        self.kernel = kernel.fill_diagonal_(0)

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        kernel = self.kernel[block, block]
        left = a @ kernel
        # If each row is on one of the two sides, one product gives the other.
        right = kernel.sum(0) - left if bool((a + b == 1).all()) else b @ kernel
        across = (b * left).sum(1, dtype=torch.float64) / (a.sum(1).double() * b.sum(1).double())
        return _mean(a, left) + _mean(b, right) - 2 * across


def _mean(weight: Tensor, image: Tensor) -> Tensor:
    """The mean over pairs of different rows; `image` is the product of the kernel, with zero diagonal, and the weights."""
    pairs = weight.sum(1, dtype=torch.float64) ** 2 - weight.square().sum(1, dtype=torch.float64)
    return (weight * image).sum(1, dtype=torch.float64) / pairs


def energy_test(pool: Pool, permutations: int = 499) -> Distance:
    """The squared energy distance, as in `energy_distance`, standardized by the pool, with a permutation test.

    Arguments:
        pool, permutations: The pooled samples and real data, and the number of permutations.

    References:
        Székely and Rizzo, 2013, Energy statistics.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> energy_test(Pool.of(rng.normal(size=(80, 2)), 1 + rng.normal(size=(80, 2)))).p_value
        0.002
    """
    kernel = pool.squares.sqrt().neg_()
    return permutation_test(pool, _Quadratic(kernel), "energy distance", permutations=permutations, note=pool.sizes)


def mmd(
    x: Array,
    y: Array,
    *,
    scales: Sequence[float] = (1.0,),
    standardize: bool = True,
    maximum: int = 4096,
    seed: int = 0,
) -> float:
    """The squared maximum mean discrepancy E k(X, X') + E k(Y, Y') − 2 E k(X, Y), estimated without bias.

    The kernel is Gaussian, k(x, y) = exp(−‖x − y‖² / 2h²), with a bandwidth h of the median distance of all rows (of at most
    4,096) times each of `scales`; several are averaged. As an unbiased estimate of 0 it can be slightly negative.

    Arguments:
        x, y: Samples of the model `(N, *D)` and real data `(M, *D)`.
        scales: The bandwidths in units of the median distance.
        standardize, maximum, seed: As in `energy_distance`.

    Raises:
        ValueError: If there are fewer than two rows, the shapes differ, a scale is not positive, or a value is not finite.

    References:
        Gretton et al., 2012, A kernel two-sample test, lemma 6.

    Example:
        >>> round(mmd(np.array([0.0, 1.0]), np.array([5.0, 6.0]), standardize=False), 3)
        0.747
    """
    _check(scales)
    a, b = paired(x, y, standardize, maximum, seed)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"mmd needs at least two rows of each side, got {n} and {m}")
    both = torch.cat([a, b])
    width = _median(_squares(both[:: 1 + (n + m) // 4096]))
    total = 0.0
    sides = torch.zeros(n + m, 2, dtype=a.dtype, device=a.device)
    sides[:n, 0], sides[n:, 1] = 1 / (n * (n - 1)), 1 / (m * (m - 1))
    for start in range(0, n + m, step := max(1, BLOCK // (n + m))):
        kernel = _gaussian(_squares(both[start : start + step], both), width, scales)
        kernel.diagonal(start).zero_()
        first = (torch.arange(start, start + len(kernel), device=a.device) < n)[:, None]
        sums = kernel @ sides
        total += float(torch.where(first[:, 0], sums[:, 0], sums[:, 1]).sum())
        total -= 2 * float((kernel[:, n:] * first).sum()) / (n * m)
    return total


def mmd_test(pool: Pool, scales: Sequence[float] | None = None, permutations: int = 499) -> Distance:
    """The squared maximum mean discrepancy, as in `mmd`, standardized by the pool, with a permutation test.

    Arguments:
        pool: The pooled samples and real data.
        scales: The bandwidths in units of the median distance; by default (¼, ½, 1, 2, 4), for coarse and fine differences.
        permutations: The number of permutations.

    Raises:
        ValueError: If a scale is not positive.
    """
    chosen = SCALES if scales is None else tuple(scales)
    _check(chosen)
    kernel = _gaussian(pool.squares.clone(), _median(pool.squares[pool.pair, pool.pair]), chosen)
    name = "MMD, one scale" if len(chosen) == 1 else "MMD, several scales"
    note = f"Gaussian kernel at {', '.join(f'{s:g}' for s in chosen)} × the median distance; {pool.sizes}"
    return permutation_test(pool, _Quadratic(kernel), name, permutations=permutations, note=note)


def kernel_distance(x: Array, y: Array) -> float:
    """The kernel (Inception) distance: the unbiased squared MMD with the kernel (x·y / D + 1)³.

    All rows are used, without standardization.

    Arguments:
        x, y: Features of samples `(N, D)` and of real data `(M, D)`.

    Raises:
        ValueError: If there are fewer than two rows, the shapes differ, or a value is not finite.

    References:
        Bińkowski et al., 2018, Demystifying MMD GANs, section 4.
    """
    a, b = (z.flatten(1).double() for z in rows_alike({"x": x, "y": y}, "y"))
    if min(len(a), len(b)) < 2:
        raise ValueError(f"kernel_distance needs at least two rows of each side, got {len(a)} and {len(b)}")
    across = sum(float(_cubic(part, b).sum()) for part in torch.split(a, max(1, BLOCK // len(b)))) / (len(a) * len(b))
    return _within(a) + _within(b) - 2 * across


def kernel_test(pool: Pool, permutations: int = 499) -> Distance:
    """The kernel distance of a pool of features, with a permutation test."""
    kernel = _cubic(pool.flat, pool.flat)
    return permutation_test(pool, _Quadratic(kernel), "kernel distance", permutations=permutations, note=pool.sizes)


def _cubic(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(a: Tensor) -> float:
    own = float(((a.square().sum(1) / a.shape[1] + 1) ** 3).sum())
    parts = torch.split(a, max(1, BLOCK // len(a)))
    return (sum(float(_cubic(part, a).sum()) for part in parts) - own) / (len(a) * (len(a) - 1))


def _gaussian(squares: Tensor, width: float, scales: Sequence[float]) -> Tensor:
    """The mean of Gaussian kernels; `squares` may be overwritten."""
    kernel = torch.zeros_like(squares)
    for scale in scales:
        kernel += torch.exp(squares * (-0.5 / (scale * width) ** 2))
    return kernel / len(scales)


def _squares(a: Tensor, b: Tensor | None = None) -> Tensor:
    b = a if b is None else b
    return (a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T).clamp_min_(0)


def _median(squares: Tensor) -> float:
    """The median distance between different rows; 1 if all rows are equal."""
    between = squares.clone().fill_diagonal_(0)
    positive = between[between > 0].cpu().numpy()
    return float(np.partition(positive, len(positive) // 2)[len(positive) // 2]) ** 0.5 if len(positive) else 1.0


def _check(scales: Sequence[float]) -> None:
    if not scales or min(scales) <= 0:
        raise ValueError(f"the scales of the kernel must be positive, got {tuple(scales)}")
