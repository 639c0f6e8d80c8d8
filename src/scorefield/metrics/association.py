"""How strongly two columns go together, and the limit laws of two-sample statistics."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["chi_square", "cramer", "kolmogorov", "normal", "spearman"]

LEAST = 1e-300  # p-values below this are this: logarithms stay finite


def spearman(x: Tensor, y: Tensor) -> float:
    """The rank correlation of two columns, equal values sharing the middle of their ranks; 0 if one is constant.

    Example:
        >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 5.0, 1e9])), 6)
        1.0
    """
    x, y = (_ranked(column) for column in (x, y))
    size = float(x.norm() * y.norm())
    return float(x @ y) / size if size > 0 else 0.0


def _ranked(x: Tensor) -> Tensor:
    ordered = x.sort().values
    ranks = (torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)).double()
    return ranks - ranks.mean()


def cramer(first: Tensor, rows: int, second: Tensor, columns: int, part: slice) -> float:
    """Cramér's V of two columns of codes, in a part of them: 0 if independent, 1 if one is a function of the other.

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
    """Total variation distances of the laws of codes on two sides, and p-values by χ², `(K,)` each.

    Arguments:
        codes: `(rows,)`.
        levels: How many codes there are.
        a, b: Weights `(K, rows)` of the two sides.
    """
    from scipy.stats import chi2

    members = torch.nn.functional.one_hot(codes, levels).float()
    here, there = (a @ members).double(), (b @ members).double()
    n, m = here.sum(1, keepdim=True), there.sum(1, keepdim=True)
    both = here + there
    # The same as Σ (observed − expected)² / expected over the two rows of the table.
    square = ((here / n - there / m).square() / both.clamp_min(1)).sum(1) * (n * m)[:, 0]
    freedom = ((both > 0).sum(1) - 1).cpu().numpy()
    distance = (here / n - there / m).abs().sum(1) / 2
    p = chi2.sf(square.cpu().numpy(), np.maximum(freedom, 1))
    return distance.cpu().numpy(), np.maximum(np.where(freedom > 0, p, 1.0), LEAST)


def kolmogorov(scaled: np.ndarray) -> np.ndarray:
    """P-values of Kolmogorov-Smirnov distances times √(n m / (n + m)), by Kolmogorov's limit law."""
    from scipy.stats import kstwobign

    return np.maximum(kstwobign.sf(scaled), LEAST)


def normal(z: np.ndarray) -> np.ndarray:
    """Two-sided p-values of standard normal numbers."""
    from scipy.stats import norm

    return np.maximum(2 * norm.sf(np.abs(z)), LEAST)
