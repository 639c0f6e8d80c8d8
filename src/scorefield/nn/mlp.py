"""A network for vectors."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .embed import Fourier

__all__ = ["MLP"]


class MLP(nn.Module):
    """A residual network F(x, c): x of shape `(B, features)` and the label c of the noise, of shape `(B,)`, to `(B, features)`.

    Each block is h + W₂ SiLU(a(c) · W₁ SiLU(h) + b(c)); the label scales and shifts the inside of every block. It begins
    as the zero function.

    Arguments:
        features: The number of features, from 1 to some hundred.
        width: The width of the hidden layers.
        depth: The number of blocks, of two layers each.
        embedding: The width of the label's embedding.
    """

    def __init__(self, features: int, width: int = 128, depth: int = 2, embedding: int = 64) -> None:
        super().__init__()
        if min(features, width, depth, embedding) < 1:
            got = f"features={features}, width={width}, depth={depth}, embedding={embedding}"
            raise ValueError(f"MLP needs positive sizes, got {got}")
        self.features = features
        self.width = width
        self.depth = depth
        self.embedding = embedding
        self.label = Fourier(16)
        self.embed = nn.Linear(32, embedding)
        self.enter = nn.Linear(features, width)
        self.modulate = nn.Linear(embedding, 2 * width * depth)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.second = nn.ParameterList(nn.Linear(width, width, bias=False).weight for _ in range(depth))
        self.leave = nn.Linear(width, features)
        with torch.no_grad():
            self.modulate.bias[: width * depth] += 1  # the scales, around one
            self.leave.weight.zero_()
            self.leave.bias.zero_()

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts, `(B, features)` and labels `(B,)` to `(B, features)`."""
        scales, shifts = self.modulate(F.silu(self.embed(self.label(c)))).split(self.width * self.depth, 1)
        h = self.enter(x)
        parts = zip(self.first, self.second, scales.split(self.width, 1), shifts.split(self.width, 1))
        for first, second, scale, shift in parts:
            inner = F.silu(torch.addcmul(shift, first(F.silu(h)), scale))
            h = torch.addmm(h, inner, second.T)
        return self.leave(F.silu(h))
