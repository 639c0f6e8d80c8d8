"""Associations of two columns, and p-values of two-sample statistics from their limit distributions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "chi_square", "corrected_cramer", "correlation_ratio", "cramer", "kolmogorov", "normal", "rank_correlation", "spearman",
]  # fmt: skip

SMALLEST = 1e-300  # the smallest p-value, so that logarithms stay finite


def spearman(x: Tensor, y: Tensor) -> float:
    """Spearman's rank correlation of two columns; ties have their mean rank. It is 0 if a column is constant.

    Example:
        >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 5.0, 1e9])), 6)
        1.0
    """
    x, y = (_centred_ranks(column) for column in (x, y))
    size = float(x.norm() * y.norm())
    return float(x @ y) / size if size > 0 else 0.0


def _centred_ranks(x: Tensor) -> Tensor:
    ordered = x.sort().values
    ranks = (torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)).double()
    return ranks - ranks.mean()


def rank_correlation(x: Tensor, y: Tensor) -> float:
    """Spearman's rank correlation of the rows in which neither column misses a value; 0 if there are fewer than three."""
    known = ~(x.isnan() | y.isnan())
    return spearman(x[known], y[known]) if int(known.sum()) > 2 else 0.0


def correlation_ratio(codes: Tensor, levels: int, x: Tensor) -> float:
    """The correlation ratio of a category and a number, of ranks, corrected for bias.

    It is the square root of the share of the variance of the ranks of x that the category explains, and 0 if they are
    independent: the expected share of independent columns, (k − 1)/(N − 1) for k levels, is taken out.

    Arguments:
        codes, levels: The category of each row, `(rows,)`, and how many there are.
        x: The numbers; rows that miss one are left out.

    References:
        Kelley, 1935, An unbiased correlation ratio measure.

    Example:
        >>> correlation_ratio(torch.tensor([0, 0, 1, 1, 1, 0]), 2, torch.tensor([1.0, 1.0, 9.0, 9.0, 9.0, 1.0]))
        1.0
    """
    known = ~x.isnan()
    ranks, codes = _centred_ranks(x[known]), codes[known]
    total = float(ranks.square().sum())
    if total == 0:
        return 0.0
    members = torch.bincount(codes, minlength=levels).double()
    sums = torch.zeros(levels, dtype=torch.float64).index_add_(0, codes, ranks.double())
    explained = float((sums.square() / members.clamp_min(1)).sum()) / total
    free = len(ranks) - int((members > 0).sum())
    return max(0.0, 1 - (1 - explained) * (len(ranks) - 1) / free) ** 0.5 if free > 0 else 0.0


def cramer(first: Tensor, rows: int, second: Tensor, columns: int, part: slice) -> float:
    """Cramér's V of two columns of codes, with their numbers of categories, within a part of the rows.

    It is 0 if they are independent, 1 if one is a function of the other.

    Example:
        >>> codes = torch.tensor([0, 1, 0, 1])
        >>> cramer(codes, 2, 1 - codes, 2, slice(None))
        1.0
    """
    square, shape, _ = _mean_square_contingency(first[part], rows, second[part], columns)
    return float((square / (min(shape) - 1)) ** 0.5) if min(shape) > 1 else 0.0


def corrected_cramer(first: Tensor, rows: int, second: Tensor, columns: int) -> float:
    """Cramér's V of two columns of codes, corrected for the bias that V has with few rows or many categories.

    References:
        Bergsma, 2013, A bias-correction for Cramér's V and Tschuprow's T.

    Example:
        >>> independent = torch.arange(12)
        >>> corrected_cramer(independent // 4, 3, independent % 4, 4)
        0.0
    """
    square, shape, count = _mean_square_contingency(first, rows, second, columns)
    if min(shape) < 2 or count < 2:
        return 0.0
    left = max(0.0, square - (shape[0] - 1) * (shape[1] - 1) / (count - 1))
    size = min(k - (k - 1) ** 2 / (count - 1) for k in shape)
    return min(1.0, (left / (size - 1)) ** 0.5) if size > 1 else 0.0


def _mean_square_contingency(
    first: Tensor, rows: int, second: Tensor, columns: int
) -> tuple[float, tuple[int, int], int]:
    """χ²/N of a contingency table, its numbers of rows and columns that are not empty, and N."""
    counts = torch.bincount(first * columns + second, minlength=rows * columns)
    table = counts.reshape(rows, columns).double()
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    total = table.sum()
    expected = table.sum(1, keepdim=True) * table.sum(0) / total
    square = float(((table - expected).square() / expected).sum() / total) if total > 0 else 0.0
    return square, (table.shape[0], table.shape[1]), int(total)


def chi_square(codes: Tensor, levels: int, a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Total variation distances between the codes `(rows,)` of two sides, and their χ² p-values, `(K,)` each.

    The weights `a` and `b` of the rows on both sides are `(K, rows)`."""
    from scipy.stats import chi2

    members = torch.nn.functional.one_hot(codes, levels).float()
    left, right = (a @ members).double(), (b @ members).double()
    n, m = left.sum(1, keepdim=True), right.sum(1, keepdim=True)
    both = left + right
    # This equals Σ (observed − expected)² / expected over the two rows of the table.
    square = ((left / n - right / m).square() / both.clamp_min(1)).sum(1) * (n * m)[:, 0]
    freedom = ((both > 0).sum(1) - 1).cpu().numpy()
    distance = (left / n - right / m).abs().sum(1) / 2
    p = chi2.sf(square.cpu().numpy(), np.maximum(freedom, 1))
    return distance.cpu().numpy(), np.maximum(np.where(freedom > 0, p, 1.0), SMALLEST)


def kolmogorov(scaled: np.ndarray) -> np.ndarray:
    """P-values of Kolmogorov-Smirnov distances times √(n m / (n + m)), by Kolmogorov's limit distribution."""
    from scipy.stats import kstwobign

    p: np.ndarray = np.maximum(kstwobign.sf(scaled), SMALLEST)
    return p


def normal(z: np.ndarray) -> np.ndarray:
    """Two-sided p-values of standard normal numbers."""
    from scipy.stats import norm

    p: np.ndarray = np.maximum(2 * norm.sf(np.abs(z)), SMALLEST)
    return p
