"""`scorefield distill`: a run of its own, next to its teacher in what is shown."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield.cli import main
from scorefield.runs import Run


def cli(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    np.save(folder / "data.npy", np.random.default_rng(0).normal(size=(200, 2)))
    fit = ["--steps", 30, "--batch", 32, "--widths", 8, "--depth", 1, "--device", "cpu"]
    assert cli("fit", folder / "data.npy", "-o", folder / "run", *fit) == 0
    return folder


def test_a_run_is_distilled_sampled_compared_and_reported(place, capsys):
    words = ["distill", place / "run", "-o", place / "fast", "--train-steps", 40, "--device", "cpu"]
    assert cli(*words) == 0
    printed = capsys.readouterr()
    assert f"teacher: {place / 'run'}; paths of its probability flow by UniPC(steps=" in printed.err
    assert "budget: 40 steps, batches of 256, on cpu" in printed.err
    assert "40 steps in" in printed.err and "error of the flow map on held-out paths" in printed.err
    assert printed.out.strip() == str(place / "fast" / "model.safetensors")
    assert cli(*words) == 0  # again: there is nothing left to do
    assert "already complete" in capsys.readouterr().err
    assert Run(place / "fast").model.steps == 2
    assert cli("sample", place / "fast", "-n", 5, "-o", place / "new.npy") == 0
    assert np.load(place / "new.npy").shape == (5, 2)
    assert cli("evaluate", place / "fast", "-n", 100) == 0
    capsys.readouterr()
    assert cli("compare", place / "fast", "-n", 100) == 0
    assert "of run" in capsys.readouterr().out
    assert cli("info", place / "fast") == 0
    shown = capsys.readouterr().out
    assert "FlowMapMatching" in shown and "teacher" in shown


def test_what_is_refused_is_refused_in_a_line(place, capsys):
    assert cli("distill", place / "run", "-o", place / "other", "--steps", 0) == 1
    assert cli("distill", place / "run", "-o", place / "other", "--minutes", 1, "--train-steps", 5) == 1
    assert cli("distill", place / "run", "-o", place / "other", "--guidance", 2) == 1
    assert cli("distill", place / "nothing", "-o", place / "other") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(line.startswith("error: ") for line in lines)
    assert not (place / "other").exists()
