"""Several processes: their results have the bits of one, and what goes wrong ends all of them with one line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import scorefield
from scorefield import Network, Training
from scorefield.cli import main
from scorefield.distributed import decided, each, exchanged, gathered, joined, launched, stacked
from scorefield.fitting import Options, plan, prepare
from shared_files import Sixteenths, files, hashes_of, summary_of, write_files

LIMIT = 480  # seconds after which processes that hang are ended
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(300, 3)) @ np.triu(np.ones((3, 3)))
GRIDS = RNG.normal(size=(60, 6, 6)).astype(np.float32).cumsum(1)


def start(
    code: str, words: list[str] | dict[int, list[str]], count: int = 2, folder: Path | None = None
) -> list[subprocess.Popen[str]]:
    """Starts Python code in several processes, as `torchrun` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
    shared |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(scorefield.__file__).parents[1])}
    group = []
    for i in range(count):
        command = [sys.executable, "-c", code, *(words if isinstance(words, list) else words[i])]
        environment = {**shared, "RANK": str(i), "LOCAL_RANK": str(i)}
        pipe = subprocess.PIPE
        group.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True))
    return group


def end(group: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Waits for processes, and ends those that hang; the status, stdout and stderr of each."""
    until = time.monotonic() + LIMIT
    try:
        said = [process.communicate(timeout=max(1.0, until - time.monotonic())) for process in group]
    finally:
        for process in group:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(group, said)]


def alone(table: Path, grids: Path, folder: Path) -> dict[str, bytes]:
    """The files that one process writes, in one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        write_files(table, grids, GRIDS, folder)
    finally:
        torch.set_num_threads(before)
    return files(folder)


COMMAND = "import sys; from scorefield.cli import main; sys.exit(main(sys.argv[1:]))"

FILES = """
import sys
from pathlib import Path
import numpy as np
sys.path.append(sys.argv[1])
from shared_files import write_files
from scorefield.distributed import joined, size
place = Path(sys.argv[2])
with joined():
    write_files(place / "table", place / "grids", np.load(place / "grids.npy"), place / f"by-{size()}")
"""

TOGETHER = """
import json, os, signal, sys, weakref
from pathlib import Path
import numpy as np, torch
from scorefield import Network, Training, fit
from scorefield.cli.sample import sample
from scorefield.distributed import *

place = Path(sys.argv[1])
sys.path.append(sys.argv[2])
from shared_files import Sixteenths, hashes_of, summary_of
with joined():
    group = weakref.ref(torch.distributed.group.WORLD)
    me, count = rank(), size()
    x = torch.arange(6.0).reshape(count, 3) + 10 * me
    found = {"exchanged": exchanged(x).tolist(), "stacked": stacked(torch.tensor([me])).tolist()}
    found["each"] = [v.tolist() for v in each(lambda n: torch.full((n, 2), float(n)), [1, 2, 3, 1, 2])]
    found |= {"gathered": gathered("é" * me), "decided": decided(lambda: me)}
    def fails():
        raise ValueError("no")
    try:
        decided(fails)
    except (ValueError, ProcessLostError) as error:
        found["failed"] = gathered(type(error).__name__)
    rows = Sixteenths(np.load(place / "table.npy"))
    found["read"] = summary_of(rows) + [hashes_of(rows).tolist(), len(rows.read)]
    fit(np.load(place / "table.npy"), place / "table", steps=60, network=Network(widths=(16,), depth=1))
    fit(np.load(place / "grids.npy"), place / "grids", steps=12, network=Network(widths=(8, 16)))
    again = fit(np.load(place / "table.npy"), place / "table", steps=60, network=Network(widths=(16,), depth=1))
    density = again.log_prob(np.load(place / "table.npy")[:50], batch=20, shared=True)
    found["log_prob"] = [density.value.tolist(), density.evaluations.tolist()]
    sample(place / "table", count=2500, output=place / "new.npy", seed=3)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    def stop(progress):
        if me == 1 and progress.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
    divided = dict(steps=12, network=Network(widths=(8, 16)), training=Training(batch=16, accumulate=4, shard=True))
    try:
        fit(np.load(place / "grids.npy"), place / "ended", **divided, watch=stop)
    except KeyboardInterrupt:
        found["ended"] = gathered("stopped")
    fit(np.load(place / "grids.npy"), place / "ended", **divided)
    any_order = Training(batch=16, accumulate=2, muon_learning_rate=0.0, gradient_sum="any")
    fit(np.load(place / "grids.npy"), place / "any", steps=12, network=Network(widths=(8, 16)), training=any_order)
    if first():
        (place / "found.json").write_text(json.dumps(found))
assert group() is None, "the group outlives its use: its threads can abort the process as it ends"
"""


def results(run: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]], dict[str, object]]:
    tensors = scorefield.checkpoint.read_tensors(run / "training.safetensors")[0]
    tensors |= {f"model.{k}": v for k, v in scorefield.checkpoint.read_tensors(run / "model.safetensors")[0].items()}
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in scorefield.Run(run).log]
    return tensors, rows, {k: v for k, v in scorefield.Run(run).read("fit.json").items() if k != "seconds"}


@pytest.mark.timeout(600)
def test_two_processes_have_the_bits_of_one(tmp_path):
    np.save(tmp_path / "table.npy", TABLE)
    np.save(tmp_path / "grids.npy", GRIDS)
    for status, _, error in end(start(TOGETHER, [str(tmp_path), str(Path(__file__).parent)])):
        assert status == 0, error
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["exchanged"] == [[0, 1, 2], [10, 11, 12]]
    assert found["stacked"] == [[0], [1]]
    assert found["each"] == [[[float(n)] * 2] * n for n in (1, 2, 3, 1, 2)]
    assert (found["gathered"], found["decided"]) == (["", "é"], 0)
    assert found["failed"] == ["ValueError", "ProcessLostError"]
    rows = Sixteenths(TABLE)
    *several, read = found["read"]
    assert several == [*summary_of(rows), hashes_of(rows).tolist()]
    assert 2 * read <= len(rows.read) + 4  # half of the chunks each, and both the first
    for name, x, widths, steps, batch in (("table", TABLE, (16,), 60, 64), ("grids", GRIDS, (8, 16), 12, 16)):
        training = Training(batch=batch, accumulate=4, threads=1)
        network = Network(widths=widths, depth=1 if name == "table" else None)
        model = scorefield.fit(x, tmp_path / f"{name}-alone", steps=steps, network=network, training=training)
        one, several = results(tmp_path / f"{name}-alone"), results(tmp_path / name)
        assert one[0].keys() == several[0].keys()
        for key, value in one[0].items():
            assert torch.equal(value, several[0][key]), (name, key)
        assert one[1:] == several[1:]
        if name == "table":
            assert np.array_equal(np.load(tmp_path / "new.npy"), model.sample(2500, seed=3))
            density = model.log_prob(x[:50], batch=20)
            assert found["log_prob"] == [density.value.tolist(), density.evaluations.tolist()]
    assert found["ended"] == ["stopped"] * 2
    one, several = results(tmp_path / "grids-alone"), results(tmp_path / "ended")
    models = [{k: v for k, v in found[0].items() if k.startswith("model.")} for found in (one, several)]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())
    assert one[1:] == several[1:]
    training = Training(batch=16, accumulate=2, threads=1, muon_learning_rate=0.0)
    one = scorefield.fit(GRIDS, steps=12, network=network, training=training).state_dict()
    other = scorefield.load(tmp_path / "any").state_dict()
    assert all(torch.allclose(value, other[key], rtol=1e-4, atol=1e-4) for key, value in one.items())
    left = {path.name for path in tmp_path.iterdir()}
    assert not [name for name in left if name.startswith(".")]


BEGUN = """
import os, signal, sys
from pathlib import Path
import numpy as np
from scorefield import Network, Training, fit
from scorefield.distributed import joined, rank
place = Path(sys.argv[1])
signal.signal(signal.SIGTERM, signal.default_int_handler)
def stop(progress):
    if rank() == 1 and progress.step == 5:
        os.kill(os.getpid(), signal.SIGTERM)
with joined():
    training, network = Training(batch=16, accumulate=4, shard=True), Network(widths=(8, 16))
    try:
        fit(np.load(place / "grids.npy"), place / "begun", steps=12, network=network, training=training, watch=stop)
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.mark.slow
def test_a_divided_fit_goes_on_in_one_process(tmp_path):
    np.save(tmp_path / "grids.npy", GRIDS)
    assert [(status, said) for status, said, _ in end(start(BEGUN, [str(tmp_path)]))] == [(0, "stopped\n")] * 2
    for name, shard in (("begun", True), ("alone", False)):
        training = Training(batch=16, accumulate=4, shard=shard)
        scorefield.fit(GRIDS, tmp_path / name, steps=12, network=Network(widths=(8, 16)), training=training)
    one, several = results(tmp_path / "alone"), results(tmp_path / "begun")
    models = [{k: v for k, v in found[0].items() if k.startswith("model.")} for found in (one, several)]
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(value, models[1][key]) for key, value in models[0].items())
    assert one[1:] == several[1:]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_write_the_files_of_one(tmp_path, count):
    np.save(tmp_path / "grids.npy", GRIDS)
    scorefield.fit(TABLE, tmp_path / "table", steps=60, network=Network(widths=(16,), depth=1))
    scorefield.fit(GRIDS, tmp_path / "grids", steps=12, network=Network(widths=(8, 16)))
    for status, _, error in end(start(FILES, [str(Path(__file__).parent), str(tmp_path)], count)):
        assert status == 0, error
    several, one = files(tmp_path / f"by-{count}"), alone(tmp_path / "table", tmp_path / "grids", tmp_path / "by-1")
    assert one.keys() == several.keys()
    assert [name for name, content in one.items() if content != several[name]] == []


@pytest.mark.slow
def test_other_data_in_one_process_end_all_with_one_line(tmp_path):
    np.save(tmp_path / "a.npy", TABLE)
    np.save(tmp_path / "b.npy", TABLE[::-1])
    options = ["-o", str(tmp_path / "run"), "--steps", "9", "--widths", "8", "--depth", "1"]
    words = {i: ["fit", str(tmp_path / name), *options] for i, name in enumerate(("a.npy", "b.npy"))}
    ended = end(start(COMMAND, words))
    assert [status for status, _, _ in ended] == [1, 1]
    lines = [line for _, _, error in ended for line in error.splitlines()]
    assert len([line for line in lines if "error" in line]) == 1
    assert lines[-1].startswith("process 0 of 2: error: data: not the same in all processes (")
    assert not (tmp_path / "run").exists()


def test_one_process_computes_on_the_spot():
    x = torch.arange(3.0)
    assert torch.equal(stacked(x), x[None])
    assert torch.equal(exchanged(x[None]), x[None])
    assert [v.item() for v in each(torch.sum, [x, x + 1])] == [3, 6]
    assert (gathered({"a": 1}), decided(lambda: (1, 2))) == ([{"a": 1}], (1, 2))


def test_alone_nothing_is_joined(monkeypatch):
    with joined():
        assert not launched()
    monkeypatch.setenv("RANK", "0")
    with (
        pytest.raises(RuntimeError, match="WORLD_SIZE, MASTER_ADDR, MASTER_PORT are not set, but others are"),
        joined(),
    ):
        pass


def planned(monkeypatch: pytest.MonkeyPatch, processes: int, **training: int) -> scorefield.fitting.Plan:
    monkeypatch.setattr("scorefield.fitting.budget.launched", lambda: True)
    monkeypatch.setattr("scorefield.fitting.budget.size", lambda: processes)
    options = Options(training=Training(steps=3, **training))
    return plan(prepare(TABLE, options), options)


@pytest.mark.parametrize(
    ("processes", "accumulate", "batch"), [(1, 4, 64), (2, 4, 64), (4, 4, 64), (8, 8, 32), (3, 3, 86), (6, 6, 43)]
)
def test_a_step_is_divided_into_parts_that_processes_share(monkeypatch, processes, accumulate, batch):
    found = planned(monkeypatch, processes)
    assert (found.training.accumulate, found.training.batch) == (accumulate, batch)
    assert (found.choice("batch").value, found.choice("accumulate").value) == (str(batch), str(accumulate))


def test_a_batch_of_the_user_s_keeps_its_rows(monkeypatch):
    assert planned(monkeypatch, 2, batch=100).training.batch == 25
    assert planned(monkeypatch, 2, batch=100, accumulate=2).training.batch == 100
    with pytest.raises(
        ValueError, match="batches of 10 rows cannot be divided into 4 parts for 2 processes: set a batch"
    ):
        planned(monkeypatch, 2, batch=10)


def test_parts_that_cannot_be_shared_are_refused(monkeypatch):
    monkeypatch.setattr("scorefield.training.parts.size", lambda: 3)
    with pytest.raises(ValueError, match="the 4 parts of a step cannot be shared by 3 processes: start 1 or 2 or 4"):
        scorefield.training.parts.check_parts(4)


def test_samples_that_were_begun_are_finished_by_one_process(tmp_path, monkeypatch, capsys):
    """A folder of parts is left by processes that were killed: what is there is not drawn again."""
    run = tmp_path / "run"
    model = scorefield.fit(TABLE, run, steps=5, network=Network(widths=(8,), depth=1))
    folder = tmp_path / ".new.npy.parts"
    folder.mkdir()
    words = ["sample", str(run), "-n", "2500", "-o", str(tmp_path / "new.npy"), "--batch", "600"]
    with monkeypatch.context() as patched:
        patched.setattr(scorefield.runs.draws._Parts, "read", lambda self: 1 / 0)
        assert main(words) == 70
    assert sorted(p.name for p in folder.glob("*.npy")) == ["000000.npy", "000001.npy", "000002.npy"]
    (folder / "000001.npy").unlink()
    drawn, batches = list[int](), scorefield.Model.batches

    def noted(self, *arguments, chosen, **options):
        drawn.extend(chosen)
        return batches(self, *arguments, chosen=chosen, **options)

    with monkeypatch.context() as patched:
        patched.setattr(scorefield.Model, "batches", noted)
        assert main([*words, "--seed", "1"]) == 1  # other samples
        assert "not finished, drawn with seed 0, not 1: ask for the same to go on" in capsys.readouterr().err
        assert main(words) == 0
    assert drawn == [1]
    assert not folder.exists()
    assert np.array_equal(np.load(tmp_path / "new.npy"), model.sample(2500))
