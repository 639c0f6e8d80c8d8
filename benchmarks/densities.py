"""CPU milliseconds and errors of log-densities of mixtures in 2, 10 and 64 dimensions, exact and learned, one thread.

    python benchmarks/densities.py [--sizes 2 10 64] [--count 64] [--steps 400]

Exact mixtures are compared with their own log-density, learned networks with themselves at a tolerance of 2e-8. To compare two
versions, run it alternately with PYTHONPATH set to the `src` of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from likelihood import ZERO, mixture
from scorefield import fit
from scorefield.diffusion import Diffusion
from scorefield.likelihood import LogProb, log_prob
from scorefield.processes import VE, VP
from scorefield.rng import Samples
from scorefield.settings import Training


def line(name: str, run: Callable[[], LogProb], true: Callable[[], Tensor]) -> None:
    begin = time.process_time()
    found = run()
    cost = 1e3 * (time.process_time() - begin) / len(found)
    error, reported = (found.value - true()).abs(), found.solver_error
    covered = float((error <= found.error).double().mean())
    sizes = f"error: median {error.median():.1e}, largest {error.max():.1e}; reported {reported.median():.1e}"
    evaluations = float(found.evaluations.double().mean())
    print(f"{name:24} {cost:8.2f} ms a row  {evaluations:4.0f} evaluations  {sizes}, covers {covered:.1%}", flush=True)


def measure(size: int, count: int, steps: int) -> None:
    """The exact mixture by two processes, and a network that was trained on 20,000 rows of it."""
    target = mixture(size)
    x = target.sample(count, Samples(1, count=count))
    for process in (VP(), VE(0.01, 500.0)):
        diffusion, true = Diffusion(process, target, target.moments()), target.log_prob(x, process.level(ZERO))
        line(f"{size}, exact, {type(process).__name__}", partial(log_prob, diffusion, x), true.clone)
    model = fit(target.sample(20_000, Samples(0, count=20_000)).numpy(), training=Training(steps=steps))
    line(
        f"{size}, learned", partial(model.log_prob, x.numpy()), lambda: model.log_prob(x.numpy(), tolerance=2e-8).value
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 10, 64])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400, help="of training")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for size in options.sizes:
        measure(size, options.count, options.steps)


if __name__ == "__main__":
    main()
