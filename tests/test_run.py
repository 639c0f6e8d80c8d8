"""The folder of a run: it goes on to the same numbers however it was cut off, and keeps what it held."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from scorefield import checkpoint
from scorefield.cli import main
from scorefield.model import load
from scorefield.runs import Run, fit, folder as folder_module, log as log_module, session as session_module
from scorefield.runs.session import deferred_signals
from scorefield.settings import Data, Network, Training

NETWORK = Network(widths=(8,), depth=1)
TRAINING = Training(steps=12, batch=16, evaluations=3)
IMAGES = Training(steps=4, batch=4, evaluations=2, precision="float32")

# Fits in children that are killed: at the n-th call of a function of the system, and after random times.
KILLED = """
import os, random, signal, sys, time
import numpy as np, torch
torch.set_num_threads(1)
import scorefield.runs.session as session
from scorefield.runs import fit
from scorefield.settings import Network, Training

folder = sys.argv[1]
rng = np.random.default_rng(0)
DATA = {"table": rng.normal(size=(80, 2)), "images": (255 * rng.random((24, 4, 4))).astype("uint8")}
TRAINING = {"table": Training(steps=30, batch=16, evaluations=3), "images": Training(steps=8, batch=4, evaluations=3)}
session._CHECKPOINT_SECONDS = 0.0  # after every step

def go(kind, place=""):
    path = os.path.join(folder, kind + place)
    fit(DATA[kind], path, network=Network(widths=(8,), depth=1), training=TRAINING[kind], seed=3, device="cpu")

def at_call(name, number):
    real, calls = getattr(os, name), []
    def killing(*arguments):
        calls.append(name)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    setattr(os, name, killing)

def child(kind, prepare=lambda: None):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            prepare()
            go(kind)
            status = 0
        finally:
            os._exit(status)
    return pid

def was_killed(pid):
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

wait = random.Random(0)
for kind in DATA:
    start = time.perf_counter()
    go(kind, "-whole")
    seconds = time.perf_counter() - start
    killed = 0
    for name, number in [("fsync", 1), ("replace", 1), ("replace", 2), ("fsync", 5), ("replace", 5), ("replace", 6)]:
        killed += was_killed(child(kind, lambda: at_call(name, number)))
    for _ in range(3):
        pid = child(kind)
        time.sleep(seconds * wait.random() / 2)
        os.kill(pid, signal.SIGKILL)
        killed += was_killed(pid)
    print(killed, os.waitpid(child(kind), 0)[1])
"""


def table(seed=0):
    return np.random.default_rng(seed).normal(size=(80, 2))


def images():
    return (255 * np.random.default_rng(0).random((24, 4, 4))).astype(np.uint8)


def learn(x, path, training=TRAINING, network=NETWORK, **options):
    return fit(x, path, network=network, training=training, device="cpu", **options)


def contents(path):
    """What lies in a folder, less the lock."""
    return {p.name: p.read_bytes() for p in path.iterdir() if p.name != ".lock"}


def results(path):
    """What a run has found: its weights, its log and its measurements, less how long they took."""
    run = Run(path)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.log]
    about = {k: v for k, v in run.read("fit.json").items() if k != "seconds"}
    return run.file("model.safetensors").read_bytes(), rows, about, len(run.file("log.csv").read_text().splitlines())


def interrupt_at(step):
    def watch(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return watch


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "finished"
    learn(table(), path)
    return path


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    for kind, line in zip(("table", "images"), done.stdout.splitlines(), strict=True):
        killed, status = line.split()
        assert int(killed) >= 6 and status == "0", done.stderr
        assert results(tmp_path / kind) == results(tmp_path / f"{kind}-whole")
        assert not list(tmp_path.glob(f"{kind}/.*.part"))


@pytest.mark.parametrize("x, training", [(table(), TRAINING), (images(), IMAGES)], ids=["table", "images"])
def test_a_run_that_its_watcher_interrupts_goes_on_to_the_same_bits(tmp_path, x, training):
    with pytest.raises(KeyboardInterrupt):
        learn(x, tmp_path / "a", training, watch=interrupt_at(3))
    assert not Run(tmp_path / "a").ended
    made = []
    learn(x, tmp_path / "a", training, watch=lambda progress: made.append(progress.step))
    assert made[0] == 4
    learn(x, tmp_path / "b", training)
    assert results(tmp_path / "a") == results(tmp_path / "b")


def test_a_run_with_other_units_or_other_held_out_rows_does_not_go_on(tmp_path):
    """As where a later version chooses others; a run that does not say which it has goes on."""
    with pytest.raises(KeyboardInterrupt):
        learn(table(), tmp_path / "a", watch=interrupt_at(3))
    file = tmp_path / "a" / "run.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "form": "0123456789abcdef", "version": "0.1.9"}))
    with pytest.raises(
        ValueError, match=r"begun by version 0\.1\.9, which chose other units .*: go on with that version"
    ):
        learn(table(), tmp_path / "a")
    file.write_text(json.dumps({name: value for name, value in record.items() if name != "form"}))
    learn(table(), tmp_path / "a")


def test_a_run_that_held_out_any_windows_goes_on_so(tmp_path):
    """Overlapping windows of a run that an earlier version began: the same rows are held out as then."""
    x = np.lib.stride_tricks.sliding_window_view(np.random.default_rng(0).normal(size=340), 16)[::4].copy()
    x = np.concatenate((x, x[:1]))  # one row occurs twice: rows that are the same are kept together, as then
    with pytest.warns(UserWarning, match="overlapping windows"), pytest.raises(KeyboardInterrupt):
        learn(x, tmp_path / "new", watch=interrupt_at(3))
    file = tmp_path / "new" / "run.json"
    record = json.loads(file.read_text())
    assert record["windows"]
    (tmp_path / "new" / "training.safetensors").unlink()
    file.write_text(json.dumps({k: v for k, v in record.items() if k not in ("windows", "form")}))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*overlapping windows")
        learn(x, tmp_path / "new")


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, also where the tests were started behind a shell's &, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_waits_for_the_end_of_the_step(tmp_path, finished):
    def watch(progress):
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        learn(table(), tmp_path / "a", watch=watch)
    assert signal.getsignal(signal.SIGINT) is before
    _, about = checkpoint.read_tensors(tmp_path / "a" / "training.safetensors")
    assert about["step"] == 6
    learn(table(), tmp_path / "a")
    assert results(tmp_path / "a") == results(finished)


def test_sigterm_does_what_it_would_have_done_after_the_state_is_kept(tmp_path):
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):  # a handler that lets it pass does not pass for the end of training
            learn(table(), tmp_path / "a", watch=lambda progress: signal.raise_signal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]
    assert (tmp_path / "a" / "training.safetensors").is_file()


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_acts_at_once():
    with pytest.raises(KeyboardInterrupt), deferred_signals() as came:
        signal.raise_signal(signal.SIGINT)
        assert came == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second one did nothing")


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_signals() as came:
            signal.raise_signal(signal.SIGINT)
        assert came == []
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_can_fit(tmp_path, finished):
    errors = []

    def work():
        try:
            learn(table(), tmp_path / "a")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors
    assert results(tmp_path / "a") == results(finished)


def test_a_finished_run_returns_its_model_without_training(finished):
    before = contents(finished)
    model = learn(table(), finished, watch=lambda progress: pytest.fail("it trained"))
    assert model.sample(3).shape == (3, 2)
    assert contents(finished) == before


def test_a_finished_run_whose_model_was_lost_makes_it_again(tmp_path, finished):
    learn(table(), tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="run the same fit again"):
        _ = Run(tmp_path / "a").model
    learn(table(), tmp_path / "a", watch=lambda progress: pytest.fail("it trained"))
    assert results(tmp_path / "a") == results(finished)


def test_where_the_data_lie_does_not_matter(finished):
    learn(table(), finished, source={"path": "elsewhere.npy"}, watch=lambda progress: pytest.fail("it trained"))


@pytest.mark.parametrize(
    "change, named",
    [
        ({"training": Training(steps=13, batch=16, evaluations=3)}, "training.steps: 12 there, 13 asked"),
        ({"seed": 5}, "seed: 0 there, 5 asked"),
        ({"data": Data(held_out=0.2)}, "data.held_out: 0.1 there, 0.2 asked"),
        ({"x": table(1)}, "other data"),
    ],
)
def test_other_settings_are_refused_by_name(finished, change, named):
    before = contents(finished)
    with pytest.raises(ValueError, match=f"holds another run .*{named}.*name a new folder"):
        learn(**{"x": table(), "path": finished, **change})
    assert contents(finished) == before


class Small(nn.Module):
    """A network of one's own, which may keep its argument."""

    def __init__(self, width: int, keeps: bool = True) -> None:
        super().__init__()
        if keeps:
            self.width, self.keeps = width, keeps
        self.layers = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, x, c):
        return self.layers(torch.cat((x, c[:, None]), 1))


@pytest.mark.filterwarnings("ignore:the model will hold objects")
@pytest.mark.parametrize("keeps", [True, False])
def test_an_own_network_that_is_built_otherwise_is_another_run(tmp_path, keeps):
    learn(table(), tmp_path / "a", network=Small(4, keeps))
    named = r"own_network.arguments.width: 4 there, 5 asked, .*" if keeps else ""
    with pytest.raises(
        ValueError, match=rf"another run \({named}own_network.parameters: 26 \(\w+\) there, 32 \(\w+\) asked"
    ):
        learn(table(), tmp_path / "a", network=Small(5, keeps))
    again = {"network": Small(4, keeps), "watch": lambda progress: pytest.fail("it trained")}
    learn(table(), tmp_path / "a", **again)
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["asked"]["network"] == "Small"
    del record["asked"]["own_network"]  # as earlier versions wrote it
    (tmp_path / "a" / "run.json").write_text(json.dumps(record))
    learn(table(), tmp_path / "a", **again)


@pytest.mark.filterwarnings("ignore:the model will hold objects")
@pytest.mark.parametrize("keeps", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_report_trusts_what_its_model_was_made_with(tmp_path, monkeypatch, capsys, keeps):
    monkeypatch.chdir(tmp_path)
    fitted = learn(table(), "a", network=Small(4, keeps))
    trusted = ("scorefield", __name__)
    loaded = load("a", trusted, None if keeps else Small(4))
    for model in (fitted, Run.of(loaded).model):
        before = model.sample(3)
        assert model.report(table(), count=20).is_file()
        assert np.array_equal(model.sample(3), before)
    assert len(fitted.distill("b", steps=1, training=Training(steps=2)).sample(2)) == 2
    if keeps:
        assert main(["report", "a"]) == 1
        assert (
            f"in Python, scorefield.report(scorefield.Run('a', trusted={trusted}), x=…) works"
            in capsys.readouterr().err
        )
    with pytest.raises(ValueError, match="this model comes from no run"):
        Run.of(fit(table(), network=NETWORK, training=TRAINING, device="cpu"))


def test_what_was_measured_when_the_run_began_holds_when_it_goes_on(tmp_path, monkeypatch):
    training = Training(steps=4, batch=4, evaluations=2)
    monkeypatch.setattr("scorefield.fitting.budget._bfloat16_is_faster", lambda device: True)
    with pytest.raises(KeyboardInterrupt):
        learn(images(), tmp_path / "a", training, watch=interrupt_at(2))
    monkeypatch.setattr("scorefield.fitting.budget._bfloat16_is_faster", lambda device: False)
    chosen = []
    learn(images(), tmp_path / "a", training, begin=lambda plan: chosen.append(plan.training.precision))
    assert chosen == ["bfloat16"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign"])
def test_a_damaged_state_is_named_with_the_mend(tmp_path, finished, damage):
    with pytest.raises(KeyboardInterrupt):
        learn(table(), tmp_path / "a", watch=interrupt_at(3))
    state = tmp_path / "a" / "training.safetensors"
    whole = state.read_bytes()
    foreign = (finished / "model.safetensors").read_bytes()
    state.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "foreign": foreign}[damage])
    before = contents(tmp_path / "a")
    with pytest.raises(ValueError, match=r"cannot go on from .*training\.safetensors .*: restore that file, or remove"):
        learn(table(), tmp_path / "a")
    assert contents(tmp_path / "a") == before
    state.unlink()
    learn(table(), tmp_path / "a")
    assert results(tmp_path / "a") == results(finished)


def test_a_folder_in_use_is_left_alone(tmp_path, finished):
    before = contents(finished)
    with Run(finished).lock():
        with pytest.raises(RuntimeError, match="in use by another process: wait until it ends"):
            learn(table(), finished)
        with pytest.raises(RuntimeError, match="in use by another process"):  # before the data are looked at
            learn(None, finished)
    assert contents(finished) == before
    Run(finished).check_free()
    with Run(tmp_path / "new").lock():
        with pytest.raises(RuntimeError, match="in use"):
            learn(table(), tmp_path / "new")
        assert (tmp_path / "new").is_dir()


def test_a_folder_in_which_nothing_came_to_be_is_removed(tmp_path):
    with Run(tmp_path / "new").lock():
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with Run(tmp_path / "old").lock():
        pass
    assert (tmp_path / "old").is_dir()


def test_folders_that_are_none_of_a_run_are_refused(tmp_path):
    (tmp_path / "file").write_text("a")
    with pytest.raises(ValueError, match="is a file: a run needs a folder of its own"):
        Run(tmp_path / "file")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("a")
    with pytest.raises(ValueError, match=r"holds other things .chapter\.tex"):
        learn(None, tmp_path / "thesis")  # before the data are looked at
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / ".run.json.123.part").write_text("a")
    (tmp_path / "cut" / ".lock").write_text("")
    learn(table(), tmp_path / "cut")
    with pytest.raises(OSError, match=r"cannot be written .*: name another folder"):
        learn(table(), tmp_path / "file" / "run")


def test_models_that_are_not_there(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*: did you mean 'runs'"):
        _ = Run(tmp_path / "run").model
    with pytest.raises(FileNotFoundError, match=r"no model in .* yet, the run is empty"):
        _ = Run(tmp_path / "runs").model
    with pytest.raises(FileNotFoundError, match=r"no run\.json in .*: is it the folder of a run"):
        Run(tmp_path / "runs").read("run.json")


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_broken_record_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is (truncated or )?damaged .*: restore it, or start a new run"):
        learn(table(), tmp_path)


def test_a_foreign_record_is_named(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"name": "marathon"}))
    with pytest.raises(ValueError, match=r"run\.json was not written by a fit"):
        learn(table(), tmp_path)


def full_disk(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("number", [1, 2, 4, 5, 6])
def test_a_full_disk_while_saving_costs_nothing(tmp_path, monkeypatch, finished, number):
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        return full_disk() if len(calls) == number else real(handle)

    monkeypatch.setattr(session_module, "_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=r"could not be written .No space left.*what was there is unchanged: free some"):
        learn(table(), tmp_path / "a")
    assert (tmp_path / "a").exists() == (number > 1)
    assert not list(tmp_path.glob("a/.*.part"))
    learn(table(), tmp_path / "a")
    assert results(tmp_path / "a") == results(finished)


def test_a_full_disk_while_logging_costs_nothing(tmp_path, monkeypatch, finished):
    monkeypatch.setattr(folder_module, "open", full_disk, raising=False)
    with pytest.raises(OSError, match=r"cannot be written .No space left"):
        learn(table(), tmp_path / "a")
    monkeypatch.undo()
    log_open = open

    def opened(path, *arguments, **options):
        return full_disk() if str(path).endswith("log.csv") else log_open(path, *arguments, **options)

    monkeypatch.setattr(log_module, "open", opened, raising=False)
    with pytest.raises(OSError, match=r"log\.csv could not be written .No space left.*free some space"):
        learn(table(), tmp_path / "a")
    monkeypatch.undo()
    learn(table(), tmp_path / "a")
    assert results(tmp_path / "a") == results(finished)


def test_a_row_of_the_log_that_was_cut_off_is_left_out(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    rows = [{"step": step, "seconds": 0.5, "loss": 1.5, "rate": 1.0, "held_out": None} for step in (1, 2)]
    lines = [*map(json.dumps, rows), "3", '{"step": 3}', '{"st']
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert Run(tmp_path).log == rows
