"""Fuzzes everything that is read: damaged and odd inputs must be accepted or refused in one clean line.

    python tests/fuzz/fuzz.py --seed 0 --cases 1000
    python tests/fuzz/fuzz.py --kinds csv npz --minutes 5
    python tests/fuzz/fuzz.py --kinds npz --seed 0 --case 123     # one case again, with its traceback

A case is found again by its kind, seed and number. Each kind runs in a process of its own with a limit on memory; a case
that takes longer than 20 s, or ends the process, counts as anything else. Exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from kinds import KINDS, Kind, RefusedError

from scorefield.cli.entry import _is_defect, _message

__all__ = ["Outcome", "Tally", "fuzz", "outcome"]

SECONDS = 20.0  # that a case may take
MEMORY = 3 << 30  # bytes that a process may add to those at its start


@dataclass
class Outcome:
    """How a case ended.

    Arguments:
        kind: "accepted", "one line", or what else happened.
        said: The message.
        seconds: How long it took.
        memory: The MB that it added at its peak.
    """

    kind: str
    said: str = ""
    seconds: float = 0.0
    memory: float = 0.0


@dataclass
class Tally:
    """What came of the cases of a kind."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, Outcome]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    largest: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0

    def add(self, case: int, found: Outcome) -> None:
        good = found.kind in ("accepted", "one line")
        self.counts[found.kind if good else "else"] += 1
        if not good:
            self.bad.append((case, found))
        self.slowest = max(self.slowest, (found.seconds, case))
        self.largest = max(self.largest, (found.memory, case))
        self.seconds += found.seconds

    def row(self) -> str:
        counts = [self.counts[name] for name in ("accepted", "one line", "else")]
        worst = f"{self.slowest[0]:.2f} s (case {self.slowest[1]}) | {self.largest[0]:.0f} MB (case {self.largest[1]})"
        return f"| {self.name} | {sum(counts):,} | {counts[0]:,} | {counts[1]:,} | {counts[2]} | {worst} |"


def outcome(kind: Kind, originals: list[Path], folder: Path, seed: int, case: int, raising: bool = False) -> Outcome:
    """Runs one case in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, *kind.name.encode(), case])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        given = kind.damage(originals, folder, rng)
        before = _peak(reset=True)
        start = time.perf_counter()
        found = Outcome("accepted")
        try:
            kind.use(given)
        except RefusedError as error:
            found = Outcome("one line", str(error))
        except Exception as error:
            if raising:
                raise
            text = _message(error, [])
            clean = not _is_defect(error) and 0 < len(text) < 4000 and "Traceback" not in text
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {text[:300]} [{where.filename}:{where.lineno}]"
            found = Outcome("one line" if clean else type(error).__name__, said)
    found.seconds, found.memory = time.perf_counter() - start, _peak() - before
    return found


def _peak(reset: bool = False) -> float:
    """The largest resident memory in MB, since it was last reset where the system can do that."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(kind: Kind, root: Path, seed: int, cases: range, deadline: float, pipe: Any) -> None:
    """Runs cases, and sends what came of each."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, -1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries written in C complain
    originals = kind_originals(kind, root)
    for case in cases:
        if time.monotonic() > deadline:
            break
        pipe.send((case, outcome(kind, originals, root / "case", seed, case)))
    pipe.send(None)


def kind_originals(kind: Kind, root: Path) -> list[Path]:
    """The valid inputs of a kind, made once."""
    folder = root / "originals" / kind.name
    folder.mkdir(parents=True, exist_ok=True)
    return kind.make(folder)


def fuzz(kind: Kind, seed: int = 0, cases: int = 1000, minutes: float = float("inf")) -> Tally:
    """Runs the cases of a kind in processes, which are replaced when one dies or stalls."""
    tally, start, deadline = Tally(kind.name), 0, time.monotonic() + 60 * minutes
    context = multiprocessing.get_context("fork")
    while start < cases and time.monotonic() < deadline:
        with tempfile.TemporaryDirectory() as folder:
            reader, writer = context.Pipe(duplex=False)
            given = (kind, Path(folder), seed, range(start, cases), deadline, writer)
            worker = context.Process(target=_work, args=given, daemon=True)
            worker.start()
            writer.close()
            ended = False
            while not ended:
                try:
                    found = (
                        reader.recv()
                        if reader.poll(SECONDS + 40 * (start == 0))
                        else Outcome("took too long", seconds=SECONDS)
                    )
                except EOFError:
                    found = Outcome("the process died")
                if isinstance(found, tuple):
                    tally.add(*found)
                    start = found[0] + 1
                    continue
                if found is None:
                    start = cases
                else:
                    tally.add(start, found)
                    start += 1
                ended = True
            worker.kill()
            worker.join()
    return tally


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000, help="of each kind")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of all kinds together")
    parser.add_argument("--kinds", nargs="*", default=[kind.name for kind in KINDS])
    parser.add_argument("--case", type=int, help="run this one case, and show its traceback")
    given = parser.parse_args()
    chosen = [kind for kind in KINDS if kind.name in given.kinds]
    if given.case is not None:
        with tempfile.TemporaryDirectory() as folder:
            originals = kind_originals(chosen[0], Path(folder))
            print(outcome(chosen[0], originals, Path(folder) / "case", given.seed, given.case, raising=True))
        return 0
    print(f"| kind | cases | accepted | one line | anything else | slowest | most memory |\n{'| --- ' * 7}|")
    tallies = []
    for kind in chosen:
        tallies.append(fuzz(kind, given.seed, given.cases, given.minutes / len(chosen)))
        print(tallies[-1].row(), flush=True)
    total = sum((tally.counts for tally in tallies), Counter())
    print(f"{total.total():,} cases in {sum(t.seconds for t in tallies):.0f} s: {dict(total)}")
    for tally in tallies:
        for case, found in tally.bad:
            print(f"{tally.name} --seed {given.seed} --case {case}: {found.kind}: {found.said}")
    return int(total["else"] > 0)


if __name__ == "__main__":
    sys.exit(main())
