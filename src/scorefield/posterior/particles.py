"""Posteriors of vectors by particles: each sample is drawn from particles of its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import Move
from ..samplers.sampling import Sampling
from ..schedules import Angle
from .islands import Islands
from .joint import JointMeasurement
from .methods import PosteriorSampler
from .posterior import Posterior

__all__ = ["TwistedParticles"]


@dataclass(frozen=True)
class TwistedParticles(PosteriorSampler):
    """Draws of vectors given measurements, by particles that are weighted so that they follow the exact posterior.

    Twisted sequential Monte Carlo (TDS; Wu et al., 2023), run as a sampler: each sample is drawn from particles of
    its own. They make reverse steps with the mean and the covariance of x_0 given the state and the measurement, by
    moment matching, and their weights make up for what is approximate in that. For Gaussian data and linear A one
    particle is exact at any number of steps, whatever the noise is: the last step draws data, with their whole
    covariance. Otherwise draws follow the posterior of the model as the number of particles and of steps grows. Where
    y is outside of what the data make likely, moments are taken at a tilt of the state at which y is expected;
    functions are linearized by regression over points. The default of models of vectors with up to 16 numbers. One
    evaluation with n derivatives a step and particle, for n numbers.

    Without a measurement it samples as `Ancestral` does. Log-densities of a model with this method are those of moment
    matching.

    Arguments:
        particles: The number of particles of a sample.
        threshold: Particles are resampled when their effective sample size falls below this fraction of their number.

    Raises:
        ValueError: If there is no particle, or the threshold is not between 0 and 1.

    References:
        Wu et al., 2023, Practical and asymptotically exact conditional sampling in diffusion models.
    """

    particles: int = 16
    threshold: float = 0.5

    gives_data = True

    def __post_init__(self) -> None:
        if self.particles < 1 or not 0 <= self.threshold <= 1:
            got = f"particles={self.particles}, threshold={self.threshold:g}"
            raise ValueError(f"TwistedParticles needs particles >= 1 and 0 <= threshold <= 1, got {got}")

    @property
    def states(self) -> int:
        return self.particles

    @property
    def evaluations(self) -> int:
        return self.particles

    @property
    def sampling(self) -> Sampling:
        return Sampling(self, 32, Angle())

    @property
    def has_density(self) -> bool:
        return True

    @property
    def corrected(self) -> bool:
        return True

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        posterior = Posterior.of(diffusion.denoiser)
        if posterior is None:
            return Ancestral().start(diffusion, times, rng)
        size = 1 if JointMeasurement.of(posterior).gaussian else self.particles
        left, islands = len(times) - 1, list[Islands]()

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal left
            if not islands:
                islands.append(Islands(diffusion, posterior, rng, size, self.threshold, x, t))
            left -= 1
            islands[0].step(t, s)
            if left == 0:
                islands[0].finish()
            return islands[0].chosen(s)

        return move
