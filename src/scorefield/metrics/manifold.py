"""Fidelity and diversity by nearest neighbours: precision, recall, density and coverage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, as_rows
from .pool import Pool

__all__ = ["Manifold", "manifold_distances", "precision_recall"]

NEIGHBOURS = 5


class Manifold(NamedTuple):
    """Precision, recall, density and coverage of samples."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(samples: Array, real: Array, neighbours: int = NEIGHBOURS) -> Manifold:
    """The fraction of samples that lie among the real data, and of real data that lie among the samples.

    Each real row has a ball that reaches its k-th nearest real neighbour. Precision is the fraction of samples in at least one
    ball, density the mean number of balls that contain a sample, over k, and coverage the fraction of balls that contain a
    sample. Recall is precision with the sides exchanged. Distances are Euclidean, in the given units.

    Arguments:
        samples, real: Samples of the model `(N, *D)` and real data `(M, *D)`, or their features.
        neighbours: The number k of neighbours.

    Raises:
        ValueError: If a side has k rows or fewer, the shapes differ, or a value is not finite.

    References:
        Kynkäänniemi et al., 2019, Improved precision and recall metric; Naeem et al., 2020, Reliable fidelity and diversity.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = rng.normal(size=(500, 2))
        >>> found = precision_recall(0.1 * rng.normal(size=(500, 2)), real)
        >>> found.precision > 0.99, found.coverage < 0.2
        (True, True)
    """
    x, y = (as_rows(z, name).flatten(1) for z, name in ((samples, "samples"), (real, "real")))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"samples and real must have one shape, got {x.shape[1]} and {y.shape[1]} features")
    if not 1 <= neighbours < min(len(x), len(y)):
        raise ValueError(f"precision_recall needs more than {neighbours} rows of each side, got {len(x)} and {len(y)}")
    both = torch.cat([x.to(y.device), y]).double()
    places = torch.arange(len(both), device=both.device)
    parts = _terms(torch.cdist(both, both), places[: len(x)], places[len(x) :], neighbours)
    return Manifold(*(float(part.mean()) for part in parts.values()))


def manifold_distances(pool: Pool, neighbours: int = NEIGHBOURS, splits: int = 20) -> tuple[Distance, ...]:
    """Precision, recall, density and coverage of a pool with their noise floors; higher is better.

    The floors compare real data with real data, or permute samples and held-out data if there are too few real data. The
    intervals are those of means over rows, with the balls fixed.

    Arguments:
        pool: The pooled samples and real data.
        neighbours, splits: The number k of neighbours, and that of splits of real data.
    """
    k = min(neighbours, pool.n - 1, pool.m - 1)
    distance = pool.squares
    block = pool.real if pool.extra else pool.pair
    ((left, right),) = zip(*pool.observed())
    observed = _terms(distance[pool.pair, pool.pair], left.nonzero()[:, 0], right.nonzero()[:, 0], k)
    floors = []
    for a, b in pool.splits(splits) if pool.extra else pool.permuted(splits):
        for left, right in zip(a, b):
            terms = _terms(distance[block, block], left.nonzero()[:, 0], right.nonzero()[:, 0], k)
            floors.append([float(part.mean()) for part in terms.values()])
    ranges = np.quantile(floors, [0.05, 0.5, 0.95], axis=0).T
    found = []
    for (name, part), (low, floor, high) in zip(observed.items(), ranges):
        value, margin = float(part.mean()), 1.96 * float(part.std()) / len(part) ** 0.5
        note = f"{k} neighbours, {pool.sizes}"
        ends = (value - margin, value + margin)
        bounds = float(floor), float(low), float(high)
        found.append(Distance(name, value, *bounds, (pool.n, pool.m), None, ends, note, True))
    return tuple(found)


def _terms(distance: Tensor, drawn: Tensor, real: Tensor, k: int) -> dict[str, Tensor]:
    """What each row adds to the four means, from distances (or their squares) of all rows and the places of both sides."""
    across = _between(distance, drawn, real)
    # The smallest of the k + 1 is the distance of a row to itself.
    own, other = (_between(distance, p, p).topk(k + 1, dim=1, largest=False).values[:, -1] for p in (drawn, real))
    within = across <= other
    return {
        "precision": within.any(1).float(),
        "recall": (across <= own[:, None]).any(0).float(),
        "density": within.float().sum(1) / k,
        "coverage": within.any(0).float(),
    }


def _between(distance: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return distance.index_select(0, rows).index_select(1, columns)
