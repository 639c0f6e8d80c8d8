"""The gap between the held-out negative log-likelihood of a model and the entropy of the data, for known distributions.

It is the Kullback-Leibler divergence from the data distribution to the model: 0 is perfect.

    python examples/entropy_gap.py                      # under 2 minutes of training for each of four distributions
    python examples/entropy_gap.py --minutes 0.2 --toys moons
"""

from __future__ import annotations

import argparse
import math
import time

import torch

from scorefield import fit
from scorefield.rng import Samples
from scorefield.settings import Training
from scorefield.toys import Checkerboard, Helix, Toy, eight_gaussians, two_moons

TOYS: dict[str, Toy] = {
    "eight Gaussians": eight_gaussians(),
    "checkerboard": Checkerboard(),
    "moons": two_moons(0.1),
    "helix": Helix(),
}


def measure(name: str, toy: Toy, minutes: float, count: int, held_out: int) -> None:
    x = toy.sample(count, Samples(0, count=count)).numpy()
    start = time.perf_counter()
    model = fit(x, training=Training(minutes=minutes))
    seconds = time.perf_counter() - start
    new = toy.sample(held_out, Samples(1, count=held_out))
    for extrapolate in (False, True):
        found = model.log_prob(new.numpy(), tolerance=1e-4, extrapolate=extrapolate)
        gap = toy.log_prob(new) - found.value  # its mean is the divergence; the sampling noise of the entropy cancels
        error = float(gap.std()) / math.sqrt(held_out)
        nll = -float(found.value.mean())
        what = "noise removed" if extrapolate else "with the smallest noise"
        line = f"{name:16} {what:24} NLL {nll:8.4f}  entropy {toy.entropy():8.4f}"
        print(f"{line}  gap {float(gap.mean()):8.4f} ± {error:.4f}")
    typical = f"{float(found.error.median()):.1e} nats (median)"
    print(f"{'':16} {seconds:.0f} s of training; errors of the log-densities {typical}")
    bound = model.density().bound(new[:500].numpy())
    off = float((found.value[:500] - bound.value).mean())
    print(f"{'':16} the lower bound (ELBO) is {off:.4f} nats below", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.8, help="training time for each")
    parser.add_argument("--count", type=int, default=50_000, help="training examples")
    parser.add_argument("--held-out", type=int, default=2000, help="held-out examples")
    parser.add_argument("--toys", nargs="+", default=list(TOYS), choices=list(TOYS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.toys:
        measure(name, TOYS[name], options.minutes, options.count, options.held_out)


if __name__ == "__main__":
    main()
