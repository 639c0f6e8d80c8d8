"""Every verb that computes takes a device, and takes a GPU by itself if there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scorefield
from scorefield.cli import main
from scorefield.cli.verbs import app
from scorefield.evaluation import RunData
from scorefield.model import Model

COMPUTING = [
    "fit",
    "sample",
    "evaluate",
    "report",
    "compare",
    "diagnose",
    "logprob",
    "posterior",
    "impute",
    "noise-levels",
    "distill",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("device")
    np.save(folder / "data.npy", np.random.default_rng(0).normal(size=(400, 2)))
    words = ["fit", folder / "data.npy", "-o", folder / "run", "--steps", 30, "--widths", 16, "--device", "cpu"]
    assert main([str(word) for word in words]) == 0
    return folder / "run"


@pytest.fixture
def moved(monkeypatch):
    """Where models are moved to, on a machine that seems to have a GPU; they stay on the CPU."""
    devices = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Model, "to", lambda self, device: devices.append(str(device)) or self)
    return devices


@pytest.mark.parametrize("verb", COMPUTING)
def test_every_verb_that_computes_has_the_option(verb):
    names = {name for argument in app[verb].assemble_argument_collection() for name in argument.names}
    assert "--device" in names


def test_no_other_verb_computes():
    verbs = {name for name in app if not name.startswith("-")}
    assert verbs - set(COMPUTING) <= {"info", "import", "show"}  # that import is checked on a GPU is tested below


@pytest.mark.parametrize(
    "verb",
    [
        ["evaluate", "-n", "60"],
        pytest.param(["diagnose"], marks=pytest.mark.slow),
        ["compare", "-n", "40", "--samplers", "ddim(steps=2)"],
    ],
)
def test_a_gpu_is_taken_unless_another_device_is_asked_for(run, moved, verb):
    assert main([verb[0], str(run), *verb[1:]]) == 0
    assert moved and set(moved) == {"cuda"}
    moved.clear()
    assert main([verb[0], str(run), *verb[1:], "--device", "cpu"]) == 0
    assert set(moved) == {"cpu"}


def test_python_takes_it_too(run, moved):
    scorefield.evaluate(run, count=60)
    assert set(moved) == {"cuda"}
    moved.clear()
    scorefield.evaluate(run, count=60, device="cpu")
    assert set(moved) == {"cpu"}


def test_what_is_open_stays_where_it_is(run, moved):
    opened = RunData.of(run, device="cpu")
    moved.clear()
    assert RunData.of(opened) is opened and not moved
    RunData.of(opened, device="cpu")
    assert moved == ["cpu"]


@pytest.mark.parametrize("verb", ["evaluate", "report", "diagnose", "compare", "noise-levels"])
def test_a_device_that_is_not_there(run, capsys, verb):
    place = run.parent / "data.npy" if verb == "noise-levels" else run
    assert main([verb, str(place), "--device", "cuda:7"]) == 1
    assert "there is no device 'cuda:7' here: use --device 'cpu'" in capsys.readouterr().err


def test_imports_are_checked_on_a_gpu_and_the_model_stays(monkeypatch):
    from scorefield.data import Schema
    from scorefield.denoisers import Gaussian
    from scorefield.interop import check_import
    from scorefield.processes import EDM
    from scorefield.samplers import Heun, Sampling
    from scorefield.units import Standardize

    x = np.random.default_rng(0).normal(size=(50, 4, 4)).astype(np.float32)
    exact = Gaussian(torch.zeros(1, 4, 4), torch.ones(1, 4, 4))
    model = Model(Schema.of(x, "grid"), Standardize((1, 4, 4)), exact, exact, Sampling(Heun(), 8, process=EDM()))
    devices = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Model, "to", lambda self, device: devices.append(str(device)) or self)
    assert check_import(model, x).verdict == "right"
    assert devices == ["cuda", "cpu"]
