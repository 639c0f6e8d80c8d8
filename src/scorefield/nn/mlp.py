"""A network for vectors."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .embed import FourierEmbedding

__all__ = ["MLP"]


class MLP(nn.Module):
    """A network F(x, c): x of shape `(B, features)` and the label c of the noise, of shape `(B,)`, to `(B, features)`.

    The label scales and shifts what enters, a(c) · W x + b(c); layers of one width follow. Few operations a layer: for small
    networks on a CPU these are what takes the time. What is given beside the data goes through two layers of its own, which
    scale and shift with it, before each layer. It begins as the zero function.

    Arguments:
        features: The number of features, from 1 to some hundred.
        width: The width of the hidden layers.
        depth: The number of layers between the entrance and the exit.
        context: How many numbers are given beside the data; 0 for none.
        more: How many numbers x has besides, which are seen and not answered for (`Waves`); 0 for none.
    """

    def __init__(self, features: int, width: int = 128, depth: int = 3, context: int = 0, more: int = 0) -> None:
        super().__init__()
        if min(features, width, depth) < 1 or min(context, more) < 0:
            got = f"features={features}, width={width}, depth={depth}, context={context}, more={more}"
            raise ValueError(f"MLP needs positive sizes, got {got}")
        self.features = features
        self.width = width
        self.depth = depth
        self.context = context
        self.more = more
        self.label = FourierEmbedding(16)
        self.modulate = nn.Linear(32, 2 * width)
        self.enter = nn.Linear(features + more, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, features)
        if context:
            self.given = nn.Sequential(nn.Linear(context, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
            self.lead = nn.Linear(width, (depth + 1) * 2 * width)
        with torch.no_grad():
            self.modulate.bias[:width] += 1  # the scales, around one
            self.leave.weight.zero_()
            self.leave.bias.zero_()
            if context:
                self.lead.weight.zero_()
                self.lead.bias.zero_()

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts, `(B, features + more)`, labels `(B,)` and what is given, `(B, context)`, to `(B, features)`."""
        scale, shift = self.modulate(self.label(c)).chunk(2, dim=1)
        if not self.context:
            h = F.silu(torch.addcmul(shift, self.enter(x), scale))
            for layer in self.layers:
                h = F.silu(layer(h))
            return self.leave(h)
        if context is None:
            raise ValueError(f"this network needs {self.context} numbers given beside the data, got none: pass context")
        leads = self.lead(self.given(context)).chunk(2 * self.depth + 2, dim=1)
        h = F.silu(torch.addcmul(shift + leads[1], self.enter(x), scale + leads[0]))
        for layer, gain, more in zip(self.layers, leads[2::2], leads[3::2]):
            h = F.silu(torch.addcmul(more, layer(h), 1 + gain))
        return self.leave(h)
