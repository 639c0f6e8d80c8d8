"""Ancestral sampling: take the state apart, put it together at a lower noise level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import Kernel

__all__ = ["DDIM"]


@dataclass(frozen=True)
class DDIM(Kernel):
    """DDIM (η = 0, deterministic) to the ancestral sampling of DDPM (η = 1), for any process (Song et al., 2021).

    x_s = α_s m + σ_s (√(1 - η²τ) n + η√τ z) with m, n the halves of x_t and τ = 1 - (level_s / level_t)². First order.

    Arguments:
        eta: How much of the noise is drawn afresh, from 0 to 1.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"DDIM needs 0 <= eta <= 1, got eta={self.eta:g}")

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        mean, noise = diffusion.split(x, t)
        if self.eta > 0:
            tau = self.eta**2 * (1 - (diffusion.process.level(s) / diffusion.process.level(t)) ** 2)
            noise = torch.sqrt(1 - tau) * noise + torch.sqrt(tau) * rng.normal_like(x)
        return diffusion.process.mix(mean, noise, s)
