"""CPU seconds and memory of `evaluate` against rows and features: a mixture of two Gaussians, a model that was trained briefly.

    python benchmarks/evaluation_time.py [--rows 1000 10000 100000] [--features 10]

Memory is the peak of the process so far: give the sizes in increasing order.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

from scorefield import fit
from scorefield.evaluation import evaluate
from scorefield.settings import Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--features", type=int, nargs="+", default=[10])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for features in options.features:
        for rows in options.rows:
            rng = np.random.default_rng(0)
            mix = rng.normal(size=(features, features)) / features**0.5 + np.eye(features)
            normal = rng.normal(size=(rows + rows // 10, features))
            x = (normal + 2 * (rng.random((len(normal), 1)) < 0.4)) @ mix
            model = fit(x[:2000], training=Training(steps=30, threads=1))
            begin = time.process_time()
            evaluate(model, x[:rows], x[rows:])
            spent, peak = time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(f"{rows:>10,} x {features:<5} {spent:6.1f} CPU s, {peak:6.0f} MB", flush=True)


if __name__ == "__main__":
    main()
