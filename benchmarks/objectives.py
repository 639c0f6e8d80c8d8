"""The cost of a step of each objective against dimension: time, and memory kept for the gradient.

    python benchmarks/objectives.py [--dimensions 10 30 100 300 1000] [--batch 64] [--rounds 5]

All use the same network, an MLP with three hidden layers of width 256. A step is a loss and its gradient with respect to the
parameters, without the optimizer; time is CPU time on one thread, the minimum over rounds. Memory is what autograd saves for
the backward pass, without parameters, counted by hooks.
"""

from __future__ import annotations

import argparse
import math
import time

import torch

from scorefield.denoisers import Preconditioned
from scorefield.nn import MLP
from scorefield.objectives import (
    DenoisingScoreMatching,
    ExactScoreMatching,
    LevelObjective,
    LogNormal,
    SlicedScoreMatching,
)
from scorefield.rng import Steps

LEVELS = LogNormal(-0.5, 1.2)
OBJECTIVES: dict[str, LevelObjective] = {
    "denoising": DenoisingScoreMatching(LEVELS),
    "sliced, variance reduced": SlicedScoreMatching(LEVELS),
    "sliced": SlicedScoreMatching(LEVELS, reduced=False),
    "exact": ExactScoreMatching(LEVELS),
}


def cost(objective: LevelObjective, dimension: int, batch: int = 64, rounds: int = 5) -> tuple[float, float]:
    """The time of a step in seconds, and the memory it saves in MB."""
    torch.manual_seed(0)
    denoiser = Preconditioned(MLP(dimension, 256, 3))
    torch.nn.init.normal_(denoiser.network.output.weight, std=0.01)  # so that the derivative is not zero everywhere
    parameters = {p.untyped_storage().data_ptr() for p in denoiser.parameters()}
    x0, rng, kept, least = torch.randn(batch, dimension), Steps(0), {}, math.inf

    def pack(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = objective(denoiser, x0, rng.at(0)).mean()
    loss.backward()
    for i in range(rounds):
        start = time.process_time()
        objective(denoiser, x0, rng.at(i)).mean().backward()
        least = min(least, time.process_time() - start)
        if least > 2:
            break
    return least, sum(kept.values()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| per step | " + " | ".join(f"D = {d:,}" for d in options.dimensions) + " |")
    print("| --- |" + " --- |" * len(options.dimensions))
    for name, objective in OBJECTIVES.items():
        costs = [cost(objective, d, options.batch, options.rounds) for d in options.dimensions]
        print(f"| {name} | " + " | ".join(f"{1e3 * s:,.1f} ms, {m:,.1f} MB" for s, m in costs) + " |", flush=True)


if __name__ == "__main__":
    main()
