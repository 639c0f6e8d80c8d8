"""Time and memory of the exact largest distance between digits, and how they grow with the number of data.

    python benchmarks/calibrate.py mnist_train.npz [--times 1 2 5 10] [--folder /tmp] [--threads 2]

First 10,000 digits, and brute force over all pairs (in integers, which float64 holds exactly); then all 60,000; then several
times as many on disk, each copy shifted by up to two pixels and with new noise on its grey values. Memory is the peak of the
process above what it held with its libraries and, for digits in memory, the digits.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from memory import Peak, resident

from scorefield.data import ArrayRows, FileRows, Rows
from scorefield.noise_levels import Diameter, choose_noise_levels, diameter


def measured(rows: Rows, name: str, tolerance: float = 0.0) -> Diameter:
    """The largest distance; prints time and memory."""
    before, peak = resident(), Peak()
    peak.start()
    wall, cpu = time.perf_counter(), time.process_time()
    found = diameter(rows, tolerance=tolerance)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak.going = False
    value = f"{found.low:.10f}" if found.exact else f"{found.low:.4f} to {found.high:.4f}"
    took = f"{wall:7.2f} s, {cpu:7.2f} s of CPU, {peak.value - before:5.0f} MB more, {peak.value:5.0f} MB in all"
    print(f"{name:34} {value:>20}   {took}", flush=True)
    return found


def brute_force(images: np.ndarray) -> float:
    """The square root of the largest squared distance of all pairs, which is an integer."""
    x = torch.from_numpy(images.reshape(len(images), -1)).double()
    squares, most = x.square().sum(1), 0.0
    for part, own in zip(x.split(512), squares.split(512)):
        most = max(most, float((own[:, None] + squares - 2 * part @ x.T).max()))
    return math.sqrt(most)


def jittered(images: np.ndarray, times: int, path: Path) -> FileRows:
    """A file with `times` as many digits."""
    rng, side = np.random.default_rng(0), images.shape[1]
    with open(path, "wb") as file:
        shape = (times * len(images), 1, side, side)
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for copy in range(times):
            for part in np.array_split(images, 12):
                moved = part if copy == 0 else np.empty_like(part)
                for i, shift in enumerate(rng.integers(-2, 3, (len(part), 2)) if copy else ()):
                    moved[i] = np.roll(part[i], tuple(shift), (0, 1))
                if copy:
                    noise = rng.integers(-12, 13, moved.shape)
                    moved = np.where(moved > 0, np.clip(moved + noise, 1, 255), 0).astype(np.uint8)
                file.write(moved.tobytes())
    rows = FileRows.of(np.load(path, mmap_mode="r"))
    if rows is None:
        raise RuntimeError(f"{path} is not an array in a file")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--times", type=int, nargs="*", default=[1, 2, 5, 10])
    parser.add_argument("--folder", default=None)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = np.load(options.data)["images"]
    found = measured(ArrayRows(images[:10_000, None]), "10,000 digits")
    start = time.perf_counter()
    truth = brute_force(images[:10_000])
    same = "the same to the last digit" if truth == found.low else f"NOT {found.low!r}"
    print(
        f"{'  all pairs, by brute force':34} {truth:20.10f}   {time.perf_counter() - start:7.2f} s: {same}", flush=True
    )
    rows = ArrayRows(images[:, None])
    found = measured(rows, f"{len(images):,} digits")
    measured(rows, "  to 1 %", tolerance=0.01)
    start = time.perf_counter()
    choose_noise_levels(rows, reach=found)
    print(f"{'  everything else in choose_noise_levels':34} {'':20}   {time.perf_counter() - start:7.2f} s", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for times in options.times:
            more = jittered(images, times, Path(folder) / "digits.npy")
            measured(more, f"{len(more):,} on disk")
            measured(more, "  to 1 %", tolerance=0.01)


if __name__ == "__main__":
    main()
