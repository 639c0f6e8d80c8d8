"""Twisted sequential Monte Carlo: particles guided by an approximate posterior, weighted so that they follow the exact one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..mcmc.weighted import Estimate, WeightedSamples
from ..progress import part, report
from ..rng import Samples
from ..samplers.sampling import Sampling
from ..schedules import LogLevel
from .islands import Islands
from .methods import MomentMatching
from .posterior import Posterior, PosteriorMoments

__all__ = ["TwistedSMC", "twisted_smc"]

_WHOLE = 16  # up to this many coordinates a reverse step has the exact covariance, at a derivative for each


class TwistedSMC(NamedTuple):
    """Weighted draws from a posterior, and the probability of the measurement.

    Arguments:
        weighted: The particles of all islands, of shape `(I K, *D)`; their mean weight is p(y).
        log_evidence: log p(y) in nats, with the standard error over islands, each of shape `()`.
        islands: log p(y) of each island, of shape `(I,)`.
        effective: The effective sample size of each island before each step and at the end, of shape `(I, steps + 2)`.
    """

    weighted: WeightedSamples
    log_evidence: Estimate
    islands: Tensor
    effective: Tensor


@torch.no_grad()
def twisted_smc(
    diffusion: Diffusion,
    shape: Sequence[int],
    seed: int = 0,
    particles: int = 1000,
    islands: int = 4,
    steps: int | None = None,
    sampling: Sampling | None = None,
    threshold: float = 0.5,
    block: int = 4096,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> TwistedSMC:
    """Draws from a posterior by twisted sequential Monte Carlo (TDS; Wu et al., 2023), with its evidence.

    Particles follow the reverse steps of the prior, shifted by the denoiser of the posterior, with weights

        w = p(x_s | x_t) p̃(y | x_s) / (p̃(y | x_t) q(x_s | x_t, y)),

    where p̃ is the method's likelihood of a noisy state (moment matching, by default) and, at the end, the likelihood
    itself. Whatever p̃ is, the weighted particles follow the posterior of the discretized prior as K grows, and the
    mean weight is p(y) without a bias at any K. With moment matching, vectors of up to 16 numbers make the steps of
    `TwistedParticles`, with the covariance given y, whose last one draws data: any noise will do. For other methods,
    up to 16 coordinates a reverse step has the covariance σ_s² (1 - κ) + (1 - κ)² Cov[x_0 | x_t] with κ = (level_s /
    level_t)², exact for Gaussian data at any number of steps; above, that of ancestral sampling, which needs several
    times as many. A p̃ that misses a mode leaves it empty, and no effective sample size shows it: check that islands
    agree. In many dimensions no number of particles is enough.

    Arguments:
        diffusion: A diffusion whose denoiser is a `Posterior` with MomentMatching, TMPD or PiGDM.
        shape: The shape `D` of a data point.
        seed: The seed. Island i depends only on the seed, i and the number of particles.
        particles: K, the number of particles of an island.
        islands: How many independent islands; two or more for a standard error.
        steps: The number of steps where `sampling` does not say it.
        sampling: The steps, the schedule and the process; by default 128 steps, uniform in the logarithm of the level, of the
            process of the diffusion. The sampler is that of the particles.
        threshold: Particles are resampled when their effective sample size falls below this fraction of their number.
        block: How many particles are denoised at once, where they do not make the steps of `TwistedParticles`.
        dtype: The type of the states.
        device: Their device.

    Returns:
        Weighted particles, and log p(y) of all islands and of each.

    Raises:
        ValueError: If the denoiser is not a posterior or holds several contexts, or there are fewer than 2 particles.
    """
    posterior = Posterior.of(diffusion.denoiser)
    if posterior is None:
        raise ValueError(f"particles need a posterior.Posterior, got {type(diffusion.denoiser).__name__}")
    if posterior.contexts > 1:
        raise ValueError(f"particles are all of one posterior, got {posterior.contexts} contexts: give one")
    if particles < 2 or islands < 1 or not 0 <= threshold <= 1:
        got = f"particles={particles}, islands={islands}, threshold={threshold:g}"
        raise ValueError(f"an island needs 2 particles or more, and 0 <= threshold <= 1; got {got}")
    if sampling is not None and sampling.sampler is not None:
        raise ValueError(f"the particles are their own sampler: leave {sampling.sampler} out of the Sampling")
    chosen = Sampling.of(sampling, steps).merged(Sampling(None, 128, LogLevel(), diffusion.process))
    diffusion, times = replace(diffusion, process=chosen.process or diffusion.process), chosen.times().to(device)
    levels = diffusion.process.level(times).to(dtype)
    prior = posterior.prior_diffusion(diffusion)
    if len(shape) == 1 and shape[0] <= _WHOLE and isinstance(posterior.method, MomentMatching):
        counts, whole = (seed, islands, particles), replace(prior, denoiser=posterior)
        with part(0, 1, "moving particles"):
            return _joined(*_whole(whole, posterior, counts, times, shape, threshold, dtype))
    found = []
    for i in range(islands):
        rng = Samples(seed, i * particles, particles, "particles")
        x = prior.prior((particles, *shape), rng.child("prior"), dtype, device, times[0])
        island = _Island(posterior, rng, threshold, block)
        with part(i / islands, (i + 1) / islands, "moving particles"):
            found.append(island.run(x / diffusion.process.alpha(times[0]).to(dtype), levels))
    points, weights, effective = (list(each) for each in zip(*found))
    return _joined(torch.cat(points), torch.stack(weights), torch.tensor(effective, dtype=torch.float64))


def _joined(points: Tensor, weights: Tensor, effective: Tensor) -> TwistedSMC:
    """What islands give: `(I K, *D)`, their log-weights `(I, K)`, and effective sample sizes `(I, steps + 2)`."""
    each = (weights.logsumexp(1) - math.log(weights.shape[1])).cpu()
    count = len(each)
    error = torch.tensor(math.inf, dtype=torch.float64)
    if count > 1:
        ratio = (each - each.max()).exp()
        # at most √count, where one island has it all: then that of the logarithms counts
        relative = ratio.std() / ratio.mean()
        error = torch.maximum(relative, each.std()) / math.sqrt(count)
    value = each.logsumexp(0) - math.log(count)
    return TwistedSMC(WeightedSamples(points, weights.flatten()), Estimate(value, error), each, effective)


def _whole(
    diffusion: Diffusion,
    posterior: Posterior,
    counts: tuple[int, int, int],
    times: Tensor,
    shape: Sequence[int],
    threshold: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Data, log-weights and effective sample sizes of islands of short vectors, whose last step draws data as well."""
    seed, count, particles = counts
    rng = Samples(seed, 0, count, "particles")
    x = diffusion.prior((count, *shape), rng.child("particle 0"), dtype, times.device, times[0])
    islands = Islands(diffusion, posterior, rng, particles, threshold, x, times[0])
    effective = [islands.effective]
    for i, (t, s) in enumerate(pairwise(times)):
        report(i / (len(times) - 1))
        islands.step(t, s)
        effective.append(islands.effective)
    islands.finish()
    report(1.0)
    effective.append(islands.effective)
    return islands.u, islands.weight.reshape(count, particles), torch.stack(effective, 1).cpu()


class _Island:
    """One set of particles, resampled together."""

    def __init__(self, posterior: Posterior, rng: Samples, threshold: float, block: int) -> None:
        self.posterior = posterior
        self.noise = rng.child("noise")
        self.resampling = rng.child("resample")
        self.threshold = threshold
        self.block = block

    def run(self, x: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, list[float]]:
        """Data from states `(K, *D)` at the first of the levels, their log-weights, and effective sample sizes."""
        current = self._moments(x, levels[0])
        weight, effective = current.log_prob.double(), []
        for i, (level, after) in enumerate(pairwise(levels)):
            report(i / (len(levels) - 1))
            effective.append(_effective(weight))
            if effective[-1] < self.threshold * len(x):
                chosen = self._chosen(weight)
                x, current = x[chosen], current.take(chosen)
                weight = torch.full_like(weight, float(weight.logsumexp(0)) - math.log(len(x)))
            x, gain = self._step(x, current, level, after)
            new = self._moments(x, after)
            weight = weight + gain + (new.log_prob - current.log_prob).double()
            current = new
        effective.append(_effective(weight))
        x = current.prior  # the last step has no noise, so that only the proposal of the prior has a weight
        weight = weight + (self.posterior.measured.log_prob(x) - current.log_prob).double()
        effective.append(_effective(weight))
        return x, weight, effective

    def _moments(self, x: Tensor, level: Tensor) -> PosteriorMoments:
        whole = x[0].numel() <= _WHOLE
        parts = [self.posterior.moments_given(some, level, whole) for some in x.split(self.block)]  # type: ignore[no-untyped-call]
        return PosteriorMoments.of(parts)

    def _step(self, x: Tensor, current: PosteriorMoments, level: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """x_s, drawn from the step of the posterior, and log p(x_s | x_t) - log q(x_s | x_t, y)."""
        kept = (after / level) ** 2
        z = self.noise.normal_like(x)
        shift = (1 - kept) * (current.mean - current.prior)
        root = self._root(current, kept, after)
        if root is None:
            std = after * (1 - kept).sqrt()
            noise, whitened = std * z, shift / std
        else:
            noise = (root @ z.flatten(1)[..., None])[..., 0].reshape(x.shape)
            whitened = torch.linalg.solve_triangular(root, shift.flatten(1)[..., None], upper=False)[..., 0]
        moved = kept * x + (1 - kept) * current.mean + noise
        whitened = whitened.flatten(1)
        return moved, -((whitened * z.flatten(1)).sum(1) + whitened.square().sum(1) / 2).double()

    def _root(self, current: PosteriorMoments, kept: Tensor, after: Tensor) -> Tensor | None:
        """The root of the covariance of a reverse step of the prior, `(K, n, n)`: σ_s² (1 - κ) + (1 - κ)² Cov[x_0 | x_t]."""
        covariance = current.covariance
        if covariance is None:
            return None
        eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        return torch.linalg.cholesky(after**2 * (1 - kept) * eye + (1 - kept) ** 2 * covariance)  # type: ignore[no-any-return]

    def _chosen(self, weight: Tensor) -> Tensor:
        """Systematic resampling: each particle as often as K times its weight, rounded up or down."""
        places = WeightedSamples(torch.arange(len(weight), dtype=torch.float64), weight.cpu())
        return places.resample(len(weight), self.resampling).long().to(weight.device)


def _effective(weight: Tensor) -> float:
    return float(1 / weight.softmax(0).square().sum())
