"""How often copies of training rows are found among samples, and how often fresh samples are said to be copies.

    python benchmarks/copies.py [--repeats 40] [--share 0.02] [--samples 2000]

900 rows are trained on and 100 held out. Printed is, of each kind of data, in how many repeats `metrics.memorization` finds
exact copies of a share of the samples, the same with noise of 1 % of the standard deviation, and raises a false alarm where all
samples are new draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from scorefield.metrics import memorization

TRAINED, HELD_OUT = 900, 100

Draw = Callable[[np.random.Generator, int], np.ndarray]
KINDS: dict[str, Draw] = {
    "normal, 20 columns": lambda rng, n: rng.normal(size=(n, 20)),
    "normal, 5 columns": lambda rng, n: rng.normal(size=(n, 5)),
    "normal, 2 columns": lambda rng, n: rng.normal(size=(n, 2)),
    "two modes, 20 columns": lambda rng, n: rng.normal(size=(n, 20)) + 4 * rng.integers(0, 2, (n, 1)),
    "Student's t, 5 columns": lambda rng, n: rng.standard_t(2, size=(n, 5)),
    "whole numbers, 20 columns": lambda rng, n: rng.poisson(5, size=(n, 20)).astype(float),
    "whole numbers, 3 columns": lambda rng, n: rng.poisson(5, size=(n, 3)).astype(float),
    "whole numbers, 1 column": lambda rng, n: rng.poisson(5, size=(n, 1)).astype(float),
}


def found(draw: Draw, seed: int, copied: int, samples: int, noise: float = 0.0) -> bool:
    """Whether copies are found among samples of which so many are copies."""
    rng = np.random.default_rng(seed)
    rows, x = draw(rng, TRAINED + HELD_OUT), draw(rng, samples)
    train, held_out = rows[:TRAINED], rows[TRAINED:]
    chosen = train[rng.integers(0, TRAINED, copied)]
    x[:copied] = chosen + noise * train.std(0) * rng.normal(size=chosen.shape)
    return memorization(x, train, held_out, seed=seed).suspicious


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.02)
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    copied, samples, repeats = round(options.share * options.samples), options.samples, range(options.repeats)
    print(f"of {options.repeats}, {100 * options.share:g} % of {samples:,} samples copied:")
    for name, draw in KINDS.items():
        exact = sum(found(draw, seed, copied, samples) for seed in repeats)
        near = sum(found(draw, seed, copied, samples, 0.01) for seed in repeats)
        none = sum(found(draw, seed, 0, samples) for seed in repeats)
        print(f"{name:26} exact copies {exact:3}, near copies {near:3}, none copied {none:3}", flush=True)


if __name__ == "__main__":
    main()
