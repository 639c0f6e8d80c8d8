"""Time of a training step against the number of processes, the share of communication, and memory against the size of the data.

    python benchmarks/processes.py steps [--processes 1 2 4] [--steps 60] [--how ordered any shard]
    python benchmarks/processes.py weights [--processes 1 2 4]
    python benchmarks/processes.py memory [--gigabytes 1.2 4] [--processes 1 2] [--folder PLACE]

Each measurement is a `torchrun` of its own, with one thread for each process. Steps are those of a table (an MLP) and of fields
(a U-Net), in four parts; the first tenth is left out. Communication is the time in exchanges of gradients, waiting for slower
processes included. Gradients are added in order, by an all-reduce (`any`), or in a network that is divided (`shard`), whose own
communication is not seen. `weights` is what a process holds more than before while it fits a network of millions of
parameters, whole and divided. Memory is the largest resident size of a process that fits 20 steps to fields of 64 x 64 in one
.npy file, which is written to the folder before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main"]

_SIDE = 64


def _tables() -> tuple[Any, Any]:
    from scorefield import Network

    x = np.random.default_rng(0).normal(size=(20_000, 8)) @ np.triu(np.ones((8, 8)))
    return x, Network(widths=(256,), depth=3)


def _fields() -> tuple[Any, Any]:
    from scorefield import Network

    return np.random.default_rng(0).normal(size=(2000, 28, 28)).astype(np.float32).cumsum(1), Network(widths=(32, 64))


def _settings(how: str) -> dict[str, Any]:
    return {"shard": True} if how == "shard" else {"gradient_sum": how}


def _weights(how: str) -> dict[str, Any]:
    """Parameters, and the bytes that this process holds for each of them after some steps."""
    import gc

    import torch.distributed.fsdp  # noqa: F401  # what libraries take is not counted

    from scorefield import Network, Training, fit

    x, held = np.random.default_rng(0).normal(size=(200, 8, 8)).astype(np.float32).cumsum(1), list[int]()

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before = resident()
    training = Training(batch=4, accumulate=4, muon_learning_rate=0.0, precision="float32", threads=1, **_settings(how))
    model = fit(
        x, steps=4, network=Network(widths=(192, 384)), training=training, watch=lambda p: held.append(resident())
    )
    return {"parameters": sum(p.numel() for p in model.parameters()), "held": max(held) - before}


def _steps(steps: int, how: str) -> dict[str, Any]:
    """Seconds of a step and of its communication, by kind of data, in this process."""
    from scorefield import Training
    from scorefield.fitting import Options, plan, prepare, threads, trainer_of
    from scorefield.training import parts

    spent = [0.0]

    def timed(function: Any) -> Any:
        def wrapper(x: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(x)
            finally:
                spent[0] += time.perf_counter() - start

        return wrapper

    for name in ("exchanged", "stacked", "summed"):
        setattr(parts, name, timed(getattr(parts, name)))
    found = {}
    for name, (x, network) in {"table, MLP": _tables(), "fields, U-Net": _fields()}.items():
        count = steps * (10 if x.ndim == 2 else 1)
        training = Training(steps=10 * count, evaluations=1, threads=1, precision="float32", **_settings(how))
        options = Options(training=training, network=network)
        planned = plan(prepare(x, options), options)
        with threads(planned):
            trainer, start = trainer_of(planned), 0.0
            for progress in trainer.run():
                if progress.step == count // 10:
                    start, spent[0] = time.perf_counter(), 0.0
                if progress.step == count:
                    break
        whole, size = time.perf_counter() - start, len(trainer.flat.values)
        done = count - count // 10
        found[name] = {"parameters": size, "step": whole / done, "communication": spent[0] / whole}
    return found


def _memory(data: Path) -> dict[str, Any]:
    """The largest resident size of this process, in GB, before and after a fit."""
    from scorefield import Network, fit, read

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    fit(read(data), steps=20, network=Network(widths=(8, 16)))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"before": before / 1e9, "most": most / 1e9, "seconds": time.perf_counter() - start}


def _launched(count: int, words: list[str]) -> list[dict[str, Any]]:
    """What each of some processes measured."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        returned = str(2**16)  # bytes from which freed memory goes back to the system, and is not counted
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if "weights" in words:
            environment |= {"MALLOC_MMAP_THRESHOLD_": returned, "MALLOC_TRIM_THRESHOLD_": returned}
        words = [*command, __file__, *words, "--results", folder]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        return [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]


def _write(path: Path, gigabytes: float) -> None:
    """Smooth random fields as one .npy file, a block at a time."""
    rows, rng = int(gigabytes * 1e9 / (4 * _SIDE**2)), np.random.default_rng(0)
    x = np.lib.format.open_memmap(path, "w+", np.float32, (rows, _SIDE, _SIDE))
    for i in range(0, rows, 2000):
        block = rng.standard_normal((min(2000, rows - i), _SIDE, _SIDE), np.float32)
        x[i : i + 2000] = block.cumsum(1).cumsum(2) / _SIDE
    x.flush()


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("steps", "weights", "memory"))
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--how", choices=("ordered", "any", "shard"), nargs="+", default=["ordered"])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.2, 4.0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--results", type=Path, help="set in the processes that are started")
    asked = parser.parse_args()
    if asked.results is not None:
        from scorefield.distributed import joined, rank

        with joined():
            measures = {"steps": lambda: _steps(asked.steps, asked.how[0]), "weights": lambda: _weights(asked.how[0])}
            found = measures.get(asked.what, lambda: _memory(asked.data))()
            (asked.results / f"{rank()}.json").write_text(json.dumps(found))
        return
    if asked.what == "steps":
        for count, how in itertools.product(asked.processes, asked.how):
            for name, each in _launched(count, ["steps", "--steps", str(asked.steps), "--how", how])[0].items():
                said = f"{1000 * each['step']:8.2f} ms a step, {100 * each['communication']:3.0f} % communication"
                print(f"{count} processes  {how:8} {name:14} {each['parameters']:9,} parameters {said}", flush=True)
        return
    if asked.what == "weights":
        for count, how in itertools.product(asked.processes, ("ordered", "shard")):
            each = _launched(count, ["weights", "--how", how])[0]
            said = f"{each['held'] / 1e6:5.0f} MB, {each['held'] / each['parameters']:3.0f} bytes for each of"
            print(f"{count} processes  {how:8} {said} {each['parameters']:,} parameters", flush=True)
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for gigabytes in asked.gigabytes:
            path = Path(folder) / "fields.npy"
            _write(path, gigabytes)
            for count in asked.processes:
                measured = _launched(count, ["memory", "--data", str(path)])
                most = ", ".join(f"{each['most']:.2f}" for each in measured)
                before, seconds = measured[0]["before"], measured[0]["seconds"]
                print(
                    f"{gigabytes:5.1f} GB  {count} processes: at most {most} GB each (imports {before:.2f}), {seconds:.0f} s",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
