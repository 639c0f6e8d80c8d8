"""How wrong methods for posteriors are, where the posterior is known: their errors beside each other.

    python benchmarks/posterior.py [--count 10000] [--particles 4000] [--only DAPS]

A mixture of three Gaussians in the plane, of which one noisy projection leaves two modes: an exact denoiser, so that what is
wrong is the method's. Weights are those of the modes in the exact posterior, by responsibilities; the chance of `count` draws
is about 0.005. Particles have 64 steps, the others as many as the table says. Then RePaint on three correlated Gaussian
numbers, of which one is known: its errors by how often a block of how many steps is gone.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from scorefield import mcmc, posterior, samplers as s
from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.measurement import Linear, Mask, Measurement
from scorefield.posterior import (
    DPS,
    TMPD,
    AnnealedLikelihood,
    ExactPosterior,
    Method,
    MomentMatching,
    PiGDM,
    Posterior,
    exact_posterior,
)
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.schedules import LogLevel

PROCESS = EDM(0.002, 80.0)


def problem() -> tuple[Mixture, Measurement]:
    """The prior, and what is measured."""
    means = torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]]).double()
    roots = torch.tensor([[[0.6, 0], [0.2, 0.5]], [[0.5, 0], [-0.3, 0.6]], [[0.4, 0], [0.1, 0.4]]]).double()
    law = Mixture(means, roots @ roots.mT, torch.tensor([0.45, 0.25, 0.3], dtype=torch.float64))
    return law, Measurement(Linear([[1.0, 0.3]]), [0.6], noise=0.5)


WAYS: list[tuple[str, Method, s.Sampler, int]] = [
    ("moment matching", MomentMatching(), s.ExponentialAdams(3), 64),
    ("moment matching, fresh noise", MomentMatching(), s.ExponentialAdams(2, eta=1.0), 64),
    ("moment matching, ancestral", MomentMatching(), s.Ancestral(), 300),
    ("TMPD, ancestral", TMPD(), s.Ancestral(), 300),
    ("ΠGDM, ancestral", PiGDM(), s.Ancestral(), 300),
    ("DPS, ancestral", DPS(), s.Ancestral(), 300),
    ("DPS(zeta=1), ancestral", DPS(1.0), s.Ancestral(), 300),
    ("DAPS", MomentMatching(), posterior.DAPS(), 64),
    ("DAPS", MomentMatching(), posterior.DAPS(), 256),
    ("DAPS as published", MomentMatching(), posterior.DAPS(flow=s.ExponentialAdams(2)), 64),
    ("annealed Langevin with likelihood", AnnealedLikelihood(), s.AnnealedLangevin(mcmc.Langevin(0.05), 10), 64),
]


def shares(exact: ExactPosterior, x: Tensor) -> Tensor:
    """How much of each point belongs to each mode."""
    law = exact.distribution
    parts = [Mixture(law.means[k : k + 1], law.covariances[k : k + 1], torch.ones(1).double()) for k in range(3)]
    return torch.stack([w.log() + part.log_prob(x) for w, part in zip(law.weights, parts)], 1).softmax(1)


def row(name: str, weights: Tensor, mean: Tensor, std: Tensor, more: str = "") -> str:
    cells = [" / ".join(f"{v:.3f}" for v in values.tolist()) for values in (weights, mean, std)]
    return f"| {name} | {' | '.join(cells)} | {more} |"


def particles(law: Mixture, seen: Measurement, exact: ExactPosterior, count: int) -> str:
    """The row of twisted SMC."""
    start = time.perf_counter()
    leader = Diffusion(PROCESS, Posterior(law, seen), law.moments())
    found = posterior.twisted_smc(leader, (2,), particles=count, islands=4, steps=64)
    weighted, known = found.weighted, found.log_evidence
    mean = weighted.mean().value
    std = weighted.mean(lambda x: (x - mean) ** 2).value.sqrt()
    said = (
        f"log p(y) = {float(known.value):.3f} ± {float(known.standard_error):.3f}; {time.perf_counter() - start:.0f} s"
    )
    weights = weighted.mean(lambda x: shares(exact, x)).value
    return row(f"twisted SMC, {count:,} x 4", weights, mean, std, said)


def inpainting(count: int) -> None:
    """RePaint: the largest error of a mean in exact deviations, and the deviations over the exact ones, of what is not seen."""
    covariance = torch.tensor([[1.0, 0.8, 0.3], [0.8, 1.0, 0.6], [0.3, 0.6, 1.0]]).double()
    law, seen = Gaussian(torch.tensor([0.5, 0.0, -0.5]).double(), covariance), Measurement(Mask([1, 0, 0]), [2.0], 0.05)
    exact = exact_posterior(law, seen).distribution
    std, diffusion = exact.covariance.diagonal().sqrt(), Diffusion(EDM(0.01, 50.0), Posterior(law, seen), law)
    print("| repeats | jump 1 | jump 4 | jump 10 |\n| --- | --- | --- | --- |")
    for repeats in (1, 5, 20, 80):
        cells = []
        for jump in (1, 4, 10):
            x = s.sample(
                diffusion,
                (count, 3),
                s.Sampling(posterior.RePaint(repeats, jump), 48, LogLevel()),
                Samples(0, 0, count),
            )
            apart = float(((x.mean(0) - exact.mean) / std)[1:].abs().max())
            cells.append(f"{apart:.3f}, {float((x.std(0) / std)[1:].mean()):.3f}")
        print(f"| {repeats} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--only", default="", help="the rows whose names hold this")
    options = parser.parse_args()
    law, seen = problem()
    exact = exact_posterior(law, seen)
    moments = exact.distribution.moments()
    print("| | weights of the modes | mean | standard deviation | |\n| --- | --- | --- | --- | --- |")
    spread = moments.covariance.diagonal().sqrt()
    print(row("exact", exact.distribution.weights, moments.mean, spread, f"log p(y) = {float(exact.log_evidence):.3f}"))
    only = options.only.lower()
    if only in "twisted smc":
        print(particles(law, seen, exact, options.particles), flush=True)
    for name, method, sampler, steps in (one for one in WAYS if only in one[0].lower()):
        start = time.perf_counter()
        diffusion = Diffusion(PROCESS, Posterior(law, seen, method, moments=law.moments()), law.moments())
        rng = Samples(0, 0, options.count)
        x = s.sample(diffusion, (options.count, 2), s.Sampling(sampler, steps, LogLevel()), rng)
        said = f"{steps} steps, {time.perf_counter() - start:.0f} s"
        print(row(name, shares(exact, x).mean(0), x.mean(0), x.std(0), said), flush=True)
    if only in "repaint":
        inpainting(4000)


if __name__ == "__main__":
    main()
