"""Calibration of every method of simulation-based inference, on new simulations of the tasks of the benchmark sbibm.

    python benchmarks/inference_calibration.py --folder sbibm [--task two_moons sir] [--method sbi npe …] [--problems 500]

Parameters are drawn from the prior, data from the simulator, and a posterior for each. Printed are the p-values of the ranks
of the true parameters among the draws (Kolmogorov and Smirnov; the smallest over the parameters, times their number), how
many of the true parameters central intervals of 50 and 90 % hold, over all parameters, with a standard error over the problems,
and CPU seconds of training and of a posterior.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sbibm import METHODS
from sbibm_tasks import tasks
from scipy.stats import kstest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--task", nargs="+", default=["two_moons", "sir"])
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    print("| task | method | ranks, p | 50 % | 90 % | CPU s training | of a posterior |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    every = tasks(options.folder)
    for name in options.task:
        for method in options.method:
            task, start = every[name], time.process_time()
            inference = METHODS[method](task.prior)
            inference.append_simulations(*task.draw(0, options.simulations)).train()
            trained, posterior, start = time.process_time() - start, inference.build_posterior(), time.process_time()
            truth, data = task.draw(1, options.problems)
            ranks = np.stack(
                [
                    (posterior.sample((options.draws,), x=x, seed=i).numpy() < theta).mean(0)
                    for i, (theta, x) in enumerate(zip(np.asarray(truth), np.asarray(data)))
                ]
            )
            smallest = min(1.0, min(kstest(each, "uniform").pvalue for each in ranks.T) * ranks.shape[1])
            inside = [(np.abs(2 * ranks - 1) <= level).mean(1) for level in (0.5, 0.9)]
            shares = " | ".join(f"{each.mean():.3f} ± {each.std() / len(each) ** 0.5:.3f}" for each in inside)
            cost = f"{trained:.0f} | {(time.process_time() - start) / len(ranks):.2f}"
            print(f"| {name} | {method} | {smallest:.3f} | {shares} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
