"""Posteriors that are narrow everywhere: θ ~ U(0, 5), x = 10 exp(-θ t) + 0.1 noise at 100 times in [0, 4], by `interop.SBI`.

    python benchmarks/decay.py [--simulations 3000] [--problems 500] [--draws 500]

Printed are the median over problems of the deviation of the draws over the exact one, the p-value of the ranks of the true
parameters among the draws (Kolmogorov and Smirnov), coverage, and CPU seconds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy.stats import kstest

from scorefield.interop import SBI

TIMES = np.linspace(0, 4, 100)


def simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return 10 * np.exp(-theta[:, None] * TIMES) + 0.1 * rng.normal(size=(len(theta), 100))


def exact(x: np.ndarray, theta: float) -> float:
    """The standard deviation of the posterior, on a grid around the truth."""
    line = np.linspace(max(0.0, theta - 1), min(5.0, theta + 1), 20_001)
    misfit = ((x - 10 * np.exp(-line[:, None] * TIMES)) ** 2).sum(1) / 0.02
    weight = np.exp(misfit.min() - misfit)
    mean = weight @ line / weight.sum()
    return float((weight @ (line - mean) ** 2 / weight.sum()) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=3000)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--draws", type=int, default=500)
    options = parser.parse_args()
    rng, start = np.random.default_rng(0), time.process_time()
    theta = rng.uniform(0, 5, options.simulations)
    prior = torch.distributions.Uniform(torch.zeros(1), torch.full((1,), 5.0))
    inference = SBI(prior).append_simulations(theta, simulate(rng, theta)).train(show_train_summary=True)
    trained, posterior = time.process_time() - start, inference.build_posterior()
    truth = rng.uniform(0, 5, options.problems)
    ratios, ranks = [], []
    for i, x in enumerate(simulate(rng, truth)):
        drawn = posterior.sample((options.draws,), x=x, seed=i)[:, 0].double().numpy()
        ratios.append(drawn.std() / exact(x, truth[i]))
        ranks.append((drawn < truth[i]).mean())
    inside = [np.mean(np.abs(2 * np.array(ranks) - 1) <= level) for level in (0.5, 0.9)]
    print(
        f"deviation over the exact one: median {np.median(ratios):.3f}, quartiles {np.percentile(ratios, [25, 75]).round(3)}"
    )
    print(
        f"ranks: p = {kstest(ranks, 'uniform').pvalue:.3f}; intervals of 50 and 90 % hold {inside[0]:.3f} and {inside[1]:.3f}"
    )
    print(f"{trained:.0f} CPU s of training; {inference.check()}")


if __name__ == "__main__":
    main()
