"""Time and memory against rows, features and the side of a field, and their slopes on logarithmic scales.

    python benchmarks/scaling.py                                    # all of it: the largest sizes take minutes and gigabytes
    python benchmarks/scaling.py rows --sizes 1000 10000 100000
    python benchmarks/scaling.py features side

Each size is a process of its own, of one thread. Of smooth data, normal numbers with correlations: the CPU seconds until the
first step of a fit, with reading the file; those of a step of the default batch and of an example in it; those of 1,000 samples
(16 fields) and of `evaluate` with its defaults, for rows and features; and the peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scorefield import fit
from scorefield.data import read
from scorefield.evaluation import evaluate
from scorefield.fitting import Options, plan, prepare, trainer_of
from scorefield.settings import Training

SIZES = {
    "rows": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    "features": (2, 8, 32, 100, 316, 1_000),
    "side": (16, 32, 64, 128, 256),
}
_ROWS, _FEATURES, _FIELDS = 20_000, 10, 600
_COLUMNS = ("ready", "step", "example", "samples", "evaluate", "memory")
_HEADS = ("until the first step, CPU s", "a step, ms", "an example in it, ms", "samples, s", "`evaluate`, s", "MB")


def data(kind: str, size: int) -> np.ndarray:
    """Rows of correlated normal numbers, or fields whose power falls with the square of the wave number."""
    rng = np.random.default_rng(0)
    if kind == "side":
        frequencies = [np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)]
        fall = 1 / (1 + sum((20 * k) ** 2 for k in frequencies))
        noise = np.fft.rfft2(rng.standard_normal((_FIELDS, size, size), dtype=np.float32))
        return np.fft.irfft2(noise * fall, (size, size)).astype(np.float32)
    rows, features = (size, _FEATURES) if kind == "rows" else (_ROWS, size)
    x = rng.standard_normal((rows, features), dtype=np.float32)
    x[:, 1:] += 0.5 * x[:, :-1]
    return x


def one(kind: str, size: int) -> dict[str, float]:
    """The figures of one size, in this process."""
    torch.set_num_threads(1)
    steps = 100 if kind != "side" else max(3, 40_000 // size**2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npy"
        np.save(path, data(kind, size))
        training = Training(steps=steps, evaluations=1, threads=1)
        begin = time.process_time()
        options = Options(training=training)
        chosen = plan(prepare(read(path), options), options)
        trainer, moments = trainer_of(chosen), [time.process_time()]
        for _ in trainer.run():
            moments.append(time.process_time())
        gaps = np.diff(moments)
        found: dict[str, float] = {
            "ready": moments[0] - begin,
            "step": 1e3 * float(np.median(gaps)) if len(gaps) else 0,
        }
        found["example"] = found["step"] / (chosen.training.batch or 1)
        x = np.load(path, mmap_mode="r")
        model = fit(np.array(x[:2_000]), training=Training(steps=3, evaluations=1, threads=1))
        begin = time.process_time()
        model.sample(16 if kind == "side" else 1_000, seed=0)
        found["samples"] = time.process_time() - begin
        if kind != "side":
            begin = time.process_time()
            evaluate(model, np.array(x[: -len(x) // 10]), np.array(x[-len(x) // 10 :]))
            found["evaluate"] = time.process_time() - begin
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return found


def measured(kind: str, sizes: list[int]) -> Iterator[dict[str, Any]]:
    """The figures of each size, in processes of their own."""
    for size in sizes:
        command = [sys.executable, __file__, kind, "--one", str(size)]
        printed = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        yield {"size": size, **json.loads(printed.stdout.splitlines()[-1])}


def slope(sizes: list[float], values: list[float]) -> float:
    """That of the last two sizes, on logarithmic scales."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(SIZES), metavar="KIND", help="rows, features, side")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one(options.kinds[0], options.one)))
        return
    for kind in options.kinds:
        print(f"\n| {kind} | {' | '.join(_HEADS)} |\n| {' | '.join(['---'] * (len(_HEADS) + 1))} |", flush=True)
        found = []
        for figures in measured(kind, options.sizes or list(SIZES[kind])):
            found.append(figures)
            cells = [f"{figures[name]:.3g}" if name in figures else "" for name in _COLUMNS]
            print(f"| {figures['size']:,} | {' | '.join(cells)} |", flush=True)
        if len(found) > 1:
            sizes = [each["size"] for each in found]
            cells = [f"{slope(sizes, [f[name] for f in found]):.2f}" if name in found[-1] else "" for name in _COLUMNS]
            print(f"| slope of the last two | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
