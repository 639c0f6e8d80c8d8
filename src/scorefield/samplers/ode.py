"""The probability flow: deterministic samplers without memory. With u = x/α, the flow is du/dlevel = E[z | x_t]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..gaussian_frame import GaussianFrame
from ..ode import State, integrate_adaptive
from ..rng import Rng
from .base import AdaptiveSampler, Move, OneStepSampler

__all__ = ["DPM2S", "DormandPrince", "Heun"]


@dataclass(frozen=True)
class Heun(OneStepSampler):
    """The deterministic sampler of EDM (Karras et al., 2022, Algorithm 1). Second order, two evaluations a step."""

    deterministic = True
    evaluations = 2

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        process = diffusion.process
        mean, noise = diffusion.split(x, t)
        _, later = diffusion.split(process.mix(mean, noise, s), s)
        slope = (noise + later) / 2
        return process.alpha(s) * (x / process.alpha(t) + (process.level(s) - process.level(t)) * slope)


@dataclass(frozen=True)
class DPM2S(OneStepSampler):
    """DPM-Solver++(2S) (Lu et al., 2022, Algorithm 1): the midpoint rule in λ = -log level, exact where D is constant.

    With u = x/α, half a step of DDIM leads to the middle level √(level_t level_s), and the D found there takes u the whole
    step. Second order. It is stable with long steps, with which Heun leaves the range of the data, and it remembers nothing.
    """

    deterministic = True
    evaluations = 2

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        process, denoiser = diffusion.process, diffusion.denoiser
        u, level, after = x / process.alpha(t), process.level(t), process.level(s)
        middle = torch.sqrt(level * after)
        mean = denoiser(u, level)
        mean = denoiser(mean + middle / level * (u - mean), middle)
        return process.alpha(s) * (mean + after / level * (u - mean))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class DormandPrince(AdaptiveSampler):
    """The flow to a tolerance: Dormand & Prince's pair of orders 5 and 4 (1980), with its own steps for each sample.

    It is solved in float64 and in the coordinates of `gaussian_frame.GaussianFrame`, in which Gaussian data of the model's
    moments stand still; errors are measured against the width of data plus noise. On mixtures the default tolerance takes 35 to
    60 evaluations in one step of the schedule, with a median error of 1e-4; 16 steps, each begun anew, take 170. For
    references, and for latents that decode to their data.

    Arguments:
        rtol: The relative tolerance.
        atol: The absolute tolerance, in standard deviations of data plus noise.
    """

    rtol: float = 1e-4
    atol: float = 1e-4

    deterministic = True

    def __post_init__(self) -> None:
        if not (self.rtol > 0 and self.atol > 0):
            got = f"rtol={self.rtol:g}, atol={self.atol:g}"
            raise ValueError(f"DormandPrince needs positive tolerances, got {got}")

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process = diffusion.process
        lowest = process.level(times.min())
        frame: GaussianFrame | None = None

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal frame
            u, level, after = (x / process.alpha(t)).double(), process.level(t), process.level(s)
            frame = here = frame or GaussianFrame.of(diffusion.moments, u, lowest)

            def slope(phi: Tensor, y: State, index: Tensor) -> State:
                return (here.slope(diffusion.denoiser.samples(index), y[0], phi),)

            index = torch.arange(len(u), device=u.device)  # contexts follow the samples that have not arrived
            begin, ends = here.into(u, level), (here.clock(level), here.clock(after))
            (w,), _ = integrate_adaptive(slope, (begin,), *ends, self.rtol, self.atol, fixed=(index,))
            return (process.alpha(s) * here.back(w, after)).to(x.dtype)

        return move
