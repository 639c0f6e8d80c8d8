"""The exponential Adams-Bashforth family: what is known of Gaussian data is done exactly, the rest extrapolated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import Move, Sampler

__all__ = ["ExponentialAdams"]

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class ExponentialAdams(Sampler):
    """Adams-Bashforth in the angle φ = arctan(level / scale), with what is known of Gaussian data done exactly.

    With u = x/α and n = √(level² + scale²), the reverse process of Song et al. (2021) with its noise times η is

        d(u / n^(1+η²)) = -(1+η²) scale^(-η²) cos^η²(φ) F dφ + noise,

    where F is what a network of the Karras parametrization predicts: zero for Gaussian data of standard deviation `scale`,
    which one step therefore takes from noise to data without error. Polynomials through the last values of F are
    integrated, one evaluation a step. η = 0 is the probability flow, of order `order` once that many values are known; from
    order 3 on the second evaluation also corrects the first step, which knew one value. η = 1 is the reverse SDE, which forgets
    earlier errors. Best in few steps, for data of one scale and schedules uniform in φ.

    Arguments:
        order: How many values of F are extrapolated, from 1 to 4.
        scale: The standard deviation of the data, in the units of the state. Wider directions suffer most: fields whose
            smooth parts have a deviation of 8 get them 7 % too narrow with a scale of 1 (24 steps uniform in the clock of EDM,
            η = 1), and exact to 0.1 % with 4, where parts of deviation 1 become 1.4 % too narrow. Much narrower ones lose
            variance too, up to 8 % in 32 steps of `LogLevel` with η = 0 and 4 % with η = 1; `UniPC` loses none.
        eta: How much noise is drawn afresh: 0 for none, 1 for the reverse SDE; more forgets more.
    """

    order: int = 3
    scale: float = 1.0
    eta: float = 0.0

    evaluations = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3, 4):
            raise ValueError(f"ExponentialAdams needs an order from 1 to 4, got order={self.order}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"ExponentialAdams needs scale > 0, got scale={self.scale:g}")
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"ExponentialAdams needs 0 <= eta < inf, got eta={self.eta:g}")

    @property
    def deterministic(self) -> bool:
        return self.eta == 0

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process, scale, extra = diffusion.process, self.scale, self.eta**2
        angles: list[float] = []
        slopes: list[Tensor] = []

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal angles, slopes
            mean, _ = diffusion.split(x, t)
            u, level, after = x / process.alpha(t), process.level(t), process.level(s)
            norm, new = (torch.hypot(a, torch.full_like(a, scale)) for a in (level, after))
            angle, end = (math.atan(float(a) / scale) for a in (level, after))
            slope = (mean - (scale / norm) ** 2 * u) * norm / (level * scale)
            if self.order > 2 and len(slopes) == 1:  # the first step once more: F is known at its end
                late, _ = _weights([angle, *angles], angle, extra)
                u = u - (1 + extra) * norm * (norm / scale) ** extra * late * (slope - slopes[0])
            slopes, angles = [*slopes, slope][-self.order :], [*angles, angle][-self.order :]
            weights = _weights(angles, end, extra)
            correction = sum((w * f for w, f in zip(weights, slopes)), start=torch.zeros_like(u))
            u = u * (new / norm) ** (1 + extra) - (1 + extra) * new * (new / scale) ** extra * correction
            if extra > 0:
                u = u + new * torch.sqrt(-torch.expm1(2 * extra * torch.log(new / norm))) * rng.normal_like(u)
            return process.alpha(s) * u

        return move


def _weights(nodes: list[float], end: float, power: float) -> list[float]:
    """The integrals from the last node to `end` of cos^power times the Lagrange polynomials of the nodes."""
    step = end - nodes[-1]
    at, known = (_POINTS + 1) / 2, (np.array(nodes) - nodes[-1]) / step  # in units of the step, however small it is
    value = [np.prod([(at - b) / (a - b) for b in np.delete(known, i)], axis=0) for i, a in enumerate(known)]
    return [float(step / 2 * np.sum(_WEIGHTS * np.cos(nodes[-1] + step * at) ** power * v)) for v in value]
