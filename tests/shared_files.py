"""What commands write, in one process or in several that share them: test_distributed.py compares the bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from scorefield import Run
from scorefield.cli.posterior import posterior
from scorefield.cli.sample import sample
from scorefield.comparison import compare
from scorefield.distributed import barrier, first
from scorefield.evaluation import evaluate_run


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
