"""InstanceNorm++: instance normalization that keeps how the means of the feature maps differ."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ConditionalInstanceNormPlus", "InstanceNormPlus"]

_EPSILON = 1e-5


def _standardized(x: Tensor, gamma: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """γ ((x - μ) / s + α (μ - m) / v) + β for x of shape `(B, C, H, W)` and factors of shape `(C,)` or `(B, C)`.

    μ and s are of a map, m and v of the means over all maps. With one map the second term is 0, with one pixel the first.
    """
    dtype = x.dtype
    if dtype not in (torch.float32, torch.float64):  # sums over a map lose too many digits in half precision
        x = x.float()
    mean = x.mean((2, 3))
    h = F.instance_norm(x, eps=_EPSILON) if x[0, 0].numel() > 1 else torch.zeros_like(x)
    if x.shape[1] > 1:
        apart = (mean - mean.mean(1, keepdim=True)) / torch.sqrt(mean.var(1, keepdim=True) + _EPSILON)
        h = h + (alpha * apart)[..., None, None]
    return (gamma[..., None, None] * h + beta[..., None, None]).to(dtype)


class InstanceNormPlus(nn.Module):
    """InstanceNorm++ of NCSNv2: γ ((x - μ) / s + α (μ - m) / v) + β (Song & Ermon, 2019, Appendix A.1).

    This is what the authors' code computes; in the paper γ does not multiply the second term.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.alpha = nn.Parameter(1 + 0.02 * torch.randn(features))
        self.gamma = nn.Parameter(1 + 0.02 * torch.randn(features))
        self.beta = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """Normalizes x of shape `(B, features, H, W)`; the index of the noise level is ignored."""
        return _standardized(x, self.gamma, self.alpha, self.beta)


class ConditionalInstanceNormPlus(nn.Module):
    """InstanceNorm++ of a number of maps, with one γ, α and β per noise level, as in NCSN (Song & Ermon, 2019)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features, self.classes = features, classes
        factors = (1 + 0.02 * torch.randn(classes, 2 * features), torch.zeros(classes, features))
        self.embed = nn.Embedding(classes, 3 * features, _weight=torch.cat(factors, dim=1))

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        """Normalizes x of shape `(B, features, H, W)` with the factors of the level indices `(B,)`."""
        gamma, alpha, beta = self.embed(index).chunk(3, dim=1)
        return _standardized(x, gamma, alpha, beta)
