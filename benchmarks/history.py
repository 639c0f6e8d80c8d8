"""A history of measured speeds, each as a ratio to a peer that ran in the same minutes, and a check that finds what fell.

The seconds of a shared machine vary by a third from minute to minute; a ratio of two things that ran alternately varies much
less. A line of the history is one run of the suite: commit, date, machine, versions, and the CPU seconds of all rounds.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

__all__ = ["Figure", "Record", "append", "commit", "fell", "load", "machine", "table", "warnings"]

LIMIT = 0.9  # a ratio below this share of the earlier ones has fallen
REMEMBERED = 20  # records with which a new one is compared


@dataclass(frozen=True)
class Figure:
    """CPU seconds of some work in several rounds, and of a peer's in the same rounds.

    Arguments:
        unit: What the seconds are for, such as "a step".
        peer: The name of the peer.
        ours, theirs: The seconds of each round.
    """

    unit: str
    peer: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """How many times as fast as the peer, in each round."""
        return [b / a for a, b in zip(self.ours, self.theirs)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


@dataclass(frozen=True)
class Record:
    """One run of the suite."""

    commit: str
    date: str
    machine: str
    versions: Mapping[str, str]
    figures: Mapping[str, Figure]

    @classmethod
    def of(cls, figures: Mapping[str, Figure]) -> Record:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        versions = {name: version(name) for name in ("torch", "numpy", "scipy")} | {"python": platform.python_version()}
        return cls(commit(), now, machine(), versions, figures)


def machine() -> str:
    """The kind of processor and the number of cores, without the name of the machine."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.processor() or platform.machine())}, {os.cpu_count()} cores"


def commit() -> str:
    """The commit that is measured, with a plus if the working tree differs from it; "unknown" without git."""

    def git(*what: str) -> str:
        where = Path(__file__).parent
        return subprocess.run(["git", *what], cwd=where, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def file_of(folder: Path, kind: str) -> Path:
    """The history of one kind of machine."""
    return folder / f"{hashlib.sha256(kind.encode()).hexdigest()[:12]}.jsonl"


def append(folder: Path, record: Record) -> Path:
    """Adds a record to the history of its machine."""
    folder.mkdir(parents=True, exist_ok=True)
    path = file_of(folder, record.machine)
    with path.open("a") as file:
        file.write(json.dumps(asdict(record)) + "\n")
    return path


def load(folder: Path, kind: str) -> list[Record]:
    """The records of a kind of machine, the oldest first. A line that was cut off is left out."""
    path, found = file_of(folder, kind), []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            raw = json.loads(line)
        except json.JSONDecodeError:
            continue
        figures = {
            name: Figure(f["unit"], f["peer"], tuple(f["ours"]), tuple(f["theirs"]))
            for name, f in raw["figures"].items()
        }
        found.append(Record(raw["commit"], raw["date"], raw["machine"], raw["versions"], figures))
    return found


def fell(new: Sequence[float], old: Iterable[Sequence[float]]) -> float | None:
    """By what factor ratios fell, if they did by more than a tenth; else None.

    The median of the new ones is compared with the median of the medians of the old ones. All new ratios but one must be below
    that, too: with five of them, noise alone does this in one case in five, and the suite measures again before it warns.
    """
    medians = [statistics.median(each) for each in old]
    if not medians:
        return None
    before = statistics.median(medians)
    factor = statistics.median(new) / before
    below = sum(ratio < before for ratio in new)
    return factor if factor < LIMIT and below >= len(new) - 1 else None


def warnings(figures: Mapping[str, Figure], past: Sequence[Record]) -> dict[str, float]:
    """The figures whose ratios fell, compared with earlier records that have the same peer, and by what factor."""
    found = {}
    for name, figure in figures.items():
        old = [
            r.figures[name].ratios
            for r in past[-REMEMBERED:]
            if name in r.figures and r.figures[name].peer == figure.peer
        ]
        factor = fell(figure.ratios, old)
        if factor is not None:
            found[name] = factor
    return found


def table(figures: Mapping[str, Figure]) -> str:
    """Medians: seconds, those of the peer, and how many times as fast, with the range of the rounds."""
    lines = ["| | CPU ms | | peer, CPU ms | times as fast | range |", "| --- | --- | --- | --- | --- | --- |"]
    for name, f in figures.items():
        ours, theirs = (1e3 * statistics.median(each) for each in (f.ours, f.theirs))
        spread = f"{min(f.ratios):.2f} to {max(f.ratios):.2f}"
        lines.append(f"| {name} | {ours:.4g} | {f.unit} | {f.peer}: {theirs:.4g} | {f.ratio:.2f} | {spread} |")
    return "\n".join(lines)
