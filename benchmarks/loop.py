"""Steps per second of the training loop and of a plain DataLoader loop with the same network, in pairs, in one run.

    python benchmarks/loop.py [--rounds 5] [--seconds 4] [--batch 128]

The plain loop is as in a notebook: a `DataLoader` that shuffles, Adam, the same denoising loss with levels and noise from
`torch.randn`, an exponential average of the weights. Both run on one thread and on the same 400 points in the plane.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

from scorefield.denoisers import Preconditioned
from scorefield.fitting import Options, plan, prepare, trainer_of
from scorefield.nn import choose
from scorefield.rng import Samples
from scorefield.settings import Training
from scorefield.toys import two_modes


def plain(data: torch.Tensor, batch: int, seconds: float) -> float:
    """Steps per second of the plain loop."""
    denoiser = Preconditioned(choose((2,), len(data))[0])
    average = copy.deepcopy(denoiser)
    optimizer = torch.optim.Adam(denoiser.parameters(), 1e-3)
    loader = DataLoader(TensorDataset(data), batch_size=batch, shuffle=True, drop_last=True)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for (x0,) in loader:
            level = torch.exp(-0.5 + 1.2 * torch.randn(len(x0), 1))
            x = x0 + level * torch.randn_like(x0)
            loss = ((1 / level**2 + 1) * (denoiser(x, level) - x0) ** 2).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), denoiser.parameters()):
                    slow.lerp_(fast, 0.001)
            steps += 1
    return steps / (time.perf_counter() - start)


def ours(data: torch.Tensor, batch: int, seconds: float) -> float:
    """Steps per second of the package's loop."""
    options = Options(training=Training(minutes=seconds / 60, batch=batch, patience=1000))
    for progress in trainer_of(plan(prepare(data, options), options)).run():
        last = progress
    return last.step / last.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = two_modes()
    data = target.sample(400, Samples(0, count=400)).float()
    ratios = []
    for _ in range(options.rounds):
        a, b = plain(data, options.batch, options.seconds), ours(data, options.batch, options.seconds)
        ratios.append(b / a)
        print(f"plain {a:7.0f} steps/s   scorefield {b:7.0f} steps/s   ratio {b / a:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f} at batch {options.batch}, {len(ratios)} pairs, one thread")


if __name__ == "__main__":
    main()
