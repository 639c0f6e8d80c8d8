"""Rows of groups, such as measurements of one subject or copies of one row: independent rows and means of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import stream

__all__ = ["means_of", "one_per_group"]

_DEPENDENT = 0.1  # of the variance of a mean, that rows of the same group may add
_TRIED = 200  # numbers of rows that stand for one


def one_per_group(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """The places of rows that are independent, or nearly, in increasing order, with the distribution of all rows.

    All rows if groups are so small that they raise no variance of a mean by more than a tenth, even if all rows of a group
    are the same, as where a few rows occur twice. If not, a group takes part with a probability in proportion to its size,
    for without that rows of small groups would count more: the largest ones have one row, or two where that keeps at least a
    tenth more rows and raises the variance by no more than a tenth. If all groups are of one size, each has its row.

    Arguments:
        groups: The group of each row, `(N,)`.
        seed: The seed of the choice.

    Example:
        >>> groups = np.repeat(np.arange(5), 20)
        >>> groups[one_per_group(groups)].tolist()
        [0, 1, 2, 3, 4]
        >>> len(one_per_group(np.array([0, 0, *range(1, 99)])))  # one row occurs twice
        100
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rng = stream(seed, "one of each group")
    order = rng.permutation(len(codes))
    mixed = codes.reshape(-1)[order]
    by_group = np.argsort(mixed, kind="stable")
    rank = np.empty(len(mixed), np.int64)
    rank[by_group] = np.arange(len(mixed)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    wanted = sizes / _rows_for_one(sizes)
    kept = np.floor(wanted) + (rng.random(len(sizes)) < wanted % 1)
    places: np.ndarray = np.sort(order[rank < kept[mixed]])
    return places


def _rows_for_one(sizes: np.ndarray) -> float:
    """How many rows of a group stand for one that is chosen: 1 if all are."""
    most = float(sizes.max(initial=1))
    for each in np.geomspace(1.0, most, _TRIED):
        wanted = sizes / each
        whole, rest = np.floor(wanted), wanted % 1
        squares = (
            whole**2 + rest * (2 * whole + 1)
        ).sum()  # the mean of the square of a number that is rounded at random
        if squares <= (1 + _DEPENDENT) * wanted.sum():
            return most if most < (1 + _DEPENDENT) * each else float(each)
    return most


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
