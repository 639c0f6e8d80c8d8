"""Autocorrelation and effective sample size of Markov chains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["autocorrelation", "effective_sample_size"]

_MEMORY = 2**22  # numbers in the Fourier transforms that are held at once, about


def autocorrelation(states: Tensor) -> Tensor:
    """The autocorrelation ρ_k at lag k, for each coordinate, pooled over chains.

    The mean and the variance are those of all chains together, so that chains which stay apart have a persistent correlation.
    Sums of products are divided by their number, n - k for each chain.

    Arguments:
        states: The states of B chains at n moves, of shape `(n, B, *D)`.

    Returns:
        ρ_0 = 1 to ρ_{n-1}, of shape `(n, *D)`, in float64. The last ones are means of a few products, and thus uncertain.
        NaN for a constant coordinate.

    Raises:
        ValueError: If there are no states, or if they are not finite.

    Example:
        >>> alternating = torch.tensor([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1)
        >>> autocorrelation(alternating)[:, 0].round().tolist()
        [1.0, -1.0, 1.0, -1.0]
    """
    if states.ndim < 2 or states.numel() == 0:
        raise ValueError(f"states of chains must have the shape (n, B, *D), got {tuple(states.shape)}")
    if not bool(torch.isfinite(states).all()):
        raise ValueError("states of chains must be finite, got NaN or inf: use smaller steps")
    n, chains = states.shape[:2]
    flat = states.reshape(n, chains, -1)
    middle = flat.double().mean((0, 1))
    total = torch.zeros(n, flat.shape[2], dtype=torch.float64, device=states.device)
    for part in torch.split(flat, max(1, _MEMORY // (2 * n * flat.shape[2])), dim=1):
        waves = torch.fft.rfft(part.double() - middle, 2 * n, dim=0)  # padded with n zeros: products do not wrap around
        total += torch.fft.irfft(waves.abs().square().sum(1), 2 * n, dim=0)[:n]
    total /= torch.arange(n, 0, -1, dtype=torch.float64, device=states.device)[:, None]
    varies = total[0] > n * torch.finfo(torch.float64).eps * (chains * middle**2)
    return torch.where(varies, total / total[0], torch.nan).reshape(n, *states.shape[2:])


def effective_sample_size(states: Tensor) -> Tensor:
    """The number of independent draws that would estimate the mean of a coordinate as precisely as n states of B chains.

    It is B n / (1 + 2 Σ (1 - k/n) ρ_k), with the sum truncated where ρ_2m + ρ_2m+1 first falls below 0: the initial positive
    sequence of Geyer (1992). For anticorrelated states it exceeds B n, up to N log10 N with N = B n; for chains that do not
    move it is B.

    Arguments:
        states: The states of B chains at n moves, of shape `(n, B, *D)`, n at least 4.

    Returns:
        One number per coordinate, of shape `D`, in float64; NaN for a constant coordinate.

    Raises:
        ValueError: If there are fewer than 4 moves, or a state is not finite.

    Example:
        >>> still = torch.arange(5.0).expand(100, 5)[..., None]  # five chains that never move
        >>> effective_sample_size(still).round().tolist()
        [5.0]
    """
    n, chains = states.shape[:2]
    if n < 4:
        raise ValueError(f"an effective sample size needs at least 4 states per chain, got {n}: store more of them")
    rho = autocorrelation(states)
    fading = 1 - torch.arange(n, dtype=torch.float64, device=rho.device) / n
    weighted = (rho * fading.reshape(-1, *(1,) * (rho.ndim - 1)))[: n // 2 * 2]
    pairs = weighted[::2] + weighted[1::2]
    positive = (pairs > 0).cumprod(0)  # 1 up to the first pair that is not
    time = (2 * (pairs * positive).sum(0) - 1).clamp_min(1 / math.log10(chains * n))
    return torch.where(rho[0] == 1, chains * n / time, torch.nan)
