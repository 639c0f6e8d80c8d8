"""The reverse SDE by the textbook: steps of stochastic Runge-Kutta methods for additive noise.

`EulerMaruyama`, `Milstein` and `ReverseDiffusion` step in the clock of the process. `StochasticHeun` and `SRA1` step in
λ = -ln level, where with u = x/α and D = E[x_0 | x_t] the reverse SDE of every process is

    du = 2 (D(u, level) - u) dλ + √2 level dW.

All are explicit, and all noise is additive: what multiplies dW does not depend on the state. Where the data are narrower
than the noise D - u ≈ -u, and steps of a factor of e in the level or more multiply errors. Where the clock of a process
runs through levels that fast (`Cosine` and `Flow` near t = 1), take the schedule `LogLevel`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import OneStepSampler

__all__ = ["SRA1", "EulerMaruyama", "Milstein", "ReverseDiffusion", "StochasticHeun"]


@dataclass(frozen=True)
class EulerMaruyama(OneStepSampler):
    """The Euler-Maruyama step of dx = [f x - ½ (1 + η²) g² score] dt + η g dw̄ (Song et al., 2021, eq. 6).

    x_s = x - (f x - ½ (1 + η²) g² score) (t - s) + η g √(t - s) z, all coefficients at t. As the noise is additive the strong
    order is 1, not ½; the weak order is 1. For comparisons with the literature: `Ancestral` costs as much and is stable with
    any step.

    Stable while (t - s) (½ (1 + η²) g²/v + f) < 2, where v = α² c + σ² and c is the smallest variance of the data along any
    axis. Where α_1 is almost 0 (`Cosine`, `Flow`) and η > 0, even a thousand uniform steps are too few: take `LogLevel`.

    Arguments:
        eta: How much of the noise is drawn afresh: 0 is the probability flow, 1 the reverse SDE, above 1 more.
    """

    eta: float = 1.0

    evaluations = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"EulerMaruyama needs 0 <= eta < inf, got eta={self.eta:g}")

    @property
    def deterministic(self) -> bool:
        return self.eta == 0

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        f, square = diffusion.process.sde(t)
        slope = f * x - (1 + self.eta**2) / 2 * square * diffusion.score(x, t)
        x = x - slope * (t - s)
        return x if self.eta == 0 else x + self.eta * torch.sqrt(square * (t - s)) * rng.normal_like(x)


@dataclass(frozen=True)
class Milstein(OneStepSampler):
    """Milstein's step of the reverse SDE: that of `EulerMaruyama`, bit for bit.

    Milstein adds ½ g ∂g/∂x (Δw² - Δt) to the step of Euler and Maruyama. In the SDEs of score-based models g depends on t
    alone, so that nothing is added: Euler and Maruyama have Milstein's strong order 1 already. A term with dg/dt in place of
    ∂g/∂x belongs to no Itô-Taylor expansion: it adds skewed noise, of strong order ½ (for g = 25^t and 500 steps, 6.5 times the
    variance of the step's own noise at t = 1), and is not offered.
    """

    evaluations = 1

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        return EulerMaruyama().step(diffusion, x, t, s, rng)


@dataclass(frozen=True)
class ReverseDiffusion(OneStepSampler):
    """The reverse diffusion sampler: the forward step turned round (Song et al., 2021, Appendix E).

    x_s = x - (a - 1) x + G² score + G z with the forward step x_t = a x_s + G z of the process: a = α_t/α_s and
    G² = σ_t² - a² σ_s². Weak order 1. Samples are too wide by almost as much as those of `Ancestral` are too narrow.
    """

    evaluations = 1

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        (alpha, sigma), (alpha_after, sigma_after) = diffusion.process(t), diffusion.process(s)
        a = alpha / alpha_after
        square = sigma**2 - (a * sigma_after) ** 2
        return x - (a - 1) * x + square * diffusion.score(x, t) + torch.sqrt(square) * rng.normal_like(x)


@dataclass(frozen=True)
class StochasticHeun(OneStepSampler):
    """Heun's step of the reverse SDE in λ = -ln level: the step that `AdaptiveSDE` takes with a fixed length.

    With f(u, level) = 2 (D - u), h = λ_s - λ_t and ΔW = √h z for both stages,

        K1 = h f(u, level_t) + √2 level_t ΔW,   K2 = h f(u + K1, level_s) + √2 level_s ΔW,   u_s = u + ½ (K1 + K2).

    Strong order 1, weak order 2 (Jolicoeur-Martineau et al., 2021). Good from about 30 steps on. h must stay below 1.
    """

    evaluations = 2

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        process, denoise = diffusion.process, diffusion.denoiser
        level, after = process.level(t), process.level(s)
        h = torch.log(level / after)
        wiener = torch.sqrt(2 * h) * rng.normal_like(x)
        u = x / process.alpha(t)
        first = 2 * h * (denoise(u, level) - u) + level * wiener
        predicted = u + first
        second = 2 * h * (denoise(predicted, after) - predicted) + after * wiener
        return process.alpha(s) * (u + (first + second) / 2)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SRA1(OneStepSampler):
    """Rößler's SRA1 for the reverse SDE in λ = -ln level (Rößler, 2010).

    With f(u, level) = 2 (D - u), h = λ_s - λ_t, I₁ = √h z₁ and I₁₀ = ½ h^(3/2) (z₁ + z₂/√3), the integrals of dW and W,

        H = u + ¾ h f(u, level_t) + (3/2) √2 level_s I₁₀/h
        u_s = u + h (⅓ f(u, level_t) + ⅔ f(H, level_t^¼ level_s^¾)) + √2 level_s (I₁ - I₁₀/h) + √2 level_t I₁₀/h.

    Strong order 1.5, weak order 2, two noises a step. Good where the path matters and not the distribution alone: along the
    same path of W, other steps lead to almost the same sample. h must stay below 1.
    """

    evaluations = 2

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        process, denoise = diffusion.process, diffusion.denoiser
        level, after = process.level(t), process.level(s)
        h = torch.log(level / after)
        wiener = torch.sqrt(2 * h) * rng.normal_like(x)  # √2 I₁
        area = (wiener + torch.sqrt(2 * h / 3) * rng.normal_like(x)) / 2  # √2 I₁₀/h
        u = x / process.alpha(t)
        first = 2 * h * (denoise(u, level) - u)
        predicted = u + 0.75 * first + 1.5 * after * area
        second = 2 * h * (denoise(predicted, level**0.25 * after**0.75) - predicted)
        noise = after * (wiener - area) + level * area
        return process.alpha(s) * (u + (first + 2 * second) / 3 + noise)  # type: ignore[no-any-return]
