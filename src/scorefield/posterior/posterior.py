"""The posterior: a prior denoiser and a measurement are a denoiser again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.layout import Layout
from ..denoisers import Denoiser, Gaussian
from ..denoisers.base import shallow_copy
from ..diffusion import Diffusion
from ..measurement import Measurement
from ..units import Units
from .exact import exact_posterior
from .measured import StandardizedMeasurement
from .methods import GaussianApproximation, Method, MomentMatching, NoisyState
from .solve import columns, positive

__all__ = ["Posterior", "PosteriorMoments", "posterior_of"]


class PosteriorMoments(NamedTuple):
    """The moments of the data given noisy states, without and with the measurement.

    Arguments:
        prior: E[x_0 | x], of shape `(B, *D)`.
        mean: E[x_0 | x, y], of shape `(B, *D)`.
        log_prob: log p(y | x), of shape `(B,)`.
        covariance: Cov[x_0 | x], of shape `(B, n, n)`, if it was asked for.
    """

    prior: Tensor
    mean: Tensor
    log_prob: Tensor
    covariance: Tensor | None = None

    @classmethod
    def of(cls, parts: Sequence[PosteriorMoments]) -> PosteriorMoments:
        """Those of several batches joined."""
        prior, mean, log_prob = (torch.cat(values) for values in zip(*(part[:3] for part in parts)))
        covariances = [part.covariance for part in parts if part.covariance is not None]
        return cls(prior, mean, log_prob, torch.cat(covariances) if covariances else None)

    def take(self, index: Tensor) -> PosteriorMoments:
        """Those of some states of the batch."""
        prior, mean, log_prob = (part[index] for part in self[:3])
        return PosteriorMoments(prior, mean, log_prob, None if self.covariance is None else self.covariance[index])


class Posterior(Denoiser):
    """E[x_0 | x, y] = D(x, level) + level² ∇ log p(y | x), a denoiser for every sampler.

    Arguments:
        prior: The denoiser of the data.
        measurement: The measurement of one data point, in the units and axes of the user.
        method: The model of p(y | x) for noisy x; moment matching by default.
        layout: The map from the axes of the denoiser to those of the user; without it they are the same.
        units: The units of the data; without them, those of the denoiser.
        moments: The mean and the covariance of the data, in the units of the denoiser.
        reach: The level, in standard deviations of the data, at which the derivative of a network and the moments have equal
            weight in Cov[x_0 | x], if moments are given (`NoisyState.covariance`).

    Raises:
        ValueError: If `reach` is not positive.

    Example:
        >>> from scorefield.measurement import Mask
        >>> prior = Gaussian(torch.zeros(2).double(), torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double())
        >>> measurement = Measurement(Mask(torch.tensor([True, False])), [2.0], noise=0.1)
        >>> x = torch.zeros(1, 2, dtype=torch.float64)
        >>> Posterior(prior, measurement)(x, torch.tensor(1e3)).round(decimals=2)  # all noise, and y = 2
        tensor([[1.9800, 1.7800]], dtype=torch.float64)
    """

    def __init__(
        self,
        prior: Denoiser,
        measurement: Measurement,
        method: Method | None = None,
        layout: Layout | None = None,
        units: Units | None = None,
        moments: Gaussian | None = None,
        reach: float = 3.0,
    ) -> None:
        super().__init__()
        if not reach > 0:
            raise ValueError(f"a posterior needs a level reach > 0 up to which derivatives count, got reach={reach:g}")
        self.prior = prior
        self.measurement = measurement
        self.method = method or MomentMatching()
        self.layout = layout
        self.units = units
        self.moments = moments
        self.reach = reach
        self._y: Tensor | None = None

    @property
    def measured(self) -> StandardizedMeasurement:
        """The measurement in the units and axes of states."""
        return StandardizedMeasurement(self.measurement, self.layout, self.units, self._y)

    @property
    def measurements(self) -> tuple[StandardizedMeasurement, ...]:
        """Its measurement, and those of its prior, if that is a posterior."""
        prior = Posterior.of(self.prior)
        return (*(() if prior is None else prior.measurements), self.measured)

    @classmethod
    def of(cls, denoiser: Denoiser) -> Posterior | None:
        """The posterior that a denoiser is; None if it is another one."""
        return denoiser if isinstance(denoiser, cls) else None

    def prior_diffusion(self, diffusion: Diffusion) -> Diffusion:
        """A diffusion of the prior alone, with the process of another."""
        return Diffusion(diffusion.process, self.prior, self.moments or diffusion.moments)

    def about(self, y: Tensor) -> Posterior:
        """The same posterior for other values y of shape `(B, *E)`, one for each state of a batch of B."""
        other = shallow_copy(self)
        other._y = y.reshape(len(y), -1)
        return other

    @property
    def contexts(self) -> int:
        return max(super().contexts, 1 if self._y is None else len(self._y))

    def samples(self, index: Tensor) -> Denoiser:
        other = super().samples(index)
        if self._y is None or len(self._y) == 1 or not isinstance(other, Posterior):
            return other
        return other.about(self._y[index.to(self._y.device) % len(self._y)])

    def given_variables(self, values: Tensor, status: Tensor) -> Denoiser:
        other = shallow_copy(self)
        other.prior = self.prior.given_variables(values, status)
        return other

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        differentiable = torch.is_grad_enabled() and x.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            state = self.state(x, level, differentiable)
            mean = state.mean + self.method.shift(state)
        return mean if differentiable else mean.detach()

    def moments_given(self, x: Tensor, level: Tensor, covariance: bool = False) -> PosteriorMoments:
        """The means with and without the measurement, and log p(y | x); with Cov[x_0 | x], if `covariance`.

        Arguments:
            x: Noisy states, of shape `(B, *D)`.
            level: Their noise level, which broadcasts against `x`.
            covariance: Whether Cov[x_0 | x] is computed too, by a derivative for each coordinate.

        Raises:
            ValueError: If the method models the gradient of the likelihood and not its value.
        """
        if not isinstance(self.method, GaussianApproximation):
            what = f"{type(self.method).__name__} models the gradient of the likelihood and not its value"
            raise ValueError(f"{what}: take MomentMatching, TMPD or PiGDM")
        with torch.inference_mode(False), torch.enable_grad():
            state = self.state(x, level)
            shift, log_prob = self.method.shift_and_log_prob(state)
            whole = None
            if covariance:
                whole = positive(columns(lambda v: state.covariance(v.reshape(x.shape)).flatten(1), x.flatten(1)))
        mean = state.mean.detach()
        return PosteriorMoments(mean, mean + shift.detach(), log_prob.detach(), whole)

    def state(self, x: Tensor, level: Tensor, differentiable: bool = False) -> NoisyState:
        """Noisy states of shape `(B, *D)` as methods take them; `differentiable` if gradients flow on through them."""
        x = x if differentiable else x.detach().clone().requires_grad_()
        learned = any(True for _ in self.prior.parameters())
        moments = self.moments if learned else None
        mean, plain = self.prior(x, level), self.prior.unguided()
        unguided = None if plain is self.prior else plain(x, level)
        return NoisyState(x, level, mean, self.measured, differentiable, moments, self.reach, unguided)


def posterior_of(
    prior: Denoiser,
    measurement: Measurement,
    method: Method | None,
    layout: Layout,
    units: Units,
    moments: Gaussian,
) -> tuple[Posterior, Gaussian]:
    """A posterior, and the moments that sampling starts from.

    These are those of the posterior of Gaussian data with the same moments, where it is known: for a linear operator with
    Gaussian noise, and a full covariance. Otherwise they are the moments of the data, of which little is left at the largest
    level. The arguments are those of `Posterior`.

    Raises:
        ValueError: If the operator does not take such data, or its output does not have the shape of what was measured.
    """
    measurement.check(layout.shape)
    posterior = Posterior(prior.full_precision(), measurement, method, layout, units, moments)  # for derivatives
    if not posterior.measured.linear_gaussian or moments.diagonal:
        return posterior, moments
    exact = exact_posterior(moments, posterior.measured).distribution
    return posterior, exact.to(moments.mean)  # type: ignore[return-value]  # Gaussian, as the moments are
