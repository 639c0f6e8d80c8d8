"""Time and memory of all comparisons of samples with held-out data.

    python benchmarks/metrics.py [--rows 10000] [--features 784] [--threads 2]

Draws correlated Gaussian rows three times (samples, held-out and training data), computes everything, and prints the time of
each part and the peak memory. Then the same for as many fields of 28 x 28, up to 2,000.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import torch

from scorefield.metrics import (
    Pool,
    battery,
    classifier_test,
    energy_test,
    field_tests,
    frechet_with_floor,
    manifold_distances,
    marginal_test,
    memorization,
    mmd_test,
    moment_test,
    rejected,
    sliced_test,
)
from scorefield.rng import Samples
from scorefield.toys import Field


def timed(name: str, run: Callable[[], object]) -> object:
    start, cpu = time.perf_counter(), time.process_time()
    result = run()
    print(f"{name:42}{time.perf_counter() - start:8.1f} s{time.process_time() - cpu:8.1f} s CPU")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    turn = torch.randn(options.features, options.features, generator=torch.Generator().manual_seed(0))
    turn *= torch.arange(1, options.features + 1) ** -0.5
    drawn, real, train = (
        Samples(seed, count=options.rows).normal((options.rows, options.features)) @ turn.T for seed in range(3)
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.rows:,} x {options.features} against as many, {before:.0f} MB with libraries and data")
    start = time.perf_counter()
    found = battery(drawn, real, train)
    copies = memorization(drawn, train, real)
    print(f"battery and memorization: {time.perf_counter() - start:.1f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    for one in found:
        p = "        " if one.p_value is None else f"p {one.p_value:6.3f}"
        print(f"  {one.name:30}{one.value:12.4g}  floor {one.floor:10.4g}  {p}  {one.note}")
    print(f"rejected: {[d.name for d in rejected(found)]}; {copies.verdict}")
    whole, pool = Pool.of(drawn, real, train, maximum=20000), Pool.of(drawn, real, train)
    timed("moments", lambda: moment_test(whole))
    timed("marginals", lambda: marginal_test(whole))
    timed("classifier", lambda: classifier_test(whole))
    timed("energy, with the matrix of distances", lambda: energy_test(pool))
    timed("MMD, several scales", lambda: mmd_test(pool))
    timed("sliced Wasserstein", lambda: sliced_test(pool))
    timed("precision, recall, density, coverage", lambda: manifold_distances(pool))
    timed("Fréchet distance of 64 components", lambda: frechet_with_floor(drawn, real, train))
    timed("memorization", lambda: memorization(drawn, train, real))
    count = min(options.rows, 2000)
    fields = (Field((1, 28, 28), 3.0).sample(count, Samples(seed, count=count)).float() for seed in range(3))
    timed(f"fields: {count:,} of 28 x 28", lambda: field_tests(*fields))


if __name__ == "__main__":
    main()
