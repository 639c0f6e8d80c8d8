"""Faults of one process of several: each ends all of them with one line, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from test_distributed import COMMAND, TABLE, end, results, start

sys.path.append(str(Path(__file__).parent / "stress"))
import processes

import scorefield

pytestmark = pytest.mark.slow
SOON = 30.0  # seconds in which all processes end

NAN = """
import os
from scorefield.training.parts import SharedParts
whole, calls = SharedParts.gradient, []
def gradient(self, loss_of, seconds):
    calls.append(0)
    bad = os.environ["RANK"] == "1" and len(calls) > 20
    def spoilt(i):
        loss = loss_of(i)
        if bad:
            self.flat.gradients.mul_(float("nan"))
            loss = loss * float("nan")
        return loss
    return whole(self, spoilt, seconds)
SharedParts.gradient = gradient
"""
OTHER_VERSION = """
import os, scorefield
scorefield.__version__ = "9." + os.environ["RANK"]
"""
APART = """
import os
os.chdir(os.environ["RANK"])
"""
OFTEN = """
import scorefield.runs.session
scorefield.runs.session._CHECKPOINT_SECONDS = 0.1
"""
FULL = """
import os
from scorefield.runs.session import Session
def write(self, fitted):
    raise OSError(28, "no space left")
Session._write = write
"""


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "data.npy", TABLE)
    return tmp_path / "data.npy"


def fit(data: Path, run: Path | str, steps: int = 200_000) -> list[str]:
    return ["fit", str(data), "-o", str(run), "--steps", str(steps), "--widths", "16", "--depth", "1"]


def lines(ended: list[tuple[int, str, str]]) -> list[str]:
    """The errors that all processes said together."""
    return [line for _, _, said in ended for line in said.splitlines() if "error" in line or "interrupted" in line]


def trained(run: Path) -> None:
    """Waits until a run has a log."""
    until = time.perf_counter() + 200
    while time.perf_counter() < until and not (run / "log.jsonl").is_file():
        time.sleep(0.05)
    time.sleep(1)


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (
            NAN,
            "process 0 of 2: error: the gradient became non-finite (NaN or inf) at step 21 in process 1 of 2 (loss nan)",
        ),
        (
            OTHER_VERSION,
            "process 0 of 2: error: scorefield: not the same in all processes (9.0 in process 0, 9.1 in process 1)",
        ),
        (FULL, "process 0 of 2: error: no space left"),
    ],
    ids=["nan", "version", "full disk"],
)
def test_one_line_says_what_is_wrong(data, tmp_path, patch, said):
    ended = end(start(patch + COMMAND, fit(data, tmp_path / "run", 100)))
    assert [status for status, _, _ in ended] == [1, 1]
    assert len(lines(ended)) == 1
    assert lines(ended)[0].startswith(said)


def test_a_file_that_one_process_cannot_read(data, tmp_path):
    words = {i: fit(data if i == 0 else tmp_path / "none.npy", tmp_path / "run") for i in range(2)}
    ended = end(start(COMMAND, words))
    assert [status for status, _, _ in ended] == [1, 1]
    assert lines(ended) == [f"process 1 of 2: error: there is no {tmp_path / 'none.npy'}: check the path"]


def test_folders_that_are_not_shared(data, tmp_path):
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
    ended = end(start(APART + COMMAND, fit(data, "run"), folder=tmp_path))
    assert lines(ended) == [
        "process 0 of 2: error: process 1 does not find the folder run that process 0 writes to: "
        "name one on a file system that all machines share"
    ]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other(data, tmp_path, victim):
    run = tmp_path / "run"
    group = start(COMMAND, fit(data, run))
    trained(run)
    group[victim].kill()
    begin = time.perf_counter()
    ended = end(group)
    assert time.perf_counter() - begin < SOON
    assert sorted(status for status, _, _ in ended) == [-9, 1]
    assert len(lines(ended)) == 1
    assert f"process {1 - victim} of 2: error: another of the 2 processes has ended" in lines(ended)[0]
    if victim == 1:  # process 0 saves the last step
        assert (run / "training.safetensors").is_file()


@pytest.mark.parametrize("victim", [0, 1])
def test_torchrun_stops_the_others_and_one_line_says_so(data, tmp_path, victim):
    """While samples are drawn nothing is exchanged: `torchrun` sees the end of a process first. The same command goes on."""
    scorefield.fit(np.load(data), tmp_path / "run", steps=5)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "scorefield"]
    words += ["sample", str(tmp_path / "run"), "-n", "200001", "-o", str(tmp_path / "new.npy"), "--batch", "512"]
    whole = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)
    parts, until = tmp_path / ".new.npy.parts", time.perf_counter() + 100
    while time.perf_counter() < until and len(list(parts.glob("*.npy"))) < 3:
        time.sleep(0.05)
    os.kill(child(whole.pid, victim), signal.SIGKILL)
    begin = time.perf_counter()
    said = whole.communicate(timeout=100)[1]
    assert time.perf_counter() - begin < SOON
    lines = [line for line in said.splitlines() if "stopped by SIGTERM" in line]
    assert len(lines) == 1 and "as all processes are when one has ended (killed, or out of memory)" in lines[0]
    assert lines[0].startswith("process 1 of 2: " if victim == 0 else "stopped by SIGTERM")
    assert len(list(parts.glob("*.npy"))) >= 3


def child(parent: int, rank: int) -> int:
    """The process of some rank that `torchrun` has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables, about = (folder / "environ").read_text(), (folder / "stat").read_text()
            if f"RANK={rank}" in variables.split("\0") and int(about.rsplit(")", 1)[1].split()[1]) == parent:
                return int(folder.name)
    raise AssertionError(f"there is no process {rank} of {parent}")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_divided_fit_goes_on_after_a_kill(data, tmp_path, victim):
    run, words = tmp_path / "run", [*fit(data, tmp_path / "run", 600), "--shard", "--muon-learning-rate", "0.01"]
    group = start(OFTEN + COMMAND, words)
    until = time.perf_counter() + 200
    while time.perf_counter() < until and not (run / "training.safetensors").is_file():
        time.sleep(0.02)
    time.sleep(0.3)
    group[victim].kill()
    begin = time.perf_counter()
    ended = end(group)
    assert time.perf_counter() - begin < SOON
    assert len(lines(ended)) == 1
    assert f"process {1 - victim} of 2: error: another of the 2 processes has ended" in lines(ended)[0]
    assert [status for status, _, _ in end(start(COMMAND, words))] == [0, 0]
    assert len(list(run.glob("training-*"))) == 1
    whole = [*fit(data, tmp_path / "whole", 600), "--muon-learning-rate", "0.01"]
    assert scorefield.cli.main([*whole, "--accumulate", "4", "--batch", "64", "--threads", "1"]) == 0
    one, other = (results(path) for path in (run, tmp_path / "whole"))
    models = [{name: x for name, x in found[0].items() if name.startswith("model.")} for found in (one, other)]
    assert all(np.array_equal(x.numpy(), models[1][name].numpy()) for name, x in models[0].items())
    assert one[1:] == other[1:]


def test_two_jobs_on_one_folder(data, tmp_path):
    run = tmp_path / "run"
    group = start(COMMAND, fit(data, run))
    trained(run)
    second = end(start(COMMAND, fit(data, run)))
    assert [status for status, _, _ in second] == [1, 1]
    assert len(lines(second)) == 1
    assert f"process 0 of 2: error: {run} is in use by another process" in lines(second)[0]
    for process in group:
        process.send_signal(signal.SIGTERM)
    assert lines(end(group)) == ["interrupted: the same command resumes it"]


def test_a_stopped_fit_goes_on_in_one_process(data, tmp_path):
    run, words = tmp_path / "run", fit(data, tmp_path / "run", 4000)
    group = start(COMMAND, words)
    trained(run)
    for process in group:
        process.send_signal(signal.SIGINT)
    end(group)
    assert scorefield.cli.main(words) == 0
    whole = tmp_path / "whole"
    assert scorefield.cli.main([*fit(data, whole, 4000), "--accumulate", "4", "--batch", "64", "--threads", "1"]) == 0
    one, other = results(run), results(whole)
    assert all(np.array_equal(x.numpy(), other[0][name].numpy()) for name, x in one[0].items())
    assert one[1:] == other[1:]


def test_a_few_kills(tmp_path):
    assert os.environ.get("RANK") is None
    assert processes.main(["--kills", "3", "--data", "vectors", "--folder", str(tmp_path)]) == 0
