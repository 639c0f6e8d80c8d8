"""A network for vectors."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .embed import Fourier

__all__ = ["MLP"]


class MLP(nn.Module):
    """A network F(x, c): x of shape `(B, features)` and the label c of the noise, of shape `(B,)`, to `(B, features)`.

    The label scales and shifts what enters, a(c) · W x + b(c); layers of one width follow. Few operations a layer: for small
    networks on a CPU these are what takes the time. It begins as the zero function.

    Arguments:
        features: The number of features, from 1 to some hundred.
        width: The width of the hidden layers.
        depth: The number of layers between the entrance and the exit.
    """

    def __init__(self, features: int, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        if min(features, width, depth) < 1:
            raise ValueError(f"MLP needs positive sizes, got features={features}, width={width}, depth={depth}")
        self.features = features
        self.width = width
        self.depth = depth
        self.label = Fourier(16)
        self.modulate = nn.Linear(32, 2 * width)
        self.enter = nn.Linear(features, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, features)
        with torch.no_grad():
            self.modulate.bias[:width] += 1  # the scales, around one
            self.leave.weight.zero_()
            self.leave.bias.zero_()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts, `(B, features)` and labels `(B,)` to `(B, features)`."""
        scale, shift = self.modulate(self.label(c)).chunk(2, dim=1)
        h = F.silu(torch.addcmul(shift, self.enter(x), scale))
        for layer in self.layers:
            h = F.silu(layer(h))
        return self.leave(h)
