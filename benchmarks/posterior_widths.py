"""The width of posterior draws along what was measured, over the exact one, from large to small noise, on every process.

    python benchmarks/posterior_widths.py [--count 1000] [--only mixture]

Priors are N(0, I) in ten dimensions, of which two sums of variance 1 are measured, and a mixture of three Gaussians in
the plane, of which one is. Denoisers are exact. Models draw as they do after `observe`, by default and with
`MomentMatching()`. The table has the ratio of the standard deviations of A(x) (for two sums, that further from 1), and the
number of steps.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor

from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.measurement import Linear, Measurement
from scorefield.model import Model
from scorefield.posterior import MomentMatching, PosteriorMethod, exact_posterior
from scorefield.processes import EDM, VE, VP, Flow, Process, SubVP
from scorefield.samplers import ExponentialAdams, Sampling
from scorefield.units import Standardize

D = torch.float64
NOISES = (0.1, 0.03, 0.01, 0.003, 0.001)
PROCESSES = (EDM(0.0079, 40.0), VE(), VP(), SubVP(), Flow())


def priors() -> dict[str, tuple[Gaussian | Mixture, Tensor]]:
    """Priors, with what is measured of each."""
    normal = Gaussian(torch.zeros(10, dtype=D), torch.eye(10, dtype=D))
    sums = torch.randn(2, 10, generator=torch.Generator().manual_seed(0), dtype=D)
    means = torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]], dtype=D) / 2
    roots = torch.tensor([[[0.6, 0], [0.2, 0.5]], [[0.5, 0], [-0.3, 0.6]], [[0.4, 0], [0.1, 0.4]]], dtype=D) / 2
    mixture = Mixture(means, roots @ roots.mT, torch.tensor([0.45, 0.25, 0.3], dtype=D))
    unit = sums / sums.norm(dim=1, keepdim=True)
    return {"normal": (normal, unit), "mixture": (mixture, torch.tensor([[0.96, 0.28]], dtype=D))}


def ratio(
    prior: Gaussian | Mixture,
    matrix: Tensor,
    noise: float,
    process: Process,
    method: PosteriorMethod | None,
    count: int,
) -> tuple[float, int]:
    """The ratio of standard deviations, and the number of steps."""
    moments = prior if isinstance(prior, Gaussian) else prior.moments()
    n = moments.mean.numel()
    sampling = Sampling(ExponentialAdams(3), 32, process=process)
    model = Model(Schema.of(np.arange(3 * n).reshape(3, n) / 1.0), Standardize((n,)), prior, moments, sampling)
    seen = Measurement(Linear(matrix), torch.full((len(matrix),), 0.3, dtype=D), noise)
    posterior = model.observe(seen, method)
    x = torch.from_numpy(posterior.sample(count)) @ matrix.T
    exact = exact_posterior(prior, seen).distribution
    covariance = (exact if isinstance(exact, Gaussian) else exact.moments()).covariance
    found = x.std(0) / (matrix @ covariance @ matrix.T).diagonal().sqrt()
    return float(found[(found - 1).abs().argmax()]), posterior.steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", default="", help="only priors whose name contains this")
    options = parser.parse_args()
    print(f"| | | {' | '.join(map(str, NOISES))} | |\n|{' --- |' * (len(NOISES) + 3)}")
    for name, (prior, matrix) in priors().items():
        if options.only not in name:
            continue
        for method in (None, MomentMatching()):
            for process in PROCESSES:
                begin = time.perf_counter()
                cells = [ratio(prior, matrix, noise, process, method, options.count) for noise in NOISES]
                kind = "default" if method is None else "moment matching"
                shown = " | ".join(f"{value:.3f} ({steps})" for value, steps in cells)
                seconds = (time.perf_counter() - begin) / len(NOISES)
                print(f"| {name}, {kind} | {type(process).__name__} | {shown} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
