"""A Gaussian law whose mean and covariance are functions of what is given."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn as nn
from torch import Tensor

__all__ = ["ConditionalGaussian"]

_NARROWEST = math.log(1e-6)  # of ln(standard deviation), in standard units: a law without any spread has no density


class ConditionalGaussian(nn.Module):
    """N(m(c), (W(c)ᵀ W(c))⁻¹) with W lower triangular, so that z = W (x - m) is standard normal where it is right.

    The mean is a linear function of c plus a network's; ln diag W and what stands below it are the network's. It begins as
    the standard normal law.

    Arguments:
        features: The number of features of x.
        context: How many numbers are given.
        width: The width of the hidden layers.
        depth: Their number.
    """

    def __init__(self, features: int, context: int, width: int = 128, depth: int = 4) -> None:
        super().__init__()
        if min(features, context, width, depth) < 1:
            got = f"features={features}, context={context}, width={width}, depth={depth}"
            raise ValueError(f"ConditionalGaussian needs positive sizes, got {got}")
        self.features = features
        self.context = context
        self.width = width
        self.depth = depth
        sizes = [context, *[width] * depth]
        hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
        self.network = nn.Sequential(*hidden, nn.Linear(width, 2 * features + features * (features - 1) // 2))
        self.linear = nn.Linear(context, features)
        with torch.no_grad():
            for layer in (self.linear, self.network[-1]):
                layer.weight.zero_()  # type: ignore[operator]  # linear layers
                layer.bias.zero_()  # type: ignore[operator]

    def parts(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """m, `(B, n)`, W, `(B, n, n)`, and ln det W, `(B,)`, given numbers `(B, context)`."""
        n = self.features
        mean, log_std, below = self.network(context).split((n, n, n * (n - 1) // 2), dim=1)
        log_std = log_std.clamp_min(_NARROWEST)
        whiten = torch.diag_embed(torch.ones_like(log_std))
        row, column = torch.tril_indices(n, n, -1, device=context.device)
        whiten[:, row, column] = below
        return mean + self.linear(context), whiten * torch.exp(-log_std)[..., None], -log_std.sum(1)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """z = W (x - m), `(B, n)`, and the logarithm of the volume dz/dx, `(B,)`."""
        mean, whiten, volume = self.parts(context)
        return (whiten @ (x - mean)[..., None])[..., 0], volume

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """x = m + W⁻¹ z, `(B, n)`."""
        mean, whiten, _ = self.parts(context)
        return mean + torch.linalg.solve_triangular(whiten, z[..., None], upper=False)[..., 0]

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-density, `(B,)`."""
        z, volume = self(x, context)
        return volume - z.square().sum(1) / 2 - self.features * math.log(2 * math.pi) / 2
