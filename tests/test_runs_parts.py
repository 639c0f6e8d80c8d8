"""The parts of a run: the log keeps no losses, the model is read once, the lock needs nothing but a file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from scorefield import fit
from scorefield.runs import Run
from scorefield.runs.log import _PENDING, Log, read_log
from scorefield.settings import Network
from scorefield.training import Progress


def progress(step: int, loss: float, held_out: float | None = None) -> Progress:
    return Progress(step, 0.0, 0.1 * step, torch.tensor(loss), 1.0, held_out)


def test_the_log_forgets_losses_and_keeps_their_mean(tmp_path):
    losses = np.random.default_rng(0).normal(size=10 * _PENDING + 7).astype(np.float32)
    log = Log(tmp_path)
    log.add(progress(1, float(losses[0])))
    for step, loss in enumerate(losses[1:], 2):
        log.add(progress(step, float(loss)))
        assert len(log._loss._pending) < _PENDING
    log.add(progress(len(losses) + 1, 1.0, held_out=0.5))
    first, last = read_log(tmp_path)
    assert first["loss"] == float(losses[0]) and last["held_out"] == 0.5
    total = 0.0
    for loss in [*losses[1:], 1.0]:
        total += float(loss)
    assert last["loss"] == total / len(losses)


def test_a_log_goes_on_from_its_state_and_from_that_of_0_1_0(tmp_path):
    losses, rows = [0.25, 1e-9, 3.5, 0.125], []
    for kind in ("whole", "state", "old"):
        (tmp_path / kind).mkdir()
        log = Log(tmp_path / kind)
        log.add(progress(1, 1.0))
        for i, loss in enumerate(losses):
            if i == 2 and kind != "whole":
                state = log.state()
                assert set(state) == {"fraction", "total", "count"}
                if kind == "old":
                    state = {"fraction": state["fraction"], "losses": losses[:2]}
                log = Log(tmp_path / kind, read_log(tmp_path / kind), state)
            log.add(progress(i + 2, loss))
        log.add(progress(6, 2.0, held_out=0.1))
        rows.append(read_log(tmp_path / kind))
    assert rows[0] == rows[1] == rows[2] and len(rows[0]) == 2


def test_a_model_is_read_once(tmp_path, monkeypatch):
    fit(np.random.default_rng(0).normal(size=(40, 2)), tmp_path / "run", steps=2, network=Network(widths=(8,), depth=1))
    run = Run(tmp_path / "run")
    assert repr(run).endswith(
        f"40 examples of shape 2; 2 steps, held-out loss {run.read('fit.json')['held_out_loss']:.4f}"
    )
    model = run.model
    monkeypatch.setattr("scorefield.runs.folder.load", lambda *arguments: 1 / 0)
    assert run.model is model
    assert repr(Run(tmp_path / "new")) == f"Run({str(tmp_path / 'new')!r}): empty"


def test_fitting_without_a_folder_needs_no_lock():
    """filelock comes with PyTorch, and is imported when a folder is locked."""
    code = "import sys, numpy as np; sys.modules['filelock'] = None\n"
    code += "from scorefield import fit; fit(np.random.default_rng(0).normal(size=(20, 2)), steps=1).sample(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
