"""Training of `NPE` and of the NPE of the sbi package: CPU seconds, and the log-density of new simulations.

    python benchmarks/npe_time.py --folder sbibm [--task two_moons gaussian_linear] [--simulations 1000 10000] [--rounds 1]

Both are trained by their defaults on the same simulations, in turn, in one process on one core. The log-density is a mean over
4,000 new simulations, with its standard error. Without the package, which the project does not install, ours is timed alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from sbibm_tasks import Task, tasks
from torch import Tensor

from scorefield import interop

Density = Callable[[Tensor, Tensor], Tensor]
FRESH = 4000


def ours(task: Task, theta: Tensor, x: Tensor) -> Density:
    """The log-density that this package learns."""
    return interop.NPE(task.prior).append_simulations(theta, x).train().log_prob


def theirs(task: Task, theta: Tensor, x: Tensor) -> Density:
    """That of sbi, which writes its logs into the current folder."""
    from sbi.inference import NPE

    estimator = NPE(prior=task.prior, show_progress_bars=False).append_simulations(theta, x).train()
    return lambda theta, x: estimator.log_prob(theta.float()[None], x.float())[0].detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--task", nargs="+", default=["two_moons", "gaussian_linear"])
    parser.add_argument("--simulations", nargs="+", type=int, default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    every, methods = tasks(options.folder.resolve()), {"ours": ours} | ({"sbi": theirs} if find_spec("sbi") else {})
    torch.set_num_threads(1)
    os.chdir(tempfile.mkdtemp())
    print("| task | simulations | round | method | CPU s of training | log-density of new simulations |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.task:
        for count in options.simulations:
            for round_ in range(options.rounds):
                theta, x, *fresh = (
                    torch.as_tensor(np.asarray(each)).double()
                    for draw in ((round_, count), (1000, FRESH))
                    for each in every[name].draw(*draw)
                )
                for method, run in methods.items():
                    start = time.process_time()
                    density = run(every[name], theta.float(), x.float())
                    used, found = time.process_time() - start, density(*fresh)
                    value = f"{found.mean():.3f} ± {found.std() / len(found) ** 0.5:.3f}"
                    print(f"| {name} | {count:,} | {round_} | {method} | {used:.1f} | {value} |", flush=True)


if __name__ == "__main__":
    main()
