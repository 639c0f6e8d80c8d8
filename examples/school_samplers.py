"""Four ways to sample from one network.

The toy problems of the USC summer school import it; it has no command line.

- summer school: ten levels from 10 to 0.001 (here in standard deviations of the data), 100 moves x + a s + √(2a) z at each,
  a = 1e-6 at the smallest, which is σ²: a step so long that point-like data end with variance 2 σ²; no final denoising
- the same levels with the step that is best for point-like data over all levels
- levels and step chosen from the data by `noise-levels`, with a final denoising
- the default for vectors, the probability flow by UniPC(3) in 32 steps
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from scorefield import Model
from scorefield.denoisers import Denoiser
from scorefield.diffusion import Diffusion
from scorefield.mcmc import Langevin
from scorefield.metrics import energy_distance, with_floor
from scorefield.noise_levels import best_ratio, choose_noise_levels
from scorefield.processes import VE
from scorefield.rng import Samples
from scorefield.samplers import AnnealedLangevin, Sampling, sample
from scorefield.schedules import ExplicitLevels

SCHOOL = tuple(np.geomspace(10, 1e-3, 10).tolist())


@dataclass(frozen=True)
class Method:
    """A way to sample from a denoiser of standardized data, and its evaluations for each sample."""

    sampling: Sampling
    evaluations: int
    denoise: bool = True

    def draw(self, model: Model, count: int, denoiser: Denoiser | None = None) -> Tensor:
        """Samples in the units of the data, `(count, F)`, by the denoiser of the model or another one."""
        diffusion = Diffusion(self.sampling.process, denoiser or model.denoiser, model.moments)
        shape, rng = (count, *model.schema.inner_shape), Samples(0, count=count)
        return model.standardize.inverse(sample(diffusion, shape, self.sampling, rng, self.denoise))


def annealed(step: Langevin, moves: int, levels: tuple[float, ...], denoise: bool) -> Method:
    """Annealed Langevin dynamics: so many moves at each level, from the largest to the smallest, which is the last state."""
    sampler, process = AnnealedLangevin(step, moves), VE(levels[-1], levels[0])
    sampling = Sampling(sampler, None, ExplicitLevels(levels), process)
    return Method(sampling, moves * (len(levels) - 1) + denoise, denoise)


def methods(model: Model, x: Tensor) -> dict[str, Method]:
    """The four methods, for a model of data `(N, F)`."""
    found = choose_noise_levels(model.standardize(x[:4096]).float())
    long, best = Langevin.from_full(1e-6, SCHOOL[-1]), Langevin(best_ratio(100, SCHOOL[0] / SCHOOL[1]))
    own = Langevin(found.annealing.ratio)
    return {
        "summer school": annealed(long, 100, SCHOOL, denoise=False),
        "same levels, best step": annealed(best, 100, SCHOOL, denoise=False),
        "levels from data": annealed(own, found.annealing.moves, found.ladder.levels, denoise=True),
        "default": Method(model.sampling, model.steps + 1),
    }


def far(drawn: Tensor, real: Callable[[int, int], Tensor]) -> str:
    """The energy distance of samples to as many real points, which a function of a count and a seed draws."""
    found = with_floor(energy_distance, drawn, real(len(drawn), 1), real(len(drawn), 2), maximum=2000)
    return f"energy distance {found.value:.4f} (real: {found.floor:.4f}, 95 % below {found.high:.4f})"
