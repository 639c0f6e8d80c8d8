"""Batches in which examples are mirrored at random."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import combinations

import torch
from torch import Tensor

from ..rng import Steps
from .feed import Batches, Reference

__all__ = ["Mirrored", "flipped"]


class Mirrored:
    """Batches of grids in which each example is mirrored along each of some axes with probability 1/2.

    What is mirrored is addressed by the number of a batch: nothing to save for a resumed run.

    Arguments:
        inner: The batches of grids, `(B, C, *S)`.
        axes: The spatial axes, counted from 0.
        seed: The seed of what is mirrored.
        fields: Whether contexts are fields on the grid of the data, which are mirrored with them.
    """

    def __init__(self, inner: Batches, axes: Sequence[int], seed: int, fields: bool = False) -> None:
        self.inner, self.axes, self.fields = inner, tuple(axes), fields
        self.batch, self.device = inner.batch, inner.device
        self._rng = Steps(seed, inner.device).child("mirror")

    @property
    def rows(self) -> Sized:
        """The examples of an epoch."""
        return self.inner.rows

    def batches(self, number: int, count: int = 1) -> Tensor:
        """The batches `number` to `number + count` one after another, of shape `(count · batch, *D)`."""
        return self._mirrored(self.inner.batches(number, count), number)

    def contexts(self, number: int, count: int = 1) -> Tensor | None:
        """The contexts of these batches, of shape `(count · batch, size, …)`; None for an unconditional model."""
        found = self.inner.contexts(number, count)
        return found if found is None or not self.fields else self._mirrored(found, number)

    def reference(self, number: int, count: int, size: int) -> Reference:
        """Other examples, mirrored at random; where they are all there are, as they are and in every mirrored form."""
        found = self.inner.reference(number, count, size)
        if found.data is None:
            return found
        if not found.complete:
            chosen = self._chosen(number, len(found.data), "reference")
            return found._replace(data=flipped(found.data, self.axes, chosen))
        subsets = [axes for k in range(len(self.axes) + 1) for axes in combinations(self.axes, k)]
        return Reference(torch.cat([found.data.flip([2 + axis for axis in axes]) for axes in subsets]), True)

    def _mirrored(self, x: Tensor, number: int) -> Tensor:
        parts = enumerate(x.split(self.batch), start=number)  # type: ignore[no-untyped-call]
        return torch.cat([flipped(part, self.axes, self._chosen(i, len(part), "batch")) for i, part in parts])

    def _chosen(self, number: int, rows: int, purpose: str) -> Tensor:
        """Which rows are mirrored along which axis, `(rows, axes)`."""
        u = self._rng.child(purpose).at(number).uniform((rows, len(self.axes)), torch.float32, self.device)
        return u < 0.5


def flipped(x: Tensor, axes: Sequence[int], chosen: Tensor) -> Tensor:
    """Mirrors grids.

    Arguments:
        x: The grids, of shape `(B, C, *S)`.
        axes: The spatial axes, counted from 0.
        chosen: Whether each is mirrored along each of these, of shape `(B, len(axes))`.
    """
    for axis, which in zip(axes, chosen.T):
        x = torch.where(which.reshape(-1, *(1,) * (x.ndim - 1)), x.flip(2 + axis), x)
    return x
