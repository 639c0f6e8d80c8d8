"""Posteriors of vectors by particles: each sample is drawn from particles of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers import Gaussian
from ..diffusion import Diffusion
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import Move
from ..samplers.sampling import Sampling
from ..schedules import Angle
from .guided_step import GuidedStates, JointMeasurement, guided_states
from .methods import PosteriorSampler
from .posterior import Posterior

__all__ = ["TwistedParticles"]

_BLOCK = 8192  # particles whose matrices are in memory at once


@dataclass(frozen=True)
class TwistedParticles(PosteriorSampler):
    """Draws of vectors given measurements, by particles that are weighted so that they follow the exact posterior.

    Twisted sequential Monte Carlo (TDS; Wu et al., 2023), run as a sampler: each sample is drawn from particles of its own.
    They make reverse steps with the mean and the covariance of x_0 given the state and the measurement, by moment matching, and
    their weights make up for what is approximate in that. For Gaussian data and linear A one particle is exact at any number of
    steps, whatever the noise is: the last step draws data, with their whole covariance. Otherwise draws follow the posterior
    of the model as the number of particles and of steps grows. The default of models of vectors with up to 16 numbers. One
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
        left, islands = len(times) - 1, list[_Islands]()

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal left
            if not islands:
                islands.append(_Islands(diffusion, posterior, rng, self, x, t))
            left -= 1
            islands[0].step(t, s)
            if left == 0:
                islands[0].finish()
            return islands[0].chosen(s)

        return move


class _Islands:
    """The particles of a batch of samples, as states u = x / α: `(B · P, *D)`, those of a sample together."""

    def __init__(
        self, diffusion: Diffusion, posterior: Posterior, rng: Rng, sampler: TwistedParticles, x: Tensor, t: Tensor
    ) -> None:
        self.process, self.rng, self.threshold = diffusion.process, rng, sampler.threshold
        joint = JointMeasurement.of(posterior)
        self.count, self.size, self.steps = len(x), 1 if joint.gaussian else sampler.particles, 0
        if posterior.contexts > 1:
            joint = joint.samples(torch.arange(self.count).repeat_interleave(self.size))
        self.joint, self.single = joint, posterior.contexts == 1
        others = [
            diffusion.prior(x.shape, rng.child(f"particle {i}"), x.dtype, x.device, t) for i in range(1, self.size)
        ]
        self.u = torch.stack([x, *others], 1).flatten(0, 1) / diffusion.process.alpha(t).to(x)
        self.level = diffusion.process.level(t).to(x)
        self.current = self._guided()
        self.weight = self._first(joint.moments, diffusion.moments) + self.current.log_prob

    def _first(self, data: Gaussian | None, drawn: Gaussian | None) -> Tensor:
        """log p(u) - log q(u) of the first states, drawn from q."""
        if data is None or drawn is None:
            return torch.zeros(len(self.u), dtype=torch.float64, device=self.u.device)
        one, two = (Gaussian(each.mean.double(), each.covariance.double()) for each in (data, drawn))
        return one.log_prob(self.u.double(), self.level) - two.log_prob(self.u.double(), self.level)

    def _guided(self) -> GuidedStates:
        parts, start = list[GuidedStates](), 0
        for some in self.u.split(_BLOCK):  # type: ignore[no-untyped-call]
            joint = self.joint if self.single else self.joint.samples(torch.arange(start, start + len(some)))
            parts.append(guided_states(joint, some, self.level))
            start += len(some)
        return GuidedStates.joined(parts)

    def _normal(self) -> Tensor:
        event = self.u[0].numel()
        return self.rng.normal((self.count, self.size, event), torch.float64, self.u.device).flatten(0, 1)

    def step(self, t: Tensor, s: Tensor) -> None:
        """A step of all particles, from the time t to the time s."""
        self.steps += 1
        self._resample()
        after = self.process.level(s).to(self.u)
        kept = float((after / self.level) ** 2)
        moved, gain = self.current.step(self.u.flatten(1).double(), kept, float(after), self._normal())
        before = self.current.log_prob
        self.u, self.level = moved.reshape(self.u.shape).to(self.u), after
        self.current = self._guided()
        self.weight = self.weight + gain + self.current.log_prob - before

    def finish(self) -> None:
        """Data, drawn from the last states."""
        self._resample()
        x, gain = self.current.data(self._normal())
        self.u = x.reshape(self.u.shape).to(self.u)
        exact = torch.cat([self._likelihood(i, some) for i, some in enumerate(self.u.split(_BLOCK))])  # type: ignore[no-untyped-call]
        self.weight = self.weight + gain + exact - self.current.log_prob

    def _likelihood(self, i: int, some: Tensor) -> Tensor:
        start = i * _BLOCK
        joint = self.joint if self.single else self.joint.samples(torch.arange(start, start + len(some)))
        with torch.no_grad():
            return joint.log_prob(some.double())

    def _resample(self) -> None:
        """Systematic resampling of the samples whose effective sample size is small."""
        shares = self.weight.reshape(self.count, self.size).softmax(1)
        offset = self.rng.uniform((self.count, 1), torch.float64, self.u.device)
        few = 1 / shares.square().sum(1) < self.threshold * self.size
        if not bool(few.any()):
            return
        places = (torch.arange(self.size, dtype=torch.float64, device=self.u.device) + offset) / self.size
        chosen = torch.searchsorted(shares.cumsum(1), places).clamp_max(self.size - 1)
        own = torch.arange(self.size, device=self.u.device).expand_as(chosen)
        rows = torch.arange(self.count, device=self.u.device)[:, None] * self.size
        index = (rows + torch.where(few[:, None], chosen, own)).flatten()
        self.u, self.current = self.u[index], self.current.take(index)
        self.weight = torch.where(few.repeat_interleave(self.size), 0.0, self.weight)

    def chosen(self, s: Tensor) -> Tensor:
        """One particle of each sample, drawn by its weight, as states `(B, *D)` at the time s."""
        cut = self.rng.child(f"choice {self.steps}").uniform((self.count, 1), torch.float64, self.u.device)
        shares = self.weight.reshape(self.count, self.size).softmax(1)
        index = torch.searchsorted(shares.cumsum(1), cut).clamp_max(self.size - 1)[:, 0]
        found = self.u[torch.arange(self.count, device=self.u.device) * self.size + index]
        return self.process.alpha(s).to(found) * found
