"""10,000 points in the plane, 1,000 Langevin steps, a small network: compared with plain loops on one thread.

    python benchmarks/langevin.py [--rounds 3] [--count 10000] [--moves 1000] [--network relu]

The plain loops are as in a notebook, with noise from `torch.randn_like`, all points at once:

    kept       with gradients on, as a loop is first written: the graph of all steps is kept (7 GB with ReLU)
    detached   with gradients on, and `x.detach()` after each step
    inference  under `torch.inference_mode()`

Two cases: one target and 1,000 steps with `langevin`; ten levels of 100 steps with `annealed_langevin` and a network that is
divided by the level. Each run has its own process, since memory that one run has allocated speeds up the next. Wall time
and CPU time are printed, for shared machines; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from itertools import pairwise

import torch
from torch import Tensor, nn

from scorefield.mcmc import Langevin, langevin
from scorefield.rng import Samples
from scorefield.samplers import annealed_langevin

RATIO = 0.05
LADDERS = {"one target": [1.0], "annealed": torch.logspace(1, -1, 10).tolist()}
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "softplus": nn.Softplus}
VARIANTS = ("kept", "detached", "inference", "scorefield")


class Network(nn.Module):
    """Hidden layers of 32, 64 and 64 units; the output is divided by the level."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        inner = [layer for a, b in pairwise([2, 32, 64, 64]) for layer in (nn.Linear(a, b), activation())]
        self.layers = nn.Sequential(*inner, nn.Linear(64, 2))

    def forward(self, x: Tensor, level: Tensor | float) -> Tensor:
        return self.layers(x) / level


def plain(network: Network, x: Tensor, levels: list[float], moves: int, detach: bool) -> Tensor:
    """A plain loop, as in a notebook."""
    for level in levels:
        step = RATIO * level**2
        for _ in range(moves):
            x = x + step * network(x, level) + math.sqrt(2 * step) * torch.randn_like(x)
            x = x.detach() if detach else x
    return x


def ours(network: Network, x: Tensor, levels: list[float], moves: int) -> Tensor:
    rng, step = Samples(0, count=len(x)), Langevin(RATIO)
    if len(levels) == 1:
        return langevin(lambda state: network(state, 1.0), x, moves, rng, step).state
    return annealed_langevin(network, x, levels, rng, step, moves, denoise=False).state


def measure(variant: str, ladder: str, options: argparse.Namespace) -> None:
    """One run in this process; prints its time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, x, levels = Network(ACTIVATIONS[options.network]), torch.randn(options.count, 2), LADDERS[ladder]
    moves = options.moves // len(levels)
    start = time.perf_counter(), time.process_time()
    if variant == "scorefield":
        ours(network, x, levels, moves)
    elif variant == "inference":
        with torch.inference_mode():
            plain(network, x, levels, moves, detach=False)
    else:
        plain(network, x, levels, moves, detach=variant == "detached")
    print(time.perf_counter() - start[0], time.process_time() - start[1])


def compare(ladder: str, rounds: int) -> None:
    """Prints the time of each variant, and its ratio to ours."""
    seconds: dict[str, list[tuple[float, ...]]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant in VARIANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--only", variant, ladder]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[variant].append(tuple(map(float, ended.stdout.split())))
        print(
            f"{ladder}: " + ", ".join(f"{variant} {seconds[variant][-1][0]:.2f} s" for variant in VARIANTS), flush=True
        )
    for variant in VARIANTS:
        clock, processor = (statistics.median(times) for times in zip(*seconds[variant]))
        pairs = [(a / c, b / d) for (a, b), (c, d) in zip(seconds[variant], seconds["scorefield"])]
        ratio, other = (statistics.median(ratios) for ratios in zip(*pairs))
        print(f"{ladder:9} {variant:11} {clock:6.2f} s, {processor:6.2f} s CPU: {ratio:5.2f} x, {other:5.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--moves", type=int, default=1000)
    parser.add_argument("--network", choices=ACTIVATIONS, default="relu")
    parser.add_argument("--only", nargs=2, metavar=("WAY", "LADDER"), help="one run in this process")
    options = parser.parse_args()
    if options.only:
        measure(*options.only, options)
    else:
        for ladder in LADDERS:
            compare(ladder, options.rounds)


if __name__ == "__main__":
    main()
