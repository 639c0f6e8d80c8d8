"""Associations of two columns, and p-values of two-sample statistics from their limit distributions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["chi_square", "cramer", "kolmogorov", "normal", "spearman"]

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


def cramer(first: Tensor, rows: int, second: Tensor, columns: int, part: slice) -> float:
    """Cramér's V of two columns of codes, with their numbers of categories, within a part of the rows.

    It is 0 if they are independent, 1 if one is a function of the other.

    Example:
        >>> codes = torch.tensor([0, 1, 0, 1])
        >>> cramer(codes, 2, 1 - codes, 2, slice(None))
        1.0
    """
    counts = torch.bincount(first[part] * columns + second[part], minlength=rows * columns)
    table = counts.reshape(rows, columns).double()
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return 0.0
    total = table.sum()
    expected = table.sum(1, keepdim=True) * table.sum(0) / total
    return float(torch.sqrt(((table - expected).square() / expected).sum() / total / (min(table.shape) - 1)))


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
