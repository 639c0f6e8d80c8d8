"""A law that is like the data and known: what the settings of a log-density are tried on before they are believed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..denoisers import Denoiser, Gaussian, Mixture
from ..rng import Samples
from .base import LogProb
from .data_units import DataDensity

__all__ = ["self_check", "twin"]

_LARGEST = 4096  # coordinates: covariance matrices have their square


class _Shaped(Denoiser):
    """A mixture of vectors for data of any shape."""

    def __init__(self, mixture: Mixture, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.mixture = mixture
        self.shape = shape

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        level = level if level.ndim == 0 else level.reshape(-1, 1)
        return self.mixture(x.flatten(1), level).reshape(x.shape)


def twin(x: Tensor) -> Mixture:
    """Two Gaussians fitted to data: to those on the two sides of their mean along the direction of the largest variance.

    One Gaussian would be no test: the flow of one is known, and nothing is left to compute.

    Arguments:
        x: Data, of shape `(N, n)`, in float64; their covariances are used if there are four times as many as coordinates.

    Raises:
        ValueError: If there are fewer than 8 data, or more than 4096 coordinates.
    """
    count, size = x.shape
    if count < 8 or size > _LARGEST:
        raise ValueError(f"a twin needs 8 data or more of {_LARGEST} coordinates at most, got {count} of {size}")
    apart = x - x.mean(0)
    direction = torch.ones(size, dtype=x.dtype) / size**0.5
    for _ in range(30):
        direction = torch.nn.functional.normalize(apart.T @ (apart @ direction), dim=0)
    side = apart @ direction > 0
    parts = [part for part in (x[side], x[~side]) if len(part) >= 2]
    laws = [torch.cov(part.T).reshape(size, size) for part in parts]
    if min(map(len, parts)) < 4 * size:
        laws = [torch.diag(law.diagonal()) for law in laws]
    ridge = 1e-6 * x.var() * torch.eye(size, dtype=x.dtype)
    weights = torch.tensor([len(part) / sum(map(len, parts)) for part in parts], dtype=x.dtype)
    return Mixture(torch.stack([part.mean(0) for part in parts]), torch.stack(laws) + ridge, weights)


def self_check(density: DataDensity, x: Tensor, count: int = 32) -> tuple[LogProb, Tensor]:
    """Log-densities of draws from the twin of data by the same settings, and the exact ones `(count,)`, in units of the data.

    Arguments:
        density: The settings: a process, a form of the moments, a solver, probes.
        x: Data, of shape `(N, *D)`, in the units of the data.
        count: How many draws.
    """
    shape, diffusion = tuple(x.shape[1:]), density.diffusion
    law = twin(density.units(x.double()).flatten(1).cpu())
    known, moments = law.moments(), diffusion.moments
    if moments is not None and moments.diagonal:
        known = Gaussian(known.mean.reshape(shape), known.covariance.diagonal().reshape(shape))
    device = density.units.mean.device
    exact = replace(
        diffusion, denoiser=_Shaped(law, shape).to(device), moments=None if moments is None else known.to(device)
    )
    draws = law.sample(count, Samples(density.seed, 0, count, "twin"))
    first = diffusion.process.level(torch.zeros((), dtype=torch.float64))
    true = law.log_prob(draws, 0.0 if density.extrapolate else first) + density.units.log_det
    found = replace(density, diffusion=exact)(density.units.inverse(draws.reshape(count, *shape).to(device)))
    return found, true
