"""Shares of atoms, and of the values next to them, in data and in samples.

    python benchmarks/atoms.py [--data small wide array] [--steps 1000] [--seeds 2]

Printed are the share of each atom, and that of the interval next to it, in 4,000 rows and in 20,000 samples of a fit, and by
how many standard errors of their difference they differ.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import pandas as pd
import torch

import scorefield

N, DRAWN = 4000, 20_000
Interval = tuple[str, str, float, float]  # what it is called, of which column, from, to

SMALL: list[Interval] = [
    ("cap = 100", "cap", 99.95, 100.05),
    ("cap in 99 to 99.9", "cap", 98.95, 99.95),
    ("zeros = 0", "zeros", -0.005, 0.005),
    ("zeros in 0.01 to 0.5", "zeros", 0.005, 0.505),
]
WIDE: list[Interval] = [
    *SMALL,
    ("preferred = 0.5", "preferred", 0.5, 0.5),
    ("preferred in 0.4 to 0.6", "preferred", 0.4, 0.6),
    ("several = 0", "several", -0.05, 0.05),
    ("several in 0.1 to 1", "several", 0.05, 1.05),
    ("several = 5", "several", 4.95, 5.05),
    ("several in 4.5 to 5.5", "several", 4.45, 5.55),
    ("several = 10", "several", 9.95, 10.05),
    ("several in 9.5 to 10.5", "several", 9.45, 10.55),
    ("several = 20", "several", 19.95, 20.05),
    ("several in 19 to 19.9", "several", 18.95, 19.95),
]
ARRAY: list[Interval] = [("x = 0", "0", 0.0, 0.0), ("x in 0 to 0.1", "0", 0.0, 0.1)]


def small(seed: int) -> pd.DataFrame:
    """A capped number, one with zeros, and a category, all independent."""
    r = np.random.default_rng(seed)
    cap = np.minimum(r.normal(90, 8, N).round(1), 100.0)
    zeros = np.where(r.random(N) < 0.35, 0, r.exponential(10, N)).round(2)
    return pd.DataFrame({"cap": cap, "zeros": zeros, "group": r.choice(["a", "b"], N)})


def wide(seed: int) -> pd.DataFrame:
    """Nine columns, whose atoms depend on a category and on a number."""
    r = np.random.default_rng(seed)
    z, group = r.normal(size=N), r.choice(3, N, p=[0.5, 0.3, 0.2])
    several = r.gamma(2.0, 4.0, N).round(1)
    u = r.random(N)
    for value, below, above in ((0.0, 0.0, 0.2), (5.0, 0.2, 0.25), (10.0, 0.25, 0.33)):
        several = np.where((u >= below) & (u < above), value, several)
    return pd.DataFrame(
        {
            "cap": np.minimum((90 + 8 * (0.6 * z + 0.8 * r.normal(size=N))).round(1), 100.0),
            "zeros": np.where(r.random(N) < np.array([0.1, 0.5, 0.8])[group], 0, r.exponential(10, N)).round(2),
            "preferred": np.where(r.random(N) < 0.2, 0.5, 0.5 * z + r.normal(size=N)),
            "several": np.minimum(several, 20.0),
            "group": np.array(["a", "b", "c"])[group],
            "z": z,
            **{f"n{k}": 0.5 * z + r.normal(size=N) for k in range(3)},
        }
    )


def array(seed: int) -> np.ndarray:
    """Two numbers, of which one is 0 in 40 % of the rows."""
    r = np.random.default_rng(seed)
    x = np.where(r.random(N) < 0.4, 0.0, r.exponential(1.0, N))
    return np.stack((x, 0.5 * x + r.normal(size=N)), 1)


DATA = {"small": (small, SMALL), "wide": (wide, WIDE), "array": (array, ARRAY)}


def share(data: pd.DataFrame, interval: Interval, intervals: list[Interval]) -> float:
    """The share of rows in an interval, without atoms that are intervals of their own."""
    _, column, low, high = interval
    values = data[column].to_numpy(float)
    inside = (values >= low) & (values <= high)
    for _, other, a, b in intervals:
        if other == column and low <= a and b <= high and (a, b) != (low, high):
            inside &= ~((values >= a) & (values <= b))
    return float(inside.mean())


def table(x: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    """Data by the names of columns."""
    return x if isinstance(x, pd.DataFrame) else pd.DataFrame(x, columns=[str(i) for i in range(x.shape[1])])


def main() -> None:
    """Prints one line for each interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--steps", type=int, nargs="+", default=[1000])
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.data:
        make, intervals = DATA[name]
        for steps in options.steps:
            for seed in range(options.seeds):
                start, x = time.perf_counter(), make(seed)
                model = scorefield.fit(x, training=scorefield.Training(steps=steps))
                fitted, drawn = time.perf_counter(), table(model.sample(DRAWN, seed=9))
                took = f"fit {fitted - start:.0f} s, {DRAWN} samples {time.perf_counter() - fitted:.0f} s"
                print(f"{name}, {steps} steps, seed {seed}: {took}", flush=True)
                for each in intervals:
                    p, q = share(table(x), each, intervals), share(drawn, each, intervals)
                    error = math.sqrt(p * (1 - p) * (1 / N + 1 / DRAWN))
                    print(f"    {each[0]:24} data {p:.4f}  samples {q:.4f}  z {(q - p) / error:+.1f}", flush=True)


if __name__ == "__main__":
    main()
