"""Rows of groups, such as measurements of one subject or copies of one row: independent rows and means of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import stream

__all__ = ["means_of", "one_per_group"]


def one_per_group(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """The places of independent rows, in increasing order: at most one of each group, chosen at random.

    A group is kept with a probability in proportion to its size, 1 for the largest ones, so that the rows have the
    distribution of all rows: without that, rows of small groups would count more. If all groups are of one size, each has
    its row.

    Arguments:
        groups: The group of each row, `(N,)`.
        seed: The seed of the choice.

    Example:
        >>> groups = np.repeat(np.arange(5), 20)
        >>> groups[one_per_group(groups)].tolist()
        [0, 1, 2, 3, 4]
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rng = stream(seed, "one of each group")
    order = rng.permutation(len(codes))
    _, first = np.unique(codes.reshape(-1)[order], return_index=True)
    kept = rng.random(len(sizes)) * sizes.max() < sizes
    places: np.ndarray = np.sort(order[first[kept]])
    return places


def means_of(values: Tensor, groups: np.ndarray) -> Tensor:
    """The means of values `(N, …)` over the rows of each group, `(G, …)`.

    Arguments:
        values: A value, or several, of each row.
        groups: The group of each row, `(N,)`.

    Example:
        >>> means_of(torch.tensor([1.0, 2.0, 5.0]), np.array([7, 7, 3])).tolist()
        [5.0, 1.5]
    """
    found, codes = np.unique(groups, return_inverse=True)
    index = torch.from_numpy(codes.reshape(-1)).to(values.device)
    sums = values.new_zeros(len(found), *values.shape[1:]).index_add_(0, index, values)
    count = torch.bincount(index, minlength=len(found)).to(values)
    return sums / count.reshape(-1, *(1,) * (values.ndim - 1))
