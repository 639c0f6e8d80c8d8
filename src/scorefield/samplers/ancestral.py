"""Ancestral sampling: take the state apart, put it together at a lower noise level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import OneStepSampler

__all__ = ["DDIM", "Ancestral"]


@dataclass(frozen=True)
class DDIM(OneStepSampler):
    """DDIM (η = 0, deterministic) to the ancestral sampling of DDPM (η = 1), for any process (Song et al., 2021).

    x_s = α_s m + σ_s (√(1 - η²τ) n + η√τ z) with m, n the halves of x_t and τ = 1 - (level_s / level_t)². First order.

    Arguments:
        eta: How much of the noise is drawn afresh, from 0 to 1.
    """

    eta: float = 0.0

    evaluations = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"DDIM needs 0 <= eta <= 1, got eta={self.eta:g}")

    @property
    def deterministic(self) -> bool:
        return self.eta == 0

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        mean, noise = diffusion.split(x, t)
        if self.eta > 0:
            tau = self.eta**2 * (1 - (diffusion.process.level(s) / diffusion.process.level(t)) ** 2)
            noise = torch.sqrt(1 - tau) * noise + torch.sqrt(tau) * rng.normal_like(x)
        return diffusion.process.mix(mean, noise, s)


@dataclass(frozen=True)
class Ancestral(OneStepSampler):
    """Ancestral sampling: x_s is drawn given x_t and x_0, with E[x_0 | x_t] for x_0 (Ho et al., 2020).

    x_s = (α_s/α_t) r² x_t + α_s (1 - r²) E[x_0 | x_t] + σ_s √(1 - r²) z with r = level_s/level_t: the posterior of DDPM, for
    any process and any s < t. First order, stable with any step. It is `DDIM(1)`, the first-order step of SDE-DPM-Solver++ and
    the exponential Euler-Maruyama step under other names. Samples come out too narrow, by 5 % with 128 steps.
    """

    evaluations = 1

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        (alpha, sigma), (alpha_after, sigma_after) = diffusion.process(t), diffusion.process(s)
        mean, _ = diffusion.split(x, t)
        kept = (sigma_after * alpha / (alpha_after * sigma)) ** 2
        centre = alpha_after / alpha * kept * x + alpha_after * (1 - kept) * mean
        return centre + sigma_after * torch.sqrt(1 - kept) * rng.normal_like(x)
