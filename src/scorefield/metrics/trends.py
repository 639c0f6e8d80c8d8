"""The pairs of columns of a table: how strongly they are associated, in samples and in real data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .base import Array, Distance
from .columns import TableColumn
from .pool import Pool
from .tables import chosen_pairs, chosen_rows, strength
from .typed import TypedColumn, named_tables, typed_columns, typed_matrices

__all__ = ["TableTrends", "contingency_distance", "pair_similarities", "table_trends"]

BINS = 10  # of numbers that are paired with categories
PAIRS = 2016  # the maximum number of pairs: those of 64 columns
SPEARMAN = "Spearman's correlation"
PEARSON = "Pearson's correlation"
CRAMER = "Cramér's V, corrected for bias"
RATIO = "correlation ratio of ranks, corrected for bias"


@dataclass(frozen=True)
class TableTrends:
    """The associations of pairs of columns.

    Arguments:
        names: The names of the columns.
        pairs: The two columns of each pair, `(P, 2)`.
        statistics: What measures its association: Spearman's correlation of two numbers, Cramér's V of two categories, the
            correlation ratio of one of each.
        samples, real: The association in samples and in real data, `(P,)`.
        pearson: Pearson's correlation in samples and in real data of two numbers, `(P, 2)`; NaN for other pairs.
        distances: Half the absolute difference of Spearman's correlations of two numbers; of other pairs the total variation
            distance of their contingency tables, with numbers in ten bins at the quantiles of real data, `(P,)`.
        low, floor, high: The 5 % quantile, the median and the 95 % quantile of the same between real data, `(P,)`.
        score: The mean of SDMetrics' CorrelationSimilarity and ContingencySimilarity, its "Column Pair Trends" and "Trend" in
            the literature, with the same between real data and real data.
    """

    names: tuple[str, ...]
    pairs: np.ndarray
    statistics: tuple[str, ...]
    samples: np.ndarray
    real: np.ndarray
    pearson: np.ndarray
    distances: np.ndarray
    low: np.ndarray
    floor: np.ndarray
    high: np.ndarray
    score: Distance

    def matrix(self) -> tuple[np.ndarray, np.ndarray]:
        """The associations of samples and of real data as symmetric matrices `(C, C)`, NaN where they were not measured."""
        found = []
        for values in (self.samples, self.real):
            whole = np.full((len(self.names), len(self.names)), np.nan)
            first, second = self.pairs.T
            whole[first, second] = whole[second, first] = values
            found.append(whole)
        return found[0], found[1]


def table_trends(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    columns: Sequence[TypedColumn] = (),
    maximum: int = 5000,
    splits: int = 10,
    seed: int = 0,
) -> TableTrends:
    """Compares the association of pairs of columns, with noise floors from real data of the same sizes.

    Arguments:
        samples, held_out, train: Tables `(N, C)` of two columns or more, with codes for categories and NaN for missing values:
            samples of the model, held-out rows, and further real rows, for the noise floors.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        maximum: The maximum number of rows of each side.
        splits, seed: The number of splits of real data for the noise floors, and the seed.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number, there is one column, or a side has fewer than two rows.

    References:
        Bergsma, 2013, A bias-correction for Cramér's V and Tschuprow's T; SDMetrics, documentation of CorrelationSimilarity,
        ContingencySimilarity and the quality report.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = rng.normal(size=(900, 1)) + 0.5 * rng.normal(size=(900, 2))
        >>> found = table_trends(rng.normal(size=(300, 2)), real[:300], real[300:])
        >>> bool(abs(found.samples[0]) < 0.2 < 0.7 < found.real[0]), bool(found.distances[0] > found.high[0])
        (True, True)
    """
    tables, columns = typed_matrices(named_tables(samples, held_out, train), columns)
    if len(columns) < 2:
        raise ValueError("pairs need at least two columns, got one: table_shapes compares single columns")
    n, m, parts = chosen_rows([len(x) for x in tables], maximum, seed)
    rows = np.concatenate([x[part.numpy()] for x, part in zip(tables, parts)])
    pool = Pool(torch.cat(parts)[:, None], n, m, seed)
    typed = typed_columns([rows[:n], rows[n : n + m], rows[n + m :]], columns)
    pairs = chosen_pairs(len(columns), PAIRS, seed)
    sides = np.array([[strength(typed[i], typed[j], part) for part in (pool.drawn, pool.held)] for i, j in pairs])
    codes = [_coded(column, n, m) for column in typed]
    linear = [_pearson(rows[part], columns) for part in (pool.drawn, pool.held)]
    between, similar = [], []
    for first, second in _divided(pool, splits):
        between.append(_distances(typed, codes, first, second, pairs))
        similar.append(_mean(pair_similarities(rows[first], rows[second], columns, pairs)))
    # A constant column has no correlation: its pairs stay NaN.
    known = np.isfinite(between).any(0)
    floors = np.full((3, len(pairs)), np.nan)
    floors[:, known] = np.nanquantile(np.array(between)[:, known], [0.05, 0.5, 0.95], axis=0)
    middle, low, high = (float(q) for q in np.quantile(similar, [0.5, 0.05, 0.95]))
    value = _mean(pair_similarities(rows[:n], rows[n : n + m], columns, pairs))
    note = f"mean of CorrelationSimilarity and ContingencySimilarity over {len(pairs):,} pairs; 1 is ideal"
    return TableTrends(
        names=tuple(str(column.name) for column in columns),
        pairs=np.array(pairs),
        statistics=tuple(_statistic(columns[i], columns[j]) for i, j in pairs),
        samples=sides[:, 0],
        real=sides[:, 1],
        pearson=np.array([[side[i, j] for side in linear] for i, j in pairs]),
        distances=_distances(typed, codes, np.arange(n), np.arange(n, n + m), pairs),
        low=floors[0],
        floor=floors[1],
        high=floors[2],
        score=Distance("Column Pair Trends", value, middle, low, high, (n, m), note=note, higher=True),
    )


def pair_similarities(
    samples: np.ndarray, real: np.ndarray, columns: Sequence[TypedColumn], pairs: Sequence[tuple[int, int]]
) -> np.ndarray:
    """SDMetrics' score of each pair, `(P,)`, as its quality report computes it.

    For two numbers it is CorrelationSimilarity, 1 − |r − r′|/2 with Pearson's correlation. For others it is
    ContingencySimilarity, one minus the total variation distance, in which a missing value is a category of its own, and
    numbers are in ten bins of equal width between the extremes of each table on its own.

    Arguments:
        samples, real: Tables `(N, C)` and `(M, C)`.
        columns, pairs: A description per column, and the two columns of each pair.
    """
    linear = [_pearson(x, columns) for x in (samples, real)]
    codes = [[_equal_width(x[:, i], column) for i, column in enumerate(columns)] for x in (samples, real)]
    found = []
    for i, j in pairs:
        if not columns[i].size and not columns[j].size:
            found.append(1 - abs(linear[0][i, j] - linear[1][i, j]) / 2)
        else:
            width = 1 + max(int(side[j].max()) for side in codes)
            found.append(1 - contingency_distance(*(side[i] * width + side[j] for side in codes)))
    return np.array(found)


def contingency_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The total variation distance between the distributions of two arrays of codes, which are whole numbers from 0.

    Example:
        >>> contingency_distance(np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2]))
        0.5
    """
    if len(first) == 0 or len(second) == 0:
        return float("nan")
    size = 1 + int(max(first.max(), second.max()))
    return float(
        np.abs(
            np.bincount(first, minlength=size) / len(first) - np.bincount(second, minlength=size) / len(second)
        ).sum()
        / 2
    )


def _divided(pool: Pool, splits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The row numbers of random parts of real data of the sizes of both sides; of all rows, if there are too few real ones."""
    block, divisions = (pool.real, pool.splits) if pool.extra else (pool.pair, pool.permuted)
    for several in divisions(splits):
        for sides in zip(*several):
            first, second = (block.start + np.flatnonzero(side.numpy() > 0) for side in sides)
            yield first, second


def _mean(values: np.ndarray) -> float:
    """The mean of the finite values; NaN if there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _equal_width(values: np.ndarray, column: TypedColumn) -> np.ndarray:
    """Codes of categories, or of ten bins of equal width; missing values have the code 0, or the bin of the largest number."""
    known = values[~np.isnan(values)]
    if column.size:
        return np.where(np.isnan(values), 0, np.nan_to_num(values) + 1).astype(np.int64)
    if not len(known):
        return np.zeros(len(values), np.int64)
    # Sorted last, a missing number falls into the bin beyond the last border, as the largest number does.
    codes: np.ndarray = np.digitize(values, np.histogram_bin_edges(known, BINS)).astype(np.int64)
    return codes


def _coded(column: TableColumn, n: int, m: int) -> np.ndarray:
    """Codes of categories, or of ten bins at the quantiles of the held-out rows; missing numbers have one of their own."""
    order = torch.cat([torch.arange(n, n + m), torch.arange(n), torch.arange(n + m, len(column.values))])
    codes = torch.empty(len(order), dtype=torch.long)
    codes[order] = column.chosen(order).coded(BINS, m)[0]
    return codes.numpy()


def _distances(
    typed: Sequence[TableColumn],
    codes: Sequence[np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
    pairs: Sequence[tuple[int, int]],
) -> np.ndarray:
    numbers = [i for i, column in enumerate(typed) if column.levels is None]
    place = {i: k for k, i in enumerate(numbers)}
    ranks = (
        [_spearman(np.stack([typed[i].values[rows].numpy() for i in numbers], 1)) for rows in (first, second)]
        if numbers
        else []
    )
    found = []
    for i, j in pairs:
        if i in place and j in place:
            found.append(abs(ranks[0][place[i], place[j]] - ranks[1][place[i], place[j]]) / 2)
        else:
            width = 1 + int(codes[j].max())
            found.append(contingency_distance(*(codes[i][rows] * width + codes[j][rows] for rows in (first, second))))
    return np.array(found)


def _spearman(values: np.ndarray) -> np.ndarray:
    """Spearman's correlations of columns; with missing values ranks are those within the column."""
    from scipy.stats import rankdata

    return _correlations(rankdata(values, axis=0, nan_policy="omit"))


def _pearson(x: np.ndarray, columns: Sequence[TypedColumn]) -> np.ndarray:
    """Pearson's correlations `(C, C)` of the rows that miss neither value; NaN for categories and constant columns."""
    found = np.full((len(columns), len(columns)), np.nan)
    numbers = [i for i, column in enumerate(columns) if not column.size]
    if numbers:
        found[np.ix_(numbers, numbers)] = _correlations(x[:, numbers])
    return found


def _correlations(x: np.ndarray) -> np.ndarray:
    """Correlations of columns over the rows that miss neither, by sums over the rows."""
    known = ~np.isnan(x)
    # Scaled first, so that squares of large numbers neither overflow nor lose their digits.
    with np.errstate(invalid="ignore", divide="ignore"):
        count = np.maximum(known.sum(0), 1)
        x = np.where(known, x, 0.0)
        x = np.where(known, x - x.sum(0) / count, 0.0)
        x = x / np.maximum(np.abs(x).max(0), 1e-300)
        k = known.astype(np.float64)
        both = k.T @ k
        sums, squares = x.T @ k, (x * x).T @ k
        covariance = x.T @ x - sums * sums.T / both
        variance = squares - sums * sums / both
        found = covariance / np.sqrt(variance * variance.T)
    return np.where((variance > 1e-14) & (variance.T > 1e-14), np.clip(found, -1, 1), np.nan)


def _statistic(first: TypedColumn, second: TypedColumn) -> str:
    return (SPEARMAN, RATIO, CRAMER)[bool(first.size) + bool(second.size)]
