"""How well `inverse.approximation_error` foresees the errors of moment matching, where the posterior is known.

    python benchmarks/posterior_bias.py [--count 4000] [--only mixture]

Priors have exact denoisers, but for a Gaussian in five dimensions and two moons that were learned from 4,000 points.
Estimated is the probability by which draws may be wrong, from 8 draws of moment matching: the median and the range of 10 sets.
Actual is how far the weights of the modes of `count` draws are from the exact ones, as a total variation (by responsibilities;
of moons, the probability of the wrong one), and the largest error of a mean in exact standard deviations, with 64 steps of
ancestral sampling. Sampling errors are about 0.01 and 0.02.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import scorefield
from posterior import problem
from scorefield import toys
from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.inverse import approximation_error
from scorefield.measurement import Blur, Linear, Mask, Measurement
from scorefield.model import Model
from scorefield.posterior import MomentMatching, exact_posterior
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import Ancestral, ExponentialAdams, Sampling
from scorefield.schedules import LogLevel
from scorefield.units import Standardize

D = torch.float64
SETS = 10


class Case(NamedTuple):
    """A model, what was measured, and the exact posterior; of moons only that x₁ > 0.25."""

    model: Model
    measurement: Measurement
    exact: object = None


def model(prior: Gaussian | Mixture, shape: tuple[int, ...]) -> Model:
    """Of data that are in the units of their prior."""
    moments = prior if isinstance(prior, Gaussian) else prior.moments()
    sampling = Sampling(ExponentialAdams(3), 64, process=EDM(0.002, 80.0))
    x = np.arange(3 * np.prod(shape)).reshape(3, *shape) / 1.0
    schema = Schema.of(x, structure="grid") if len(shape) > 1 else Schema.of(x)
    units = Standardize(tuple(moments.mean.shape), torch.zeros(1), torch.ones(1)) if len(shape) > 1 else None
    return Model(schema, units or Standardize(shape), prior, moments, sampling)


def two_modes(separation: float) -> Mixture:
    """Two components, whose distance is so many of their standard deviations."""
    means = 0.5 * separation * torch.tensor([[-0.8, -0.6], [0.8, 0.6]], dtype=D)
    return Mixture(
        means, torch.ones(2, dtype=D)[:, None, None] * torch.eye(2, dtype=D), torch.tensor([0.6, 0.4]).double()
    )


def field() -> Case:
    """A smooth Gaussian field of 16 x 16, blurred."""
    place = torch.cartesian_prod(torch.arange(16.0), torch.arange(16.0)).double()
    covariance = torch.exp(-(torch.cdist(place, place) ** 2) / 18) + 0.01 * torch.eye(256, dtype=D)
    prior = Gaussian(torch.zeros(1, 16, 16, dtype=D), covariance)
    measurement = Measurement(Blur(1.0), torch.zeros(16, 16, dtype=D) + 0.3, 0.2)
    return Case(model(prior, (16, 16)), measurement, exact_posterior(prior, measurement).distribution)


def cases(only: str) -> dict[str, Case]:
    """The rows of the table."""
    found = {}
    prior, measurement = problem()
    priors: dict[str, tuple[Gaussian | Mixture, Measurement]] = {"the mixture of the table above": (prior, measurement)}
    normal = Gaussian(torch.zeros(5, dtype=D), torch.eye(5, dtype=D))
    priors["Gaussian, 5-D, noise 0.1"] = (
        normal,
        Measurement(Linear([[1.0, 1, 0, 0, 0], [0, 1, 0, 1, 0]]), [1.0, 0.5], 0.1),
    )
    for separation in (0.5, 1.0, 2.0, 3.0, 4.0):
        for noise in (0.5, 0.1):
            name = f"two modes {separation:g} deviations apart, noise {noise:g}"
            priors[name] = two_modes(separation), Measurement(Linear([[1.0, 0.0]]), [0.3], noise)
    for name, (prior, measurement) in priors.items():
        if only in name:
            exact = exact_posterior(prior, measurement).distribution
            found[name] = Case(
                model(prior, (prior.moments() if isinstance(prior, Mixture) else prior).mean.shape), measurement, exact
            )
    if only in "Gaussian, 5-D, learned":
        x = np.random.default_rng(0).normal(size=(4000, 5))
        exact = exact_posterior(*priors["Gaussian, 5-D, noise 0.1"]).distribution
        found["Gaussian, 5-D, learned"] = Case(learned(x), priors["Gaussian, 5-D, noise 0.1"][1], exact)
    if only in "two moons, learned":
        found["two moons, learned"] = Case(
            learned(toys.two_moons().sample(4000, Samples(0, 0, 4000)).numpy()), Measurement(Mask([1, 0]), [-0.5], 0.01)
        )
    if only in "Gaussian field, 16 x 16, blur":
        found["Gaussian field, 16 x 16, blur"] = field()
    return found


def learned(x: np.ndarray) -> Model:
    """A model that was fitted to data."""
    return scorefield.fit(x, training=scorefield.Training(steps=2000))


def actual(case: Case, x: Tensor) -> tuple[float | None, float | None]:
    """The error of the weights of modes, and the largest error of a mean."""
    exact = case.exact
    if exact is None:
        return float((x[:, 1] <= 0.25).double().mean()), None
    moments = exact if isinstance(exact, Gaussian) else exact.moments()
    spread = moments.covariance.diagonal().sqrt()
    aside = float(((x.flatten(1).mean(0) - moments.mean.flatten()) / spread).abs().max())
    if isinstance(exact, Gaussian):
        return None, aside
    log = torch.stack([part.log_prob(x) for part in components(exact)], 1) + exact.weights.log()
    return float((log.softmax(1).mean(0) - exact.weights).abs().sum()) / 2, aside


def components(mixture: Mixture) -> list[Mixture]:
    """Each component by itself."""
    parts = zip(mixture.means.split(1), mixture.covariances.split(1))
    return [Mixture(mean, covariance, torch.ones(1, dtype=D)) for mean, covariance in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    options = parser.parse_args()
    print("| | estimated | range | weights | mean | seconds |\n| --- | --- | --- | --- | --- | --- |")
    for name, case in cases(options.only).items():
        posterior = case.model.observe(case.measurement, MomentMatching(24, 1e-6))
        count = options.count if len(case.model.schema.shape) == 1 else 8 * SETS
        x = posterior.sample(count, sampler=Sampling(Ancestral(), 64, LogLevel()))
        begin = time.perf_counter()
        sets = (x[8 * i : 8 * i + 8] for i in range(SETS))
        found = sorted(approximation_error(posterior, some, seed=i).probability for i, some in enumerate(sets))
        seconds = (time.perf_counter() - begin) / SETS
        errors = ["" if value is None else f"{value:.3f}" for value in actual(case, torch.from_numpy(x))]
        middle = (found[SETS // 2 - 1] + found[SETS // 2]) / 2
        print(
            f"| {name} | {middle:.3f} | {found[0]:.3f} to {found[-1]:.3f} | {' | '.join(errors)} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
