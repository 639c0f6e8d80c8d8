"""The probability flow: deterministic samplers. With u = x/α, the flow is du/dlevel = E[z | x_t]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Samples
from .base import Kernel, Sampler

__all__ = ["DPM", "Heun"]


@dataclass(frozen=True)
class Heun(Kernel):
    """The deterministic sampler of EDM (Karras et al., 2022, Algorithm 1). Second order, two evaluations a step."""

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Samples) -> Tensor:
        process = diffusion.process
        mean, noise = diffusion.split(x, t)
        _, later = diffusion.split(process.mix(mean, noise, s), s)
        turn = (noise + later) / 2
        return process.alpha(s) * (x / process.alpha(t) + (process.level(s) - process.level(t)) * turn)


@dataclass(frozen=True)
class DPM(Sampler):
    """DPM-Solver++(2M) (Lu et al., 2022, Algorithm 2). Second order, one evaluation a step, remembers one."""

    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Samples) -> Iterator[Tensor]:
        process = diffusion.process
        before: tuple[Tensor, Tensor] | None = None
        yield x
        for t, s in pairwise(times):
            mean, _ = diffusion.split(x, t)
            stride = torch.log(process.level(t) / process.level(s))
            ahead = mean if before is None else mean + (mean - before[0]) * stride / (2 * before[1])
            before = mean, stride
            ratio = process.sigma(s) / process.sigma(t)
            x = ratio * x + (process.alpha(s) - ratio * process.alpha(t)) * ahead
            yield x
