"""A Gaussian whose mean and covariance are learned functions of a context."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["ConditionalGaussian"]

_MIN_LOG_STD = math.log(1e-6)  # in standard units: a distribution of zero width has no density


class ConditionalGaussian(nn.Module):
    """The conditional Gaussian N(m(c), (W(c)ᵀ W(c))⁻¹) with W lower triangular: z = W (x - m) is standard normal.

    The mean is a linear function of c plus a network's output. The network also gives the entries of W: the logarithm of its
    diagonal, and what is below the diagonal. At initialization it is the standard normal distribution.

    Arguments:
        features: The number of features of x.
        context: The number of context values c.
        width: The width of the hidden layers.
        depth: The number of hidden layers.

    Raises:
        ValueError: If a size is not positive.
    """

    members = 1

    def __init__(self, features: int, context: int, width: int = 128, depth: int = 4) -> None:
        super().__init__()
        if min(features, context, width, depth) < 1:
            got = f"features={features}, context={context}, width={width}, depth={depth}"
            raise ValueError(f"ConditionalGaussian needs positive sizes, got {got}")
        self.features, self.context, self.width, self.depth = features, context, width, depth
        sizes = [context, *[width] * depth]
        hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
        self.network = nn.Sequential(*hidden, nn.Linear(width, 2 * features + features * (features - 1) // 2))
        self.linear = nn.Linear(context, features)
        with torch.no_grad():
            for layer in (self.linear, self.network[-1]):
                layer.weight.zero_()  # type: ignore[operator]  # linear layers
                layer.bias.zero_()  # type: ignore[operator]

    def parts(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """m, `(B, n)`, W, `(B, n, n)`, and ln det W, `(B,)`, for contexts `(B, context)`."""
        n = self.features
        mean, log_std, below = self.network(context).split((n, n, n * (n - 1) // 2), dim=1)
        log_std = log_std.clamp_min(_MIN_LOG_STD)
        whiten = torch.diag_embed(torch.ones_like(log_std))
        row, column = torch.tril_indices(n, n, -1, device=context.device)
        whiten[:, row, column] = below
        return mean + self.linear(context), whiten * torch.exp(-log_std)[..., None], -log_std.sum(1)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """z = W (x - m), `(B, n)`, and log |det dz/dx|, `(B,)`."""
        mean, whiten, log_det = self.parts(context)
        return (whiten @ (x - mean)[..., None])[..., 0], log_det

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """x = m + W⁻¹ z, `(B, n)`."""
        mean, whiten, _ = self.parts(context)
        x: Tensor = mean + torch.linalg.solve_triangular(whiten, z[..., None], upper=False)[..., 0]
        return x

    def member_log_probs(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-densities of its only member, `(1, B)`, of x, `(B, n)` or `(1, B, n)`."""
        return self.log_prob(*(v[0] if v.ndim == 3 else v for v in (x, context)))[None]

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-density, `(B,)`."""
        z, log_det = self.forward(x, context)
        return log_det - z.square().sum(1) / 2 - self.features * math.log(2 * math.pi) / 2
