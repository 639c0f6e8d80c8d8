"""Kills commands in fresh processes at random moments, repeats them until they end, and compares bits.

    python tests/stress/crash.py [--kills 200] [--seed 0] [--verbs fit sample …] [--signal KILL] [--folder PLACE]

A quarter of the kills come within two seconds after the start, a quarter while a file is written (at a random fsync or
replace), the others at any moment. After each, what was there before must be as it was or complete; at the end no
temporary file may be left, and the results must be those of a process that nobody killed. Half of the fits save at the
default interval, half five times a second. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["VERBS", "Crasher", "Verb", "main"]

_EARLY = 2.0  # seconds
_PASSING = re.compile(rb"[\d.,]{1,12} samples per second|\d{4}-\d\d-\d\d \d\d:\d\d|-(whole|killed)/")  # in reports
_IN_A_ROW = 6  # kills before a command may end

_CHILD = """
import os, signal, sys
name, number, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
real, calls = getattr(os, name), []
def killing(*arguments):
    calls.append(name)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(os, name, killing)
if interval >= 0:
    import scorefield.runs.session as session
    session._CHECKPOINT_SECONDS = interval
from scorefield.cli import main
sys.exit(main(sys.argv[4:]))
"""


@dataclass(frozen=True)
class Verb:
    """A command that is killed.

    Arguments:
        words: The command line; {data}, {y} and {place} are put in.
        outputs: Files that it writes, from its place; they hold something before, except those of a fit.
        begins: Whether its run does not exist before.
    """

    words: str
    outputs: tuple[str, ...]
    begins: bool = False


VERBS = {
    "fit": Verb("fit {data} -o {place}/run --steps 1500 --batch 64 --widths 16 --depth 1 --seed 3", (), True),
    "sample": Verb("sample {place}/run -n 30000 -o {place}/new.csv --overwrite --batch 2000 --steps 16", ("new.csv",)),
    "evaluate": Verb("evaluate {place}/run -n 400", ("run/evaluation.json",)),
    "report": Verb("report {place}/run -n 400", ("run/report.html", "run/evaluation.json")),
    "posterior": Verb(
        "posterior {place}/run {y} --operator mask --noise 0.3 -n 4000 -o {place}/draws.npy --overwrite "
        "--batch 500 --method pigdm",
        ("draws.npy",),
    ),
}


@dataclass
class Crasher:
    """Kills commands and keeps count.

    Arguments:
        folder: Where everything lies.
        seed: The seed of the moments.
        number: The signal.
        verbs: The commands by name.
    """

    folder: Path
    seed: int = 0
    number: int = signal.SIGKILL
    verbs: dict[str, Verb] = field(default_factory=lambda: VERBS)
    kills: Counter[str] = field(default_factory=Counter)
    early: int = 0
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        rng = np.random.default_rng(0)
        self.data, self.y = self.folder / "data.npy", self.folder / "y.npy"
        np.save(self.data, rng.normal(size=(400, 3)) @ np.array([[1.0, 0.5, 0.0], [0, 1, 0.2], [0, 0, 1]]))
        np.save(self.y, np.array([0.5, np.nan, np.nan]))
        self.whole: dict[str, dict[str, object]] = {}
        self.seconds: dict[str, float] = {}
        words = f"fit {self.data} -o {self.folder / 'base'} --steps 60 --batch 64 --widths 16 --depth 1".split()
        self._finish(words, "the fit that is the base")

    def run(self, name: str, kills: int) -> None:
        """Kills a command so many times, with a whole run of it after every few."""
        if name not in self.whole:
            place = self._place(name, "whole")
            start = time.perf_counter()
            self._finish(self._words(name, place), name)
            self.seconds[name], self.whole[name] = time.perf_counter() - start, self._results(name, place)
        goal = self.kills[name] + kills
        while self.kills[name] < goal:
            before = self.kills[name]
            self._round(name, min(_IN_A_ROW, goal - before))
            if self.faults and len(self.faults) > 20:
                return

    def _round(self, name: str, kills: int) -> None:
        place = self._place(name, "killed")
        interval = -1.0 if name != "fit" or self.random.random() < 0.5 else 0.2
        said, step, tries = f"{name} (round after kill {self.kills[name]}, seed {self.seed})", 0, 0
        done = 0
        while done < kills and tries < 5 * kills:
            tries += 1
            killed = self._killed(name, place, interval)
            done += killed
            step = self._check(name, place, said, step)
            if not killed:
                break
        self._finish(self._words(name, place), said, interval)
        if self._results(name, place) != self.whole[name]:
            self.faults.append(f"{said}: the results differ from those of a whole run")
        self._check_leftovers(said, place)

    def _killed(self, name: str, place: Path, interval: float) -> bool:
        """Starts a command and kills it; False if it ended before."""
        kind = self.random.choice(("early", "aimed", "any", "any"))
        at, moment = ("fsync", 10**9), self.random.uniform(0, self.seconds[name])
        if kind == "early":
            moment = self.random.uniform(0, _EARLY)
        elif kind == "aimed" and self.number == signal.SIGKILL:
            at, moment = (self.random.choice(("fsync", "replace")), self.random.randint(1, 6)), 600.0
        process = self._start(self._words(name, place), at, interval)
        start = time.perf_counter()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(self.number)
        printed = process.communicate(timeout=600)[1]
        if process.returncode not in (-self.number, 128 + self.number):
            if process.returncode != 0:
                self.faults.append(f"{name}: exit status {process.returncode}: {printed.decode()[-300:]}")
            return False
        if self.number != signal.SIGKILL:
            self._check_leftovers(f"{name} after {signal.Signals(self.number).name}", place)
            if b"Traceback" in printed:
                self.faults.append(f"{name}: a traceback after a signal: {printed.decode()[-300:]}")
        self.kills[name] += 1
        self.early += time.perf_counter() - start < _EARLY
        return True

    def _check(self, name: str, place: Path, said: str, step: int) -> int:
        """Whether outputs are the old or the new ones, and whether a fit has lost nothing; returns its step."""
        now = self._results(name, place)
        for output in self.verbs[name].outputs:
            if now[output] not in (f"old {output}", self.whole[name][output]):
                self.faults.append(f"{said}: {output} was lost")
        state = place / "run" / "training.safetensors"
        if not self.verbs[name].begins or not state.exists():
            return step
        from scorefield.checkpoint import read_tensors

        kept = int(read_tensors(state)[1]["step"])
        if kept < step:
            self.faults.append(f"{said}: the state fell from step {step} to {kept}")
        return kept

    def _check_leftovers(self, said: str, place: Path) -> None:
        left = [str(p.relative_to(place)) for p in place.rglob("*") if ".part" in p.name]
        if left:
            self.faults.append(f"{said}: left {', '.join(left)}")

    def _place(self, name: str, kind: str) -> Path:
        """A fresh folder, in which the outputs hold something old."""
        place = self.folder / f"{name}-{kind}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if not self.verbs[name].begins:
            shutil.copytree(self.folder / "base", place / "run")
        for output in self.verbs[name].outputs:
            (place / output).write_text(f"old {output}")
        return place

    def _results(self, name: str, place: Path) -> dict[str, object]:
        """What a command has made, less how long it took."""
        if self.verbs[name].begins:
            files: tuple[str, ...] = tuple(
                f"run/{n}" for n in ("model.safetensors", "log.jsonl", "log.csv", "fit.json")
            )
        else:
            files = self.verbs[name].outputs
        return {file: _content(place / file) for file in files}

    def _words(self, name: str, place: Path) -> list[str]:
        words = self.verbs[name].words.split()
        return [word.format(data=self.data, y=self.y, place=place) for word in words]

    def _start(self, words: list[str], at: tuple[str, int], interval: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _CHILD, at[0], str(at[1]), str(interval), *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)

    def _finish(self, words: list[str], said: str, interval: float = -1.0) -> None:
        process = self._start(words, ("fsync", 10**9), interval)
        printed = process.communicate(timeout=900)[1]
        if process.returncode != 0:
            self.faults.append(f"{said}: exit status {process.returncode}: {printed.decode()[-300:]}")


def _content(path: Path) -> object:
    """The content of a file without times, which differ from run to run; None if there is no file."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    if content.startswith(b"old "):
        return content.decode()
    readers: dict[str, Callable[[bytes], object]] = {
        ".json": lambda found: _timeless(json.loads(found)),
        ".jsonl": lambda found: [_timeless(json.loads(line)) for line in found.splitlines()],
        ".html": lambda found: _PASSING.sub(b"", found),
    }
    if path.name == "log.csv":
        return [[cell for i, cell in enumerate(row.split(b",")) if i != 1] for row in content.splitlines()]
    return readers.get(path.suffix, lambda found: found)(content)


def _timeless(value: object) -> object:
    return {k: v for k, v in value.items() if k != "seconds"} if isinstance(value, dict) else value


def main() -> int:
    """Runs the command line; returns 1 if anything was lost, left or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbs", nargs="+", default=list(VERBS), choices=list(VERBS))
    parser.add_argument("--signal", default="KILL", choices=["KILL", "TERM", "HUP"])
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        crasher = Crasher(Path(folder), options.seed, signal.Signals[f"SIG{options.signal}"])
        done = 0
        while done < options.kills:  # in turn, so that a run that is cut off has seen all of them
            for name in options.verbs:
                crasher.run(name, min(_IN_A_ROW, options.kills - done))
                done = sum(crasher.kills.values())
                print(f"{done} kills, {crasher.early} in the first {_EARLY:g} s: {dict(crasher.kills)}", flush=True)
                for fault in crasher.faults:
                    print(f"  {fault}", flush=True)
                if done >= options.kills or len(crasher.faults) > 20:
                    break
            if len(crasher.faults) > 20:
                break
    print(f"{done} kills in {time.perf_counter() - start:.0f} s, {len(crasher.faults)} faults")
    return 1 if crasher.faults else 0


if __name__ == "__main__":
    sys.exit(main())
