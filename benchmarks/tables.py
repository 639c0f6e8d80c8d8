"""Two tables of 400 rows with all defaults: a mixture in the plane and a helix in space.

    python benchmarks/tables.py [--seeds 5]

For the mixture (weights 0.2 and 0.8 at ±(3, 3), unit variance) it prints weight, means and standard deviations of the modes, in
the training data and in 20,000 samples, and their differences in standard errors of the training data. For the helix (z in
[0, 100], standard deviation 0.2) it prints the energy distances to fresh data of the training data and of as many samples (with
the same bias), in the units of the data, and their ratio; and the same for many samples.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.spatial.distance import cdist

import scorefield
from scorefield.rng import Samples
from scorefield.toys import Helix, Toy, two_modes


def fitted(target: Toy, seed: int) -> tuple[np.ndarray, scorefield.Model, float]:
    """The training data, the model and the seconds that the fit took."""
    x = target.sample(400, Samples(seed, count=400)).double().numpy()
    start = time.perf_counter()
    return x, scorefield.fit(x, seed=seed), time.perf_counter() - start


def modes(x: np.ndarray) -> np.ndarray:
    """The weight of the mode at (3, 3), then means and standard deviations of both modes."""
    high = x.sum(1) > 0
    parts = [np.concatenate([part.mean(0), part.std(0)]) for part in (x[high], x[~high])]
    return np.concatenate([[high.mean()], *parts])


def errors(x: np.ndarray) -> np.ndarray:
    """The standard errors of `modes` in these data."""
    high = x.sum(1) > 0
    weight = np.sqrt(high.mean() * (1 - high.mean()) / len(x))
    parts = [np.concatenate([np.full(2, n**-0.5), np.full(2, (2 * n) ** -0.5)]) for n in (high.sum(), (~high).sum())]
    return np.concatenate([[weight], *parts])


def energy(x: np.ndarray, y: np.ndarray) -> float:
    return float(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    names = "weight, then mean x, mean y, deviation x, deviation y of the mode at (3, 3) and of that at (-3, -3)"
    print(f"mixture: {names}")
    for seed in range(options.seeds):
        x, model, seconds = fitted(two_modes(), seed)
        drawn, training = modes(model.sample(20_000, seed=seed)), modes(x)
        differences = np.abs(drawn - training) / errors(x)
        print(f"  seed {seed}, {seconds:.1f} s: largest difference {differences.max():.2f} standard errors")
        print(f"    data    {np.round(training, 3)}\n    samples {np.round(drawn, 3)}", flush=True)
    print("helix: energy distance to 8,000 fresh data")
    fresh = Helix().sample(8000, Samples(10_000, count=8000)).double().numpy()
    for seed in range(options.seeds):
        x, model, seconds = fitted(Helix(), seed)
        drawn = model.sample(8000, seed=seed)
        data, same, many = energy(x, fresh), energy(drawn[:400], fresh), energy(drawn, fresh)
        print(
            f"  seed {seed}, {seconds:.1f} s: data {data:.4f}, 400 samples {same:.4f} (ratio {same / data:.2f}), "
            f"8,000 samples {many:.4f} (ratio {many / data:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
