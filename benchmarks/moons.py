"""A learned model of two moons given one coordinate, by defaults: is the other one on the right moon?

    python benchmarks/moons.py [--steps 1500] [--draws 1000]

Given x₀ = -0.5 the upper moon alone has points, so that x₁ > 0.25 with a probability of nearly 1. The coordinate is known
exactly, or measured with noise 0.01. Printed are the share of draws with x₁ > 0.25, and the seconds of the draws.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import scorefield
from scorefield.measurement import Mask, Measurement
from scorefield.posterior import MomentMatching


def moons(count: int, seed: int = 0) -> np.ndarray:
    """Points on two moons, with noise of 0.08."""
    rng = np.random.default_rng(seed)
    angle, up = rng.uniform(0, np.pi, count), rng.random(count) < 0.5
    x = np.stack([np.where(up, np.cos(angle), 1 - np.cos(angle)), np.where(up, np.sin(angle), 0.5 - np.sin(angle))], 1)
    return x + 0.08 * rng.normal(size=x.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    model = scorefield.fit(moons(4000), training=scorefield.Training(steps=options.steps))
    near = moons(4_000_000, 1)
    near = near[np.abs(near[:, 0] + 0.5) < 0.01]
    print(f"in the data: {(near[:, 1] > 0.25).mean():.4f} of {len(near):,}")
    seen = Measurement(Mask([True, False]), [-0.5], 0.01)
    given = {
        "known": model.condition({0: -0.5}),
        "measured": model.observe(seen),
        "measured, moment matching": model.observe(seen, MomentMatching()),
    }
    for name, posterior in given.items():
        begin = time.perf_counter()
        drawn = posterior.sample(options.draws)
        print(f"{name:26} {(drawn[:, 1] > 0.25).mean():.4f}, {time.perf_counter() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
