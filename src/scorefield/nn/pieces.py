"""Piecewise linear encodings of numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Pieces"]

_OUTERMOST = 3.0  # standard deviations, beyond which the outermost pieces are full


class Pieces(nn.Module):
    """The part of each piece between two quantiles of a normal distribution that lies below a number, from -1 to 1.

    A smooth network of these encodings bends at the quantiles without having to learn large weights.

    Arguments:
        numbers: How many numbers, of unit variance, are encoded.
        pieces: The number of pieces.

    Raises:
        ValueError: If there is no piece.

    References:
        Gorishniy et al., 2022, On embeddings for numerical features in tabular deep learning.

    Example:
        >>> Pieces(1, 2)(torch.tensor([[-3.0], [0.0], [1.5]]))
        tensor([[-1., -1.],
                [ 1., -1.],
                [ 1.,  0.]])
    """

    borders: Tensor

    def __init__(self, numbers: int, pieces: int) -> None:
        super().__init__()
        if pieces < 1:
            raise ValueError(f"numbers are encoded by one piece or more, got pieces={pieces}")
        self.numbers, self.pieces = numbers, pieces
        inner = torch.special.ndtri(torch.arange(1, pieces, dtype=torch.float64) / pieces)
        borders = torch.cat((-inner.new_full((1,), _OUTERMOST), inner, inner.new_full((1,), _OUTERMOST))).float()
        self.register_buffer("borders", borders, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The encodings of numbers, `(B, numbers)` to `(B, numbers · pieces)`."""
        low, high = self.borders[:-1], self.borders[1:]
        parts = (x[..., None] - (low + high) / 2) * (2 / (high - low))
        return parts.clamp(-1, 1).flatten(1)
