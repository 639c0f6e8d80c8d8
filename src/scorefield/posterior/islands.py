"""Particles that make guided steps, with the weights with which they follow the posterior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..denoisers import Gaussian
from ..diffusion import Diffusion
from ..rng import Rng
from .guided_step import GuidedStates, guided_states
from .joint import JointMeasurement
from .posterior import Posterior

__all__ = ["Islands"]

_BLOCK = 8192  # particles whose matrices are in memory at once


class Islands:
    """Sets of particles that are resampled together, as states u = x / α: `(B · P, *D)`, those of an island together.

    Arguments:
        diffusion: The diffusion of the posterior.
        posterior: Its denoiser.
        rng: Random numbers, for each island its own.
        size: P, the number of particles of an island.
        threshold: Particles are resampled when their effective sample size falls below this fraction of their number.
        x: The first state of each island, `(B, *D)`.
        t: Their time.
    """

    def __init__(
        self,
        diffusion: Diffusion,
        posterior: Posterior,
        rng: Rng,
        size: int,
        threshold: float,
        x: Tensor,
        t: Tensor,
    ) -> None:
        self.process, self.rng, self.threshold = diffusion.process, rng, threshold
        joint = JointMeasurement.of(posterior)
        self.count, self.size, self.steps = len(x), size, 0
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

    @property
    def shares(self) -> Tensor:
        """The weights of the particles of each island, which sum to 1, `(B, P)`."""
        return self.weight.reshape(self.count, self.size).softmax(1)

    @property
    def effective(self) -> Tensor:
        """The effective sample size of each island, `(B,)`."""
        return 1 / self.shares.square().sum(1)

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
        shares = self.shares
        offset = self.rng.uniform((self.count, 1), torch.float64, self.u.device)
        few = self.effective < self.threshold * self.size
        if not bool(few.any()):
            return
        places = (torch.arange(self.size, dtype=torch.float64, device=self.u.device) + offset) / self.size
        chosen = torch.searchsorted(shares.cumsum(1), places).clamp_max(self.size - 1)
        own = torch.arange(self.size, device=self.u.device).expand_as(chosen)
        rows = torch.arange(self.count, device=self.u.device)[:, None] * self.size
        index = (rows + torch.where(few[:, None], chosen, own)).flatten()
        self.u, self.current = self.u[index], self.current.take(index)
        mean = self.weight.reshape(self.count, self.size).logsumexp(1) - math.log(self.size)
        one = self.size
        self.weight = torch.where(few.repeat_interleave(one), mean.repeat_interleave(one), self.weight)

    def chosen(self, s: Tensor) -> Tensor:
        """One particle of each sample, drawn by its weight, as states `(B, *D)` at the time s."""
        cut = self.rng.child(f"choice {self.steps}").uniform((self.count, 1), torch.float64, self.u.device)
        index = torch.searchsorted(self.shares.cumsum(1), cut).clamp_max(self.size - 1)[:, 0]
        found = self.u[torch.arange(self.count, device=self.u.device) * self.size + index]
        return self.process.alpha(s).to(found) * found
