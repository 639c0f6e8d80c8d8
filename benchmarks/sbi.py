"""Simulation-based inference on tasks of sbibm (Lueckmann et al., 2021): C2ST between posterior draws and reference ones.

    python benchmarks/sbi.py [--tasks two_moons slcp …] [--simulations 10000 100000] [--observations 10] [-o runs/sbi]

The simulators are written anew from their published definitions. Reference draws are exact (two moons, Gaussian mixture,
Gaussian linear) or come from tempered sequential Monte Carlo with 20,000 particles (SLCP). Observations are drawn from the
prior predictive law with fixed seeds: they are not the ten of sbibm's files. What is printed: minutes of training, and C2ST
(two layers of 10 P units, five folds) for each observation and on average; 0.5 is ideal. Of SLCP it is told that an
observation is four independent points (`(N, 4, 2)`), which is more than the methods of the paper are told.
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

from scorefield.interop import NPSE
from scorefield.metrics import c2st
from scorefield.settings import Network, Training

Array = np.ndarray


@dataclass(frozen=True)
class Task:
    """A simulator with its prior, its bounds, and a way to draw from the exact posterior."""

    prior: Callable[[np.random.Generator, int], Array]
    simulate: Callable[[np.random.Generator, Array], Array]
    posterior: Callable[[np.random.Generator, Array, int], Array]
    bounds: tuple[float, float] | None
    rows: int = 1  # of an observation, whose order says nothing

    def shaped(self, x: Array) -> Array:
        """Observations as they are learned from."""
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
    """The crescent that was added is drawn anew; the rest is a rotation, up to a sign."""
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


def slcp_likelihood(theta: Array, x: Array) -> Array:
    mean, first, second, rho = slcp_moments(theta)
    a, b = ((x.reshape(1, 4, 2) - mean[:, None]) / np.stack([first, second], 1)[:, None]).transpose(2, 0, 1)
    rest = np.maximum(1 - rho**2, 1e-12)[:, None]
    squares = (a**2 - 2 * rho[:, None] * a * b + b**2) / rest
    value = (-0.5 * squares).sum(1) - 4 * (np.log(first) + np.log(second) + 0.5 * np.log(rest[:, 0]))
    return np.where((np.abs(theta) < 3).all(1), value, -np.inf)


def slcp_posterior(rng: np.random.Generator, x: Array, count: int) -> Array:
    """Tempered sequential Monte Carlo; signs of two parameters, which the data do not see, are drawn anew in the end."""
    theta = rng.uniform(-3, 3, size=(20000, 5))
    height, power = slcp_likelihood(theta, x), 0.0
    while power < 1:
        low, high = power, 1.0
        for _ in range(40):  # the largest step that leaves half of the particles effective
            middle = (low + high) / 2 if high < 1 or _ else 1.0
            weight = np.exp((middle - power) * (height - height.max()))
            enough = weight.sum() ** 2 / (weight**2).sum() > len(theta) / 2
            low, high = (middle, high) if enough else (low, middle)
            if enough and middle == 1.0:
                break
        weight = np.exp((low - power) * (height - height.max()))
        theta = theta[rng.choice(len(theta), len(theta), p=weight / weight.sum())]
        theta[:, 2:4] *= rng.choice([-1, 1], size=(len(theta), 2))
        height, power = slcp_likelihood(theta, x), low
        positive = theta.copy()
        positive[:, 2:4] = np.abs(positive[:, 2:4])
        root = np.linalg.cholesky(np.cov(positive.T) + 1e-10 * np.eye(5))
        for move in range(60 if power == 1 else 15):
            there = theta + (0.15, 0.4, 0.8)[move % 3] * rng.normal(size=theta.shape) @ root.T
            above = slcp_likelihood(there, x)
            taken = np.log(rng.random(len(theta))) < power * (above - height)
            theta[taken], height[taken] = there[taken], above[taken]
    return theta[rng.choice(len(theta), count, replace=False)]


TASKS = {
    "two_moons": Task(box(-1, 1, 2), moons, moons_posterior, (-1.0, 1.0)),
    "gaussian_mixture": Task(box(-10, 10, 2), mixture, mixture_posterior, (-10.0, 10.0)),
    "gaussian_linear": Task(
        lambda rng, count: np.sqrt(0.1) * rng.normal(size=(count, 10)),
        lambda rng, theta: theta + np.sqrt(0.1) * rng.normal(size=theta.shape),
        lambda rng, x, count: x / 2 + np.sqrt(0.05) * rng.normal(size=(count, len(x))),
        None,
    ),
    "slcp": Task(box(-3, 3, 5), slcp, slcp_posterior, (-3.0, 3.0), rows=4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--simulations", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--observations", type=int, default=10)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/sbi"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for count in options.simulations:
        for name in options.tasks:
            task, rng = TASKS[name], np.random.default_rng(0)
            theta = task.prior(rng, count)
            inference = NPSE(task.bounds).append_simulations(theta, task.shaped(task.simulate(rng, theta)))
            network = Network(widths=(options.width,)) if options.width else None
            start = time.perf_counter()
            inference.train(training=Training(steps=options.steps, unconditional=0.0), network=network)
            minutes = (time.perf_counter() - start) / 60
            posterior, found = inference.build_posterior(), []
            for i in range(options.observations):
                rng = np.random.default_rng(1000 + i)
                x = task.simulate(rng, task.prior(rng, 1))[0]
                reference = task.posterior(rng, x, options.draws)
                drawn = posterior.sample((options.draws,), x=task.shaped(x[None])[0], seed=i)
                found.append(c2st(drawn, torch.from_numpy(reference).float(), maximum=options.draws))
                print(f"  {name}, observation {i}: {found[-1]:.3f}", flush=True)
            print(
                f"{name}, {count:,} simulations: {minutes:.1f} min, C2ST {np.mean(found):.3f} (sd {np.std(found):.3f})"
            )
            (options.output / f"{name}_{count}.json").write_text(json.dumps({"c2st": found, "minutes": minutes}))


if __name__ == "__main__":
    main()
