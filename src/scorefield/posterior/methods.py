"""Models of the likelihood of a noisy state.

With D = E[x_0 | x] and G = ∂A/∂x_0 there, y given x has the mean A(D) and the covariance G V Gᵀ + Σ, where V = Cov[x_0 | x] =
level² ∂D/∂x. The methods differ in what they take for V. Noise is white here: Σ = I.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .. import denoisers
from ..samplers.base import Sampler
from ..samplers.sampling import Sampling
from ..tensors import expand
from .measured import LinearizedMeasurement, StandardizedMeasurement
from .solve import Apply, columns, direct, solved

__all__ = [
    "DPS",
    "TMPD",
    "AnnealedLikelihood",
    "GaussianApproximation",
    "IterativeMethod",
    "Method",
    "MomentMatching",
    "NoisyState",
    "PiGDM",
    "PosteriorMethod",
    "PosteriorSampler",
]


@dataclass(frozen=True, eq=False)
class NoisyState:
    """A noisy state, and the mean and the covariance of the data given it.

    Arguments:
        x: The state, of shape `(B, *D)`, a leaf of the graph.
        level: The noise level, which broadcasts against it.
        mean: D(x, level), with its graph.
        measured: The measurement.
        differentiable: Whether gradients flow on through what is computed from it.
        moments: Gaussian data of the same moments, if the derivative of the denoiser is not reliable at all levels.
        reach: The level at which the derivative and the moments have equal weight.
        unguided: If D is guided, the mean without guidance, with its graph: V is its derivative. Guidance extrapolates, and the
            derivative of D may have negative eigenvalues, with which the covariance of y is singular somewhere.
    """

    x: Tensor
    level: Tensor
    mean: Tensor
    measured: StandardizedMeasurement
    differentiable: bool = False
    moments: denoisers.Gaussian | None = None
    reach: float = 3.0
    unguided: Tensor | None = None

    @property
    def linearized(self) -> LinearizedMeasurement:
        """The measurement, linearized at the mean."""
        found = self.measured.linearize(self.mean, self.differentiable)
        self.measured.check_finite(found.mean, found.u)
        return found

    def covariance(self, w: Tensor) -> Tensor:
        """V w = level² (∂D/∂x)ᵀ w, `(B, *D)` to `(B, *D)`.

        The error of a network in V is some fraction of the standard deviation of the data times the level: at high levels V
        goes over into that of Gaussian data of the same moments, if those are given.
        """
        how = {"retain_graph": True, "create_graph": self.differentiable}
        mean = self.mean if self.unguided is None else self.unguided
        learned = self.level**2 * torch.autograd.grad(mean, self.x, w.to(mean), **how)[0]
        if self.moments is None:
            return learned
        share, gaussian = 1 / (1 + (self.level / self.reach) ** 2), self.moments
        shift = gaussian(gaussian.mean + w, self.level) - gaussian.mean
        return share * learned + (1 - share) * self.level**2 * shift  # type: ignore[no-any-return]


class LikelihoodShift(NamedTuple):
    """How far a measurement moves the mean, `(B, *D)`, and the log-likelihood of the state, `(B,)`."""

    shift: Tensor
    log_prob: Tensor


class PosteriorMethod(abc.ABC):
    """How a posterior is sampled: a model of the likelihood of noisy states, or a sampler made for posteriors."""

    @property
    @abc.abstractmethod
    def likelihood(self) -> Method:
        """The model of log p(y | x) in the denoiser of the posterior."""

    @property
    def sampler(self) -> Sampler | None:
        """The sampler that it needs; None if any will do."""
        return None

    @property
    def sampling(self) -> Sampling:
        """How it is sampled by default: its sampler, and steps and a schedule where it needs others than those of the model."""
        return Sampling(self.sampler)

    @property
    def has_density(self) -> bool:
        """Whether log-densities and latents of its likelihood go with it. Without one, samples alone are drawn."""
        return self.sampler is None

    @property
    def corrected(self) -> bool:
        """Whether weights make up for its approximations, so that draws follow the posterior as their number grows."""
        return False


class PosteriorSampler(Sampler, PosteriorMethod):
    """A sampler made for posteriors. It draws samples only: no log-density belongs to it."""

    @property
    def likelihood(self) -> Method:
        """Moment matching, for what takes the posterior without this sampler."""
        return MomentMatching()

    @property
    def sampler(self) -> Sampler:
        return self


class Method(PosteriorMethod):
    """A model of log p(y | x) for noisy states x. To add one, write `shift`."""

    @property
    def likelihood(self) -> Method:
        return self

    @abc.abstractmethod
    def shift(self, state: NoisyState) -> Tensor:
        """level² ∇ log p(y | x), of shape `(B, *D)`: how far the measurement moves the mean."""


@dataclass(frozen=True)
class IterativeMethod(Method):
    """A method that solves linear systems: exactly up to `iterations` unknowns, larger ones by conjugate gradients.

    Arguments:
        iterations: The largest number of iterations.
        tolerance: The residual at which they stop, relative to the first one.

    Raises:
        ValueError: If there are no iterations, or the tolerance is not in [0, 1).
    """

    iterations: int = 8
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if self.iterations < 1 or not 0 <= self.tolerance < 1:
            got = f"iterations={self.iterations}, tolerance={self.tolerance:g}"
            raise ValueError(f"{type(self).__name__} needs iterations >= 1 and 0 <= tolerance < 1, got {got}")

    def solve(self, product: Apply, r: Tensor) -> Tensor:
        """(I + W)⁻¹ r for each sample, of shape `(B, m)`."""
        return solved(product, r, self.iterations, self.tolerance)


class GaussianApproximation(IterativeMethod):
    """A model log p(y | x) = log N(y; A(D), G V Gᵀ + Σ), whose covariance is held fixed in the gradient.

    To add a method, write `products`.
    """

    @abc.abstractmethod
    def products(self, state: NoisyState, linearized: LinearizedMeasurement) -> Apply:
        """v ↦ G V Gᵀ v, `(B, m)` to `(B, m)`."""

    def shift(self, state: NoisyState) -> Tensor:
        linearized = state.linearized
        v = self.solve(self.products(state, linearized), linearized.residual)
        return state.covariance(linearized.pull(v))

    def shift_and_log_prob(self, state: NoisyState) -> LikelihoodShift:
        """The shift with the value of the log-likelihood, by one product for each measured number."""
        linearized = state.linearized
        v, log_det = direct(columns(self.products(state, linearized), linearized.residual), linearized.residual)
        return LikelihoodShift(state.covariance(linearized.pull(v)), linearized.log_normal(v, log_det))


@dataclass(frozen=True)
class MomentMatching(GaussianApproximation):
    """V = level² ∂D/∂x, the covariance itself (MMPS; Rozet et al., 2024). The default of all but short vectors.

    Exact for Gaussian data and linear A. For other data it is the best Gaussian approximation, which gives modes wrong
    weights. For other A it linearizes at D (Gauss-Newton). One evaluation with its derivative, and one
    more product with the derivative for each iteration.
    """

    def products(self, state: NoisyState, linearized: LinearizedMeasurement) -> Apply:
        return lambda v: linearized.push(state.covariance(linearized.pull(v)))


@dataclass(frozen=True)
class PiGDM(GaussianApproximation):
    """V = r² I with r² = level² / (1 + level²), as if the data were standard normal (ΠGDM; Song et al., 2023).

    Exact only for such data. One evaluation with its derivative, whatever is measured.
    """

    def products(self, state: NoisyState, linearized: LinearizedMeasurement) -> Apply:
        variance = state.level**2 / (1 + state.level**2)
        return lambda v: linearized.push(variance * linearized.pull(v))


@dataclass(frozen=True)
class TMPD(GaussianApproximation):
    """G V Gᵀ replaced by the diagonal of its row sums (TMPD; Boys et al., 2024).

    Exact for Gaussian data if G V Gᵀ is diagonal. One evaluation with its derivative, and one more product.
    """

    def products(self, state: NoisyState, linearized: LinearizedMeasurement) -> Apply:
        sums = linearized.push(state.covariance(linearized.pull(torch.ones_like(linearized.residual)))).clamp_min(0)
        return lambda v: sums * v


@dataclass(frozen=True)
class DPS(Method):
    """A gradient of fixed length, D - ζ √m ∇‖y - A(D)‖ for m measured numbers (DPS; Chung et al., 2023).

    Norms are those of each sample, and the gradient before it goes through ∂D/∂x is scaled to unit length, so that units do
    not matter; for masks that is the published ∇‖y - A(D)‖. The paper makes a step of size ζ' after each of n steps: that is
    ζ = n ζ' / (2 √m log(level_max / level_min)), about 0.1 for ζ' = 1, n = 1,000 and colour images of 256 x 256. Never exact,
    not even for Gaussian data: its standard deviations are not those of the posterior, and depend on ζ. For black boxes, where
    one plausible image is wanted. One evaluation with its derivative.

    Arguments:
        zeta: ζ, in standard deviations of the data for each e-fold of the level.

    Raises:
        ValueError: If ζ is not positive.
    """

    zeta: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.zeta < math.inf:
            raise ValueError(f"DPS needs zeta > 0, got zeta={self.zeta:g}")

    def shift(self, state: NoisyState) -> Tensor:
        linearized = state.linearized
        gradient = linearized.pull(linearized.residual)
        length = expand(gradient.flatten(1).norm(dim=1), gradient).clamp_min(1e-12)
        factor = self.zeta * math.sqrt(linearized.residual.shape[1]) / state.level**2
        return factor * state.covariance(gradient / length)


@dataclass(frozen=True)
class AnnealedLikelihood(IterativeMethod):
    """The likelihood of the state itself, N(y; A(x), level² G Gᵀ + Σ), without the network (Jalal et al., 2021).

    It neglects what the prior says of x_0: right where the level is much smaller than the data, and wrong above. It is meant
    for annealed Langevin dynamics, which forgets what happened at high levels. No derivative of the network.
    """

    def shift(self, state: NoisyState) -> Tensor:
        linearized = state.measured.linearize(state.x, state.differentiable)
        variance = state.level**2
        v = self.solve(lambda v: linearized.push(variance * linearized.pull(v)), linearized.residual)
        return variance * linearized.pull(v)
