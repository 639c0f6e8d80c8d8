"""The resident memory of a fit of many steps on a tiny table.

    python benchmarks/long_fit.py [--steps 2000000]

Prints the resident memory in MB, and the seconds since the start, after 100, 1,000 and each 100,000 steps.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from scorefield import fit
from scorefield.settings import Network, Training
from scorefield.training import Progress


def resident() -> float:
    """The resident memory of this process in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000_000)
    steps, begin = parser.parse_args().steps, time.perf_counter()
    torch.set_num_threads(1)

    def watch(progress: Progress) -> None:
        if progress.step in (100, 1000) or progress.step % 100_000 == 0:
            print(f"{progress.step:9,} steps  {resident():7.1f} MB  {time.perf_counter() - begin:6.0f} s", flush=True)

    x = np.random.default_rng(0).normal(size=(40, 1))
    training = Training(steps=steps, batch=4, evaluations=2, patience=10**9, averages=(), warmup=0)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            x, Path(folder) / "run", network=Network(widths=(4,), depth=1), training=training, device="cpu", watch=watch
        )
    print(f"at the end {resident():.1f} MB")


if __name__ == "__main__":
    main()
