"""What a model with a measurement is worth: its evidence, by particles, and the misfit of data."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor

from ..bars import shown
from ..mcmc import WeightedSamples
from ..model import Model
from ..posterior import Posterior, StandardizedMeasurement, TwistedSMC, twisted_smc
from ..samplers import Sampling

__all__ = ["evidence", "misfit", "observed_posterior"]


def observed_posterior(model: Model) -> Posterior:
    """The posterior that a model samples.

    Raises:
        ValueError: If the model observed no measurement.
    """
    posterior = Posterior.of(model.diffusion.denoiser)
    if posterior is None:
        raise ValueError("this model has observed no measurement: model.observe(Measurement(operator, y, noise)) first")
    return posterior


def evidence(
    model: Model,
    seed: int = 0,
    particles: int = 1000,
    islands: int = 4,
    steps: int | None = None,
    sampling: Sampling | None = None,
) -> TwistedSMC:
    """Draws from a posterior with weights that make up for its approximations, and log p(y): `posterior.twisted_smc`.

    Arguments:
        model: A model that observed a measurement.
        seed, particles, islands, steps, sampling: As for `posterior.twisted_smc`. More dimensions and a sharper measurement
            take more particles.

    Returns:
        Points in the layout of networks and the units of the data (`model.schema.pack` gives them their form), with weights;
        and log p(y), a density in the units of y.

    Raises:
        ValueError: If the model observed no measurement, or several.
    """
    posterior = observed_posterior(model)
    if len(posterior.measurements) > 1:
        raise ValueError(f"particles take one measurement, got {len(posterior.measurements)}: join them into one")
    if len(model.schema.inner_shape) == 1:
        posterior = copy.deepcopy(posterior).double()
    diffusion = dataclasses.replace(model.diffusion, denoiser=posterior)
    shape, device = model.standardize.state_shape, model.device
    with shown():
        found = twisted_smc(diffusion, shape, seed, particles, islands, steps, sampling, device=device)
    points = model.standardize.inverse(found.weighted.points)
    return found._replace(weighted=WeightedSamples(points, found.weighted.log_weight))


def misfit(model: Model, x: Any) -> Tensor:
    """The mean squared residual of data, over all measured numbers, in units of the variance of their noise.

    Draws from a posterior have about 1, those of an overconfident one more.

    Arguments:
        model: A model that observed a measurement.
        x: Data in the form that the model learned, whole numbers unrounded if possible.

    Returns:
        One number for each row, of shape `(N,)`.
    """
    residuals, data = [], model.schema.unpack(x, torch.float64)
    with torch.enable_grad():
        for each in observed_posterior(model).measurements:
            measured = StandardizedMeasurement(each.measurement, model.schema.layout)
            residuals.append(measured.linearize(data.clone().requires_grad_()).residual)
    return torch.cat(residuals, 1).square().mean(1)
