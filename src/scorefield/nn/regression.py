"""Regression in closed form: linear, and what is smooth beyond it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["SmoothRegression"]

_SCALES = (0.3, 3.0)  # of frequencies, in standard units of the context
_PENALTIES = (-8.0, 4.0, 49)  # that are tried: powers of ten of the mean eigenvalue, and how many
_WORTH = 0.98  # of the linear regression's error: features that leave more of it are not worth their noise


class SmoothRegression(nn.Module):
    """x ≈ c A + b + cos(c Ω + φ) W, by least squares: A and b as they are, W with a penalty that is chosen for each output.

    Random Fourier features describe smooth functions of a few numbers closely, and cost one decomposition. The penalty is
    that of generalized cross-validation; where features do not help, W is 0.

    Arguments:
        context: The number of context values c, which are in standard units.
        features: The number of outputs.
        waves: The number of random features; 0: the regression is linear.

    References:
        Rahimi and Recht, 2007, Random features for large-scale kernel machines; Golub, Heath and Wahba, 1979, Generalized
        cross-validation as a method for choosing a good ridge parameter.

    Example:
        >>> c = torch.linspace(-2, 2, 500)[:, None]
        >>> regression = SmoothRegression(1, 1, waves=64)
        >>> _ = regression.fit(torch.exp(-c), c)
        >>> bool((regression(c) - torch.exp(-c)).abs().max() < 0.01)
        True
    """

    trend: Tensor
    center: Tensor
    frequencies: Tensor
    phases: Tensor
    weights: Tensor

    def __init__(self, context: int, features: int, waves: int) -> None:
        super().__init__()
        self.context, self.features, self.waves = context, features, waves
        low, high = (math.log(scale) for scale in _SCALES)
        scale = torch.exp(low + (high - low) * torch.rand(waves)) / math.sqrt(context)
        self.register_buffer("trend", torch.zeros(context, features))
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("frequencies", torch.randn(context, waves) * scale)
        self.register_buffer("phases", 2 * math.pi * torch.rand(waves))
        self.register_buffer("weights", torch.zeros(waves, features))

    @property
    def bends(self) -> bool:
        """Whether it is more than linear."""
        return bool((self.weights != 0).any())

    def forward(self, context: Tensor) -> Tensor:
        """The prediction, `(…, context)` to `(…, n)`."""
        found: Tensor = context @ self.trend + self.center
        if self.waves:
            found = found + self._waves(context) @ self.weights
        return found

    def _waves(self, context: Tensor) -> Tensor:
        return torch.cos(context @ self.frequencies.to(context.dtype) + self.phases.to(context.dtype))

    @torch.no_grad()
    def fit(self, x: Tensor, context: Tensor) -> Tensor:
        """Finds the coefficients from rows x, `(N, n)`, and contexts, `(N, context)`.

        Returns:
            The covariance of what is left, `(n, n)` in float64: a squared error by degrees of freedom.
        """
        x, context = x.double(), context.double()
        known = torch.cat((context, torch.ones_like(context[:, :1])), 1)
        free = len(x) - known.shape[1]
        if free <= 0:
            return (x - x.mean(0)).T @ (x - x.mean(0)) / max(1, len(x) - 1)
        linear = torch.linalg.lstsq(known, x).solution
        residual, taken = x - known @ linear, torch.zeros(self.features, dtype=torch.float64, device=x.device)
        if self.waves and free > 2 * self.waves:
            waves = self._waves(context)
            shared = torch.linalg.lstsq(known, waves).solution
            weights, taken = _ridge(waves - known @ shared, residual, free)
            residual = residual - (waves - known @ shared) @ weights
            linear = linear - shared @ weights
            self.weights.copy_(weights)
        self.trend.copy_(linear[:-1])
        self.center.copy_(linear[-1])
        scale = (free - taken).clamp_min(1.0).rsqrt()
        scaled: Tensor = residual * scale
        covariance: Tensor = scaled.T @ scaled
        return covariance


def _ridge(features: Tensor, x: Tensor, free: int) -> tuple[Tensor, Tensor]:
    """Coefficients `(M, n)` by the best penalty of each output, and the degrees of freedom that they take, `(n,)`."""
    value, vector = torch.linalg.eigh(features.T @ features)
    value = value.clamp_min(0)
    along, total = vector.T @ (features.T @ x), x.square().sum(0)
    best, found = total / free**2 * _WORTH, (torch.zeros_like(along), torch.zeros_like(total))
    for penalty in torch.logspace(*_PENALTIES, dtype=torch.float64, device=x.device) * value.mean():
        inverse, share = 1 / (value + penalty), float((value / (value + penalty)).sum())
        left = total - (along.square() * (2 * inverse - value * inverse**2)[:, None]).sum(0)
        error = left / (free - share) ** 2
        better = error < best
        best = torch.where(better, error, best)
        found = (
            torch.where(better, along * inverse[:, None], found[0]),
            torch.where(better, torch.full_like(total, share), found[1]),
        )
    return vector @ found[0], found[1]
