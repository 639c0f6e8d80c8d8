"""What commands write, in one process or in several that share them: test_distributed.py compares the bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import Tensor

from scorefield import Run
from scorefield.cli.posterior import posterior
from scorefield.cli.sample import sample
from scorefield.comparison import compare
from scorefield.data import ArrayRows, Rows, repeats, summarize
from scorefield.distributed import barrier, first
from scorefield.evaluation import evaluate_run


class Sixteenths(ArrayRows):
    """Rows on a lattice, which note every read."""

    def __init__(self, x: np.ndarray) -> None:
        super().__init__(np.round(16 * x) / 16)
        self.read: list[int] = []

    def stored(self, indices: np.ndarray) -> Tensor:
        self.read.append(len(indices))
        return super().stored(indices)


def summary_of(rows: Rows) -> list[Any]:
    """What one pass over rows finds, by chunks of 20 of them."""
    found = vars(summarize(rows, memory=8 * rows.shape[1] * 20, shared=True))
    return [x.tolist() if isinstance(x, Tensor) else x for x in found.values()]


def hashes_of(rows: Rows) -> np.ndarray:
    """The hashes of rows, by chunks of 7 of them."""
    with patch.object(repeats, "_READ", 7 * rows.shape[1]):
        return repeats.row_hashes(rows, shared=True)


def write_files(table: Path, grids: Path, x: np.ndarray, folder: Path) -> None:
    """Draws samples and a posterior of a table, and measures a run of grids, into a folder."""
    if first():
        folder.mkdir()
        np.save(folder / "seen.npy", [0.5, np.nan, np.nan])
    barrier()
    for name in ("new.csv", "new.parquet", "new.zarr"):
        sample(table, count=1100, output=folder / name, seed=3)
    posterior(table, folder / "seen.npy", operator="mask", noise="0.1", count=1100, output=folder / "known.npy")
    evaluate_run(Run(grids), x, count=40)
    compare(Run(grids), ["heun(steps=3)", "ddim(steps=4)"], x, count=40)
    if first():
        for name in ("evaluation.json", "compare.json"):
            content = without_times(json.loads((grids / name).read_text()))
            (folder / name).write_text(json.dumps(content, indent=1))
    barrier()


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(inner) for name, inner in value.items() if name not in ("seconds", "per_second")}
    return [*map(without_times, value)] if isinstance(value, list) else value


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
