"""Tables: typed columns one by one, and in pairs."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from .association import chi_square, cramer, kolmogorov, normal, spearman
from .base import stream, subsample
from .columns import Table, TableColumn, stacked_columns
from .moments import Means, Ranks, TestFamily
from .pool import Pool, permutation_test

__all__ = ["association_test", "column_test", "joint_test", "table_pool", "table_tests"]

PAIRS = 2000  # pairs of columns whose association is looked at, at most
JOINT = 300  # pairs of columns whose joint law is looked at, at most
BINS = 6  # of numbers, in joint laws
LEVELS = 12  # categories of a column that are looked at in pairs; the others count as one


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
    """Columns, associations and joint laws of pairs, each family with a permutation test.

    Arguments:
        samples: Drawn rows: a DataFrame, a mapping of names to columns, or an array `(N, F)`.
        held_out: Real rows that the model did not see.
        train: More real rows, for the floors.
        categorical: Which columns are categories; told from their types by default, none for arrays.
        names: What the columns of an array are called.
        maximum: This many rows of either side at most; joint laws are those of 5,000 at most.
        permutations: How many.
        seed: Of the choice of rows and of what is drawn for the tests.

    Raises:
        ValueError: For different columns, or missing numbers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a = rng.normal(size=400)
        >>> real = {"a": a[:200], "b": np.where(a[:200] > 0, "yes", "no")}
        >>> drawn = {"a": a[200:], "b": rng.permutation(np.where(a[200:] > 0, "yes", "no"))}
        >>> [family.distance.p_value < 0.01 for family in table_tests(drawn, real)]
        [False, True, True]
    """
    pool, columns = table_pool(
        samples, held_out, train, categorical=categorical, names=names, maximum=maximum, seed=seed
    )
    found = [column_test(pool, columns, permutations)]
    if len(columns) > 1:
        found.append(association_test(pool, columns, permutations))
        few = min(maximum, 5000)
        pool, columns = table_pool(
            samples, held_out, train, categorical=categorical, names=names, maximum=few, seed=seed
        )
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
    """Rows chosen as `Pool.of` chooses them, by number, and their typed columns."""
    tables = [samples, held_out] if train is None else [samples, held_out, train]
    columns = stacked_columns(tables, categorical, names)
    sizes = [_length(table) for table in tables]
    n, m = (min(size, maximum) for size in sizes[:2])
    if min(n, m) < 2:
        raise ValueError(f"a comparison needs two samples and two held-out data or more, got {n} and {m}")
    counts = [n, m, n if len(sizes) > 2 and sizes[2] >= n else 0]
    ends = np.cumsum([0, *sizes])
    parts = [subsample(torch.arange(start, start + size), count, seed + i)
             for i, (start, size, count) in enumerate(zip(ends, sizes, counts)) if count]  # fmt: skip
    chosen = torch.cat([torch.as_tensor(part) for part in parts])
    return Pool(chosen[:, None], n, m, seed), [replace(column, values=column.values[chosen]) for column in columns]


class _Judges(abc.ABC):
    """Several statistics, each with a p-value by its limit law; the largest −log₁₀ of these is the statistic of all."""

    @abc.abstractmethod
    def judged(self, block: slice, a: Tensor, b: Tensor, fine: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Distances and p-values, `(K, statistics)` each; `fine` tells equal ones apart, as `Ranks.columns` does."""

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        return -torch.from_numpy(self.judged(block, a, b, fine=True)[1]).log10().amin(1)

    def family(
        self,
        pool: Pool,
        name: str,
        labels: Sequence[str],
        sides: Sequence[tuple[float, ...]],
        permutations: int,
        note: str = "",
    ) -> TestFamily:
        distance = permutation_test(pool, self, name, permutations=permutations)
        differences, p = (x[0] for x in self.judged(pool.pair, *pool.observed()))
        p = np.minimum(1, p * len(p))
        worst = int(p.argmin())
        said = f"of {len(p)}, {labels[worst]} differs the most (Bonferroni p = {p[worst]:.2g}); "
        said += f"{pool.n:,} samples and {pool.m:,} held-out data{note}; the value is −log₁₀ of the least p-value"
        here, there = np.array(sides).T
        return TestFamily(replace(distance, note=said), tuple(labels), here, there, differences, p)


class _Columns(_Judges):
    """Numbers by Kolmogorov-Smirnov, categories by χ²."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self.columns = columns
        numbers = [column.values for column in columns if column.levels is None]
        self.ranks = Ranks(torch.stack(numbers, 1), largest=True) if numbers else None

    def judged(self, block: slice, a: Tensor, b: Tensor, fine: bool = False) -> tuple[np.ndarray, np.ndarray]:
        found = [] if self.ranks is None else list(self.ranks.columns(block, a, b, fine).T.double().cpu().numpy())
        size = float(a[0].sum() * b[0].sum() / (a[0].sum() + b[0].sum()))
        both = []
        for column in self.columns:
            if column.levels is None:
                distance = found.pop(0)
                both.append((distance, kolmogorov(distance * math.sqrt(size))))
            else:
                both.append(chi_square(column.values[block], len(column.levels), a, b))
        return np.stack([d for d, _ in both], 1), np.stack([p for _, p in both], 1)


class _Joint(_Judges):
    """Joint tables of pairs of columns, by χ²."""

    def __init__(self, codes: Sequence[tuple[Tensor, int]], pairs: Sequence[tuple[int, int]]) -> None:
        self.codes = codes
        self.pairs = pairs

    def judged(self, block: slice, a: Tensor, b: Tensor, fine: bool = False) -> tuple[np.ndarray, np.ndarray]:
        both = []
        for i, j in self.pairs:
            (first, _), (second, width) = self.codes[i], self.codes[j]
            both.append(chi_square(first[block] * width + second[block], self.codes[i][1] * width, a, b))
        return np.stack([d for d, _ in both], 1), np.stack([p for _, p in both], 1)


def column_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """Every column by itself: numbers by the Kolmogorov-Smirnov distance, categories by χ², of two samples each.

    The statistic of the family is −log₁₀ of the least of their p-values, by the limit laws; its own p-value is that of
    permutations, right with ties and few rows too. `differences` are Kolmogorov-Smirnov or total variation distances,
    `samples` and `real` means, or the part of the category that is commonest in held-out data.
    """
    sides: list[tuple[float, ...]] = []
    for column in columns:
        here, there = column.values[pool.drawn], column.values[pool.held]
        if column.levels is None:
            sides.append((float(here.mean()), float(there.mean())))
        else:
            common = int(torch.bincount(there).argmax())
            sides.append((float((here == common).double().mean()), float((there == common).double().mean())))
    return _Columns(columns).family(pool, "columns", [column.name for column in columns], sides, permutations)


def association_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """How columns go together, pair by pair: rank correlations of numbers, and the like for categories.

    What is compared are mean products of centred ranks in the pile (Spearman's, for two columns of numbers); a category
    counts as 1 where it is and 0 where not. Reported are, of each side, Spearman's correlation of two columns of numbers,
    and Cramér's V where there are categories, numbers being cut at their sextiles; `differences` are standardized ones.
    """
    pairs = _pairs(len(columns), PAIRS, pool.seed)
    scores = [_scores(column, pool) for column in columns]
    parts = [(scores[i][:, :, None] * scores[j][:, None]).flatten(1) for i, j in pairs]
    owner = np.repeat(np.arange(len(pairs)), [part.shape[1] for part in parts])
    means = Means(torch.cat(parts, 1))
    distance = permutation_test(pool, means, "associations", permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0].double().cpu().numpy()
    codes = [column.coded(BINS, pool.n + pool.m) for column in columns]
    sides: list[tuple[float, ...]] = []
    differences = []
    for number, (i, j) in enumerate(pairs):
        own = z[owner == number]
        differences.append(own[np.abs(own).argmax()])
        sides.append(
            tuple(_strength(columns[i], columns[j], codes[i], codes[j], part) for part in (pool.drawn, pool.held))
        )
    p = np.minimum(1, normal(np.array(differences)) * len(z))
    labels = [f"{columns[i].name} and {columns[j].name}" for i, j in pairs]
    worst = int(np.abs(differences).argmax())
    note = f"largest of {len(pairs)}: {labels[worst]}, z = {differences[worst]:.1f} (Bonferroni p = {p[worst]:.2g}); "
    note += f"{pool.n:,} samples and {pool.m:,} held-out data"
    here, there = np.array(sides).T
    return TestFamily(replace(distance, note=note), tuple(labels), here, there, np.array(differences), p)


def joint_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """The joint laws of pairs of columns, of any kinds: χ² of two tables, numbers being cut at their sextiles.

    It sees dependence that no correlation shows. `differences` are total variation distances between the tables of samples
    and of held-out data, `samples` and `real` Cramér's V within each.
    """
    pairs = _pairs(len(columns), JOINT, pool.seed)
    codes = [_few(*column.coded(BINS, pool.n + pool.m)) for column in columns]
    sides: list[tuple[float, ...]] = []
    for i, j in pairs:
        sides.append(tuple(cramer(*codes[i], *codes[j], part) for part in (pool.drawn, pool.held)))
    labels = [f"{columns[i].name} and {columns[j].name}" for i, j in pairs]
    return _Joint(codes, pairs).family(pool, "joint laws of pairs", labels, sides, permutations)


def _length(table: Table) -> int:
    return len(table) if not isinstance(table, Mapping) else len(next(iter(table.values())))


def _pairs(columns: int, most: int, seed: int) -> list[tuple[int, int]]:
    """All pairs of columns, or as many as are allowed, chosen by the seed."""
    every = list(combinations(range(columns), 2))
    if len(every) <= most:
        return every
    return [every[i] for i in np.sort(stream(seed, "pairs").permutation(len(every))[:most])]


def _scores(column: TableColumn, pool: Pool) -> Tensor:
    """Centred ranks in the pile, `(rows, 1)`, or indicators of all categories but one, `(rows, levels − 1)`."""
    pair = pool.n + pool.m
    if column.levels is not None:
        codes, levels = _few(column.values, len(column.levels))
        scores = torch.nn.functional.one_hot(codes, levels)[:, : max(1, levels - 1)].float()
    else:
        ordered = column.values[:pair].sort().values
        middle = torch.searchsorted(ordered, column.values) + torch.searchsorted(ordered, column.values, right=True)
        scores = (middle / (2 * pair)).float()[:, None]
    return scores - scores[:pair].mean(0)


def _few(codes: Tensor, levels: int) -> tuple[Tensor, int]:
    """The last categories beyond the limit counted as one."""
    return codes.clamp_max(LEVELS - 1), min(levels, LEVELS)


def _strength(
    first: TableColumn, second: TableColumn, codes: tuple[Tensor, int], others: tuple[Tensor, int], part: slice
) -> float:
    """Spearman's correlation, or Cramér's V, within a part of the pile."""
    if first.levels is None and second.levels is None:
        return spearman(first.values[part], second.values[part])
    return cramer(*codes, *others, part)
