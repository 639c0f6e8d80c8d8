"""Tests for tables: of single columns, and of pairs of columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .association import (
    chi_square,
    corrected_cramer,
    correlation_ratio,
    cramer,
    kolmogorov,
    normal,
    rank_correlation,
)
from .base import Array, stream, subsample
from .columns import Table, TableColumn, stacked_columns
from .missing import missing_test
from .moments import LARGE, Means, Ranks, TestFamily
from .pool import Pool, permutation_test
from .smallest import SmallestPValue
from .typed import PlainColumn, TypedColumn, named_tables, typed_columns, typed_matrices

__all__ = [
    "all_rows_test",
    "association_test",
    "chosen_pairs",
    "chosen_rows",
    "column_test",
    "joint_test",
    "strength",
    "table_pool",
    "table_tests",
    "typed_pool",
]

PAIRS = 2000  # the maximum number of pairs whose association is tested
JOINT = 300  # the maximum number of pairs whose joint distribution is tested
CANONICAL = 2  # pairs of combinations of the levels of two columns that are tested
FEW = 4  # products of the scores of two columns, up to which all are tested
BINS = 6  # of numeric columns in joint distributions
STRENGTH = "Spearman's correlations of two numbers, otherwise Cramér's V or the correlation ratio, corrected for bias"
NEW_VALUES = "has values in samples that no row of the data has"
LEVELS = 12  # the maximum number of categories in tests of pairs; the rest are merged


def table_tests(
    samples: Table,
    held_out: Table,
    train: Table | None = None,
    *,
    columns: Sequence[TypedColumn] | None = None,
    categorical: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    maximum: int = 20000,
    permutations: int = 499,
    seed: int = 0,
) -> tuple[TestFamily, ...]:
    """Tests columns, associations of pairs and joint distributions of pairs, each family with a permutation test.

    Where values are missing, which ones is tested too. In the other tests a missing number lies below all others, and a
    missing category is a level.

    Arguments:
        samples, held_out, train: Rows of the model, held-out rows, and further real rows for the noise floors: each a
            DataFrame, a mapping of names to columns, or an array `(N, F)`.
        columns: Descriptions of the columns of arrays, such as those of `Schema.table`: whether each is a category, whose codes
            the array then holds, and how its levels are called. NaN stands for missing values.
        categorical: Which columns are categorical; by default it follows from their types, and arrays are numeric.
        names: The names of the columns of an array.
        maximum: The maximum number of rows of each side; for joint distributions it is at most 5,000.
        permutations, seed: The number of permutations of each test, and the seed of the subsets and of the tests.

    Raises:
        TypeError: If something is not a table.
        ValueError: If columns differ, numbers are infinite, or a side has fewer than two rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a = rng.normal(size=400)
        >>> real = {"a": a[:200], "b": np.where(a[:200] > 0, "yes", "no")}
        >>> drawn = {"a": a[200:], "b": rng.permutation(np.where(a[200:] > 0, "yes", "no"))}
        >>> [family.distance.p_value < 0.01 for family in table_tests(drawn, real)]
        [False, True, True]
    """

    def pooled(most: int) -> tuple[Pool, list[TableColumn]]:
        if columns is not None:
            return typed_pool(samples, held_out, train, columns=columns, maximum=most, seed=seed)
        options: dict[str, Any] = {"categorical": categorical, "names": names, "seed": seed}
        return table_pool(samples, held_out, train, maximum=most, **options)

    pool, typed = pooled(maximum)
    found = [column_test(pool, typed, permutations)]
    missing = missing_test(pool, typed, permutations)
    if len(typed) > 1:
        found.append(association_test(pool, typed, permutations))
        found.append(joint_test(*pooled(min(maximum, 5000)), permutations))
    return (*found, *missing)


def all_rows_test(
    samples: Array, real: Array, *, columns: Sequence[TypedColumn] = (), maximum: int = 20000, seed: int = 0
) -> TestFamily:
    """`association_test` against all real rows, those that a model was trained on among them.

    It finds that associations are not learned. Of overfitting it is not a test: a model that follows the training rows too
    closely is rejected less often than others, so that the level holds.

    Arguments:
        samples, real: Rows of the model and real rows, `(N, C)` with C ≥ 2: codes for categories, NaN for missing values.
        columns: A description per column; without them all are numbers.
        maximum, seed: The maximum number of rows of each side, and the seed of the subsets and of the test.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number, or a side has fewer than two rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = rng.normal(size=(900, 1)) + rng.normal(size=(900, 2))
        >>> bool(all_rows_test(rng.normal(size=(300, 2)), real).distance.p_value < 0.01)
        True
    """
    pool, typed = typed_pool(samples, real, columns=columns, maximum=maximum, seed=seed)
    return association_test(replace(pool, against="real rows, held out or not"), typed).against_all_rows()


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
        ValueError: If columns differ, numbers are infinite, or a side has fewer than two rows.
    """
    tables = [samples, held_out] if train is None else [samples, held_out, train]
    columns = stacked_columns(tables, categorical, names)
    sizes = [len(next(iter(x.values())) if isinstance(x, Mapping) else x) for x in tables]
    n, m, parts = chosen_rows(sizes, maximum, seed)
    chosen = torch.cat([sum(sizes[:i]) + part for i, part in enumerate(parts)])
    return Pool(chosen[:, None], n, m, seed), [column.chosen(chosen) for column in columns]


def typed_pool(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    columns: Sequence[TypedColumn] = (),
    maximum: int = 20000,
    seed: int = 0,
) -> tuple[Pool, list[TableColumn]]:
    """As `table_pool`, of matrices `(N, C)` with codes for categories and NaN for missing values.

    Arguments:
        samples, held_out, train, maximum, seed: As in `table_tests`.
        columns: A description per column; without them all are numbers.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number, or a side has fewer than two rows.
    """
    tables, columns = typed_matrices(named_tables(samples, held_out, train), columns)
    n, m, parts = chosen_rows([len(x) for x in tables], maximum, seed)
    some = [x[part.numpy()] for x, part in zip(tables, parts)]
    return Pool(torch.cat(parts)[:, None], n, m, seed), typed_columns(some, columns)


def chosen_rows(sizes: Sequence[int], maximum: int, seed: int) -> tuple[int, int, list[Tensor]]:
    """The sizes of the two sides, and the row numbers of each side and of further real rows if there are enough."""
    n, m = (min(size, maximum) for size in sizes[:2])
    if min(n, m) < 2:
        raise ValueError(f"a comparison needs at least two samples and two held-out data, got {n} and {m}")
    counts = [n, m, n if len(sizes) > 2 and sizes[2] >= n else 0]
    parts = [torch.as_tensor(subsample(torch.arange(sizes[i]), c, seed + i)) for i, c in enumerate(counts) if c]
    return n, m, parts


class _Columns:
    """Numeric columns by Kolmogorov-Smirnov, categorical ones by χ²; missing numbers lie below all others."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self.columns = columns
        numbers = [column.ordered for column in columns if column.levels is None]
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


class _Joint:
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
            sides.append((float(drawn.nanmean()), float(real.nanmean())))
        else:
            common = int(torch.bincount(real).argmax())
            sides.append((float((drawn == common).double().mean()), float((real == common).double().mean())))
    each = _Columns(columns).each
    values = "means of numbers, and shares of the category that is most common in held-out data"
    return SmallestPValue(each, values).family(
        pool, "columns", [column.name for column in columns], sides, permutations
    )


def cycle_test(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    columns: Sequence[TypedColumn],
    maximum: int = 20000,
    permutations: int = 499,
    seed: int = 0,
) -> tuple[TestFamily, ...]:
    """`column_test` of what comes again and again: the time of day and the weekday of dates.

    Arguments:
        samples, held_out, train, columns, maximum, permutations, seed: As in `table_tests`.

    Returns:
        The family; none where no column has cycles. Its note names those of which samples have values, weekdays say, that no
        row of the data has.
    """
    (sides, columns), names = typed_matrices(named_tables(samples, held_out, train), columns), []
    found: list[list[np.ndarray]] = [[] for _ in sides]
    for i, column in enumerate(columns):
        each = [column.cycles(side[:, i]) for side in sides]
        for name, (_, size) in each[0].items():
            names.append(PlainColumn(f"{column.name} ({name})", size, "category" if size else "number"))
            for part, cycles in zip(found, each):
                part.append(cycles[name][0])
    if not names:
        return ()
    matrices = [np.stack(part, 1) for part in found]
    pool, typed = typed_pool(*matrices, columns=names, maximum=maximum, seed=seed)
    family = column_test(pool, typed, permutations)
    drawn, real = matrices[0], np.concatenate(matrices[1:])
    codes = ((c.name, {*drawn[:, i]} - {*real[:, i]}) for i, c in enumerate(names) if c.size)
    new = [name for name, found in codes if not all(map(np.isnan, found))]
    note = "".join(f"{name} {NEW_VALUES}; " for name in new) + family.distance.note
    return (replace(family, distance=replace(family.distance, name="times of day and weekdays", note=note)),)


def association_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """Tests the association of pairs of columns: rank correlations, and their analogue for categories.

    The test compares mean products of centred ranks in the pool (Spearman's correlation, for two numeric columns); categories
    are represented by indicators, and so is whether a number is missing, and by their combinations that are most correlated in
    the pool. `samples` and `real` are the `strength` of
    association; `differences` are standardized differences.

    Arguments:
        pool, columns, permutations: The pooled rows, their typed columns, and the number of permutations.
    """
    scores = [_scores(column, pool) for column in columns]
    most = min(PAIRS, max(1, 2 * LARGE // (len(pool.rows) * _most_products(scores))))
    pairs = chosen_pairs(len(columns), most, pool.seed)
    parts = [_products(scores[i], scores[j], pool.pair) for i, j in pairs]
    owner = np.repeat(np.arange(len(pairs)), [part.shape[1] for part in parts])
    means = Means(torch.cat(parts, 1))
    distance = permutation_test(pool, means, "associations", permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0].double().cpu().numpy()
    differences = np.array([max(z[owner == k], key=abs) for k in range(len(pairs))])
    p = np.minimum(1, normal(differences) * len(z))
    labels = [f"{columns[i].name} and {columns[j].name}" for i, j in pairs]
    worst = int(np.abs(differences).argmax())
    note = f"of {len(pairs)}, {labels[worst]} differ the most: z = {differences[worst]:.1f} (Bonferroni p = {p[worst]:.2g}); "
    sides = [[strength(columns[i], columns[j], part) for part in (pool.drawn, pool.held)] for i, j in pairs]
    drawn, real = np.array(sides).T
    return TestFamily(replace(distance, note=note + pool.sizes), tuple(labels), drawn, real, differences, p, STRENGTH)


def _products(first: Tensor, second: Tensor, pair: slice) -> Tensor:
    """Products of the scores of two columns, whose means are compared, `(rows, P)`: all of them if there are few.

    Of columns with several scores they begin with those of the two pairs of combinations that are most correlated in the pool
    (canonical correlations; of two categories, correspondence analysis). A weaker association of ordered levels shows there,
    and only a small part of it in the product of any two indicators. Both sides of the pool are treated alike, so that
    permutations stay exact. A column that is constant in the pool is associated with nothing: one product, which is 0.
    """
    if first.shape[1] * second.shape[1] == 1:
        return first * second
    left, right = _whitened(first, pair), _whitened(second, pair)
    if not left.shape[1] * right.shape[1]:
        return torch.zeros_like(first[:, :1])
    a, _, b = torch.linalg.svd(left[pair].T @ right[pair], full_matrices=False)
    parts = [((left @ a[:, :CANONICAL]) * (right @ b[:CANONICAL].T)).float()]
    if first.shape[1] * second.shape[1] <= FEW:
        parts.append((first[:, :, None] * second[:, None]).flatten(1))
    return torch.cat(parts, 1)


def _most_products(scores: Sequence[Tensor]) -> int:
    """How many products of a pair of columns are tested, at most."""
    return CANONICAL + FEW if max(score.shape[1] for score in scores) > 1 else 1


def _whitened(scores: Tensor, pair: slice) -> Tensor:
    """Scores whose covariance in the pool is the identity, in the directions in which they vary."""
    values, vectors = torch.linalg.eigh(scores[pair].double().T @ scores[pair].double() / (pair.stop - pair.start))
    kept = values > 1e-9 * values.max().clamp_min(1e-300)
    whitened: Tensor = scores.double() @ (vectors[:, kept] / values[kept].sqrt())
    return whitened


def strength(first: TableColumn, second: TableColumn, part: slice) -> float:
    """How strongly two columns are associated within a part of the rows, 0 if they are independent.

    Of two numbers it is Spearman's rank correlation, in [−1, 1]; of two categories Cramér's V, and of a number and a category
    the correlation ratio of ranks, both in [0, 1] and corrected for bias. Rows that miss a number are left out.

    Example:
        >>> size = TableColumn("size", torch.arange(6.0))
        >>> kind = TableColumn("kind", torch.tensor([0, 0, 0, 1, 1, 1]), ("a", "b"))
        >>> strength(size, size, slice(None)), strength(kind, kind, slice(None)), round(strength(size, kind, slice(None)), 2)
        (1.0, 1.0, 0.85)
    """
    if first.levels is None and second.levels is None:
        return rank_correlation(first.values[part], second.values[part])
    if first.levels is None or second.levels is None:
        category, number = (second, first) if first.levels is None else (first, second)
        return correlation_ratio(category.values[part], len(category.levels or ()), number.values[part])
    return corrected_cramer(first.values[part], len(first.levels), second.values[part], len(second.levels))


def joint_test(pool: Pool, columns: Sequence[TableColumn], permutations: int = 499) -> TestFamily:
    """Tests the joint distributions of pairs of columns by χ², with numbers binned at their sextiles.

    It detects dependence that correlations miss. `differences` are total variation distances between the contingency tables of
    samples and held-out data; `samples` and `real` are Cramér's V of each (with numbers binned).

    Arguments:
        pool, columns, permutations: The pooled rows, their typed columns, and the number of permutations.
    """
    pairs = chosen_pairs(len(columns), JOINT, pool.seed)
    codes = [_merged(*column.coded(BINS, pool.n + pool.m)) for column in columns]
    sides = [tuple(cramer(*codes[i], *codes[j], part) for part in (pool.drawn, pool.held)) for i, j in pairs]
    labels = [f"{columns[i].name} and {columns[j].name}" for i, j in pairs]
    each = _Joint(codes, pairs).each
    values = "Cramér's V of the contingency tables, in which numbers are in six bins"
    return SmallestPValue(each, values).family(pool, "joint distributions of pairs", labels, sides, permutations)


def chosen_pairs(columns: int, most: int, seed: int) -> list[tuple[int, int]]:
    """All pairs of columns, or a random subset of at most `most`."""
    pairs = list(combinations(range(columns), 2))
    if len(pairs) <= most:
        return pairs
    return [pairs[i] for i in np.sort(stream(seed, "pairs").permutation(len(pairs))[:most])]


def _scores(column: TableColumn, pool: Pool) -> Tensor:
    """Centred ranks in the pool, `(rows, 1)`, or indicators of all categories but one, `(rows, levels − 1)`.

    A missing number has the mean rank, and an indicator next to it."""
    pair = pool.n + pool.m
    if column.levels is not None:
        codes, levels = _merged(column.values, len(column.levels))
        scores = torch.nn.functional.one_hot(codes, levels)[:, : max(1, levels - 1)].float()
        return scores - scores[:pair].mean(0)
    present = column.present
    ordered = column.values[:pair][present[:pair]].sort().values
    middle = torch.searchsorted(ordered, column.values) + torch.searchsorted(ordered, column.values, right=True)
    scores = (middle / max(1, 2 * len(ordered))).float()[:, None]
    if bool(present.all()):
        return scores - scores[:pair].mean(0)
    scores = torch.where(present[:, None], scores - scores[:pair][present[:pair]].mean(0), 0.0)
    absent = (~present).float()[:, None]
    return torch.cat([scores, absent - absent[:pair].mean(0)], 1)


def _merged(codes: Tensor, levels: int) -> tuple[Tensor, int]:
    """The codes with categories beyond the limit merged."""
    return codes.clamp_max(LEVELS - 1), min(levels, LEVELS)
