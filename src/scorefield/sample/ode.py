"""The probability flow: deterministic samplers. With u = x/α, the flow is du/dlevel = E[z | x_t]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import Kernel, Move, Sampler

__all__ = ["DPM", "Heun"]


@dataclass(frozen=True)
class Heun(Kernel):
    """The deterministic sampler of EDM (Karras et al., 2022, Algorithm 1). Second order, two evaluations a step."""

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        process = diffusion.process
        mean, noise = diffusion.split(x, t)
        _, later = diffusion.split(process.mix(mean, noise, s), s)
        turn = (noise + later) / 2
        return process.alpha(s) * (x / process.alpha(t) + (process.level(s) - process.level(t)) * turn)


@dataclass(frozen=True)
class DPM(Sampler):
    """DPM-Solver++(2M) (Lu et al., 2022, Algorithm 2). Second order, one evaluation a step, remembers one."""

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process = diffusion.process
        before: tuple[Tensor, Tensor] | None = None

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal before
            mean, _ = diffusion.split(x, t)
            stride = torch.log(process.level(t) / process.level(s))
            ahead = mean if before is None else mean + (mean - before[0]) * stride / (2 * before[1])
            before = mean, stride
            ratio = process.sigma(s) / process.sigma(t)
            return ratio * x + (process.alpha(s) - ratio * process.alpha(t)) * ahead

        return move
