"""Vectors in 12 to 24 evaluations, where steps are learned for the model, next to the default and to others of as few.

    python benchmarks/learned_steps.py modes helix moons mixture checkerboard magic.csv [--count 10000]

Default fits of 400 rows (modes, helix), 2,000 (moons), 3,000 (mixture, checkerboard), or of 4,000 rows of the numbers in a CSV
file, standardized by mean and standard deviation alone. Samples of all samplers have the same seeds. Printed are

    distance  the root mean square to the samples of 64 steps of UniPC(3), in standard deviations of the data;
    moments   the largest difference to the means, the standard deviations and the correlations of these samples, in standard
              errors of 10,000 rows;
    energy    the energy distance to as many new rows of the data, 1,000-fold; the floor is that of other new rows;
    variance  the smallest and largest ratio that Gaussian data keep of their variance, from 3 of the smallest levels on.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from few_steps import mixture

import scorefield
from scorefield import toys
from scorefield.data import read
from scorefield.metrics import energy_distance
from scorefield.rng import Samples
from scorefield.samplers import IPNDM, Sampling, UniPC, learn_steps, variance_ratios
from scorefield.schedules import LogLevel
from scorefield.settings import Data

Rows = Callable[[int, int], np.ndarray]
LARGEST = 4000  # rows of which energy distances are computed


def toy(made: toys.Toy) -> Rows:
    return lambda count, seed: made.sample(count, Samples(seed, 0, count)).double().numpy()


TOYS: dict[str, tuple[Rows, int]] = {
    "modes": (toy(toys.two_modes()), 400),
    "helix": (toy(toys.Helix()), 400),
    "moons": (toy(toys.two_moons()), 2000),
    "mixture": (mixture, 3000),
    "checkerboard": (toy(toys.Checkerboard()), 3000),
}


def moments(x: np.ndarray, like: np.ndarray) -> float:
    """The largest difference of means, deviations and correlations, in standard errors of 10,000 rows."""
    scale = like.std(0)
    found = [np.abs(x.mean(0) - like.mean(0)) / scale * 100, np.abs(x.std(0) / scale - 1) * math.sqrt(20_000)]
    if x.shape[1] > 1:
        one, other = np.corrcoef(x.T), np.corrcoef(like.T)
        error = np.maximum(1 - other**2, 1e-12) / 100
        found.append((np.abs(one - other) / error)[~np.eye(len(one), dtype=bool)])
    return max(float(each.max()) for each in found)


def kept(model: scorefield.Model, sampling: Sampling) -> str:
    """The ratios of variances that a sampling keeps, without what the last denoising takes away."""
    low, widest = model.process.ends()[0], float(model.moments.values.max().sqrt())
    s = torch.logspace(math.log10(3 * low), math.log10(widest), 25, dtype=torch.float64)
    ratios = variance_ratios(sampling, s) * (1 + (low / s) ** 2)
    return f"{float(ratios.min()):.3f} to {float(ratios.max()):.3f}"


def compare(model: scorefield.Model, learned: Sampling, real: np.ndarray, count: int) -> None:
    usual = Sampling(UniPC(3), 32)
    ways = {
        "UniPC(3), 33": usual,
        "UniPC(3), 12": Sampling(UniPC(3), 11),
        "iPNDM(3), 12": Sampling(IPNDM(3), 11, LogLevel()),
    }
    ways[f"learned, {learned.steps + 1}"] = learned  # type: ignore[operator]  # which has steps
    exact = np.asarray(model.sample(count, seed=1, sampler=Sampling(UniPC(3), 64)), dtype=float)
    for name, sampling in ways.items():
        start = time.process_time()
        x = np.asarray(model.sample(count, seed=1, sampler=sampling), dtype=float)
        seconds = time.process_time() - start
        distance = float(np.sqrt((((x - exact) / exact.std(0)) ** 2).mean()))
        energy = 1000 * energy_distance(x, real, maximum=LARGEST)
        whole = sampling.merged(model.sampling)
        print(
            f"  {name:14} distance {distance:.4f}  moments {moments(x, exact):5.2f}  energy {energy:6.2f}  "
            f"variance {kept(model, whole)}  {seconds:.1f} CPU s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.data:
        start = time.process_time()
        if name.endswith(".csv"):
            table = read(name).select_dtypes("number").sample(frac=1, random_state=0)  # files may be sorted
            model = scorefield.fit(table[:4000], data=Data(maps="affine"))
            real, other = (table[i : i + 7000].to_numpy(dtype=float) for i in (4000, 11_000))
        else:
            make, rows = TOYS[name]
            model = scorefield.fit(make(rows, 0))
            real, other = make(options.count, 9), make(options.count, 11)
        print(f"{name}: {time.process_time() - start:.1f} CPU s, {model.sampling.replace(process=None)}")
        start = time.process_time()
        state = model.diffusion, model.standardize.state_shape
        found = learn_steps(*state, Sampling(IPNDM(3), process=model.process))
        if found is None:
            raise SystemExit(f"{name}: a trajectory is not finite")
        print(f"  learning the steps {time.process_time() - start:.2f} CPU s")
        print(f"  floor of energy {1000 * energy_distance(other, real, maximum=LARGEST):.2f}")
        compare(model, found.sampling, real, options.count)


if __name__ == "__main__":
    main()
