"""Distances between the laws of two samples, and the noise floor that tells what a value means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, paired, stream, subsample

__all__ = ["energy_distance", "sliced_wasserstein", "wasserstein", "with_floor"]

BLOCK = 2**22  # distances held at once: 32 MB in float64


def energy_distance(x: Array, y: Array, *, standardize: bool = True, maximum: int = 4096, seed: int = 0) -> float:
    """The squared energy distance 2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖, estimated without bias.

    The terms within x and within y are U-statistics (a datum is not paired with itself), so the estimate is centred on
    the true value, zero for equal laws, and may come out slightly negative. `scipy.stats.energy_distance` is the square
    root of the other, biased estimator. The order of the rows is of no account; sums are in float64, block by block.

    Arguments:
        x: Drawn samples `(N, *D)`.
        y: Real data `(M, *D)`.
        standardize: Divides by the standard deviations of y first: of each feature for `(M, F)`, of each channel for
            grids `(M, C, *S)`, so that no unit outweighs another.
        maximum: A longer sample is represented by this many of its rows, chosen by `seed`.

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
        raise ValueError(f"energy_distance needs two rows or more on either side, got {n} and {m}")
    across = _between(a, b) / (n * m)
    return 2 * across - _within(a) / (n * (n - 1)) - _within(b) / (m * (m - 1))


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

    Each one-dimensional distance is exact: sorted values are matched, through the step-shaped quantile functions where
    the sizes differ. Sampling noise makes it positive, of order N^(−1/2), for equal laws too: read it against a floor.
    The order of the rows is of no account.

    Arguments:
        x: Drawn samples `(N, *D)`.
        y: Real data `(M, *D)`.
        projections: Number of directions, drawn by `seed`.
        order: P, at least 1.
        standardize: Divides by the standard deviations of y first, as in `energy_distance`.
        maximum: A longer sample is represented by this many of its rows, chosen by `seed`.

    Raises:
        ValueError: For an order below 1, no projections, the shapes differ, or a value is not finite.

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
    directions = torch.from_numpy(np.random.default_rng(seed).standard_normal((projections, a.shape[1]))).to(a)
    directions = directions / directions.norm(dim=1, keepdim=True)
    mass, left, right = _coupling(len(a), len(b), a.device)
    total = 0.0
    for some in directions.split(max(1, BLOCK // (len(a) + len(b)))):
        u, v = (some @ a.T).sort(1).values, (some @ b.T).sort(1).values
        total += float(((u[:, left] - v[:, right]).abs() ** order @ mass).sum())
    return float((total / projections) ** (1 / order))


def wasserstein(
    x: Array, y: Array, *, order: float = 2, standardize: bool = True, maximum: int = 1000, seed: int = 0
) -> float:
    """The Wasserstein distance (min over pairings of mean ‖x_i − y_π(i)‖^p)^(1/p), exactly, between as many rows of each.

    The best pairing is found among `maximum` rows at most of either side, as it takes a time that grows with their cube.
    In D dimensions it falls only as N^(−1/D) for equal laws: read it against a floor of the same size.

    Arguments:
        x: Drawn samples `(N, *D)`.
        y: Real data `(M, *D)`.
        order: P, at least 1.
        standardize: Divides by the standard deviations of y first, as in `energy_distance`.
        maximum: This many rows of either side at most, and as many of each as of the shorter one, chosen by `seed`.

    Raises:
        ValueError: For an order below 1, the shapes differ, or a value is not finite.

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
    """A distance from samples to held-out data beside its noise floor: the same between real data and real data.

    The floor comes from random disjoint parts of the real data (held-out and training data together) of exactly the
    sizes that the value was computed at; with too few real data for that, both are computed at half of what there is.

    Arguments:
        distance: Of two samples, as `energy_distance`; it gets (samples, real).
        samples: Drawn samples `(N, *D)`.
        held_out: Real data `(M, *D)` that the model did not see.
        train: More real data, for the floor only.
        name: How the distance is called; that of the function otherwise.
        splits: Number of random splits.
        resamples: Number of bootstrap resamples for the interval of the value; none are drawn, and no interval given, at 0.
            Their quantiles are moved so that their mean is the value: A resample repeats rows, which biases distances.
        maximum: Number of rows used on either side, chosen by `seed`.
        note: A word on how it was computed.

    Raises:
        ValueError: If there are fewer than four real rows, or fewer than two splits.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> with_floor(energy_distance, rng.normal(size=(200, 2)), rng.normal(size=(200, 2))).covered
        True
    """
    total = len(held_out) + (0 if train is None else len(train))
    if total < 4 or splits < 2:
        raise ValueError(f"a noise floor needs 4 real rows and 2 splits or more, got {total} rows, {splits} splits")
    n, m = min(len(samples), maximum), min(len(held_out), maximum)
    if n + m > total:
        n = m = min(n, m, total // 2)
    drawn, real = subsample(samples, n, seed), subsample(held_out, m, seed + 1)
    value = float(distance(drawn, real))
    rng = np.random.default_rng(seed)
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
    """The 95 % bootstrap interval of a distance, about its value."""
    rng = stream(seed, "bootstrap")
    drawn = [
        distance(x[rng.integers(len(x), size=len(x))], y[rng.integers(len(y), size=len(y))]) for _ in range(resamples)
    ]
    low, high = np.quantile(np.asarray(drawn) - np.mean(drawn), [0.025, 0.975])
    return value + float(low), value + float(high)


def _rows(held_out: Array, train: Array | None, indices: np.ndarray) -> Array:
    """Rows of the two samples, numbered one after the other."""
    first, rest = indices[indices < len(held_out)], indices[indices >= len(held_out)] - len(held_out)
    if train is None or len(rest) == 0:
        return held_out[first]
    parts = [torch.as_tensor(part[index]) for part, index in ((held_out, first), (train, rest))]
    return torch.cat([parts[0], parts[1].to(parts[0].device)])


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Distances `(N, M)` of rows that are float64 and centred: cancellation costs 1e-8 of a row's length at most."""
    square = x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T
    return square.clamp_min_(0).sqrt_()


def _between(x: Tensor, y: Tensor) -> float:
    return sum(float(_distances(rows, y).sum()) for rows in x.split(max(1, BLOCK // len(y))))


def _within(x: Tensor) -> float:
    """The sum over ordered pairs of different rows."""
    total, start = 0.0, 0
    for rows in x.split(max(1, BLOCK // len(x))):
        own = _distances(rows, rows)
        total += float(own.sum() - own.diagonal().sum())
        total += 2 * float(_distances(rows, x[:start]).sum())
        start += len(rows)
    return total


def _coupling(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """How n sorted values are matched with m: the mass of each match, and the rank on either side."""
    if n == m:
        rank = torch.arange(n, device=device)
        return torch.full((n,), 1 / n, dtype=torch.float64, device=device), rank, rank
    # In units of 1/(nm) the steps of both quantile functions are whole numbers: no rounding decides a match.
    steps = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    mass = np.diff(steps, prepend=0) / (n * m)
    left, right = (steps - 1) // m, (steps - 1) // n
    return (torch.from_numpy(mass).to(device), torch.from_numpy(left).to(device), torch.from_numpy(right).to(device))
