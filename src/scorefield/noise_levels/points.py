"""Data as points in standard units, a part at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..data import Rows
from ..units import Units

__all__ = ["Points", "evenly_spaced"]

_NUMBERS = 2**20  # that are in memory at once
_SOME = 4096  # examples whose mean is near enough to that of all
_FEW = 2**24  # numbers, up to which copies are searched


def evenly_spaced(count: int, most: int) -> Tensor:
    """Up to `most` of the numbers below `count`, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


class Points:
    """Data of shape `(N, *D)` as vectors in float64, in standard units: `x` is standardized already, or by `units`."""

    def __init__(self, x: Rows | Tensor, units: Units | None = None) -> None:
        self.data = x
        self.units = units
        self.numbers = max(1, math.prod(x.shape[1:]))
        self.size = max(1, _NUMBERS // self.numbers)

    def __len__(self) -> int:
        return len(self.data)

    def take(self, indices: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """The data at `indices`, of shape `(B, n)`."""
        if isinstance(self.data, Tensor):
            x = self.data[indices.to(self.data.device)].to(dtype)
        else:
            x = self.data.take(indices, dtype)
        x = x if self.units is None else self.units(x.to(self.units.device))
        return x.cpu().reshape(len(indices), -1)

    def chunks(
        self, indices: Tensor | None = None, dtype: torch.dtype = torch.float64
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The data at `indices`, all by default, a part at a time: their indices, and themselves.

        All of them come in the order in which they are read fastest.
        """
        if indices is None:
            every = np.arange(len(self)) if isinstance(self.data, Tensor) else self.data.reading_order()
            indices = torch.from_numpy(every)
        for part in indices.split(self.size):  # type: ignore[no-untyped-call]
            yield part, self.take(part, dtype)

    def centre(self, count: int) -> tuple[Tensor, Tensor]:
        """About the mean, of shape `(n,)`, and `count` examples that are far from it."""
        some = evenly_spaced(len(self), _SOME)
        middle = sum((x.sum(0) for _, x in self.chunks(some)), torch.zeros(())) / len(some)
        radii = torch.cat([torch.linalg.vector_norm(x - middle, dim=1) for _, x in self.chunks(some)])
        return middle, some[radii.topk(min(count, len(some))).indices]

    def survey(self, far: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """The distances of all data from the centre, of shape `(N,)`, and `farthest`, in one pass."""
        # one tensor from the start: many small ones would fragment the memory
        radii, search = torch.empty(len(self), dtype=torch.float64), _Farthest(self.take(far) - centre)
        for indices, x in self.chunks():
            x = x.sub_(centre)
            radii[indices] = torch.linalg.vector_norm(x, dim=1)
            search.add(indices, x, radii[indices])
        return radii, search.found

    def farthest(self, far: Tensor, centre: Tensor, radii: Tensor) -> Tensor:
        """For each of the data `far`, of shape `(P,)`, one that is about the farthest from it."""
        search = _Farthest((self.take(far) - centre).float())
        for indices, x in self.chunks(dtype=torch.float32):
            search.add(indices, x.sub_(centre), radii[indices])
        return search.found

    def distinct(self, indices: Tensor) -> Tensor:
        """The data at `indices` without the copies that tables of integers hold, in order, unless finding them is expensive."""
        if len(indices) * self.numbers > _FEW or len(indices) <= _SOME:
            return indices
        _, inverse = torch.unique(self.take(indices), dim=0, return_inverse=True)
        first = torch.full((int(inverse.max()) + 1,), len(indices))
        first = first.scatter_reduce(0, inverse, torch.arange(len(indices)), "amin")
        return indices[first.sort().values]


class _Farthest:
    """Keeps, for each of some points `(P, n)`, the farthest example so far."""

    def __init__(self, pivots: Tensor) -> None:
        self.pivots = pivots
        self.value = torch.full((len(pivots),), -torch.inf, dtype=pivots.dtype)
        self.found = torch.zeros(len(pivots), dtype=torch.long)

    def add(self, indices: Tensor, x: Tensor, radii: Tensor) -> None:
        # |x - p|² without what all x have in common
        value, place = (radii[:, None] ** 2 - 2 * x @ self.pivots.T).max(0)
        value = value.to(self.value)
        self.found.copy_(torch.where(value > self.value, indices[place], self.found))
        self.value.copy_(torch.maximum(value, self.value))
