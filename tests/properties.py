"""Properties of all processes, parametrizations, samplers and level distributions.

`instances` finds the classes by introspection, so that a new class is tested without further work. A class whose constructor
needs arguments, or that should be tested with other arguments than its defaults, has them in `VARIANTS`.
"""

from __future__ import annotations

import abc
import functools
import importlib
import inspect
import itertools
import json
import math
import pkgutil
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import scipy.integrate
import torch
from torch import Tensor, nn

import scorefield
from scorefield import spec
from scorefield.denoisers import ConsistencyFunction, Denoiser, Gaussian, Mixture, Parametrization, Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.mcmc import GaussianLangevin, Langevin, Transition
from scorefield.objectives import DenoisingScoreMatching, LogNormal, NoiseWeighting, SingleLevel, Sphere
from scorefield.processes import EDM, Flow, Process
from scorefield.rng import Rng, Samples
from scorefield.samplers import DPM, Heun, Sampler, Sampling, trajectory
from scorefield.schedules import LogLevel, Schedule, UniformTime

Variants = list[dict[str, Any]] | Callable[[], list[Any]]
"""Arguments of a constructor, or a function that makes instances."""

VARIANTS: dict[str, Variants] = {
    "AnnealedLangevin": [{"transition": GaussianLangevin(0.2), "moves": 3}],
    "Churn": [{"churn": 10.0, "low": 0.0, "high": 100.0}],
    "DDIM": [{"eta": 0.5}, {"eta": 1.0}],
    "DPM": [
        *({"order": 1}, {"order": 3}, {"order": 2, "eta": 1.0}, {"order": 3, "eta": 0.5}, {"eta": 1.5}),
        *({"bounded": True}, {"eta": 1.0, "bounded": True}),
    ],
    "LogLevel": [{"shift": 0.05, "fallback": 20}],
    "EulerMaruyama": [{"eta": 0.5}],
    "IPNDM": [{"order": 2}],
    "PredictorCorrector": [
        {"predictor": Heun(), "corrector": GaussianLangevin(0.1)},
        {"predictor": DPM(3), "corrector": Langevin(0.05), "moves": 2},
    ],
    "TimeWindow": [{"process": Flow(), "start": 0.005, "stop": 0.99}],
    "UniPC": [{"order": 2}],
    "ExponentialAdams": [
        *({"order": 1}, {"order": 2}, {"order": 4}, {"order": 2, "scale": 0.5}),
        *({"order": 2, "eta": 0.5}, {"order": 2, "eta": 1.0}, {"order": 3, "eta": 1.0}, {"order": 2, "eta": 1.5}),
    ],
    "PathLevels": [{"values": (3.0, 1.0, 0.1)}],
    "LogUniform": [{"low": 0.01, "high": 10.0}],
    "DenoisingScoreMatching": [
        {"levels": LogNormal(), "scale": 0.5},
        {"levels": LogNormal(), "weighting": NoiseWeighting()},
    ],
    "ExactScoreMatching": [
        {"levels": LogNormal()},
        {"levels": LogNormal(), "weighting": NoiseWeighting(), "noisy": False},
    ],
    "SlicedScoreMatching": [{"levels": LogNormal()}, {"levels": LogNormal(), "probe": Sphere(), "reduced": False}],
    "LearnedUncertainty": [{"objective": DenoisingScoreMatching(LogNormal())}],
    "LikelihoodWeighting": [{"process": EDM()}],
    "SingleLevel": [{"level": 0.1}],
    "WithLowTail": [{"distribution": LogNormal(), "low": 1e-3, "fraction": 0.1}],
    "ProcessLevels": [{"process": EDM()}, {"process": EDM(), "count": 10}],
}


@functools.cache
def modules(*places: str) -> list[ModuleType]:
    """All modules of the package, or those of some `places`."""
    found = []
    for place in places or ("scorefield",):
        found.append(importlib.import_module(place))
        inside = pkgutil.walk_packages(getattr(found[-1], "__path__", []), f"{place}.")
        found += [importlib.import_module(module.name) for module in inside]
    return found


def is_public(cls: type) -> bool:
    return cls.__module__.split(".")[0] == scorefield.__name__ and not cls.__name__.startswith("_")


def public_bases() -> list[type]:
    """The public abstract bases of the package: classes that inherit from `abc.ABC` themselves."""
    found = {value for module in modules() for value in vars(module).values() if isinstance(value, type)}
    return sorted((cls for cls in found if abc.ABC in cls.__bases__ and is_public(cls)), key=lambda cls: cls.__name__)


def subclasses(base: type, *places: str) -> list[type]:
    """The public concrete subclasses of `base` in the package, or in some `places` of it, sorted by name."""
    modules(*places)
    found, todo = set(), [base]
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        if not inspect.isabstract(cls) and is_public(cls):
            found.add(cls)
    return sorted(found, key=lambda cls: cls.__qualname__)


def needed(cls: type) -> list[str]:
    """The arguments without defaults of a constructor."""
    return [p.name for p in inspect.signature(cls).parameters.values() if p.default is p.empty]


def has_variants(cls: type) -> None:
    """A class whose constructor needs arguments has some to test it with; without them `instances` leaves it out."""
    advice = "add arguments to test it with to properties.VARIANTS"
    assert not needed(cls) or VARIANTS.get(cls.__name__), f"{cls.__name__} needs {needed(cls)}: {advice}"


def instances(base: type, *places: str) -> list[Any]:
    """Instances of each concrete subclass: with its defaults, if that is possible, and those of `VARIANTS`."""
    made = []
    for cls in subclasses(base, *places):
        variants = VARIANTS.get(cls.__name__, [])
        if callable(variants):
            made += variants()
        else:
            made += [cls(**kept) for kept in ([] if needed(cls) else [{}]) + variants]
    return made


# -- exact propagation ---------------------------------------------------------------------------------------------


class Noises(Rng):
    """Chosen noise: call k gives the unit vectors to samples 1 + k n to (k + 1) n, and 0 to all others."""

    def __init__(self) -> None:
        self.calls = 0

    def normal(self, shape, dtype=None, device=None) -> Tensor:
        z = torch.zeros(shape[0], math.prod(shape[1:]), dtype=dtype)
        first, n = 1 + self.calls * z.shape[1], z.shape[1]
        z[first : first + n] = torch.eye(n, dtype=dtype)[: max(len(z) - first, 0)]
        self.calls += 1
        return z.reshape(tuple(shape))

    def uniform(self, shape, dtype=None, device=None) -> Tensor:
        raise NotImplementedError("a sampler that draws uniform numbers is not an affine map of its noise")

    def stratified(self, count, dtype=None, device=None) -> Tensor:
        return self.uniform((count,))

    def child(self, purpose: str) -> Noises:
        return self


class GaussianFlowMap(Denoiser):
    """Where the probability flow takes states of Gaussian data, m + (C / (C + σ²))^½ (x - m), in closed form."""

    distilled_from = "a formula"

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.mean = mean
        self.covariance = covariance

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if self.covariance.ndim > 1:
            values, vectors = torch.linalg.eigh(self.covariance)
        else:
            values, vectors = self.covariance, torch.eye(len(self.covariance)).to(self.covariance)
        shrunk = ((x - self.mean) @ vectors) * torch.sqrt(values / (values + level**2))
        return self.mean + shrunk @ vectors.T


def suited(sampler: Sampler, denoiser: Denoiser) -> Denoiser:
    """What a sampler draws with: the denoiser, or a consistency function, which is exact for Gaussian data."""
    if not sampler.consistency:
        return denoiser
    if isinstance(denoiser, Gaussian):
        return GaussianFlowMap(denoiser.mean, denoiser.covariance)
    return ConsistencyFunction(denoiser, 1e-3, "a mixture")


def propagate(
    sampler: Sampler, diffusion: Diffusion, size: int, steps: int, denoise: bool, grid: Schedule | None = None
) -> list[tuple]:
    """The exact mean `(n,)` and covariance `(n, n)` of the state at each step, with the level.

    For Gaussian data every sampler is an affine map of its noise: its values at the unit vectors determine the moments.
    Nothing is random. Without a grid the steps are uniform in the clock of the process.
    """
    rng, grid = Noises(), grid or UniformTime()
    for _ in trajectory(diffusion, (1, size), Sampling(sampler, steps, grid), rng, denoise):
        pass
    states = trajectory(diffusion, (1 + rng.calls * size, size), Sampling(sampler, steps, grid), Noises(), denoise)
    return [(level, x[0], (x[1:] - x[0]).T @ (x[1:] - x[0])) for level, x in states]


def moment_error(sampler: Sampler, process: Process, data: Gaussian, steps: int) -> tuple[list[Tensor], float]:
    """The relative error of the covariance of each state, as a matrix, and the largest error of a mean.

    The steps are uniform in the logarithm of the level: explicit methods are stable there, for every process.
    """
    grid = LogLevel()
    diffusion = Diffusion(process, suited(sampler, data), data)
    moved = propagate(sampler, diffusion, data.mean.numel(), steps, denoise=False, grid=grid)
    errors, shift = [], 0.0
    for t, (_, mean, covariance) in zip(grid.times(process, steps), moved):
        alpha, sigma = process(t)
        eye = torch.eye(data.mean.numel(), dtype=torch.float64)
        root = torch.linalg.cholesky(alpha**2 * data.covariance + sigma**2 * eye)
        white = torch.linalg.solve_triangular(root, covariance, upper=False)
        errors.append(torch.linalg.solve_triangular(root, white.T, upper=False) - eye)
        difference = torch.linalg.solve_triangular(root, (mean - alpha * data.mean)[:, None], upper=False)
        shift = max(shift, float(difference.norm()))
    return errors[:-1] if sampler.consistency else errors, shift  # whose last state has no noise


# The printed digits are errors of the standard deviation, std/0.5 - 1, for data N(1, 0.5²), the levels of Karras et al.
# (2022) with ρ = 7 from 80 to 0.002, and the exact distribution of x_T. n steps are n levels and then 0: n - 1 steps
# between levels and a last evaluation that denoises (an Euler step to level 0 gives the denoised mean).
STEPS = (8, 16, 32, 64, 128, 256)


def table_errors(sampler: Sampler, steps: int) -> tuple[float, float]:
    """The errors of the mean and of the standard deviation."""
    data = Gaussian(torch.ones(1, dtype=torch.float64), torch.full((1, 1), 0.25, dtype=torch.float64))
    diffusion = Diffusion(EDM(0.002, 80.0, 7.0), suited(sampler, data), data)
    _, mean, covariance = propagate(sampler, diffusion, 1, steps - 1, denoise=True)[-1]
    return float(mean) - 1, math.sqrt(float(covariance)) / 0.5 - 1


def table_error(sampler: Sampler, steps: int) -> float:
    shift, error = table_errors(sampler, steps)
    assert abs(shift) < 1e-12  # every scheme of the table keeps the mean
    return error


def example_gaussian() -> Gaussian:
    mean = torch.tensor([0.1, -0.2], dtype=torch.float64)
    return Gaussian(mean, torch.tensor([[1.0, 0.3], [0.3, 0.25]], dtype=torch.float64))


def example_mixture() -> Mixture:
    means = torch.tensor([[-1.0, 0.5], [1.0, 0.0], [0.3, -1.2]], dtype=torch.float64)
    return Mixture(means, torch.tensor([0.5, 0.3, 0.4]).double(), torch.tensor([0.2, 0.5, 0.3]).double())


# -- of all objects ------------------------------------------------------------------------------------------------


def is_a_frozen_value(value: Any) -> None:
    """Hyperparameters cannot be changed, compare by value, and survive JSON."""
    assert type(value).__dataclass_params__.frozen
    again = spec.build(json.loads(json.dumps(spec.describe(value))))
    assert again == value
    assert type(again) is type(value)


# -- of processes --------------------------------------------------------------------------------------------------

GRID = torch.linspace(0, 1, 2001, dtype=torch.float64)


def level_increases(process: Process) -> None:
    level = process.level(GRID)
    assert bool((level > 0).all())
    assert bool((level.diff() > 0).all())


def data_become_noise(process: Process) -> None:
    """At t = 0 there is hardly any noise, at t = 1 hardly any data of unit variance."""
    assert float(process.level(GRID[0])) < 0.05
    assert float(process.level(GRID[-1])) > 5
    assert abs(float(process.alpha(GRID[0])) - 1) < 1e-2


def time_inverts_level(process: Process) -> None:
    torch.testing.assert_close(process.time(process.level(GRID)), GRID, rtol=0, atol=1e-10)
    low, high = process.level(GRID[0]), process.level(GRID[-1])
    ends = process.time(torch.stack([low / 10, high * 10]))
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-12)


def rates_are_derivatives(process: Process) -> None:
    """Against central differences of fourth order, whose own error bounds the comparison."""
    h, t = 1e-4, torch.linspace(0.02, 0.98, 97, dtype=torch.float64)
    with torch.no_grad():
        rates = process.rates(t)
    for scale, rate in zip((process.alpha, process.sigma), rates):
        slope = (8 * (scale(t + h) - scale(t - h)) - (scale(t + 2 * h) - scale(t - 2 * h))) / (12 * h)
        torch.testing.assert_close(rate, slope, rtol=1e-6, atol=1e-9)


def noise_is_added(process: Process) -> None:
    assert bool((process.sde(GRID)[1] > 0).all())


def sde_has_the_marginals(process: Process) -> None:
    """dm/dt = f m and dv/dt = 2 f v + g² take (α_0, σ_0²) to (α_t, σ_t²)."""

    def slope(t: float, state: np.ndarray) -> list[float]:
        f, square = (float(c) for c in process.sde(torch.tensor(t, dtype=torch.float64)))
        return [f * state[0], 2 * f * state[1] + square]

    alpha, sigma = process(GRID[::400])
    start, times = [float(alpha[0]), float(sigma[0]) ** 2], GRID[::400].numpy()
    end = scipy.integrate.solve_ivp(slope, (0, 1), start, "DOP853", times, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(end.y[0], alpha, rtol=1e-8)
    np.testing.assert_allclose(end.y[1], sigma**2, rtol=1e-8)


def float32_is_enough(process: Process) -> None:
    """No digits are lost at tiny t, where a naive 1 - exp would lose all of them."""
    t = torch.cat([torch.zeros(1), torch.logspace(-9, -3, 61)])
    for single, double in zip(process(t), process(t.double())):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-6, atol=0)


def times_broadcast(process: Process) -> None:
    t = GRID[::500]
    for shape in ((), (5, 1, 1)):
        for several, one in zip((*process(t), *process.rates(t)), (*process(t[2]), *process.rates(t[2]))):
            torch.testing.assert_close(several[2], one, rtol=1e-14, atol=0)
        at = t[2] if shape == () else t.reshape(shape)
        assert process.mix(torch.ones(5, 2, 3).double(), torch.ones(5, 2, 3).double(), at).shape == (5, 2, 3)
        assert process.level(at).shape == process.rates(at)[0].shape == at.shape


# -- of parametrizations -------------------------------------------------------------------------------------------


class Answer(nn.Module):
    """A network with a constant output, one number everywhere or a tensor of its own; it records its input."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        self.asked = x, c
        return self.answer if self.answer.ndim else self.answer.expand_as(x)


def prediction(parametrization: Parametrization, x: Tensor, level: Tensor, mean: Tensor) -> Tensor:
    """The network output for which the denoiser gives `mean`."""
    skip, out = parametrization.coefficients(level)
    return (mean - skip * x) / out


def answers_determine_the_mean(one: Parametrization, other: Parametrization) -> None:
    """mean → F of one → mean → F of the other → mean, at levels across 8 decades."""
    level = torch.logspace(-4, 4, 33, dtype=torch.float64)[:, None]
    rng = Samples(seed=1, count=len(level))
    mean = rng.normal((33, 3), torch.float64)
    x = mean + level * rng.normal((33, 3), torch.float64)
    back = mean
    for each in (one, other, one):
        back = Preconditioned(Answer(prediction(each, x, level, back)), each)(x, level)
    # the mean is a small difference of x and σF where the level is high: measured in units of what is subtracted
    assert float(((back - mean).abs() / (1 + x.abs())).max()) < 1e-12


def coefficients_are_smooth(parametrization: Parametrization) -> None:
    level = torch.logspace(-6, 6, 241, dtype=torch.float64)
    skip, out = parametrization.coefficients(level)
    assert skip.shape == out.shape == level.shape
    assert bool(torch.isfinite(skip).all() & torch.isfinite(out).all())
    assert bool((out.sign() == out[0].sign()).all() & (out != 0).all())
    single = parametrization.coefficients(level.float())
    for short, full in zip(single, (skip, out)):
        torch.testing.assert_close(short.double(), full, rtol=1e-6, atol=0)


# -- of samplers ---------------------------------------------------------------------------------------------------


def converges_to_the_marginals(sampler: Sampler, process: Process) -> None:
    """The exact mean and covariance of the state, for Gaussian data, converge to those of p_t at every time.

    Samplers that run chains converge to within the bias of the chains.
    """
    data = example_gaussian()
    (coarse, drift), (fine, shift) = (moment_error(sampler, process, data, steps) for steps in (24, 96))
    before, after = (max(float(e.norm()) for e in errors) for errors in (coarse, fine))
    bias = 0.07 if any(isinstance(value, Transition) for value in vars(sampler).values()) else 1e-9
    assert after < 0.4 and shift < 0.01
    assert after + shift < max(bias, 0.7 * (before + drift))


RECORDED = (16, 32, 64)  # steps


def has_its_recorded_moments(sampler: Sampler, recorded: dict[str, list[list[float]]]) -> None:
    """The exact errors of the mean and the standard deviation are the recorded ones, to 4 digits or 1e-9."""
    np.testing.assert_allclose(moments_of(sampler), recorded[label(sampler)], rtol=2e-3, atol=1e-9)


def moments_of(sampler: Sampler) -> list[list[float]]:
    """The exact errors as they are recorded."""
    return [[float(f"{error:.4g}") for error in table_errors(sampler, steps)] for steps in RECORDED]


def are_recorded(samplers: list[Sampler], recorded: dict[str, list[list[float]]]) -> None:
    """Every sampler has a record: the other tests hold for new ones without it."""
    new = {label(s): moments_of(s) for s in samplers if label(s) not in recorded}
    assert not new, f"new samplers: check these errors, and add them to moments.json: {json.dumps(new)}"


def samples_are_independent_of_the_batch(sampler: Sampler, process: Process) -> None:
    """Sample i is the same by itself, and in a batch with another start."""
    mixture = example_mixture()
    diffusion = Diffusion(process, suited(sampler, mixture), mixture.moments())

    def draw(start: int, count: int) -> Tensor:
        states = trajectory(diffusion, (count, 2), Sampling(sampler, 6), Samples(3, start, count), dtype=torch.float64)
        return torch.stack([x for _, x in states])

    whole = draw(0, 5)
    for start, count in ((3, 1), (2, 3)):
        alone = draw(start, count)
        torch.testing.assert_close(alone, whole[:, start : start + count], rtol=1e-6, atol=1e-6)


def visits_all_times(sampler: Sampler, process: Process) -> None:
    """There is one state per time, of the same shape and type, and the first is the initial state."""
    shape = (2, 3, 1, 2)
    data = Gaussian(torch.zeros(shape[1:]), torch.ones(shape[1:]))
    times = torch.tensor([1.0, 0.6, 0.3, 0.0])
    x = Samples(seed=0, count=2).normal(shape)
    states = list(sampler.trajectory(Diffusion(process, data, data), x, times, Samples(seed=1, count=2)))
    assert torch.equal(states[0], x)
    assert [(y.shape, y.dtype) for y in states] == [(torch.Size(shape), torch.float32)] * 4
    assert not torch.equal(states[-1], states[-2])


# -- of level distributions ----------------------------------------------------------------------------------------


def draw_is_a_quantile(levels: Any) -> None:
    u = torch.linspace(0, 1 - 2**-24, 1001)
    level = levels.draw(u)
    assert level.shape == u.shape and level.dtype == u.dtype
    assert bool((level > 0).all() & torch.isfinite(level).all())
    assert bool((level.diff() >= 0).all())
    assert isinstance(levels, SingleLevel) or float(level[-1]) > 10 * float(level[0])


def all_pairs(*kinds: list) -> list[tuple]:
    return list(itertools.product(*kinds))


def label(value: Any) -> str:
    if isinstance(value, Denoiser):
        return type(value).__name__
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value)).replace(" ", "")  # the same in every process
