"""Gaussian data like those of a model, for which posteriors are known."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import progress
from ..denoisers import Gaussian
from ..diffusion import Diffusion
from ..model import Model
from ..posterior import StandardizedMeasurement
from ..rng import Samples
from ..samplers import flow_sampling, sample
from .weighing import observed_posterior

__all__ = ["gaussian_twin", "prior_samples", "surprise"]

_DENSE = 2048  # up to this many numbers the covariance of data is a matrix
_PRIOR_DRAWS = 128
_PRIOR_STEPS = 64


def prior_samples(model: Model, count: int, rng: Samples) -> Tensor:
    """Samples of the data of a model without its measurement, in the units of networks, `(count, *D)`."""
    posterior = observed_posterior(model)
    data = posterior.moments or model.moments
    diffusion = Diffusion(model.process, posterior.prior, data)
    sampling, found = flow_sampling(model.process, _PRIOR_STEPS), []
    size = max(8, min(200_000 // data.mean.numel(), 1000))
    for start in range(0, count, size):
        few = min(size, count - start)
        part = Samples(rng.seed, rng.start + start, few, rng.purpose)
        some = diffusion.samples(torch.arange(part.start, part.start + few))
        with progress.part(start / count, (start + few) / count):
            found.append(sample(some, (few, *data.mean.shape), sampling, part, device=model.device).cpu())
    return torch.cat(found)


def gaussian_twin(model: Model, seed: int) -> tuple[Gaussian, str]:
    """Gaussian data like those of the model, and what they are, in words."""
    posterior = observed_posterior(model)
    moments = posterior.moments or model.moments
    mean, covariance = moments.mean.double().cpu(), moments.covariance.double().cpu()
    twin, size = Gaussian(mean, covariance), mean.numel()
    if not twin.diagonal:
        return twin, f"Gaussian data with the mean and the covariance of yours ({size} numbers)"
    if mean.ndim < 2 or size > _DENSE:
        return twin, f"Gaussian data with the mean and the variances of yours, {size} independent numbers"
    x = prior_samples(model, _PRIOR_DRAWS, Samples(seed, 0, _PRIOR_DRAWS, "twin"))
    std = covariance.sqrt()
    full = std.flatten()[:, None] * _correlations((x - mean) / std.clamp_min(1e-6)) * std.flatten()
    return Gaussian(mean, full), f"stationary Gaussian data with the correlations of {_PRIOR_DRAWS} draws of the model"


def _correlations(x: Tensor) -> Tensor:
    """Stationary correlations, periodic, of each channel by itself: `(B, C, *S)` to `(n, n)`."""
    axes, sides = tuple(range(2, x.ndim)), x.shape[2:]
    power = torch.fft.fftn(x.clamp(-10, 10), dim=axes).abs().square().mean(0)
    lags = torch.fft.ifftn(power, dim=tuple(range(1, x.ndim - 1))).real
    lags = lags / lags.flatten(1)[:, :1].reshape(-1, *(1,) * len(sides))
    places = torch.cartesian_prod(*(torch.arange(n) for n in sides)).reshape(-1, len(sides))
    apart = (places[:, None] - places[None]) % torch.tensor(sides)
    return torch.block_diag(*(channel[tuple(apart.unbind(-1))] for channel in lags))  # type: ignore[no-any-return, no-untyped-call]


def surprise(twin: Gaussian, measured: StandardizedMeasurement) -> float:
    """How often a measurement of the twin is as far out as this one."""
    noise, n = measured.measurement.noise, twin.mean.numel()
    a = measured.ideal(twin.mean[None])
    columns = measured.tangent(torch.eye(n, dtype=torch.float64).reshape(n, *twin.mean.shape))
    g, r = noise.whiten(columns, a).T, noise.whiten(measured.numbers(a) - a, a)[0]
    covariance = twin.covariance.flatten().diag() if twin.diagonal else twin.covariance
    total = g @ covariance @ g.T + torch.eye(len(g), dtype=torch.float64)
    square = r @ torch.linalg.solve(total, r)
    return float(torch.special.gammaincc(torch.tensor(len(r) / 2, dtype=torch.float64), square / 2))
