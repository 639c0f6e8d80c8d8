"""Sums and probabilities over the coordinates of each category of a mixed state, of all categories together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

__all__ = ["Blocks"]


class Blocks(nn.Module):
    """The blocks of coordinates of categories, C coordinates in all: few operations, however many categories there are.

    Arguments:
        levels: The number of levels of each category.

    Example:
        >>> Blocks((2, 3)).log_softmax(torch.zeros(1, 5)).exp()
        tensor([[0.5000, 0.5000, 0.3333, 0.3333, 0.3333]])
    """

    owners: Tensor
    places: Tensor
    sizes: Tensor
    member: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        counts = torch.tensor(self.levels, dtype=torch.long)
        owners = torch.arange(len(counts)).repeat_interleave(counts)
        places = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
        known = {"owners": owners, "places": places, "sizes": counts[owners].float()}
        known["member"] = (owners[:, None] == torch.arange(len(counts))).float()
        for name, tensor in known.items():
            self.register_buffer(name, tensor, persistent=False)

    def sums(self, values: Tensor) -> Tensor:
        """Sums over each category, `(B, C)` to `(B, len(levels))`."""
        return values @ self.member.to(values.dtype)

    def spread(self, values: Tensor) -> Tensor:
        """The value of its category for each coordinate, `(B, len(levels))` to `(B, C)`."""
        return values.index_select(1, self.owners)

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Log-probabilities from logits, `(B, C)` to `(B, C)`: those of each category sum to 1."""
        if not self.levels:
            return logits
        fixed = logits.detach()
        largest = fixed.new_full((len(logits), len(self.levels)), -torch.inf)
        largest = largest.scatter_reduce(1, self.owners.expand_as(fixed), fixed, "amax")
        shifted = logits - self.spread(largest)
        return shifted - torch.log(self.sums(torch.exp(shifted))) @ self.member.T.to(logits.dtype)

    def corners(self, u: Tensor) -> Tensor:
        """A level of each category at uniform numbers on [0, 1), `(B, len(levels))`, as corners, `(B, C)`."""
        chosen = torch.floor(self.spread(u) * self.sizes).clamp_max(self.sizes - 1)
        return (chosen == self.places).to(u.dtype)
