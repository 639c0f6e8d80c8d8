"""Simulation-based inference on the published observations of the benchmark sbibm (Lueckmann et al., 2021).

    python benchmarks/sbibm.py --folder sbibm [--task two_moons slcp …] [--simulations 10000] [--method sbi] [--points]

The folder holds the public files, TASK/K/observation.csv and reference_posterior_samples.csv.bz2. Printed are C2ST (two layers
of 10 P units, five folds, 10,000 draws on each side; 0.5 is ideal) for each observation and on average, CPU seconds of training
and of a posterior, and the mean over ten observations of other methods as published: sbi's NPE, the best that is not sequential
in the study of 2021, and the joint model of GenSBI (2026). With --points the method knows that an observation of SLCP is four
independent points, which the others do not.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sbibm_tasks import Task, observation, tasks

from scorefield import interop
from scorefield.metrics import c2st

PUBLISHED = {  # of 1,000 / 10,000 / 100,000 simulations of NPE; of 10,000 / 100,000 of the others
    "two_moons": (".725 / .606 / .542", ".606 / .542", ".522 / .502"),
    "gaussian_mixture": (".731 / .661 / .555", ".661 / .555", ".510 / .501"),
    "gaussian_linear": (".694 / .552 / .506", ".552 / .506", ".508 / .501"),
    "slcp": (".975 / .901 / .831", ".771 / .699", ".657 / .534"),
    "bernoulli_glm": (".863 / .678 / .559", ".605 / .545", ".616 / .560"),
    "sir": (".815 / .680 / .585", ".680 / .585", "–"),
    "lotka_volterra": (".999 / .997 / .981", ".956 / .952", "–"),
}
METHODS = {
    "sbi": interop.SBI,
    "nle": interop.NLE,
    "npe": interop.NPE,
    "npse": interop.NPSE,
    "joint": interop.JointInference,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--task", nargs="*")
    parser.add_argument("--simulations", nargs="+", type=int, default=[10_000])
    parser.add_argument("--method", choices=METHODS, default="sbi")
    parser.add_argument("--observations", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--points", action="store_true")
    options = parser.parse_args()
    every = tasks(options.folder)
    print(
        "| task | simulations | C2ST, mean | of each observation | CPU s training | of a posterior | NPE | 2021 | GenSBI |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.task or every:
        for count in options.simulations:
            found, trained, drawn = measure(every[name], count, options)
            each = " ".join(f"{value:.3f}" for value in found)
            published = " | ".join(PUBLISHED.get(name, ("–", "–", "–")))
            cost = f"{trained:.0f} | {np.mean(drawn):.0f}"
            print(f"| {name} | {count:,} | {np.mean(found):.3f} | {each} | {cost} | {published} |", flush=True)


def measure(task: Task, count: int, options: Any) -> tuple[list[float], float, list[float]]:
    """C2ST of each observation, CPU seconds of training, and of each posterior."""
    points = task.points if options.points else 1
    theta, x = task.draw(0, count)
    inference = METHODS[options.method](task.prior)
    inference.append_simulations(theta, x.reshape(count, points, -1) if points > 1 else x)
    start = time.process_time()
    inference.train(show_train_summary=True)
    trained, posterior, found, drawn = time.process_time() - start, inference.build_posterior(), [], []
    for number in options.observations:
        seen, start = observation(options.folder, task, number), time.process_time()
        x = seen.x.reshape(points, -1) if points > 1 else seen.x
        theta = posterior.sample((options.draws,), x=x, seed=number)
        drawn.append(time.process_time() - start)
        found.append(c2st(theta, torch.from_numpy(seen.reference).float(), maximum=options.draws))
    return found, trained, drawn


if __name__ == "__main__":
    main()
