"""Kills processes that share a fit at random moments, goes on with another number of them, and compares bits.

    python tests/stress/processes.py [--kills 24] [--seed 0] [--data vectors grids] [--folder PLACE]

A whole fit of one process comes first. Then `torchrun` starts 1, 2, 4, 1, … processes on the same folder, one of them, chosen
at random, is killed at a random moment, and so on until there were enough kills and the fit ends. All processes must end
within 30 seconds after each kill, what was saved must stay, and the weights, the log and the record must be those of the
whole fit. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from scorefield import checkpoint

__all__ = ["launch", "main", "results"]

_CHILD = """
import os, sys
from pathlib import Path
import scorefield.runs.session as session
session._CHECKPOINT_SECONDS = 0.3
from scorefield.cli import main
Path(sys.argv[1], f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
sys.exit(main(sys.argv[2:]))
"""
_LIMIT = 30.0  # seconds in which all processes end after a kill
_FITS = {
    "vectors": "--steps 3000 --widths 16 --depth 1 --batch 256",
    "grids": "--steps 160 --widths 8 16 --batch 32",
}


def launch(folder: Path, count: int, words: list[str]) -> subprocess.Popen[str]:
    """Starts a command in so many processes, which write their numbers into a folder."""
    child = folder / "child.py"
    child.write_text(_CHILD)
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*starter, str(child), str(folder), *words]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def results(run: Path) -> dict[str, str]:
    """What a fit has left, without times: digests of the weights, the state, the log and the record."""
    found = {}
    for name in ("model", "training"):
        tensors, _ = checkpoint.read_tensors(run / f"{name}.safetensors")
        content = b"".join(k.encode() + v.numpy().tobytes() for k, v in sorted(tensors.items()))
        found[name] = hashlib.blake2b(content, digest_size=8).hexdigest()
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for name, value in (("log", rows), ("record", [json.loads((run / "fit.json").read_text())])):
        plain = [{k: v for k, v in row.items() if k != "seconds"} for row in value]
        found[name] = hashlib.blake2b(json.dumps(plain).encode(), digest_size=8).hexdigest()
    return found


def _killed(folder: Path, count: int, words: list[str], moment: float, victim: int) -> tuple[bool, float, str]:
    """Starts a command and kills one process at a moment after it began; whether it was killed, and seconds until the end."""
    for old in folder.glob("pid-*"):
        old.unlink()
    group, start = launch(folder, count, words), time.perf_counter()
    pid = folder / f"pid-{victim}"
    while group.poll() is None and not (pid.is_file() and pid.read_text()):
        time.sleep(0.02)
    begun = time.perf_counter()
    while group.poll() is None and time.perf_counter() - begun < moment:
        time.sleep(0.02)
    killed = group.poll() is None
    if killed:
        try:
            os.kill(int(pid.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            killed = False
    at = time.perf_counter()
    said = group.communicate(timeout=600)[0]
    return killed, time.perf_counter() - (at if killed else start), said


def _data(folder: Path, kind: str) -> Path:
    rng = np.random.default_rng(0)
    x = (
        rng.normal(size=(500, 3)) @ np.triu(np.ones((3, 3)))
        if kind == "vectors"
        else rng.normal(size=(120, 8, 8)).cumsum(1)
    )
    np.save(folder / f"{kind}.npy", x)
    return folder / f"{kind}.npy"


def run(folder: Path, kind: str, kills: int, chance: random.Random) -> list[str]:
    """Kills fits of one kind of data; returns what was wrong."""
    faults, run = list[str](), folder / f"{kind}-killed"
    words = ["fit", str(_data(folder, kind)), *_FITS[kind].split(), "-o"]
    start = time.perf_counter()
    said = launch(folder, 1, [*words, str(folder / f"{kind}-whole")]).communicate()[0]
    length = time.perf_counter() - start
    if not (folder / f"{kind}-whole" / "fit.json").exists():
        return [f"{kind}: the whole fit failed: {said[-2000:]}"]
    whole, done, longest = results(folder / f"{kind}-whole"), 0, 0.0
    for count in itertools.cycle((1, 2, 4, 1)):
        moment = chance.uniform(0, length * (1 + 0.5 * count)) if done < kills else 1e9
        killed, seconds, said = _killed(folder, count, [*words, str(run)], moment, chance.randrange(count))
        done += killed
        if killed:
            longest = max(longest, seconds)
            if seconds > _LIMIT:
                faults.append(f"{kind}: the processes ended {seconds:.0f} s after kill {done}")
        elif not (run / "fit.json").exists():
            faults.append(f"{kind}: {count} processes failed after kill {done}: {said[-2000:]}")
            break
        else:
            if results(run) != whole:
                faults.append(
                    f"{kind}: the results differ from those of a whole run after kill {done}: {results(run)} {whole}"
                )
            if done >= kills:
                break
            shutil.rmtree(run)  # it ended before: from the beginning
    print(f"{kind}: {done} kills, all processes ended within {longest:.1f} s; {len(faults)} faults", flush=True)
    return faults


def main(words: list[str] | None = None) -> int:
    """Runs what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", nargs="+", default=list(_FITS), choices=list(_FITS))
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as place:
        folder, chance = asked.folder or Path(place), random.Random(asked.seed)
        folder.mkdir(parents=True, exist_ok=True)
        faults = [
            fault for kind in asked.data for fault in run(folder, kind, -(-asked.kills // len(asked.data)), chance)
        ]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
