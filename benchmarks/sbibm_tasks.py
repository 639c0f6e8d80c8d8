"""The tasks of the public benchmark sbibm (Lueckmann et al., 2021) by their definitions, and its files as published."""

from __future__ import annotations

import bz2
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.distributions import Distribution, Independent, LogNormal, MultivariateNormal, Normal, Uniform

__all__ = ["Observation", "Task", "observation", "tasks"]

Array = np.ndarray
Simulator = Callable[[np.random.Generator, Array], Array]


@dataclass(frozen=True)
class Task:
    """A simulator with its prior.

    Arguments:
        prior: The distribution of the parameters, of event shape `(P,)`.
        simulate: The simulator: parameters `(N, P)` to data `(N, Q)`.
        folder: The folder of its files; several tasks may have one.
        points: The number of independent points that the data are; a second column of results says this to the method.
        data: The name of the file of an observation.
    """

    prior: Distribution
    simulate: Simulator
    folder: str
    points: int = 1
    data: str = "observation.csv"

    def draw(self, seed: int, count: int) -> tuple[Array, Array]:
        """Pairs of parameters and data, `(N, P)` and `(N, Q)`."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            theta = self.prior.sample((count,)).double().numpy()
        return theta, self.simulate(np.random.default_rng(seed), theta)


@dataclass(frozen=True)
class Observation:
    """A published observation: its data `(Q,)`, the true parameters `(P,)`, and draws from the posterior `(10,000, P)`."""

    x: Array
    truth: Array
    reference: Array


def observation(folder: Path, task: Task, number: int) -> Observation:
    """Reads a published observation."""
    place = folder / task.folder / str(number)
    x, truth = (
        np.loadtxt(place / name, delimiter=",", skiprows=1, ndmin=1) for name in (task.data, "true_parameters.csv")
    )
    with bz2.open(place / "reference_posterior_samples.csv.bz2", "rt") as file:
        reference = np.loadtxt(file, delimiter=",", skiprows=1)
    return Observation(x, truth, reference)


def _box(low: float, high: float, size: int) -> Distribution:
    return Independent(Uniform(torch.full((size,), float(low)), torch.full((size,), float(high))), 1)


def two_moons(rng: np.random.Generator, theta: Array) -> Array:
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, len(theta)), rng.normal(0.1, 0.01, len(theta))
    crescent = np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], 1)
    return crescent + np.stack([-np.abs(theta.sum(1)), theta[:, 1] - theta[:, 0]], 1) / math.sqrt(2)


def gaussian_mixture(rng: np.random.Generator, theta: Array) -> Array:
    return theta + rng.choice([1.0, 0.1], size=(len(theta), 1)) * rng.normal(size=theta.shape)


def gaussian_linear(rng: np.random.Generator, theta: Array) -> Array:
    return theta + math.sqrt(0.1) * rng.normal(size=theta.shape)


def slcp(rng: np.random.Generator, theta: Array) -> Array:
    first, second, rho = theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])
    z = rng.normal(size=(len(theta), 4, 2))
    a = first[:, None] * z[..., 0]
    b = second[:, None] * (rho[:, None] * z[..., 0] + np.sqrt(1 - rho**2)[:, None] * z[..., 1])
    return (theta[:, None, :2] + np.stack([a, b], 2)).reshape(len(theta), 8)


class BernoulliGLM:
    """Spikes by a logistic model: the design matrix `(100, 10)` and the stimulus `(100,)` are files of the benchmark."""

    def __init__(self, folder: Path, raw: bool) -> None:
        self.design = np.load(folder / "bernoulli_glm" / "design_matrix.npy")
        self.stimulus = np.load(folder / "bernoulli_glm" / "stimulus_I.npy")
        self.raw = raw

    def __call__(self, rng: np.random.Generator, theta: Array) -> Array:
        p = 1 / (1 + np.exp(-theta @ self.design.T))
        spikes = (rng.random(p.shape) < p).astype(float)
        return spikes if self.raw else self.statistics(spikes)

    def statistics(self, spikes: Array) -> Array:
        """The number of spikes, and nine lags of their correlation with the stimulus, `(N, 100)` to `(N, 10)`."""
        padded = np.concatenate([np.zeros(8), self.stimulus])
        lagged = np.stack([padded[8 - lag : 108 - lag] for lag in range(9)], 1)
        return np.concatenate([spikes.sum(1, keepdims=True), spikes @ lagged], 1)

    @staticmethod
    def prior() -> Distribution:
        """An offset of variance 2, and a smooth filter of nine numbers."""
        f = np.eye(9) * (1 + np.sqrt(np.arange(9) / 9)) - 2 * np.eye(9, k=-1) + np.eye(9, k=-2)
        precision = torch.zeros(10, 10)
        precision[0, 0], precision[1:, 1:] = 0.5, torch.from_numpy(f.T @ f)
        return MultivariateNormal(torch.zeros(10), precision_matrix=precision)


def _trajectory(rate: Callable[[Array], Array], start: Array, step: float, every: int, kept: int) -> Array:
    """States `(N, S)` at times 0, every · step, …, by the classical Runge-Kutta method: `(N, kept, S)`."""
    state, found = start, [start]
    for _ in range(kept - 1):
        for _ in range(every):
            a = rate(state)
            b = rate(state + step / 2 * a)
            c = rate(state + step / 2 * b)
            state = state + step / 6 * (a + 2 * b + 2 * c + rate(state + step * c))
        found.append(state)
    return np.stack(found, 1)


def sir(rng: np.random.Generator, theta: Array) -> Array:
    people, (beta, gamma) = 1e6, theta.T

    def rate(state: Array) -> Array:
        new, healed = beta * state[:, 0] * state[:, 1] / people, gamma * state[:, 1]
        return np.stack([-new, new - healed], 1)

    start = np.tile([people - 1, 1.0], (len(theta), 1))
    infected = _trajectory(rate, start, 0.25, 68, 10)[:, :, 1]
    return rng.binomial(1000, np.clip(infected / people, 0, 1)).astype(float)


def lotka_volterra(rng: np.random.Generator, theta: Array) -> Array:
    alpha, beta, gamma, delta = theta.T

    def rate(log_state: Array) -> Array:  # of logarithms, which stay finite
        prey, predators = np.exp(np.clip(log_state, -60, 60)).T
        return np.stack([alpha - beta * predators, -gamma + delta * prey], 1)

    start = np.tile(np.log([30.0, 1.0]), (len(theta), 1))
    found = _trajectory(rate, start, 0.01, 210, 10)
    return np.exp(found.transpose(0, 2, 1).reshape(len(theta), 20) + 0.1 * rng.normal(size=(len(theta), 20)))


def tasks(folder: Path) -> dict[str, Task]:
    """All nine tasks; the design of the spiking neuron is read from the folder."""
    epidemic = LogNormal(torch.tensor([math.log(0.4), math.log(0.125)]), torch.tensor([0.5, 0.2]))
    rates = LogNormal(torch.tensor([-0.125, -3.0, -0.125, -3.0]), torch.full((4,), 0.5))
    normal = Independent(Normal(torch.zeros(10), torch.full((10,), math.sqrt(0.1))), 1)
    spikes = BernoulliGLM.prior()
    return {
        "two_moons": Task(_box(-1, 1, 2), two_moons, "two_moons"),
        "gaussian_mixture": Task(_box(-10, 10, 2), gaussian_mixture, "gaussian_mixture"),
        "gaussian_linear": Task(normal, gaussian_linear, "gaussian_linear"),
        "gaussian_linear_uniform": Task(_box(-1, 1, 10), gaussian_linear, "gaussian_linear_uniform"),
        "slcp": Task(_box(-3, 3, 5), slcp, "slcp", points=4),
        "bernoulli_glm": Task(spikes, BernoulliGLM(folder, False), "bernoulli_glm"),
        "bernoulli_glm_raw": Task(spikes, BernoulliGLM(folder, True), "bernoulli_glm", data="observation_raw.csv"),
        "sir": Task(Independent(epidemic, 1), sir, "sir"),
        "lotka_volterra": Task(Independent(rates, 1), lotka_volterra, "lotka_volterra"),
    }
