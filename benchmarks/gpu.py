"""What a device makes of training and sampling: steps per second, the share of its rate, and agreement with the CPU.

    python benchmarks/gpu.py [--device cuda] [--seconds 60] [--small]

Trains what `fit` chooses for handwritten digits (28 x 28), a U-Net of about 35 million parameters for colour images of 32 x 32,
and the network for a table of 8 columns, on random numbers of these shapes. The rate of arithmetic counts the multiplications
and additions of the network alone; it is compared with that of a matrix product in the same precision, measured on the spot.
Then one model draws the same seeds, and gives log-densities of the same data, on the CPU and on the device. With `--small` all
of it is small: to see that it runs. On a GPU it is meant to take less than ten minutes.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from scorefield import Network, Training, fit
from scorefield.fitting import Options, plan, prepare, threads, trainer_of

__all__ = ["main"]


def _cases(small: bool) -> dict[str, tuple[Any, Network]]:
    """Data and networks by name."""
    rng, rows = np.random.default_rng(0), 300 if small else 4096
    digits = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    images = rng.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    table = rng.normal(size=(rows, 8)) @ np.triu(np.ones((8, 8)))
    large = Network(widths=(8, 16)) if small else Network(widths=(144, 288, 288, 288), depth=2, attention=True)
    return {
        "digits": (digits, Network(widths=(8, 16)) if small else Network()),
        "images": (images, large),
        "table": (table, Network()),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak(device: torch.device, dtype: torch.dtype, small: bool) -> float:
    """Operations per second of the best of some matrix products."""
    size, best = 8192 if device.type == "cuda" and not small else 768, float("inf")
    a = torch.ones(size, size, dtype=dtype, device=device)
    for _ in range(8):
        _wait(device)
        start = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _speed(x: Any, network: Network, device: str, seconds: float, small: bool) -> str:
    """Steps per second, and the share of the rate of the device."""
    options = Options(training=Training(minutes=60, evaluations=1), network=network, device=device)
    planned = plan(prepare(x, options), options)
    with threads(planned):
        trainer = trainer_of(planned)
        steps = trainer.run()
        with FlopCounterMode(display=False) as counter:
            next(steps)
        for _ in zip(range(2 if small else 20), steps):
            pass
        _wait(planned.device)
        start, done = time.perf_counter(), 0
        for _ in steps:
            done += 1
            if time.perf_counter() - start > seconds:
                break
        _wait(planned.device)
        rate = done / (time.perf_counter() - start)
        low = planned.training.precision == "bfloat16"
        peak = _peak(planned.device, torch.bfloat16 if low else torch.float32, small)
    work = counter.get_total_flops()
    size, batch = len(trainer.flat.values), planned.training.batch
    said = f"{size:,} parameters, batches of {batch}, {planned.training.precision}: {rate:.2f} steps/s"
    return f"{said}, {work / 1e9:.3g} GFLOP a step, {100 * work * rate / peak:.1f} % of {peak / 1e12:.3g} TFLOP/s"


def _agreement(device: str, small: bool) -> None:
    """How far samples and log-densities of one model differ between the CPU and a device."""
    for name, (x, _) in _cases(True).items():
        network = Network(widths=(64,), depth=2) if name == "table" else Network(widths=(16, 32))
        model = fit(x[:200], steps=20 if small else 200, network=network, device="cpu")
        count = 64 if name == "table" else 8
        one = torch.as_tensor(np.asarray(model.sample(count))).double()
        found = [model.log_prob(x[:count]).value] if name == "table" else []
        model = model.to(device)
        other = torch.as_tensor(np.asarray(model.sample(count))).double()
        found += [model.log_prob(x[:count]).value] if name == "table" else []
        apart = float((one - other).abs().max() / one.std())
        density = f", log-densities {float((found[0] - found[1]).abs().max()):.2g} nats" if found else ""
        print(f"{name}: samples differ by at most {apart:.2g} standard deviations{density}", flush=True)


def main() -> None:
    """Measures the device."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    name = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "the CPU"
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    print(f"{name}, PyTorch {torch.__version__}; TF32 in matrix products and convolutions: {tf32}", flush=True)
    for each, (x, network) in _cases(asked.small).items():
        print(f"{each}: {_speed(x, network, asked.device, asked.seconds, asked.small)}", flush=True)
    _agreement(asked.device, asked.small)


if __name__ == "__main__":
    main()
