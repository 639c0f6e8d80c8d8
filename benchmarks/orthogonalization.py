"""What the optimizer costs for grids: the orthogonalization of matrices by shape, and the optimizer's share of a training step.

    python benchmarks/orthogonalization.py [--rounds 5] [--sides 28 64 128]

Orthogonalization is compared with the published iteration of Muon (five of Newton and Schulz), in bfloat16 and in float32, in
turn; the share is that of `Optimizer.step` in the CPU time of steps of the default network, for Gaussian fields with one
channel. One thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.fitting import Options, plan, prepare, trainer_of
from scorefield.settings import Training
from scorefield.training.optimizer import orthogonalize

SHAPES = ((48, 432), (96, 864), (192, 1728), (192, 3456), (96, 384), (96, 192), (128, 128))


def published(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    x = matrices.to(dtype)
    x = x / (torch.linalg.matrix_norm(x.float(), keepdim=True).to(dtype) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.to(matrices.dtype)


def milliseconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return 1e3 * (time.process_time() - start)


def by_shape(rounds: int) -> None:
    print("shape, ms: published in bfloat16, in float32; ours in training with bfloat16, with float32; ratios")
    for shape in SHAPES:
        x = torch.randn(4, *shape)
        ways: list[Callable[[], object]] = [
            lambda x=x: published(x, torch.bfloat16),
            lambda x=x: published(x, torch.float32),
            lambda x=x: orthogonalize(x),
            lambda x=x: orthogonalize(x, dtype=torch.float32),
        ]
        for way in ways:
            way()
        found = [[milliseconds(way) for way in ways] for _ in range(rounds)]
        middle = [statistics.median(times) for times in zip(*found)]
        ratios = [statistics.median(row[i] / row[i + 2] for row in found) for i in (0, 1)]
        print(
            f"{shape}: {'  '.join(f'{m:.2f}' for m in middle)}   {ratios[0]:.2f} and {ratios[1]:.2f} times", flush=True
        )


def share(side: int, periods: int) -> str:
    """The optimizer's share of the CPU time of training, of so many periods of Muon."""
    x = torch.randn(64, 1, side, side, generator=torch.Generator().manual_seed(0)).cumsum(2).cumsum(3)
    options = Options(training=Training(steps=1000))
    trainer = trainer_of(plan(prepare(x, options), options))
    times: list[float] = []
    step = trainer.optimizer.step

    def timed(factor: float) -> None:
        times.append(milliseconds(lambda: step(factor)))

    trainer.optimizer.step = timed  # type: ignore[method-assign]
    run = trainer.run()
    next(run)
    times.clear()
    every = trainer.training.muon_every or 1
    whole = [milliseconds(lambda: next(run)) for _ in range(periods * every)]
    got, batch = statistics.mean(whole), trainer.training.batch
    about = f"side {side}, batch {batch}, {trainer.training.precision}, Muon once in {every}"
    return f"{about}: {got:.0f} ms a step, optimizer {sum(times) / sum(whole):.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sides", type=int, nargs="*", default=[28, 64, 128])
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_shape(options.rounds)
    for side in options.sides:
        print(share(side, options.rounds), flush=True)


if __name__ == "__main__":
    main()
