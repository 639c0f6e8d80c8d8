"""Which rows are trained on, and which are held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..data import Rows
from ..rng import permutation

__all__ = ["Split", "split"]

_REPRESENTATIVE = 2048  # rows, up to which the held-out part is a representative one
_CANDIDATES = 256  # random parts that it is chosen from


@dataclass(frozen=True)
class Split:
    """Training rows and held-out rows. With nothing held out, both are all rows.

    Arguments:
        train: The rows to train on.
        held_out: The rows that training does not see.
        places: Where they stand in the data, of both.
    """

    train: Rows
    held_out: Rows
    places: tuple[np.ndarray, np.ndarray]

    @property
    def separate(self) -> bool:
        """Whether any rows are held out."""
        return self.train is not self.held_out


def split(rows: Rows, part: float, seed: int) -> Split:
    """Holds out a part of the rows, chosen by the seed: at least one if any, and two are left to train on.

    A random part of few rows may miss what the others show. Up to 2,048 rows, the part is the one of 256 random ones that is
    closest to the rest in energy distance.

    Arguments:
        rows: The rows.
        part: The part to hold out, from 0 to below 1.
        seed: The seed.

    References:
        After Joseph & Vakayil, 2022, SPlit: an optimal method for data splitting.
    """
    count = max(0, min(len(rows) - 2, max(1, round(part * len(rows))))) if part > 0 else 0
    order = permutation(len(rows), seed, -1)
    if count == 0:
        whole = np.arange(len(rows))
        return Split(rows, rows, (whole, whole))
    if 8 <= len(rows) <= _REPRESENTATIVE:
        order = _representative(rows, count, seed)
    return Split(rows.subset(order[count:]), rows.subset(order[:count]), (order[count:], order[:count]))


def _representative(rows: Rows, count: int, seed: int) -> np.ndarray:
    """An order of the rows whose first `count` have the least energy distance to the others, of 256 orders."""
    x = rows.take(range(len(rows)), torch.float64).flatten(1)
    missing = x.isnan()
    x = torch.where(missing, x.nanmean(0), x).nan_to_num()
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-12)
    orders = np.stack([permutation(len(rows), seed, -10 - i) for i in range(_CANDIDATES)])
    weights = torch.full((len(rows), len(orders)), -1.0 / (len(rows) - count), dtype=torch.float64)
    weights.scatter_(0, torch.from_numpy(orders[:, :count].T.copy()), 1.0 / count)
    energy = -(weights * (torch.cdist(x, x) @ weights)).sum(0)
    order: np.ndarray = orders[int(energy.argmin())]
    return order
