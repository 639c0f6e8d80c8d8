"""Simulation-based inference on tasks of sbibm (Lueckmann et al., 2021): C2ST between posterior draws and reference ones.

    python benchmarks/sbi.py [--tasks two_moons slcp …] [--methods npse nle] [--simulations 10000 100000] [-o runs/sbi]

The simulators follow their published definitions. Reference draws are exact. Observations are drawn from the prior predictive
distribution with fixed seeds: they are not the ten of sbibm's files. Printed are minutes of training, and C2ST (two layers of
10 P units, five folds) for each observation and on average; 0.5 is ideal. For SLCP, an observation is given as a set of four
independent points (`(N, 4, 2)`), which the methods of the paper do not know.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from scorefield.interop import NLE, NPSE
from scorefield.metrics import c2st
from scorefield.settings import Network, Training

Array = np.ndarray


@dataclass(frozen=True)
class Task:
    """A simulator with its prior, its bounds, and an exact posterior sampler."""

    prior: Callable[[np.random.Generator, int], Array]
    simulate: Callable[[np.random.Generator, Array], Array]
    posterior: Callable[[np.random.Generator, Array, int], Array]
    bounds: tuple[float, float] | None
    rows: int = 1  # exchangeable rows of an observation
    size: int = 2  # of the parameters

    @property
    def prior_distribution(self) -> torch.distributions.Distribution:
        """The prior: uniform within the bounds, or normal with the variance 0.1."""
        if self.bounds is None:
            return torch.distributions.Normal(torch.zeros(self.size), torch.full((self.size,), 0.1**0.5))
        return torch.distributions.Uniform(*(torch.full((self.size,), bound) for bound in self.bounds))

    def shaped(self, x: Array) -> Array:
        """Observations in the shape used for training."""
        return x if self.rows == 1 else x.reshape(len(x), self.rows, -1)


def box(low: float, high: float, size: int) -> Callable[[np.random.Generator, int], Array]:
    return lambda rng, count: rng.uniform(low, high, size=(count, size))


def moons(rng: np.random.Generator, theta: Array) -> Array:
    u = np.stack([-np.abs(theta.sum(1)), theta[:, 1] - theta[:, 0]], 1) / np.sqrt(2)
    return crescent(rng, len(theta)) + u


def crescent(rng: np.random.Generator, count: int) -> Array:
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, count), rng.normal(0.1, 0.01, count)
    return np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], 1)


def moons_posterior(rng: np.random.Generator, x: Array, count: int) -> Array:
    """Draws the added crescent again; the rest is a rotation, up to a sign."""
    found: list[Array] = []
    while sum(map(len, found)) < count:
        p = crescent(rng, 4 * count)
        size, other = p[:, 0] - x[0], x[1] - p[:, 1]
        total = rng.choice([-1, 1], 4 * count) * size
        theta = np.stack([total - other, total + other], 1) / np.sqrt(2)
        found.append(theta[(size >= 0) & (np.abs(theta) < 1).all(1)])
    return np.concatenate(found)[:count]


def mixture(rng: np.random.Generator, theta: Array) -> Array:
    scale = rng.choice([1.0, 0.1], size=(len(theta), 1))
    return theta + scale * rng.normal(size=theta.shape)


def mixture_posterior(rng: np.random.Generator, x: Array, count: int) -> Array:
    found: list[Array] = []
    while sum(map(len, found)) < count:
        theta = mixture(rng, np.tile(x, (4 * count, 1)))
        found.append(theta[(np.abs(theta) < 10).all(1)])
    return np.concatenate(found)[:count]


def slcp_moments(theta: Array) -> tuple[Array, Array, Array, Array]:
    return theta[:, :2], theta[:, 2] ** 2, theta[:, 3] ** 2, np.tanh(theta[:, 4])


def slcp(rng: np.random.Generator, theta: Array) -> Array:
    mean, first, second, rho = slcp_moments(theta)
    z = rng.normal(size=(len(theta), 4, 2))
    a = first[:, None] * z[..., 0]
    b = second[:, None] * (rho[:, None] * z[..., 0] + np.sqrt(1 - rho**2)[:, None] * z[..., 1])
    return (mean[:, None] + np.stack([a, b], 2)).reshape(len(theta), 8)


def slcp_posterior(rng: np.random.Generator, x: Array, count: int) -> Array:
    """Rejection sampling from a normal-inverse-Wishart distribution.

    Under the density |Σ|^(-5.5/2) exp(-tr(S Σ⁻¹)/2) N(m; x̄, Σ/4), S being the scatter of the four points, Σ⁻¹ is Wishart with
    ν = 2.5, and the likelihood in θ, with |dΣ/dθ| = 16 (s₁ s₂)^2.5 (1 - ρ²), is that density times (1 - ρ²)^¼ and a constant.
    The signs of θ₃ and θ₄, which the data do not determine, are drawn.
    """
    points = x.reshape(4, 2)
    centre = points.mean(0)
    root = np.linalg.cholesky(np.linalg.inv((points - centre).T @ (points - centre)))
    found: list[Array] = []
    while sum(map(len, found)) < count:
        many = 20 * count
        triangle = np.zeros((many, 2, 2))
        triangle[:, 0, 0], triangle[:, 1, 1] = np.sqrt(rng.chisquare(2.5, many)), np.sqrt(rng.chisquare(1.5, many))
        triangle[:, 1, 0] = rng.normal(size=many)
        half = np.linalg.inv(root @ triangle)  # Σ = halfᵀ half
        covariance = half.transpose(0, 2, 1) @ half
        first, second = np.sqrt(covariance[:, 0, 0]), np.sqrt(covariance[:, 1, 1])
        rho = covariance[:, 0, 1] / (first * second)
        mean = centre + 0.5 * np.einsum("nij,ni->nj", half, rng.normal(size=(many, 2)))
        signs = rng.choice([-1, 1], size=(many, 2))
        scales = signs * np.sqrt(np.stack([first, second], 1))
        theta = np.concatenate([mean, scales, np.arctanh(rho)[:, None]], 1)
        found.append(theta[(rng.random(many) < (1 - rho**2) ** 0.25) & (np.abs(theta) < 3).all(1)])
    return np.concatenate(found)[:count]


TASKS = {
    "two_moons": Task(box(-1, 1, 2), moons, moons_posterior, (-1.0, 1.0)),
    "gaussian_mixture": Task(box(-10, 10, 2), mixture, mixture_posterior, (-10.0, 10.0)),
    "gaussian_linear": Task(
        lambda rng, count: np.sqrt(0.1) * rng.normal(size=(count, 10)),
        lambda rng, theta: theta + np.sqrt(0.1) * rng.normal(size=theta.shape),
        lambda rng, x, count: x / 2 + np.sqrt(0.05) * rng.normal(size=(count, len(x))),
        None,
        size=10,
    ),
    "slcp": Task(box(-3, 3, 5), slcp, slcp_posterior, (-3.0, 3.0), rows=4, size=5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--simulations", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--methods", nargs="+", choices=("npse", "nle"), default=["npse", "nle"])
    parser.add_argument("--observations", type=int, default=10)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/sbi"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for count in options.simulations:
        for name in options.tasks:
            for method in options.methods:
                minutes, found = measure(TASKS[name], name, method, count, options)
                words = f"{minutes:.1f} min, C2ST {np.mean(found):.3f} (sd {np.std(found):.3f})"
                print(f"{name}, {method}, {count:,} simulations: {words}", flush=True)
                plain = {"c2st": found, "minutes": minutes}
                (options.output / f"{name}_{method}_{count}.json").write_text(json.dumps(plain))


def measure(task: Task, name: str, method: str, count: int, options: argparse.Namespace) -> tuple[float, list[float]]:
    """Minutes of training, and C2ST for each observation."""
    rng = np.random.default_rng(0)
    theta = task.prior(rng, count)
    inference = NLE(task.prior_distribution) if method == "nle" else NPSE(task.bounds)
    inference.append_simulations(theta, task.shaped(task.simulate(rng, theta)))
    network = Network(widths=(options.width,)) if options.width else None
    start = time.perf_counter()
    inference.train(training=Training(steps=options.steps, unconditional=0.0), network=network)
    minutes = (time.perf_counter() - start) / 60
    posterior, found = inference.build_posterior(), []
    for i in range(options.observations):
        rng, start = np.random.default_rng(1000 + i), time.perf_counter()
        x = task.simulate(rng, task.prior(rng, 1))[0]
        reference = task.posterior(rng, x, options.draws)
        drawn = posterior.sample((options.draws,), x=task.shaped(x[None])[0], seed=i)
        seconds = time.perf_counter() - start
        found.append(c2st(drawn, torch.from_numpy(reference).float(), maximum=options.draws))
        print(f"  {name}, {method}, observation {i}: {found[-1]:.3f} ({seconds:.0f} s to draw)", flush=True)
    return minutes, found


if __name__ == "__main__":
    main()
