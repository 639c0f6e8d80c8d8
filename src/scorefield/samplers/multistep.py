"""Multistep samplers: a polynomial through the last evaluations of the denoiser, one new evaluation a step.

With u = x/α and λ = -log level the probability flow is du/dλ = D - u. Over a step of length h, with r = (λ - λ_t)/h,

    u_s = e^{-h} u_t + ∫₀¹ h e^{-h(1-r)} D(r) dr,

and where D is the polynomial Σ a_j r^j the integral is Σ c_j a_j, with c_0 = 1 - e^{-h} and c_j = 1 - j c_{j-1}/h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..processes import Process
from ..rng import Rng
from .base import Move, Sampler

__all__ = ["DPM", "IPNDM", "UniPC"]


def _half_log_snr(process: Process, t: Tensor) -> float:
    """λ = -log level."""
    return -math.log(float(process.level(t)))


def _moments(h: float, count: int) -> list[float]:
    """c_0, …, c_{count-1}: the integrals of h e^{-h(1-r)} r^j over r from 0 to 1."""
    found = [-math.expm1(-h)]
    for j in range(1, count):
        found.append(1 - j * found[-1] / h)
    return found


def _integrate(moments: Sequence[float], nodes: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """Σ c_j a_j for the polynomial Σ a_j r^j through `values` at the `nodes` r, as many as there are moments c_j."""
    weights = np.linalg.solve(np.vander(nodes, increasing=True).T, moments)
    return sum((float(w) * v for w, v in zip(weights, values)), start=torch.zeros_like(values[0]))


@dataclass(frozen=True)
class DPM(Sampler):
    """DPM-Solver++(2M), multistep in λ = -log level (Lu et al., 2022, Algorithm 2), its kin 3M, and their SDE versions.

    With H = (1+η²) h and the polynomial Σ a_j r^j through the last `order` values of D,

        u_s = e^{-H} u_t + c_0 a_0 + c_1 a_1 + ½ c_2 a_2 + level_s √(1 - e^{-2η²h}) z,

    the c_j taken at H; order 2 takes ½ c_0 for c_1, as its D̃ does. The half at c_2 is that of the published 3M, and makes it
    second order, with a quarter of the error of 2M. η = 0 is the probability flow (order 1: DDIM), η = 1 the reverse SDE (order
    1: ancestral sampling). Good from 15 steps on, and best where steps in λ are uniform.

    Where steps grow, order 2 extrapolates too far in directions that are nearly decided, and their variance becomes too large.
    `bounded` extrapolates no farther than a step as long as the one before would: with r the ratio of a step to the one before,
    D̃ = D + ½ min(1, r) (D - D₋₁) in place of D + ½ r (D - D₋₁), which is the same for equal steps.

    Arguments:
        order: How many values of D are extrapolated, from 1 to 3.
        eta: How much noise is drawn afresh: 0 for none, 1 for the reverse SDE; more forgets more.
        bounded: Whether order 2 extrapolates no farther in longer steps.
    """

    order: int = 2
    eta: float = 0.0
    bounded: bool = False

    evaluations = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise ValueError(f"DPM needs an order from 1 to 3, got order={self.order}")
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"DPM needs 0 <= eta < inf, got eta={self.eta:g}")
        if self.bounded and self.order != 2:
            raise ValueError(f"DPM extrapolates no farther in longer steps at order 2, got order={self.order}")

    @property
    def deterministic(self) -> bool:
        return self.eta == 0

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process, extra = diffusion.process, self.eta**2
        clock: list[float] = []
        means: list[Tensor] = []

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal clock, means
            clock = [*clock, _half_log_snr(process, t)][-self.order :]
            means = [*means, diffusion.split(x, t)[0]][-self.order :]
            h = _half_log_snr(process, s) - clock[-1]
            moments = _moments((1 + extra) * h, len(means))
            if self.order == 2 and len(means) == 2:
                longer = h / (clock[-1] - clock[-2]) if self.bounded else 1.0
                moments[1] = moments[0] / 2 / max(1.0, longer)
            if len(means) == 3:
                moments[2] /= 2
            nodes = [(a - clock[-1]) / h for a in clock]
            u = math.exp(-(1 + extra) * h) * x / process.alpha(t) + _integrate(moments, nodes, means)
            if extra > 0:
                u = u + rng.normal_like(x) * process.level(s) * math.sqrt(-math.expm1(-2 * extra * h))
            return process.alpha(s) * u

        return move


@dataclass(frozen=True)
class UniPC(Sampler):
    """UniPC with B(h) = e^h - 1: a predictor, and a corrector that costs nothing (Zhao et al., 2023).

    The predictor integrates the polynomial through the last `order` values of D, as DPM does. The evaluation at the point that
    it finds begins the next step; before, it joins the polynomial, and the step is made again with it. Of two values the
    integral is c_0 (a_0 + ½ a_1), of more it is exact. The first and the last steps take lower orders, as
    the authors advise: in the limit of many steps it is of order 2, and of order `order` + 1 as long as the errors of the last
    steps are negligible, which they are where the last level is far below the data's details. The
    most accurate from 25 steps on where steps in λ are nearly uniform; not for schedules that begin or end with long ones.

    Arguments:
        order: How many values of D the predictor extrapolates, 2 or 3.
    """

    order: int = 3

    deterministic = True
    evaluations = 1

    def __post_init__(self) -> None:
        if self.order not in (2, 3):
            raise ValueError(f"UniPC needs an order of 2 or 3, got order={self.order}")

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process = diffusion.process
        clock: list[float] = []
        means: list[Tensor] = []
        change: Tensor | None = None  # what the predictor added to the last state
        left = len(times)

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal clock, means, change, left
            left -= 1
            mean, now = diffusion.split(x, t)[0], _half_log_snr(process, t)
            u = x / process.alpha(t)
            if change is not None:
                u = u - change + _uniform(now - clock[-1], clock[-1], [*clock, now], [*means, mean])
            clock, means = [*clock, now][-self.order :], [*means, mean][-self.order :]
            h = _half_log_snr(process, s) - now
            change = _uniform(h, now, clock[-left:], means[-left:])
            return process.alpha(s) * (math.exp(-h) * u + change)

        return move


def _uniform(h: float, now: float, clock: list[float], means: list[Tensor]) -> Tensor:
    """The integral of UniPC over a step from `now`, whose polynomial goes through `means` at the times `clock` in λ."""
    moments = _moments(h, len(means))
    if len(means) == 2:
        moments[1] = moments[0] / 2
    return _integrate(moments, [(a - now) / h for a in clock], means)


@dataclass(frozen=True)
class IPNDM(Sampler):
    """The improved PNDM (Liu et al., 2022; Zhang & Chen, 2023): Adams-Bashforth with the weights of equal steps.

        u_s = u_t + (level_s - level_t) Σ w_k n_k,    u = x/α,

    n_k being the last `order` values of E[z | x_t] and w = 3/2, -1/2; 23/12, -16/12, 5/12; 55/24, -59/24, 37/24, -9/24.
    The first steps take the lower orders. Second order, since the first step is Euler's and levels are not evenly spaced, but
    few samplers do better in 16 steps or fewer on the schedule of Karras et al. (2022).

    Arguments:
        order: How many values of the noise are extrapolated, from 1 to 4.
    """

    order: int = 4

    deterministic = True
    evaluations = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3, 4):
            raise ValueError(f"IPNDM needs an order from 1 to 4, got order={self.order}")

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process = diffusion.process
        slopes: list[Tensor] = []

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal slopes
            slopes = [*slopes, diffusion.split(x, t)[1]][-self.order :]
            change = sum((w * n for w, n in zip(_BASHFORTH[len(slopes) - 1], slopes)), start=torch.zeros_like(x))
            return process.alpha(s) * (x / process.alpha(t) + (process.level(s) - process.level(t)) * change)

        return move


_BASHFORTH = ((1,), (-1 / 2, 3 / 2), (5 / 12, -16 / 12, 23 / 12), (-9 / 24, 37 / 24, -59 / 24, 55 / 24))
"""The weights of equal steps, the newest value last."""
