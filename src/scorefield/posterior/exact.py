"""Posteriors in closed form: Gaussian and mixture data, a linear operator, Gaussian noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..denoisers import Gaussian, Mixture
from ..measurement import Measurement
from .measured import StandardizedMeasurement

__all__ = ["ExactPosterior", "exact_posterior"]

_LOG_TAU = math.log(2 * math.pi)


class ExactPosterior(NamedTuple):
    """A posterior in closed form, and log p(y) in nats, of shape `()`."""

    distribution: Gaussian | Mixture
    log_evidence: Tensor


def exact_posterior(prior: Gaussian | Mixture, measurement: Measurement | StandardizedMeasurement) -> ExactPosterior:
    """The posterior of data given a measurement, where it is known exactly.

    Arguments:
        prior: The distribution of the data.
        measurement: A measurement by a linear operator with Gaussian noise; as a posterior holds it (`Posterior.measured`)
            where the prior has other units or axes than the user.

    Raises:
        ValueError: If the operator is not linear, or the noise not Gaussian.

    Example:
        >>> from scorefield.measurement import Mask
        >>> prior = Gaussian(torch.zeros(1).double(), torch.ones(1, 1).double())
        >>> posterior, log_evidence = exact_posterior(prior, Measurement(Mask(torch.tensor([True])), [2.0], noise=1.0))
        >>> posterior.mean, posterior.covariance, round(float(log_evidence), 4)
        (tensor([1.], dtype=torch.float64), tensor([[0.5000]], dtype=torch.float64), -2.2655)
    """
    measured = measurement if isinstance(measurement, StandardizedMeasurement) else StandardizedMeasurement(measurement)
    noise = measured.measurement.noise
    if not measured.linear_gaussian:
        got = f"{type(measured.measurement.operator).__name__} with {type(noise).__name__} noise"
        raise ValueError(f"closed form needs a linear operator with Gaussian noise, got {got}: draw samples instead")
    if isinstance(prior, Gaussian):
        shape, means, weights = prior.mean.shape, prior.mean.reshape(1, -1), prior.mean.new_ones(1)
        covariances = (prior.covariance.flatten().diag() if prior.diagonal else prior.covariance)[None]
    else:
        shape, means, weights, covariances = prior.means.shape[1:], prior.means, prior.weights, prior.covariances
    n = means.shape[1]
    origin = means.new_zeros(1, *shape)
    a = measured.ideal(origin)
    g = noise.whiten(measured.tangent(torch.eye(n).to(means).reshape(n, *shape)), a).T
    r = noise.whiten(measured.numbers(a) - a, a) - means @ g.T
    cross = g @ covariances
    total = cross @ g.T + torch.eye(len(g)).to(means)
    gain = torch.linalg.solve(total, cross).mT
    posterior = covariances - gain @ cross
    posterior = (posterior + posterior.mT) / 2
    moved = means + (gain @ r[..., None])[..., 0]
    square = (r * torch.linalg.solve(total, r[..., None])[..., 0]).sum(1)
    log_p = -(square + torch.linalg.slogdet(total)[1] + len(g) * _LOG_TAU) / 2 - noise.log_volume(a)
    if isinstance(prior, Gaussian):
        return ExactPosterior(Gaussian(moved[0].reshape(shape), posterior[0]), log_p[0])
    joint = log_p + weights.log()
    return ExactPosterior(Mixture(moved, posterior, joint.softmax(0)), joint.logsumexp(0))
