"""A file larger than what is taken from it does not fill the memory."""

import subprocess
import sys

import pytest

CODE = """
import sys, numpy as np, torch
from scorefield.data import ArrayRows, Schema, summarize
from scorefield.data.repeats import row_hashes

def resident():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) / 1024

torch.set_num_threads(1)
x = np.load(sys.argv[1], mmap_mode="r")
small = ArrayRows(torch.randn(9000, 256))
summarize(small), row_hashes(small)
before = resident()
rows = Schema.of(x).rows(x)
rng = np.random.default_rng(0)
for _ in range(100):
    rows.take(rng.integers(0, len(rows), 256))
summarize(rows)
row_hashes(rows)
print(type(rows).__name__, resident() - before)
"""


@pytest.mark.slow
def test_resident_memory_stays_flat(tmp_path):
    import numpy as np
    import pytest

    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (400_000, 256))  # 410 MB, sparse
    x[::400] = np.random.default_rng(0).normal(size=(1000, 256))
    x.flush()
    out = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "x.npy")], capture_output=True, text=True, check=True
    )
    kind, grown = out.stdout.split()
    assert kind == "FileRows"
    assert float(grown) < 160  # a few pieces of 18 MB, in a heap that may keep some: 23 to 70 MB of any file
