"""The posterior: a prior denoiser and a measurement are a denoiser again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..data.layout import Layout
from ..denoisers import Conditioned, Denoiser, Gaussian as GaussianLaw, Guided, Preconditioned
from ..measurement import Measurement
from ..measurement.noise import GaussianNoise
from ..spec import describe
from ..standardize import Standardize
from .exact import exact_posterior
from .measured import StandardizedMeasurement
from .methods import GaussianApproximation, Method, MomentMatching, NoisyState
from .solve import columns, positive

__all__ = ["Posterior", "PosteriorMoments", "given"]


class PosteriorMoments(NamedTuple):
    """All that a posterior knows of states."""

    prior: Tensor
    """E[x_0 | x], of shape `(B, *D)`."""

    mean: Tensor
    """E[x_0 | x, y], of shape `(B, *D)`."""

    log_prob: Tensor
    """log p(y | x), of shape `(B,)`."""

    spread: Tensor | None = None
    """Cov[x_0 | x], of shape `(B, n, n)`, if it was asked for."""

    @classmethod
    def of(cls, parts: Sequence[PosteriorMoments]) -> PosteriorMoments:
        """What is known of several batches, as of one."""
        prior, mean, log_prob = (torch.cat(values) for values in zip(*(part[:3] for part in parts)))
        spreads = [part.spread for part in parts if part.spread is not None]
        return cls(prior, mean, log_prob, torch.cat(spreads) if spreads else None)

    def take(self, index: Tensor) -> PosteriorMoments:
        """What is known of some states of the batch."""
        prior, mean, log_prob = (part[index] for part in self[:3])
        return PosteriorMoments(prior, mean, log_prob, None if self.spread is None else self.spread[index])


class Posterior(Denoiser):
    """E[x_0 | x, y] = D(x, level) + level² ∇ log p(y | x): every sampler serves it as it stands.

    Arguments:
        prior: The denoiser of the data.
        measurement: What was seen of one datum, in the units and axes of the user.
        method: How p(y | x) is modelled for a noisy x.
        layout: The way from the axes of the denoiser to those of the user; without it they are the same.
        units: The units of the data; without them, those of the denoiser.
        moments: The mean and the covariance of the data, in the units of the denoiser.
        reach: The level, in standard deviations of the data, at which the derivative of a network is believed by half, if
            there are moments to believe instead (`State.spread`).

    Example:
        >>> from scorefield.measurement import Mask
        >>> law = GaussianLaw(torch.zeros(2).double(), torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double())
        >>> seen = Measurement(Mask(torch.tensor([True, False])), [2.0], noise=0.1)
        >>> x = torch.zeros(1, 2, dtype=torch.float64)
        >>> Posterior(law, seen)(x, torch.tensor(1e3)).round(decimals=2)  # x says nothing, y = 2 nearly all
        tensor([[1.9800, 1.7800]], dtype=torch.float64)
    """

    def __init__(
        self,
        prior: Denoiser,
        measurement: Measurement,
        method: Method | None = None,
        layout: Layout | None = None,
        units: Standardize | None = None,
        moments: GaussianLaw | None = None,
        reach: float = 3.0,
    ) -> None:
        super().__init__()
        if not reach > 0:
            raise ValueError(f"a posterior believes derivatives up to a level reach > 0, got reach={reach:g}")
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
        """The measurement, of states."""
        return StandardizedMeasurement(self.measurement, self.layout, self.units, self._y)

    def about(self, y: Tensor) -> Posterior:
        """The same posterior given other numbers: y of shape `(B, *E)`, one for each state of a batch of B."""
        other = copy.copy(self)
        other._y = y.reshape(len(y), -1)
        return other

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        learn = torch.is_grad_enabled() and x.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            state = self.state(x, level, learn)
            mean = state.mean + self.method.shift(state)
        return mean if learn else mean.detach()

    def look(self, x: Tensor, level: Tensor, spread: bool = False) -> PosteriorMoments:
        """The means with and without the measurement, and log p(y | x), in one go; with Cov[x_0 | x], if `spread`.

        Raises:
            ValueError: If the method is no model of the likelihood's value.
        """
        if not isinstance(self.method, GaussianApproximation):
            what = f"{type(self.method).__name__} knows the slope of the likelihood and not its value"
            raise ValueError(f"{what}: take MomentMatching, TMPD or PiGDM")
        with torch.inference_mode(False), torch.enable_grad():
            state = self.state(x, level)
            shift, log_prob = self.method.weighed(state)
            whole = (
                positive(columns(lambda v: state.spread(v.reshape(x.shape)).flatten(1), x.flatten(1)))
                if spread
                else None
            )
        mean = state.mean.detach()
        return PosteriorMoments(mean, mean + shift.detach(), log_prob.detach(), whole)

    def state(self, x: Tensor, level: Tensor, learn: bool = False) -> NoisyState:
        """Noisy states of shape `(B, *D)` as methods see them; `learn` if gradients are to flow on through them."""
        x = x if learn else x.detach().clone().requires_grad_()
        learned = self.moments is not None and any(True for _ in self.prior.parameters())
        moments = self.moments if learned else None
        return NoisyState(x, level, self.prior(x, level), self.measured, learn, moments, self.reach)

    def check_plain(self) -> None:
        """Whether a file can hold it: ValueError, with what to save instead, if the operator is code of the user."""
        try:
            describe(self.measurement, [])
        except TypeError as error:
            name = type(self.measurement.operator).__name__
            instead = "save the model that it was given to, and y; load(path).given(measurement) is this one again"
            raise ValueError(f"a file holds no code, and {name} is code of yours: {instead}") from error


def given(
    prior: Denoiser,
    measurement: Measurement,
    method: Method | None,
    layout: Layout,
    units: Standardize,
    moments: GaussianLaw,
) -> tuple[Posterior, GaussianLaw]:
    """A posterior, and the moments that it begins from.

    They are those of a Gaussian with the data's moments, given the measurement, where that is known: for a linear operator with
    Gaussian noise, and data with a full covariance. Else they are the data's own, of which the largest level leaves little.

    Arguments:
        prior: The denoiser of the data.
        measurement: What was seen.
        method: How the likelihood of noisy states is modelled; moment matching by default.
        layout: The way from the axes of the denoiser to those of the user.
        units: The units of the data.
        moments: The moments of the data, in the units of the denoiser.

    Raises:
        ValueError: If the operator does not take such data, or does not give what was measured; or if the prior stands for
            several laws at once.
    """
    measurement.check(layout.shape)
    if any(isinstance(part, Conditioned) and len(part.context) > 1 for part in prior.modules()):
        raise ValueError(
            "a measurement is of one datum, and this model was given several contexts: give it one of them"
        )
    if isinstance(prior, Preconditioned | Conditioned | Guided):
        prior = prior.exactly()  # derivatives in bfloat16 have no digits to spare
    posterior = Posterior(prior, measurement, method, layout, units, moments)
    if not measurement.operator.linear or not isinstance(measurement.noise, GaussianNoise) or moments.diagonal:
        return posterior, moments
    return posterior, exact_posterior(moments, posterior.measured).law.to(moments.mean)  # type: ignore[return-value]
