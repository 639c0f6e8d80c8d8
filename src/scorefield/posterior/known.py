"""Conditionals given exact values of some coordinates: a denoiser that holds them, and particles that agree with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..diffusion import Diffusion
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import Move, Sampler

__all__ = ["KnownCoordinates", "ReplacementSMC"]


class KnownCoordinates(Denoiser):
    """The denoiser of a prior, whose answer at the known coordinates is their value.

    By itself it is plain replacement: other coordinates are those of the prior for noisy states that end in the values, which
    is not their conditional distribution. `ReplacementSMC` draws from that.

    Arguments:
        prior: The denoiser of the data.
        values: M rows of states with the known values, `(M, *D)`, anything elsewhere; sample i has row i modulo M.
        keep: Which coordinates are known, true or false, `(M, *D)`.

    Raises:
        ValueError: If the shapes differ, or a known value is not finite.
    """

    values: Tensor
    keep: Tensor

    def __init__(self, prior: Denoiser, values: Tensor, keep: Tensor) -> None:
        super().__init__()
        if values.shape != keep.shape:
            raise ValueError(f"known values {tuple(values.shape)} need as many flags, got {tuple(keep.shape)}")
        if not bool(values[keep.bool()].isfinite().all()):
            raise ValueError("known values must be finite numbers: got NaN or inf")
        self.prior = prior
        self.register_buffer("values", values)
        self.register_buffer("keep", keep.bool())

    @classmethod
    def of(cls, denoiser: Denoiser) -> KnownCoordinates | None:
        """The denoiser with known coordinates that a denoiser is; None if it is another one."""
        return denoiser if isinstance(denoiser, cls) else None

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if len(self.values) not in (1, len(x)):
            need = "take known values once, or for each"
            raise ValueError(
                f"{len(x)} states {need}, got {len(self.values)} rows: use samples(index) for a part of them"
            )
        return torch.where(self.keep, self.values.to(x), self.prior(x, level))

    @property
    def contexts(self) -> int:
        return max(len(self.values), super().contexts)

    def samples(self, index: Tensor) -> Denoiser:
        prior = self.prior.samples(index)
        if len(self.values) == 1:
            return self if prior is self.prior else KnownCoordinates(prior, self.values, self.keep)
        rows = index.to(self.values.device) % len(self.values)
        return KnownCoordinates(prior, self.values[rows], self.keep[rows])


@dataclass(frozen=True)
class ReplacementSMC(Sampler):
    """Draws given exact values of some coordinates, by particles (SMCDiff; Trippe et al., 2023).

    The known coordinates follow one trajectory of the noise that ends in their values. Each sample is drawn from particles of
    its own, which make ancestral steps of the prior; at each step they are weighted by how probable their step makes that
    trajectory, and resampled. With more particles and more steps the draws follow the conditional distribution of the model.
    A few known coordinates take tens of particles; many take more. No derivatives of the network.

    Without known coordinates it samples as `Ancestral` does.

    Arguments:
        particles: The number of particles of a sample; each costs an evaluation a step.
        threshold: Particles are resampled when their effective sample size falls below this fraction of their number.

    Raises:
        ValueError: If there is no particle, or the threshold is not between 0 and 1.
    """

    particles: int = 64
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.particles < 1 or not 0 <= self.threshold <= 1:
            got = f"particles={self.particles}, threshold={self.threshold:g}"
            raise ValueError(f"ReplacementSMC needs particles >= 1 and 0 <= threshold <= 1, got {got}")

    @property
    def states(self) -> int:
        return self.particles

    @property
    def evaluations(self) -> int | None:
        return None  # one without known coordinates, else one for each particle

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        known = KnownCoordinates.of(diffusion.denoiser)
        if known is None:
            return Ancestral().start(diffusion, times, rng)
        prior = replace(diffusion, denoiser=known.prior)
        particles: _Particles | None = None

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal particles
            if particles is None:
                particles = _Particles(prior, known, rng, self, x, t)
            particles.step(t, s)
            return particles.chosen(s)

        return move


class _Particles:
    """The particles of a batch of samples, as states u = x / α: `(B · P, *D)`, those of a sample together."""

    def __init__(
        self, prior: Diffusion, known: KnownCoordinates, rng: Rng, sampler: ReplacementSMC, x: Tensor, t: Tensor
    ) -> None:
        self.count, self.size = len(x), sampler.particles
        self.event = tuple(x.shape[1:])
        self.threshold = sampler.threshold
        index = torch.arange(self.count).repeat_interleave(self.size)
        self.prior = replace(prior, denoiser=prior.denoiser.samples(index)) if prior.denoiser.contexts > 1 else prior
        rows = torch.arange(self.count, device=x.device) % len(known.values)
        self.values = known.values.to(x)[rows][:, None].nan_to_num()
        self.keep = known.keep.to(x.device)[rows][:, None]
        self.rng, self.steps = rng, 0
        alpha, level = prior.process.alpha(t).to(x), prior.process.level(t).to(x)
        first = [prior.prior(x.shape, rng.child(f"particle {i}"), x.dtype, x.device, t) for i in range(1, self.size)]
        self.u = torch.stack([x, *first], 1) / alpha
        path = rng.child("known").normal_like(x)[:, None]
        self.path = self.values + level * path
        self.u = torch.where(self.keep, self.path, self.u)
        self.before: Tensor | None = None
        self.length = torch.ones(())
        self.weight = torch.zeros(self.count, self.size, dtype=torch.float64, device=x.device)

    def step(self, t: Tensor, s: Tensor) -> None:
        """A step of all particles, which are weighted by the trajectory of the known coordinates."""
        self.steps += 1
        level, after = (self.prior.process.level(time).to(self.u) for time in (t, s))
        flat = self.u.flatten(0, 1)
        found = self.prior.denoiser(flat, level).unflatten(0, (self.count, self.size))
        length = (level / after).log()
        denoised = found if self.before is None else found + (found - self.before) * (length / self.length / 2)
        self.before, self.length = found, length
        kept = (after / level) ** 2
        std = after * (1 - kept).sqrt()
        mean = kept * self.u + (1 - kept) * denoised
        z = self.rng.normal_like(self.u)
        bridge = self.values + kept * (self.path - self.values)
        self.path = bridge + std * self.rng.normal((self.count, 1, *self.event), self.u.dtype, self.u.device)
        error = torch.where(self.keep, (self.path - mean) / std.clamp_min(1e-30), 0.0)
        self.weight -= error.square().flatten(2).sum(2).double() / 2
        self.u = torch.where(self.keep, self.path, mean + std * z)
        self._resample()

    def _resample(self) -> None:
        """Systematic resampling of the samples whose effective sample size is small."""
        shares = self.weight.softmax(1)
        few = 1 / shares.square().sum(1) < self.threshold * self.size
        offset = self.rng.uniform((self.count, 1), torch.float64, self.u.device)
        if not bool(few.any()):
            return
        places = (torch.arange(self.size, dtype=torch.float64, device=self.u.device) + offset) / self.size
        chosen = torch.searchsorted(shares.cumsum(1), places).clamp_max(self.size - 1)
        own = torch.arange(self.size, device=self.u.device).expand_as(chosen)
        chosen = torch.where(few[:, None], chosen, own)
        rows = torch.arange(self.count, device=self.u.device)[:, None]
        self.u, self.before = self.u[rows, chosen], None if self.before is None else self.before[rows, chosen]
        self.weight = torch.where(few[:, None], 0.0, self.weight)

    def chosen(self, s: Tensor) -> Tensor:
        """One particle of each sample, drawn by its weight, as states `(B, *D)` at the time s."""
        cut = self.rng.child(f"choice {self.steps}").uniform((self.count, 1), torch.float64, self.u.device)
        index = torch.searchsorted(self.weight.softmax(1).cumsum(1), cut).clamp_max(self.size - 1)[:, 0]
        found = self.u[torch.arange(self.count, device=self.u.device), index]
        return self.prior.process.alpha(s).to(found) * found
