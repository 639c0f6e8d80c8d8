"""Distances between the distributions of two samples, and their noise floors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..rng import generator
from .base import Array, Distance, paired, stream, subsample
from .declared import metric

__all__ = ["energy_distance", "sliced_wasserstein", "wasserstein", "with_floor"]

BLOCK = 2**22  # distances held in memory at once: 32 MB in float64


@metric("energy distance", tested=True)
def energy_distance(x: Array, y: Array, *, standardize: bool = True, maximum: int = 4096, seed: int = 0) -> float:
    """The squared energy distance 2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖, estimated without bias.

    The terms within x and within y are U-statistics (a row is not paired with itself). The estimate is therefore unbiased, 0 on
    average for equal distributions, and can be slightly negative. `scipy.stats.energy_distance` is the square root of the
    biased estimator. Sums are in float64, block by block.

    Arguments:
        x, y: Samples of the model `(N, *D)` and real data `(M, *D)`.
        standardize: Whether to divide by the standard deviations of y: of each feature for `(M, F)`, of each channel for grids
            `(M, C, *S)`, so that the units do not matter.
        maximum, seed: The maximum number of rows of each side, and the seed that chooses them.

    Raises:
        ValueError: If there are fewer than two rows, the shapes differ, or a value is not finite.

    References:
        Székely and Rizzo, 2013, Energy statistics.

    Example:
        >>> energy_distance(np.array([0.0, 2.0]), np.array([0.0, 2.0]), standardize=False)
        -2.0
    """
    a, b = paired(x, y, standardize, maximum, seed)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"energy_distance needs at least two rows of each side, got {n} and {m}")
    across = _between(a, b) / (n * m)
    return 2 * across - _within(a) / (n * (n - 1)) - _within(b) / (m * (m - 1))


@metric("sliced Wasserstein", tested=True)
def sliced_wasserstein(
    x: Array,
    y: Array,
    *,
    projections: int = 128,
    order: float = 2,
    standardize: bool = True,
    maximum: int = 65536,
    seed: int = 0,
) -> float:
    """The sliced Wasserstein distance (E_θ W_p(θ·X, θ·Y)^p)^(1/p) over random unit directions θ.

    Each one-dimensional distance is exact, by the quantile functions of the two samples. For equal distributions sampling noise
    makes it positive, of order N^(−1/2): compare it with its noise floor.

    Arguments:
        x, y: Samples of the model `(N, *D)` and real data `(M, *D)`.
        projections: The number of directions, drawn by `seed`.
        order: The order p, at least 1.
        standardize, maximum, seed: As in `energy_distance`.

    Raises:
        ValueError: If the order is below 1, there are no projections, the shapes differ, or a value is not finite.

    References:
        Bonneel et al., 2015, Sliced and Radon Wasserstein barycenters of measures.

    Example:
        >>> x = np.linspace(0, 1, 50)
        >>> round(sliced_wasserstein(x + 3, x, standardize=False), 6)
        3.0
    """
    if not order >= 1 or not projections >= 1:
        raise ValueError(f"sliced_wasserstein needs order >= 1 and projections >= 1, got {order=}, {projections=}")
    a, b = paired(x, y, standardize, maximum, seed)
    directions = torch.from_numpy(generator(seed).standard_normal((projections, a.shape[1]))).to(a)
    directions = directions / directions.norm(dim=1, keepdim=True)
    mass, left, right = _coupling(len(a), len(b), a.device)
    total = 0.0
    for chunk in torch.split(directions, max(1, BLOCK // (len(a) + len(b)))):
        u, v = (chunk @ a.T).sort(1).values, (chunk @ b.T).sort(1).values
        total += float(((u[:, left] - v[:, right]).abs() ** order @ mass).sum())
    return float((total / projections) ** (1 / order))


def wasserstein(
    x: Array, y: Array, *, order: float = 2, standardize: bool = True, maximum: int = 1000, seed: int = 0
) -> float:
    """The exact Wasserstein distance (min over pairings π of mean ‖x_i − y_π(i)‖^p)^(1/p) of equally many rows.

    The cost of the optimal assignment is cubic in the number of rows, so that at most `maximum` are used. For equal
    distributions in D dimensions it decreases only as N^(−1/D): compare it with a noise floor of the same size.

    Arguments:
        x, y: Samples of the model `(N, *D)` and real data `(M, *D)`.
        order: The order p, at least 1.
        standardize: Whether to divide by the standard deviations of y, as in `energy_distance`.
        maximum: The maximum number of rows, chosen by `seed`; both sides have as many as the shorter one.
        seed: The seed.

    Raises:
        ValueError: If the order is below 1, the shapes differ, or a value is not finite.

    References:
        Peyré and Cuturi, 2019, Computational optimal transport, section 2.2; Crouse, 2016, the assignment algorithm.

    Example:
        >>> x = np.array([[0.0, 0.0], [4.0, 0.0]])
        >>> wasserstein(x[::-1] + [0.0, 3.0], x, standardize=False)
        3.0
    """
    from scipy.optimize import linear_sum_assignment

    if not order >= 1:
        raise ValueError(f"wasserstein needs order >= 1, got {order=}")
    count = min(len(x), len(y), maximum)
    a, b = paired(x, y, standardize, count, seed)
    cost = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy() ** order
    return float(cost[linear_sum_assignment(cost)].mean() ** (1 / order))


def with_floor(
    distance: Callable[[Array, Array], float],
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    name: str | None = None,
    splits: int = 20,
    resamples: int = 0,
    maximum: int = 1000,
    seed: int = 0,
    note: str = "",
) -> Distance:
    """A distance between samples and held-out data with its noise floor: the distance between real data and real data.

    The floor is computed on random disjoint subsets of the real data (held-out and training data together) of the same sizes as
    the value. If there are too few real data for that, both are computed with half of them.

    Arguments:
        distance: A distance of two samples, such as `energy_distance`, called as distance(samples, real).
        samples, held_out, train: Samples of the model, held-out data, and further real data for the floor, `(N, *D)`.
        name: The name of the distance; that of the function by default.
        splits: The number of random splits.
        resamples: The number of bootstrap resamples for the interval of the value; 0 for no interval. The quantiles are shifted
            to have the value as their mean, because repeated rows bias distances.
        maximum, seed: The maximum number of rows of each side, and the seed that chooses them.
        note: A note on the computation.

    Raises:
        ValueError: If there are fewer than four real rows, or fewer than two splits.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> with_floor(energy_distance, rng.normal(size=(200, 2)), rng.normal(size=(200, 2))).covered
        True
    """
    total = len(held_out) + (0 if train is None else len(train))
    if total < 4 or splits < 2:
        raise ValueError(f"a noise floor needs at least 4 real rows and 2 splits, got {total} rows and {splits} splits")
    n, m = min(len(samples), maximum), min(len(held_out), maximum)
    if n + m > total:
        n = m = min(n, m, total // 2)
    drawn, real = subsample(samples, n, seed), subsample(held_out, m, seed + 1)
    value = float(distance(drawn, real))
    rng = generator(seed)
    floors = []
    for _ in range(splits):
        chosen = rng.choice(total, n + m, replace=False)
        floors.append(distance(_rows(held_out, train, chosen[:n]), _rows(held_out, train, chosen[n:])))
    low, middle, high = (float(q) for q in np.quantile(floors, [0.05, 0.5, 0.95]))
    title = name or getattr(distance, "__name__", "distance").replace("_", " ")
    interval = _interval(distance, value, drawn, real, resamples, seed) if resamples else None
    return Distance(title, value, middle, low, high, (n, m), interval=interval, note=note)


def _interval(
    distance: Callable[[Array, Array], float], value: float, x: Array, y: Array, resamples: int, seed: int
) -> tuple[float, float]:
    """The 95 % bootstrap interval of a distance, centred at its value."""
    rng = stream(seed, "bootstrap")
    drawn = [
        distance(x[rng.integers(len(x), size=len(x))], y[rng.integers(len(y), size=len(y))]) for _ in range(resamples)
    ]
    low, high = np.quantile(np.asarray(drawn) - np.mean(drawn), [0.025, 0.975])
    return value + float(low), value + float(high)


def _rows(held_out: Array, train: Array | None, indices: np.ndarray) -> Array:
    """Rows of the two samples, numbered consecutively."""
    first, rest = indices[indices < len(held_out)], indices[indices >= len(held_out)] - len(held_out)
    if train is None or len(rest) == 0:
        return held_out[first]
    parts = [torch.as_tensor(part[index]) for part, index in ((held_out, first), (train, rest))]
    return torch.cat([parts[0], parts[1].to(parts[0].device)])


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Distances `(N, M)` of centred float64 rows: the error by cancellation is at most 1e-8 of the norm of a row."""
    square = x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T
    return square.clamp_min_(0).sqrt_()


def _between(x: Tensor, y: Tensor) -> float:
    return sum(float(_distances(rows, y).sum()) for rows in torch.split(x, max(1, BLOCK // len(y))))


def _within(x: Tensor) -> float:
    """The sum over ordered pairs of different rows."""
    total, start = 0.0, 0
    for rows in torch.split(x, max(1, BLOCK // len(x))):
        own = _distances(rows, rows)
        total += float(own.sum() - own.diagonal().sum())
        total += 2 * float(_distances(rows, x[:start]).sum())
        start += len(rows)
    return total


def _coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The optimal coupling of n and m sorted values: the mass of each pair, and its ranks on both sides."""
    if n == m:
        rank = torch.arange(n, device=device)
        return torch.full((n,), 1 / n, dtype=torch.float64, device=device), rank, rank
    # In units of 1/(nm) the steps of both quantile functions are integers, so that rounding does not matter.
    steps = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    mass = np.diff(steps, prepend=0) / (n * m)
    left, right = (steps - 1) // m, (steps - 1) // n
    return (torch.from_numpy(mass).to(device), torch.from_numpy(left).to(device), torch.from_numpy(right).to(device))
