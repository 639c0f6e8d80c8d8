"""Posteriors of models: their evidence, by particles, and whether a method is to be trusted with a measurement."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .denoisers import Gaussian
from .deprecation import renamed_arguments
from .diffusion import Diffusion
from .display import Facts, displayed
from .mcmc import WeightedSamples
from .metrics import Calibration, calibration
from .model import Model
from .posterior import MomentMatching, Posterior, StandardizedMeasurement, TwistedSMC, exact_posterior, twisted_smc
from .rng import Samples
from .samplers import Sampling, SamplingLike, sample

__all__ = ["PosteriorCheck", "check_posterior", "evidence", "misfit"]

_DENSE = 2048  # up to this many numbers the covariance of data is a matrix
_COORDINATES, _PROJECTIONS = 16, 12  # up to how many coordinates are ranked, and how many projections beyond
_PRIOR_DRAWS = 128
_AT_ONCE = 400_000  # numbers that a batch of states holds
_FAR = 1e4  # a level at which states have no information


def _posterior_of(model: Model) -> Posterior:
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
    posterior = _posterior_of(model)
    if len(posterior.measurements) > 1:
        raise ValueError(f"particles take one measurement, got {len(posterior.measurements)}: join them into one")
    if len(model.schema.inner_shape) == 1:
        posterior = copy.deepcopy(posterior).double()
    diffusion = dataclasses.replace(model.diffusion, denoiser=posterior)
    shape, device = model.standardize.state_shape, model.device
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
        for each in _posterior_of(model).measurements:
            measured = StandardizedMeasurement(each.measurement, model.schema.layout)
            residuals.append(measured.linearize(data.clone().requires_grad_()).residual)
    return torch.cat(residuals, 1).square().mean(1)


@displayed
@dataclass(frozen=True)
class PosteriorCheck:
    """How a method does on simulated measurements of Gaussian data.

    Arguments:
        calibration: How the truth ranks among the draws, over all simulations.
        width: The variance of the draws over the exact one, about 1; None where that is not known.
        shift: How far the mean of the draws is from the exact one, in exact standard deviations; None where that is not known.
        surprise: How often the twin makes a measurement as far out as this one; None where that is not known.
        twin: What the Gaussian data were like, in words.
        seconds: What it took.
    """

    calibration: Calibration
    width: float | None
    shift: float | None
    surprise: float | None
    twin: str
    seconds: float

    def _facts(self) -> Facts:
        return f"PosteriorCheck: {'trusted' if self.trusted else 'not trusted'}", {"verdict": " ".join(self.verdict)}

    @property
    def trusted(self) -> bool:
        """Whether no test rejects the draws, and the mean and the width are within a tenth, where they are known."""
        near = self.width is None or (abs(self.width - 1) < 0.1 and (self.shift or 0) < 0.1)
        return self.calibration.passed() and near

    @property
    def verdict(self) -> list[str]:
        """What it means, in sentences."""
        sentences = [f"Twin: {self.twin}.", self.calibration.verdict]
        if self.width is not None:
            found = f"{self.width:.3f} of the variance, {self.shift:.3f} deviations aside"
            sentences.append(f"Against the exact posterior: {found}.")
        if self.trusted:
            caution = "with data of several modes, every method but evidence() weighs them wrongly"
            sentences += [
                "Method, sampler and steps do what they should with this operator and this noise.",
                f"That the data are as the model says, and are like Gaussian ones here, is not tested: {caution}.",
            ]
        else:
            instead = "take MomentMatching with more iterations, or more steps, and check again"
            sentences.append(f"Do not trust these draws: {instead}.")
        if self.surprise is not None and self.surprise < 0.01:
            surprise = f"p = {self.surprise:.2g}"
            sentences.append(f"The measurement is far out for such data ({surprise}): are its units and noise right?")
        return sentences


@renamed_arguments(sampler="sampling")
def check_posterior(
    model: Model,
    simulations: int = 200,
    draws: int = 32,
    seed: int = 0,
    sampling: SamplingLike = None,
    steps: int | None = None,
) -> PosteriorCheck:
    """Runs the method and the settings of a posterior on Gaussian data of the model's moments, where the truth is known.

    Data are drawn from the twin, measured as the real data point was, and drawn again from the posterior. The truth must rank
    evenly among the draws (`metrics.calibration`); for linear operators with Gaussian noise the exact posterior is known as
    well. The twin of vectors has their covariance; that of grids is stationary, with the variance of each point and the
    correlations of draws of the model, or only variances where grids are large.

    Arguments:
        model: A model that observed a measurement.
        simulations: How many data are drawn from the twin.
        draws: How many times each is drawn again.
        seed: The seed.
        sampling: How the draws are made; by default, and where it does not say it, as the model draws.
        steps: The number of steps where `sampling` does not say it.

    Raises:
        ValueError: If the model observed no measurement, or there are fewer than 8 simulations.
    """
    begin = time.perf_counter()
    posterior = _posterior_of(model)
    twin, description = _twin(model, seed)
    truth = twin.sample(simulations, Samples(seed, 0, simulations, "check"))
    measured = posterior.measured
    y = measured.measurement.noise.draw(measured.ideal(truth), Samples(seed, 0, simulations, "check noise"))
    units = posterior.layout, posterior.units
    simulated = Posterior(twin, measured.measurement, posterior.method, *units, twin)
    drawn = _drawn(model, simulated, y, draws, seed, Sampling.of(sampling, steps).merged(model.sampling))
    axes = _axes(twin, seed)

    def project(x: Tensor) -> Tensor:
        return (x - twin.mean).flatten(-len(twin.mean.shape)) @ axes

    guide = Posterior(twin, measured.measurement, MomentMatching(64, 1e-8), *units).about(y)
    centre = project(guide(twin.mean.expand(truth.shape), truth.new_tensor(_FAR)))
    spread = project(twin.sample(simulations, Samples(seed, 0, simulations, "check references")))
    found = project(drawn)
    judged = calibration(project(truth), found, centre + spread, seed=seed)
    width = shift = surprise = None
    if measured.linear_gaussian and truth[0].numel() <= _DENSE:
        exact = exact_posterior(twin, measured).distribution
        variance = ((exact.covariance @ axes) * axes).sum(0)  # type: ignore[operator]
        width = float((found.var(1).mean(0) / variance).mean())
        squared_shift = ((found.mean(1) - centre) ** 2 / variance).mean() - (found.var(1) / variance).mean() / draws
        shift = math.sqrt(max(float(squared_shift), 0.0))
        surprise = _surprise(twin, measured)
    return PosteriorCheck(judged, width, shift, surprise, description, time.perf_counter() - begin)


def _twin(model: Model, seed: int) -> tuple[Gaussian, str]:
    """Gaussian data like those of the model, and what they are, in words."""
    posterior = _posterior_of(model)
    moments = posterior.moments or model.moments
    mean, covariance = moments.mean.double().cpu(), moments.covariance.double().cpu()
    twin, size = Gaussian(mean, covariance), mean.numel()
    if not twin.diagonal:
        return twin, f"Gaussian, with the mean and the covariance of the data ({size} numbers)"
    if mean.ndim < 2 or size > _DENSE:
        return twin, f"Gaussian, with the mean and the variances of the data, {size} independent numbers"
    diffusion = Diffusion(model.process, posterior.prior, moments).samples(torch.arange(_PRIOR_DRAWS))
    rng, shape = Samples(seed, 0, _PRIOR_DRAWS, "twin"), (_PRIOR_DRAWS, *mean.shape)
    x = sample(diffusion, shape, model.sampling, rng, device=model.device).cpu()
    std = covariance.sqrt()
    full = std.flatten()[:, None] * _correlations((x - mean) / std.clamp_min(1e-6)) * std.flatten()
    return Gaussian(mean, full), f"stationary Gaussian, with the correlations of {_PRIOR_DRAWS} draws of the model"


def _correlations(x: Tensor) -> Tensor:
    """Stationary correlations, periodic, of each channel by itself: `(B, C, *S)` to `(n, n)`."""
    axes, sides = tuple(range(2, x.ndim)), x.shape[2:]
    power = torch.fft.fftn(x.clamp(-10, 10), dim=axes).abs().square().mean(0)
    lags = torch.fft.ifftn(power, dim=tuple(range(1, x.ndim - 1))).real
    lags = lags / lags.flatten(1)[:, :1].reshape(-1, *(1,) * len(sides))
    places = torch.cartesian_prod(*(torch.arange(n) for n in sides)).reshape(-1, len(sides))
    apart = (places[:, None] - places[None]) % torch.tensor(sides)
    return torch.block_diag(*(channel[tuple(apart.unbind(-1))] for channel in lags))  # type: ignore[no-any-return, no-untyped-call]


def _drawn(model: Model, posterior: Posterior, y: Tensor, draws: int, seed: int, sampling: Sampling) -> Tensor:
    """Draws conditioned on each of several measurements, of shape `(N, draws, *D)`."""
    found, start = [], 0
    for some in y.split(max(1, _AT_ONCE // (draws * model.moments.mean.numel()))):  # type: ignore[no-untyped-call]
        rng = Samples(seed, start * draws, len(some) * draws, "check draws")
        diffusion = Diffusion(model.process, posterior.about(some.repeat_interleave(draws, 0)), posterior.moments)
        x = sample(diffusion, (rng.count, *model.standardize.state_shape), sampling, rng)
        found.append(x.unflatten(0, (len(some), draws)))  # type: ignore[no-untyped-call]
        start += len(some)
    return torch.cat(found)


def _axes(twin: Gaussian, seed: int) -> Tensor:
    """Directions along which draws are ranked, `(n, P)`: the coordinates, or those of some draws of the twin."""
    size = twin.mean.numel()
    if size <= _COORDINATES:
        return torch.eye(size, dtype=torch.float64)
    axes = (twin.sample(_PROJECTIONS, Samples(seed, 0, _PROJECTIONS, "check axes")) - twin.mean).flatten(1)
    return (axes / axes.norm(dim=1, keepdim=True)).T  # type: ignore[no-any-return]


def _surprise(twin: Gaussian, measured: StandardizedMeasurement) -> float:
    """How often a measurement of the twin is as far out as this one."""
    noise, n = measured.measurement.noise, twin.mean.numel()
    a = measured.ideal(twin.mean[None])
    columns = measured.tangent(torch.eye(n, dtype=torch.float64).reshape(n, *twin.mean.shape))
    g, r = noise.whiten(columns, a).T, noise.whiten(measured.numbers(a) - a, a)[0]
    covariance = twin.covariance.flatten().diag() if twin.diagonal else twin.covariance
    total = g @ covariance @ g.T + torch.eye(len(g), dtype=torch.float64)
    square = r @ torch.linalg.solve(total, r)
    return float(torch.special.gammaincc(torch.tensor(len(r) / 2, dtype=torch.float64), square / 2))
