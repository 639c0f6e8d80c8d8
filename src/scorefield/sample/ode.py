"""The probability flow: deterministic samplers. With u = x/α, the flow is du/dlevel = E[z | x_t]."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Samples
from .base import Kernel, Sampler

__all__ = ["DPM", "ExponentialAdams", "Heun"]


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


@dataclass(frozen=True)
class ExponentialAdams(Sampler):
    """Adams-Bashforth in the angle φ = arctan(level / scale), with what is known of Gaussian data done exactly.

    With u = x/α, ũ = u / √(level² + scale²) obeys dũ/dφ = -F, where F is what a network of the Karras parametrization
    predicts: zero for Gaussian data of standard deviation `scale`, which one step therefore takes from noise to data
    without error. One evaluation a step; order `order` once that many values are known, on any grid.

    Arguments:
        order: How many values of F are extrapolated, from 1 to 4.
        scale: The standard deviation of the data, in the units of the state.
    """

    order: int = 3
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3, 4):
            raise ValueError(f"ExponentialAdams needs an order from 1 to 4, got order={self.order}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"ExponentialAdams needs scale > 0, got scale={self.scale:g}")

    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Samples) -> Iterator[Tensor]:
        process, scale = diffusion.process, self.scale
        angles: list[float] = []
        slopes: list[Tensor] = []
        yield x
        for t, s in pairwise(times):
            mean, _ = diffusion.split(x, t)
            u, level, after = x / process.alpha(t), process.level(t), process.level(s)
            norm = torch.hypot(level, torch.full_like(level, scale))
            slopes = [*slopes, (mean - (scale / norm) ** 2 * u) * norm / (level * scale)][-self.order :]
            angles = [*angles, math.atan(float(level) / scale)][-self.order :]
            weights = _adams_weights(angles, math.atan(float(after) / scale))
            turn = sum((w * f for w, f in zip(weights, slopes)), start=torch.zeros_like(u))
            x = process.alpha(s) * (u / norm - turn) * torch.hypot(after, torch.full_like(after, scale))
            yield x


def _adams_weights(nodes: list[float], end: float) -> list[float]:
    """The integrals from the last node to `end` of the Lagrange polynomials of the nodes."""
    step = end - nodes[-1]
    points = (np.array(nodes) - nodes[-1]) / step  # in units of the step: well conditioned, however small it is
    powers = np.arange(len(nodes))
    return list(step * np.linalg.solve(points ** powers[:, None], 1 / (powers + 1)))
