"""Where an approximate posterior is biased: how far data given noisy states are from Gaussian, along what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..display import Facts, displayed
from ..model import Model
from ..posterior import MomentMatching, NoisyState, Posterior, PosteriorMethod, twisted_smc
from ..posterior.solve import Apply, columns, conjugate_gradients, krylov_root, positive
from ..progress import report
from ..rng import Samples
from ..samplers import Sampling, SamplingLike, sample
from .weighing import observed_posterior

__all__ = ["ApproximationError", "approximation_error"]

_WHOLE = 16  # up to this many measured numbers their covariance is a matrix
_ITERATIONS, _KRYLOV, _TOLERANCE = 24, 8, 1e-4  # of linear solvers beyond
_AT_ONCE = 400_000  # numbers that a batch of states holds
_HIGH = 5.0  # the largest level, in standard deviations of the data
_FOUND = 0.1  # the probability from which on an error counts as found
_SPREAD = 1.0  # nats between sets of particles from which on they are too few
_SETS = 16  # of particles
_CURVED = 0.5  # the error of linearization from which on it does, in standard deviations


@displayed
@dataclass(frozen=True)
class ApproximationError:
    """How wrong an approximate posterior method is for one prior and one measurement.

    Arguments:
        method: The name of the method.
        corrected: Whether weights make up for the error as the number of particles grows.
        vector: Whether the data are vectors that are short enough for `TwistedParticles`.
        levels: Noise levels, `(L,)`.
        skewed: The relative entropy that each e-fold of the level adds in nats, `(L,)`, because x_0 given x_t is not Gaussian.
        own: The same because the method is not moment matching, `(L,)`; 0 for moment matching.
        skewness: The root mean square skewness of y given x_t, `(L,)` (Mardia's: the sum of squared third cumulants in units in
            which y given x_t has unit covariance).
        curvature: How wrong the linearization of A is between x_0 and E[x_0 | x_t], in standard deviations of y given x_t,
            `(L,)`; 0 for linear A.
        draws: How many draws of the posterior were noised.
        particles: How many particles a draw has, for a method with weights; otherwise 0.
        effective: What they are worth where weights differ most, for a method with weights.
        spread: The standard deviation of log p(y) between such sets of particles in nats: above about 1 they are too few.
    """

    method: str
    corrected: bool
    vector: bool
    levels: np.ndarray
    skewed: np.ndarray
    own: np.ndarray
    skewness: np.ndarray
    curvature: np.ndarray
    draws: int
    particles: int = 0
    effective: float = 0.0
    spread: float = 0.0

    def _facts(self) -> Facts:
        title = f"ApproximationError of {self.method}"
        return title, {"nats": f"{self.nats:.3g}", "probability": f"{self.probability:.2f}", "verdict": self.verdict}

    @property
    def nats(self) -> float:
        """An estimate of the relative entropy of the posterior and the draws, over all levels."""
        return float(np.trapezoid(self.skewed + self.own, np.log(self.levels)))

    @property
    def probability(self) -> float:
        """How wrong the probability of anything may be, the weight of a mode for instance: √(nats / 2) (Pinsker), at most 1."""
        return min(1.0, math.sqrt(self.nats / 2))

    @property
    def found(self) -> bool:
        """Whether an error is to be expected that matters: more than 0.1 of probability, or a strongly curved A."""
        if self.corrected:
            return self.spread > _SPREAD
        return self.probability > _FOUND or float(self.curvature.max()) > _CURVED

    @property
    def verdict(self) -> str:
        """What is wrong, by how much, and what to do, in a sentence."""
        if self.corrected:
            return self._weighted
        if not self.found:
            return f"{self.method} is wrong by about {self.probability:.2g} of probability here, too little to matter."
        worst = int((self.skewed + self.own).argmax())
        at = f"at level {self.levels[worst]:.2g}"
        parts = []
        if self.probability > _FOUND and self.skewed.sum() >= self.own.sum():
            parts.append(
                f"data given a noisy state are not Gaussian (y has a skewness of {self.skewness[worst]:.2g} {at})"
            )
        elif self.probability > _FOUND:
            parts.append(f"its guess of p(y | x_t) would be wrong even for Gaussian data, most {at}")
        if self.curvature.max() > _CURVED:
            parts.append(f"A is off by {self.curvature.max():.2g} deviations where it is linearized")
        much = f"probabilities, such as weights of modes, may be wrong by {self.probability:.2g}"
        return f"{self.method} is biased here: {'; '.join(parts)}; {much}. {self._advice}"

    @property
    def _weighted(self) -> str:
        worth = f"{self.particles} particles are worth {self.effective:.2g}"
        if self.found:
            what = f"{worth}, and log p(y) differs by {self.spread:.2g} nats between sets of them"
            return f"{self.method} has too few particles here: {what}. Take more, and compare with DAPS."
        much = f"an error of {self.probability:.2g} of probability"
        return f"{self.method} makes up by weights for {much}{f': {worth}' * (self.particles > 0)}."

    @property
    def _advice(self) -> str:
        if self.vector:
            return "Take TwistedParticles, or the weighted draws of evidence()."
        if self.own.sum() > self.skewed.sum():
            return "Take MomentMatching, with more iterations if it is that."
        return "Do not rely on the shares of modes; compare with DAPS, and run check_posterior."


def approximation_error(
    model: Model,
    x: Any = None,
    draws: int = 8,
    levels: int = 12,
    seed: int = 0,
    sampling: SamplingLike = None,
) -> ApproximationError:
    """How far x_0 given x_t is from the Gaussian that posterior methods take it for, in what was measured.

    A few draws of the posterior are noised to levels at which the measurement is absorbed. Given such a state, the exact
    shift of the mean by y is the regression of x_0 on y, and moment matching has the best linear one. For linear A the next
    term of the regression is, over y that are distributed as given x_t,

        ½ E ‖P c[v, v']‖²,  c[a, b] = level⁴ ∂²D[Gᵀa, Gᵀb]  with v, v' of covariance S⁻¹,

    where c holds the third cumulants of x_0 and twice y (the second derivative of Tweedie's formula: tilting x_0 given x by
    exp(τ g·x_0) moves x by level² τ g, so that D along g is the derivative of the cumulant generating function), S is the
    covariance of y, and P leaves what y does not explain. Divided by level² and integrated over log level it is the relative
    entropy between the reverse process that is exact and that of the method (Girsanov). Derivatives are differences of steps
    of the size that the measurement makes, so that errors of a network count as much as they do in sampling. Other
    methods than moment matching have, in addition, their distance from it.

    It is 0 for Gaussian data, linear A and moment matching, whatever the units. It is the first term of a series: for well
    separated modes it is right within a factor of a few. What samplers such as `DAPS` or `RePaint` do otherwise than their
    likelihood is not counted; nor that annealed Langevin dynamics forgets what happened at high levels. It costs 6
    evaluations of each state, and a derivative for each of at most 16 measured numbers; up to 65 beyond.

    Arguments:
        model: A model that observed a measurement.
        x: Draws from its posterior, in the form of the data; by default they are drawn.
        draws: How many draws are noised.
        levels: How many levels.
        seed: The seed.
        sampling: How draws are made; by default, as the model draws.

    Raises:
        ValueError: If the model observed no measurement, there is no draw, or there are fewer than 2 levels.

    References:
        Efron, 2011, Tweedie's formula and selection bias. Rozet et al., 2024, Learning diffusion priors from observations by
        expectation maximization. Mardia, 1970, Measures of multivariate skewness and kurtosis with applications.
    """
    if draws < 1 or levels < 2:
        raise ValueError(f"an error needs a draw and 2 levels, got draws={draws}, levels={levels}: leave them out")
    posterior, rng = observed_posterior(model), Samples(seed, 0, draws, "approximation")
    chosen = Sampling.of(sampling, None).merged(model.sampling)
    x0 = _drawn(model, draws, rng, chosen) if x is None else _states(model, x, draws)
    count = len(x0)
    scale = _levels(model, posterior, x0, levels)
    own = Samples(seed, 0, count, "approximation noise")
    noise = torch.stack([own.child(f"level {i}").normal_like(x0) for i in range(levels)])
    each = scale.to(x0).repeat_interleave(count).reshape(-1, *(1,) * (x0.ndim - 1))
    clean = x0.repeat(levels, *(1,) * (x0.ndim - 1))
    noisy = clean + each * noise.flatten(0, 1)
    parts, size = [], max(1, _AT_ONCE // x0[0].numel())
    for start in range(0, len(noisy), size):
        some = slice(start, start + size)
        index = torch.arange(start, min(start + size, len(noisy)))
        part: Posterior = posterior.samples(index % count)  # type: ignore[assignment]  # a posterior again
        probes = Samples(seed, start, len(index), "approximation probes")
        parts.append(_errors(part, clean[some], noisy[some], each[some], probes))
        report((start + len(index)) / len(noisy))
    found = [torch.cat(values).reshape(levels, count).mean(1).cpu().numpy() for values in zip(*parts)]
    skewed, apart, skewness, curvature = found
    sampler = chosen.sampler if isinstance(chosen.sampler, PosteriorMethod) else posterior.method
    vector = x0.ndim == 2 and x0.shape[1] <= _WHOLE
    root = np.sqrt(skewness), np.sqrt(curvature)
    weighted = _weighted(model, posterior, sampler, chosen, seed) if sampler.corrected else (0, 0.0, 0.0)
    name, arrays = type(sampler).__name__, (scale.numpy(), skewed, apart, *root)
    plain = ApproximationError(name, sampler.corrected, vector, *arrays, count)
    return replace(plain, particles=weighted[0], effective=weighted[1], spread=weighted[2])


def _weighted(
    model: Model, posterior: Posterior, sampler: PosteriorMethod, sampling: Sampling, seed: int
) -> tuple[int, float, float]:
    """How many particles a draw has, what they are worth where weights differ most, and how far log p(y) differs."""
    count = 0 if sampler.sampler is None else sampler.sampler.states
    if count < 2 or posterior.contexts > 1:
        return 0, 0.0, 0.0
    diffusion, shape = replace(model.diffusion, denoiser=posterior), model.standardize.state_shape
    own = replace(sampling, sampler=None)
    found = twisted_smc(diffusion, shape, seed, count, _SETS, sampling=own, dtype=torch.float32, device=model.device)
    return count, float(found.effective.mean(0).min()), float(found.islands.std())


def _drawn(model: Model, draws: int, rng: Samples, sampling: Sampling) -> Tensor:
    """Draws from the posterior, as states."""
    return sample(model.diffusion, (draws, *model.standardize.state_shape), sampling, rng, device=model.device)


def _states(model: Model, x: Any, draws: int) -> Tensor:
    """The first of some data, as states."""
    rows = model.schema.unpack(x, torch.float64)[:draws].to(model.device)
    if len(rows) == 0:
        raise ValueError("an error needs at least one draw of the posterior, got none: leave x out, and some are drawn")
    return model.standardize.filled(model.standardize(rows))


def _levels(model: Model, posterior: Posterior, x0: Tensor, count: int) -> Tensor:
    """Levels from half the deviation that the measurement leaves to where little of the data is left, `(L,)`."""
    with torch.inference_mode(False), torch.enable_grad():
        linearized = posterior.measured.linearize(x0.detach().clone().requires_grad_())
        steepness = float(linearized.steepness(lambda w: w).median())
    moments = posterior.moments or model.moments
    low = 0.5 / math.sqrt(1 + steepness)
    spread = float((x0 - moments.mean.to(x0)).flatten(1).square().sum(1).mean().sqrt())
    high = min(max(_HIGH, 2 * spread), max(model.process.ends()[1], 4 * low))
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)


class _Errors(NamedTuple):
    """For each state, `(B,)`: nats for each e-fold by skewness, and by the method; the squared skewness; the curvature."""

    skewed: Tensor
    own: Tensor
    skewness: Tensor
    curvature: Tensor


def _errors(posterior: Posterior, x0: Tensor, x: Tensor, level: Tensor, rng: Samples) -> _Errors:
    """The errors at noisy states x of data x0."""
    with torch.inference_mode(False), torch.enable_grad():
        state = posterior.state(x, level)
        linearized = state.linearized
        solver = _Solver.of(MomentMatching().products(state, linearized), linearized.residual)
        v, w = (solver.probe(rng.child(name)) for name in ("one", "two"))
        plus, minus = (
            _second_difference(posterior, state, linearized.pull(each)) for each in ((v + w) / 2, (v - w) / 2)
        )
        second = plus - minus  # c[v, w]
        pushed = linearized.push(second)
        explained = solver.solve(pushed)
        left = second - state.covariance(linearized.pull(explained))
        matched = state.covariance(linearized.pull(solver.solve(linearized.residual)))
        apart = matched - posterior.method.shift(state)
        bent = _bend(posterior, state, x0)
        bent = (bent * solver.solve(bent)).sum(1) / bent.shape[1]
    square = level.reshape(-1) ** 2
    nats = [w.detach().flatten(1).square().sum(1) / square for w in (left, apart)]
    skewness = (pushed * explained).sum(1).detach().clamp_min(0)
    return _Errors(nats[0] / 2, nats[1], skewness, bent.detach().clamp_min(0))


def _second_difference(posterior: Posterior, state: NoisyState, direction: Tensor) -> Tensor:
    """D(x + d) + D(x - d) - 2 D(x) for d = level² direction: about level⁴ ∂²D."""
    away, level = state.level**2 * direction, state.level
    with torch.no_grad():
        prior = posterior.prior
        return prior(state.x + away, level) + prior(state.x - away, level) - 2 * state.mean  # type: ignore[no-any-return]


def _bend(posterior: Posterior, state: NoisyState, x0: Tensor) -> Tensor:
    """What the linearization at D is wrong about y at x_0, in units of the noise, `(B, m)`: 0 for linear A."""
    linearized, measured = state.linearized, posterior.measured
    if measured.linear:
        return torch.zeros_like(linearized.residual)
    noise = measured.measurement.noise
    there = noise.whiten(noise.mean(measured.ideal(x0)) - linearized.mean, linearized.mean)
    return (there - linearized.push(x0 - state.mean)).detach()


@dataclass(frozen=True, eq=False)
class _Solver:
    """S = I + W for each state of a batch: as matrices with their roots, or by products."""

    apply: Apply
    root: Tensor | None
    like: Tensor

    @classmethod
    def of(cls, apply: Apply, like: Tensor) -> _Solver:
        """From products with W, `(B, m)` to `(B, m)`."""
        if like.shape[1] > _WHOLE:
            return cls(apply, None, like)
        whole = positive(columns(apply, like)).detach().double()
        eye = torch.eye(like.shape[1], dtype=whole.dtype, device=whole.device)
        return cls(apply, torch.linalg.cholesky(whole + eye), like)

    def solve(self, r: Tensor) -> Tensor:
        """S⁻¹ r."""
        if self.root is None:
            return conjugate_gradients(self.apply, r, _ITERATIONS, _TOLERANCE)
        return torch.cholesky_solve(r.to(self.root)[..., None], self.root)[..., 0].to(r)

    def probe(self, rng: Samples) -> Tensor:
        """Random numbers of mean 0 and covariance S⁻¹; all of one length in units of it, if S is a matrix."""
        z = rng.normal(self.like.shape, self.like.dtype, self.like.device)
        if self.root is None:
            other = rng.child("noise").normal(z.shape, z.dtype, z.device)
            return self.solve(other + krylov_root(self.apply, z, _KRYLOV))
        unit = z / z.norm(dim=1, keepdim=True) * math.sqrt(z.shape[1])
        return torch.linalg.solve_triangular(self.root.mT, unit.to(self.root)[..., None], upper=True)[..., 0].to(z)  # type: ignore[no-any-return]
