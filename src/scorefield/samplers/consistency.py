"""Sampling with a consistency function: one evaluation a step, and one step is enough."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import Move, Sampler

__all__ = ["Consistency"]


@dataclass(frozen=True)
class Consistency(Sampler):
    """Takes the state to data by a consistency function, adds fresh noise of the next level, and so on (Song et al., 2023).

    x_s = α_s f(x_t, t) + σ_s z, and f(x_t, t) alone at the last time: n steps take n evaluations. A second step corrects
    errors of the first, whose details are then drawn again. It draws with a model that was distilled (`Model.distill`), usually
    on `schedules.Angle`; another model is refused.
    """

    consistency = True
    evaluations = 1
    gives_data = True

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        end = times[-1]

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            data = diffusion.split(x, t)[0]
            if bool(s == end):
                return diffusion.process.alpha(s) * data
            return diffusion.process.mix(data, rng.normal_like(x), s)

        return move
