"""Embeddings of numbers as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierEmbedding"]


class FourierEmbedding(nn.Module):
    """Cosines and sines of a number at frequencies in geometric progression: `(B,)` to `(B, 2 · count)`.

    Arguments:
        count: The number of frequencies.
        low: The lowest frequency, in radians per unit.
        high: The highest frequency.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, count: int = 16, low: float = 0.5, high: float = 32.0) -> None:
        super().__init__()
        self.count, self.low, self.high = count, low, high
        frequencies = torch.exp(torch.linspace(math.log(low), math.log(high), count))
        self.register_buffer("frequencies", frequencies.repeat(2))
        self.register_buffer("phases", torch.tensor([math.pi / 2, 0.0]).repeat_interleave(count))

    def forward(self, c: Tensor) -> Tensor:
        """The embedding, `(B,)` to `(B, 2 · count)`."""
        return torch.sin(torch.addcmul(self.phases, c[:, None], self.frequencies))
