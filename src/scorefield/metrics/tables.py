"""Tests for tables: of single columns, and of pairs of columns."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .association import chi_square, cramer, kolmogorov, normal, spearman
from .base import stream, subsample
from .columns import Table, TableColumn, stacked_columns
from .moments import Means, Ranks, TestFamily
from .pool import Pool, permutation_test

__all__ = ["association_test", "column_test", "joint_test", "table_pool", "table_tests"]

PAIRS = 2000  # the maximum number of pairs whose association is tested
JOINT = 300  # the maximum number of pairs whose joint distribution is tested
BINS = 6  # of numeric columns in joint distributions
LEVELS = 12  # the maximum number of categories in tests of pairs; the rest are merged


def table_tests(
    samples: Table,
    held_out: Table,
    train: Table | None = None,
    *,
    categorical: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    maximum: int = 20000,
    permutations: int = 499,
    seed: int = 0,
) -> tuple[TestFamily, ...]:
    """Tests columns, associations of pairs and joint distributions of pairs, each family with a permutation test.

    Arguments:
        samples, held_out, train: Rows of the model, held-out rows, and further real rows for the noise floors: each a
            DataFrame, a mapping of names to columns, or an array `(N, F)`.
        categorical: Which columns are categorical; by default it follows from their types, and arrays are numeric.
        names: The names of the columns of an array.
        maximum: The maximum number of rows of each side; for joint distributions it is at most 5,000.
        permutations, seed: The number of permutations of each test, and the seed of the subsets and of the tests.

    Raises:
        TypeError: If something is not a table.
        ValueError: If columns differ, numbers are missing, or a side has fewer than two rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a = rng.normal(size=400)
        >>> real = {"a": a[:200], "b": np.where(a[:200] > 0, "yes", "no")}
        >>> drawn = {"a": a[200:], "b": rng.permutation(np.where(a[200:] > 0, "yes", "no"))}
        >>> [family.distance.p_value < 0.01 for family in table_tests(drawn, real)]
        [False, True, True]
    """
    options: dict[str, Any] = {"categorical": categorical, "names": names, "seed": seed}
    pool, columns = table_pool(samples, held_out, train, maximum=maximum, **options)
    found = [column_test(pool, columns, permutations)]
    if len(columns) > 1:
        found.append(association_test(pool, columns, permutations))
        pool, columns = table_pool(samples, held_out, train, maximum=min(maximum, 5000), **options)
        found.append(joint_test(pool, columns, permutations))
    return tuple(found)


def table_pool(
    samples: Table,
    held_out: Table,
    train: Table | None = None,
    *,
    categorical: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    maximum: int = 20000,
    seed: int = 0,
) -> tuple[Pool, list[TableColumn]]:
    """A pool of row numbers, chosen as in `Pool.of`, and the typed columns of these rows.

    Arguments:
        samples, held_out, train, categorical, names, maximum, seed: As in `table_tests`.

    Raises:
        TypeError: If something is not a table.
        ValueError: If columns differ, numbers are missing, or a side has fewer than two rows.
    """
    tables = [samples, held_out] if train is None else [samples, held_out, train]
    columns = stacked_columns(tables, categorical, names)
    sizes = [len(next(iter(x.values())) if isinstance(x, Mapping) else x) for x in tables]
    n, m = (min(size, maximum) for size in sizes[:2])
    if min(n, m) < 2:
        raise ValueError(f"a comparison needs at least two samples and two held-out data, got {n} and {m}")
    counts = [n, m, n if len(sizes) > 2 and sizes[2] >= n else 0]
    parts = [
        subsample(torch.arange(sum(sizes[:i]), sum(sizes[: i + 1])), c, seed + i) for i, c in enumerate(counts) if c
    ]
    chosen = torch.cat([torch.as_tensor(part) for part in parts])
    return Pool(chosen[:, None], n, m, seed), [replace(column, values=column.values[chosen]) for column in columns]


class _SmallestPValue(abc.ABC):
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


class _Columns(_SmallestPValue):
    """Numeric columns by Kolmogorov-Smirnov, categorical ones by χ²."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self.columns = columns
        numbers = [column.values for column in columns if column.levels is None]
        self.ranks = Ranks(torch.stack(numbers, 1), largest=True) if numbers else None

    def each(self, block: slice, a: Tensor, b: Tensor, fine: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        found = iter([] if self.ranks is None else self.ranks.columns(block, a, b, fine).T.double().cpu().numpy())
        size = float(a[0].sum() * b[0].sum() / (a[0].sum() + b[0].sum()))
        for column in self.columns:
            if column.levels is None:
                distance = next(found)
                yield distance, kolmogorov(distance * math.sqrt(size))
            else:
                yield chi_square(column.values[block], len(column.levels), a, b)


class _Joint(_SmallestPValue):
    """Contingency tables of pairs of columns, by χ²."""

    def __init__(self, codes: Sequence[tuple[Tensor, int]], pairs: Sequence[tuple[int, int]]) -> None:
        self.codes = codes
        self.pairs = pairs

    def each(self, block: slice, a: Tensor, b: Tensor, fine: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i, j in self.pairs:
            (first, height), (second, width) = self.codes[i], self.codes[j]
            yield chi_square(first[block] * width + second[block], height * width, a, b)


def column_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """Tests each column: numeric ones by the two-sample Kolmogorov-Smirnov distance, categorical ones by χ².

    The statistic of the family is −log₁₀ of the smallest p-value from the limit distributions. Its own p-value is by
    permutations, which is exact with ties and few rows. `differences` are Kolmogorov-Smirnov or total variation distances;
    `samples` and `real` are means, or the frequencies of the category that is most common in held-out data.

    Arguments:
        pool, columns, permutations: The pooled rows, their typed columns, and the number of permutations.
    """
    sides: list[tuple[float, ...]] = []
    for column in columns:
        drawn, real = column.values[pool.drawn], column.values[pool.held]
        if column.levels is None:
            sides.append((float(drawn.mean()), float(real.mean())))
        else:
            common = int(torch.bincount(real).argmax())
            sides.append((float((drawn == common).double().mean()), float((real == common).double().mean())))
    return _Columns(columns).family(pool, "columns", [column.name for column in columns], sides, permutations)


def association_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """Tests the association of pairs of columns: rank correlations, and their analogue for categories.

    The test compares mean products of centred ranks in the pool (Spearman's correlation, for two numeric columns); categories
    are represented by indicators. `samples` and `real` are Spearman's correlation of two numeric columns, and Cramér's V if one
    is categorical, with numbers binned at their sextiles; `differences` are standardized differences.

    Arguments:
        pool, columns, permutations: The pooled rows, their typed columns, and the number of permutations.
    """
    pairs = _pairs(len(columns), PAIRS, pool.seed)
    scores = [_scores(column, pool) for column in columns]
    parts = [(scores[i][:, :, None] * scores[j][:, None]).flatten(1) for i, j in pairs]
    owner = np.repeat(np.arange(len(pairs)), [part.shape[1] for part in parts])
    means = Means(torch.cat(parts, 1))
    distance = permutation_test(pool, means, "associations", permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0].double().cpu().numpy()
    codes = [column.coded(BINS, pool.n + pool.m) for column in columns]

    def strength(i: int, j: int, part: slice) -> float:
        if columns[i].levels is None and columns[j].levels is None:
            return spearman(columns[i].values[part], columns[j].values[part])
        return cramer(*codes[i], *codes[j], part)

    differences = np.array([max(z[owner == k], key=abs) for k in range(len(pairs))])
    p = np.minimum(1, normal(differences) * len(z))
    labels = [f"{columns[i].name} and {columns[j].name}" for i, j in pairs]
    worst = int(np.abs(differences).argmax())
    note = f"largest of {len(pairs)}: {labels[worst]}, z = {differences[worst]:.1f} (Bonferroni p = {p[worst]:.2g}); "
    drawn, real = np.array([[strength(i, j, part) for part in (pool.drawn, pool.held)] for i, j in pairs]).T
    return TestFamily(replace(distance, note=note + pool.sizes), tuple(labels), drawn, real, differences, p)


def joint_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """Tests the joint distributions of pairs of columns by χ², with numbers binned at their sextiles.

    It detects dependence that correlations miss. `differences` are total variation distances between the contingency tables of
    samples and held-out data; `samples` and `real` are Cramér's V of each.

    Arguments:
        pool, columns, permutations: The pooled rows, their typed columns, and the number of permutations.
    """
    pairs = _pairs(len(columns), JOINT, pool.seed)
    codes = [_merged(*column.coded(BINS, pool.n + pool.m)) for column in columns]
    sides = [tuple(cramer(*codes[i], *codes[j], part) for part in (pool.drawn, pool.held)) for i, j in pairs]
    labels = [f"{columns[i].name} and {columns[j].name}" for i, j in pairs]
    return _Joint(codes, pairs).family(pool, "joint distributions of pairs", labels, sides, permutations)


def _pairs(columns: int, most: int, seed: int) -> list[tuple[int, int]]:
    """All pairs of columns, or a random subset of at most `most`."""
    pairs = list(combinations(range(columns), 2))
    if len(pairs) <= most:
        return pairs
    return [pairs[i] for i in np.sort(stream(seed, "pairs").permutation(len(pairs))[:most])]


def _scores(column: TableColumn, pool: Pool) -> Tensor:
    """Centred ranks in the pool, `(rows, 1)`, or indicators of all categories but one, `(rows, levels − 1)`."""
    pair = pool.n + pool.m
    if column.levels is not None:
        codes, levels = _merged(column.values, len(column.levels))
        scores = torch.nn.functional.one_hot(codes, levels)[:, : max(1, levels - 1)].float()
    else:
        ordered = column.values[:pair].sort().values
        middle = torch.searchsorted(ordered, column.values) + torch.searchsorted(ordered, column.values, right=True)
        scores = (middle / (2 * pair)).float()[:, None]
    return scores - scores[:pair].mean(0)


def _merged(codes: Tensor, levels: int) -> tuple[Tensor, int]:
    """The codes with categories beyond the limit merged."""
    return codes.clamp_max(LEVELS - 1), min(levels, LEVELS)
