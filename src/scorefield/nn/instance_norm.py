"""InstanceNorm++: each feature map in standard units, without forgetting how the maps' means differ."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ConditionalInstanceNormPlus", "InstanceNormPlus"]

_EPSILON = 1e-5


def _standardized(x: Tensor, gamma: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """γ ((x - μ) / s + α (μ - m) / v) + β for `(B, C, H, W)` and factors of the shape `(C,)` or `(B, C)`.

    μ and s are the mean and the standard deviation of a map, m and v those of the means of all maps of a sample. A single
    map has no others to be compared with, a single point none either: their terms are 0.
    """
    dtype = x.dtype
    x = x if dtype in (torch.float32, torch.float64) else x.float()  # sums over maps need the digits
    mean = x.mean((2, 3))
    h = F.instance_norm(x, eps=_EPSILON) if x[0, 0].numel() > 1 else torch.zeros_like(x)
    if x.shape[1] > 1:
        apart = (mean - mean.mean(1, keepdim=True)) / torch.sqrt(mean.var(1, keepdim=True) + _EPSILON)
        h = h + (alpha * apart)[..., None, None]
    return (gamma[..., None, None] * h + beta[..., None, None]).to(dtype)


class InstanceNormPlus(nn.Module):
    """InstanceNorm++ of NCSNv2: γ ((x - μ) / s + α (μ - m) / v) + β.

    This is what the authors' code computes, and their checkpoints need. In their paper γ does not multiply the second term.

    Arguments:
        features: The number of maps.

    References:
        Song & Ermon, 2019, Appendix A.1.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.alpha = nn.Parameter(1 + 0.02 * torch.randn(features))
        self.gamma = nn.Parameter(1 + 0.02 * torch.randn(features))
        self.beta = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Normalizes, `(B, features, H, W)` to the same; the index of a noise level does not matter."""
        return _standardized(x, self.gamma, self.alpha, self.beta)


class ConditionalInstanceNormPlus(nn.Module):
    """InstanceNorm++ with a γ, α and β for each noise level, as NCSN has it (Song & Ermon, 2019).

    Arguments:
        features: The number of maps.
        classes: The number of noise levels.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.classes = classes
        factors = (1 + 0.02 * torch.randn(classes, 2 * features), torch.zeros(classes, features))
        self.embed = nn.Embedding.from_pretrained(torch.cat(factors, dim=1), freeze=False)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Normalizes, `(B, features, H, W)` and indices of levels `(B,)` to `(B, features, H, W)`."""
        gamma, alpha, beta = self.embed(index).chunk(3, dim=1)
        return _standardized(x, gamma, alpha, beta)
