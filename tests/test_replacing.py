"""Files are whole or not there, and nobody's temporary files stay: not those of this process, nor those of dead ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from scorefield import replacing as module
from scorefield.data import read
from scorefield.replacing import AGE, clear, replacing


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def named(process: int, host: str | None = None, name: str = "new.npy") -> str:
    return f".{host or module._host()}-{process}-0.part.{name}"


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, OSError, ValueError])
@pytest.mark.parametrize("folder", [False, True])
def test_nothing_is_left_however_the_block_ends(tmp_path, end, folder):
    target = tmp_path / "a.npy"
    if not folder:
        target.write_text("old")
    with pytest.raises(end), replacing(target) as part:
        if folder:
            (part / "inner").mkdir(parents=True)
        (part / "inner" / "x" if folder else part).write_text("half")
        raise end
    assert names(tmp_path) == ([] if folder else ["a.npy"])
    assert folder or target.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="asking for a process would end it")
def test_those_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    left = [named(dead()), named(os.getpid())]  # the second: of a process that had our number before us
    kept = [named(os.getppid()), named(dead(), "another_host"), ".hidden", "part", ".a-1-2.part", "a.csv"]
    kept += [
        ".new.npy.123.part",
        ".123.part.new.csv",
    ]  # as earlier versions wrote them: young, of hosts that are unknown
    for name in [*left, *kept]:
        (tmp_path / name).write_text("half")
    (tmp_path / named(dead(), name="pictures")).mkdir()
    with replacing(tmp_path / "other.npy") as part:
        part.write_text("whole")
        clear(tmp_path)  # as another thread does
        assert part.exists()
    assert names(tmp_path) == sorted([*kept, "other.npy"])
    for name in kept:
        os.utime(tmp_path / name, (time.time() - AGE - 9,) * 2)
    clear(tmp_path)
    assert names(tmp_path) == sorted([named(os.getppid()), ".hidden", "part", ".a-1-2.part", "a.csv", "other.npy"])


def test_long_names_and_suffixes(tmp_path):
    target = tmp_path / f"{'😀' * 60}.csv.gz"  # 246 bytes
    with replacing(target) as part:
        assert part.name.endswith(".csv.gz")
        part.write_text("a")
    assert names(tmp_path) == [target.name]


@pytest.mark.skipif(os.name == "nt", reason="asking for a process would end it")
def test_a_copy_that_was_cut_off_does_not_stay_in_the_cache(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 2)))
    code = "import os, sys; from scorefield import replacing, data\n"
    code += "replacing._sync = lambda path: os.kill(os.getpid(), 9)\n"
    code += "data.read(sys.argv[1], cache=sys.argv[2], limit=0)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, tmp_path / "a.npz", tmp_path / "cache"], check=False)
        assert len(names(tmp_path / "cache")) == 1 and ".part." in names(tmp_path / "cache")[0]
    assert read(tmp_path / "a.npz", cache=tmp_path / "cache", limit=0).shape == (9, 2)
    assert [name.rpartition(".")[2] for name in names(tmp_path / "cache")] == ["json", "npy"]
    (tmp_path / "cache" / named(dead())).write_text("half")
    read(tmp_path / "a.npz", cache=tmp_path / "cache", limit=0)  # there is a copy already
    assert len(names(tmp_path / "cache")) == 2


def test_a_copy_of_other_data_is_never_taken_for_the_one_that_was_asked_for(tmp_path, monkeypatch):
    """Killed between the copy and its record: the old record must not vouch for the new copy."""
    source = tmp_path / "a.npz"

    def write(value: float, moment: int) -> None:
        np.savez(source, x=np.full((9, 2), value))
        os.utime(source, (moment, moment))

    def copied() -> float:
        return float(read(source, cache=tmp_path / "cache", limit=0)[0, 0])

    write(1.0, 10**9)
    assert copied() == 1
    write(2.0, 10**9 + 1)
    real = os.replace

    def stopping(part, target):
        real(part, target)
        raise SystemExit

    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(SystemExit):
        copied()
    monkeypatch.undo()
    write(1.0, 10**9)  # restored, as from a backup
    assert copied() == 1
