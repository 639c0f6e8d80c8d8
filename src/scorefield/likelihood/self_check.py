"""A check of the settings of a log-density on a known distribution that resembles the data."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..denoisers import Denoiser, Gaussian, Mixture
from ..rng import Samples
from .base import LogProb
from .data_units import DataDensity

__all__ = ["resembling_mixture", "self_check"]

_LARGEST = 4096  # coordinates: a covariance matrix holds their square


class _Reshaped(Denoiser):
    """The denoiser of a mixture of vectors, for data of any shape."""

    def __init__(self, mixture: Mixture, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.mixture = mixture
        self.shape = shape

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        level = level if level.ndim == 0 else level.reshape(-1, 1)
        mean: Tensor = self.mixture(x.flatten(1), level)
        return mean.reshape(x.shape)


def resembling_mixture(x: Tensor) -> Mixture:
    """A mixture of two Gaussians, fitted to the halves of data on either side of their mean along its largest variance.

    A single Gaussian would test nothing: the solver knows its flow exactly.

    Arguments:
        x: Data, of shape `(N, n)`, in float64. Full covariances are used if each half has four times as many rows as
            coordinates, else their diagonals.

    Raises:
        ValueError: If there are fewer than 8 rows, or more than 4096 coordinates.
    """
    count, size = x.shape
    if count < 8 or size > _LARGEST:
        need = f"8 rows or more of {_LARGEST} coordinates at most"
        raise ValueError(f"the self-check needs {need}, got {count} of {size}")
    centred = x - x.mean(0)
    direction = torch.ones(size, dtype=x.dtype) / size**0.5
    for _ in range(30):
        direction = torch.nn.functional.normalize(centred.T @ (centred @ direction), dim=0)
    side = centred @ direction > 0
    halves = [half for half in (x[side], x[~side]) if len(half) >= 2]
    covariances = [torch.cov(half.T).reshape(size, size) for half in halves]
    if min(map(len, halves)) < 4 * size:
        covariances = [torch.diag(covariance.diagonal()) for covariance in covariances]
    ridge = 1e-6 * x.var() * torch.eye(size, dtype=x.dtype)
    weights = torch.tensor([len(half) / sum(map(len, halves)) for half in halves], dtype=x.dtype)
    return Mixture(torch.stack([half.mean(0) for half in halves]), torch.stack(covariances) + ridge, weights)


def self_check(density: DataDensity, x: Tensor, count: int = 32) -> tuple[LogProb, Tensor]:
    """Log-densities of a known mixture by the settings of `density`, and the exact values.

    The mixture resembles the data, and its denoiser takes the place of the learned one, so that the difference is the
    numerical error of these settings.

    Arguments:
        density: The settings: a process, a form of the moments, a solver, probes.
        x: Data, of shape `(N, *D)`, in the units of the data.
        count: How many samples of the mixture are evaluated.

    Returns:
        The computed log-densities, and the exact ones `(count,)`, both in the units of the data.

    Raises:
        ValueError: If there are fewer than 8 rows of data, or more than 4096 coordinates.
    """
    shape, diffusion = tuple(x.shape[1:]), density.diffusion
    mixture = resembling_mixture(density.units.filled(density.units(x.double())).flatten(1).cpu())
    known, moments = mixture.moments(), diffusion.moments
    if moments is not None and moments.diagonal:
        known = Gaussian(known.mean.reshape(shape), known.covariance.diagonal().reshape(shape))
    device = density.units.device
    denoiser, moments = _Reshaped(mixture, shape).to(device), None if moments is None else known.to(device)
    known_diffusion = replace(diffusion, denoiser=denoiser, moments=moments)
    draws = mixture.sample(count, Samples(density.seed, 0, count, "twin"))
    smallest = diffusion.process.level(torch.zeros((), dtype=torch.float64))
    exact = mixture.log_prob(draws, 0.0 if density.extrapolate else smallest)
    states = draws.reshape(count, *density.units.state_shape).to(device)
    volume = density.units.log_volume(density.units.inverse(states)).cpu()
    return density.of_states(known_diffusion, states).plus(volume), exact + volume
