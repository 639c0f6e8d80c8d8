"""Training steps per CPU second: the package's loop, a plain eager loop and a DataLoader loop, in turn, in one run.

    python benchmarks/loop.py [--rows 400] [--columns 2] [--batch 128] [--rounds 5] [--seconds 4]

All train the same network on the same correlated Gaussian data, with one thread. The eager loop takes batches from a tensor by
random indices and steps with a fused AdamW; it neither clips gradients nor averages weights. The other one is as in a notebook:
a `DataLoader` that shuffles, Adam, clipping, an exponential average. Each is timed `--rounds` times, in turn.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from scorefield.denoisers import Preconditioned
from scorefield.fitting import Options, plan, prepare, trainer_of
from scorefield.nn import choose
from scorefield.settings import Training


def denoiser_of(data: Tensor) -> Preconditioned:
    """The denoiser that the package would train, with first weights of its own."""
    return Preconditioned(choose(tuple(data.shape[1:]), len(data))[0])


def loss_of(denoiser: Preconditioned, x0: Tensor) -> Tensor:
    level = torch.exp(-0.5 + 1.2 * torch.randn(len(x0), 1))
    x = x0 + level * torch.randn_like(x0)
    return ((1 / level**2 + 1) * (denoiser(x, level) - x0) ** 2).mean()


def eager(data: Tensor, batch: int) -> Iterator[None]:
    denoiser = denoiser_of(data)
    optimizer = torch.optim.AdamW(denoiser.parameters(), 1e-3, fused=True)
    while True:
        loss = loss_of(denoiser, data[torch.randint(len(data), (batch,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def notebook(data: Tensor, batch: int) -> Iterator[None]:
    denoiser = denoiser_of(data)
    average = copy.deepcopy(denoiser)
    optimizer = torch.optim.Adam(denoiser.parameters(), 1e-3)
    loader = DataLoader(TensorDataset(data), batch_size=batch, shuffle=True, drop_last=True)
    while True:
        for (x0,) in loader:
            loss = loss_of(denoiser, x0)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), denoiser.parameters()):
                    slow.lerp_(fast, 0.001)
            yield


def ours(data: Tensor, batch: int) -> Iterator[object]:
    options = Options(training=Training(steps=10**8, batch=batch, patience=1000))
    return trainer_of(plan(prepare(data, options), options)).run()


LOOPS: dict[str, Callable[[Tensor, int], Iterator[object]]] = {
    "notebook": notebook,
    "eager": eager,
    "scorefield": ours,
}


def rate(steps: Iterator[object], seconds: float) -> float:
    """Steps per CPU second over some seconds."""
    count, start = 0, time.process_time()
    while (used := time.process_time() - start) < seconds:
        for _ in range(20):
            next(steps)
        count += 20
    return count / used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(options.columns, options.columns, generator=rng)
    data = torch.randn(options.rows, options.columns, generator=rng) @ mixing
    loops = {name: loop(data, options.batch) for name, loop in LOOPS.items()}
    for steps in loops.values():
        rate(steps, 0.5)
    found = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, steps in loops.items():
            found[name].append(rate(steps, options.seconds))
        print("   ".join(f"{name} {rates[-1]:7.0f}" for name, rates in found.items()), flush=True)
    for name in ("notebook", "eager"):
        ratio = statistics.median(b / a for a, b in zip(found[name], found["scorefield"]))
        print(f"scorefield over {name}, {options.rows} x {options.columns}, batch {options.batch}: median {ratio:.2f}")


if __name__ == "__main__":
    main()
