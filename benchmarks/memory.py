"""The memory of training from a large file.

    python benchmarks/memory.py [--gigabytes 4] [--minutes 1] [--folder /tmp]

Writes an .npy file of that size (fields of 64 x 64 in float32, removed at the end), trains from a memory map for a while, and
prints by how much the resident memory of the process grew at most, beyond what the network itself takes.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import scorefield
from scorefield.fitting import Options, plan, prepare, trainer_of


def resident() -> float:
    """Resident memory in MB, including mapped file pages."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class Peak(threading.Thread):
    """A thread that records peak resident memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.value, self.going = resident(), True

    def run(self) -> None:
        while self.going:
            self.value = max(self.value, resident())
            time.sleep(0.02)


def write(path: Path, gigabytes: float) -> None:
    """Writes smooth random fields in batches."""
    count, rng = int(gigabytes * 2**30 / (64 * 64 * 4)), np.random.default_rng(0)
    modes = np.sin(np.outer(np.arange(1, 9), np.linspace(0, 2 * np.pi, 64))).astype(np.float32)
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, 64, 64)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, 2048):
            weights = rng.normal(size=(min(2048, count - start), 8, 8)).astype(np.float32)
            file.write((modes.T @ weights @ modes).tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "fields.npy"
        write(path, options.gigabytes)
        training = scorefield.Training(minutes=options.minutes)
        some, warm = np.random.default_rng(0).normal(size=(256, 64, 64)).astype(np.float32), Options(training=training)
        steps = trainer_of(plan(prepare(some, warm), warm)).run()
        for _ in range(4):
            next(steps)
        before = resident()  # libraries, a network of this kind and the memory of its steps
        peak = Peak()
        peak.start()
        start = time.perf_counter()
        scorefield.fit(np.load(path, mmap_mode="r"), training=training)
        peak.going = False
        print(f"file {path.stat().st_size / 2**30:.2f} GiB, fitted in {time.perf_counter() - start:.0f} s")
        print(
            f"resident {before:.0f} MB with libraries and such a network in training, at most {peak.value:.0f} MB in the fit"
        )
        print(f"growth {peak.value - before:.0f} MB")


if __name__ == "__main__":
    main()
