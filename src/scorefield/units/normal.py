"""The standard normal distribution far out in its tails, where probabilities themselves are too small."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["LOG_ROOT_TWO_PI", "log_normal_density", "normal_cdf", "normal_quantile", "quantile_of_log"]

LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
_DIRECT = -600.0  # log-probabilities above it are numbers that `ndtri` takes


def log_normal_density(z: Tensor) -> Tensor:
    """log φ(z).

    Example:
        >>> round(float(log_normal_density(torch.tensor(0.0))), 6)
        -0.918939
    """
    return -0.5 * z * z - LOG_ROOT_TWO_PI


def normal_cdf(z: Tensor) -> Tensor:
    """Φ(z), with all its digits below the median, where `torch.special.ndtr` has none left.

    Example:
        >>> normal_cdf(torch.tensor([0.0, -20.0]).double())
        tensor([5.0000e-01, 2.7536e-89], dtype=torch.float64)
    """
    p: Tensor = 0.5 * torch.special.erfc(-z / math.sqrt(2))
    return p


def normal_quantile(p: Tensor, q: Tensor) -> Tensor:
    """Φ⁻¹(p), exact in both tails: from p below the median and from q = 1 - p above it.

    Example:
        >>> p = torch.tensor([0.25, 1.0]).double()
        >>> normal_quantile(p, torch.tensor([0.75, 1e-20]).double())
        tensor([-0.6745,  9.2623], dtype=torch.float64)
    """
    below = p < q
    z = torch.special.ndtri(torch.where(below, p, q))
    return torch.where(below, z, -z)


def quantile_of_log(log_p: Tensor) -> Tensor:
    """Φ⁻¹(exp log_p), for log-probabilities as small as -1e6, whose exponential is 0 in float64.

    Example:
        >>> z = torch.tensor([-40.0, -3.0]).double()
        >>> quantile_of_log(torch.special.log_ndtr(z))
        tensor([-40.0000,  -3.0000], dtype=torch.float64)
    """
    direct: Tensor = torch.special.ndtri(log_p.clamp_min(_DIRECT).exp())
    if not bool((log_p < _DIRECT).any()):
        return direct
    square = -2 * log_p.clamp_max(_DIRECT)
    z = -(square - (2 * math.pi * square).log()).sqrt()
    for _ in range(3):  # Newton's method on log Φ, which is nearly quadratic
        log_cdf = torch.special.log_ndtr(z)
        z = z - (log_cdf - log_p) * (log_cdf - log_normal_density(z)).exp()
    return torch.where(log_p < _DIRECT, z, direct)
