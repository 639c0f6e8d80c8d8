"""`scorefield import`: a released checkpoint becomes a run for the other commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from scorefield.cli import main
from scorefield.mcmc import Langevin
from scorefield.model import load
from scorefield.nn import RefineNet
from scorefield.noise_levels import Ladder, best_ratio
from scorefield.samplers import AnnealedLangevin
from scorefield.schedules import ExplicitLevels


def cli(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def checkpoint(tmp_path):
    """A small network in the file format of NCSNv2."""
    torch.manual_seed(0)
    state = RefineNet(3, 2).state_dict()
    raw = {"module.sigmas": torch.logspace(0.5, -2, 12), **{f"module.{k}": v for k, v in state.items()}}
    torch.save([raw, {"state": {}}, 7, 300, state], tmp_path / "checkpoint.pth")
    return tmp_path / "checkpoint.pth"


def test_a_checkpoint_becomes_a_run(checkpoint, tmp_path, capsys):
    run, data = tmp_path / "run", tmp_path / "data.npy"
    np.save(data, np.random.default_rng(0).integers(0, 256, size=(40, 16, 16, 3)).astype(np.uint8))
    assert cli("import", "ncsnv2", checkpoint, "-o", run, "--data", data) == 0
    assert "next: scorefield sample" in capsys.readouterr().err
    for sampler in ("heun(steps=2)", "annealedlangevin(transition=langevin(ratio=0.1), moves=1, steps=3)"):
        assert cli("sample", run, "-n", 3, "-o", tmp_path / "new.npy", "--overwrite", "--sampler", sampler) == 0
        drawn = np.load(tmp_path / "new.npy")
        assert drawn.shape == (3, 16, 16, 3) and drawn.dtype == np.uint8
    assert load(run).schema.shape == (16, 16, 3)
    capsys.readouterr()
    assert cli("info", run) == 0
    assert "Imported" in capsys.readouterr().out
    assert cli("report", run) == 1
    assert "was imported, and has no training to report" in capsys.readouterr().err


def test_the_listed_sampler_of_the_authors_is_accepted(checkpoint, tmp_path):
    """The listed annealed Langevin sampler works with `--sampler`, and is that chain on the ladder."""
    run, out = tmp_path / "run", tmp_path / "new.npy"
    assert cli("import", "ncsnv2", checkpoint, "-o", run, "--size", 8) == 0
    choices = json.loads((run / "run.json").read_text())["choices"]
    listed = next(value for name, value, _ in choices if name == "annealed Langevin")
    assert cli("sample", run, "-n", 1, "-o", out, "--sampler", listed) == 0
    model = load(run)
    ladder = Ladder(10**0.5, 0.01, 12, 3 * 8 * 8)
    way = AnnealedLangevin(Langevin(float(f"{best_ratio(5, ladder.gap):.4g}")), 5)
    assert np.array_equal(np.load(out), model.sample(1, sampler=way, schedule=ExplicitLevels(ladder.levels)))


def test_an_unknown_size_is_requested(checkpoint, tmp_path, capsys):
    assert cli("import", "ncsnv2", checkpoint, "-o", tmp_path / "run") == 1
    assert "size" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert cli("import", "ncsnv2", checkpoint, "-o", tmp_path / "run", "--size", 16) == 0


def test_what_was_assumed_and_the_check_are_said(checkpoint, tmp_path, capsys):
    """Without data the assumptions; with data the numbers of the check. A random network looks wrong."""
    assert cli("import", "ncsnv2", checkpoint, "-o", tmp_path / "a", "--size", 16) == 0
    said = capsys.readouterr().err
    assert (
        "note: the import assumed what the file does not say: activation elu (activation=), images from 0 to 1" in said
    )
    given = ("--activation", "relu", "--centred")
    assert cli("import", "ncsnv2", checkpoint, "-o", tmp_path / "b", "--size", 16, *given) == 0
    assert "the import assumed" not in capsys.readouterr().err
    assert load(tmp_path / "b").denoiser.network.activation == "relu"
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, size=(40, 16, 16, 3)).astype(np.uint8))
    assert cli("import", "ncsnv2", checkpoint, "-o", tmp_path / "c", "--data", tmp_path / "data.npy") == 0
    said = capsys.readouterr().err
    assert said.count("the import looks wrong: its denoising error is ") == 1
    choices = {name: value for name, value, _ in json.loads((tmp_path / "c/run.json").read_text())["choices"]}
    assert choices["check"] == "wrong" and choices["assumed"].startswith("activation elu")


def test_the_format_is_found_out(checkpoint, tmp_path, capsys):
    for kind in ("auto", "score-sde", "tutorial"):
        assert cli("import", kind, checkpoint, "-o", tmp_path / kind, "--size", 16) == 0
        said = capsys.readouterr().err
        assert "checkpoint.pth was imported as ncsnv2, by the names in it" in said
        assert json.loads((tmp_path / kind / "run.json").read_text())["imported"]["kind"] == "ncsnv2"
    assert cli("import", "auto", checkpoint, "-o", tmp_path / "other", "--size", 16, "--groups", 4) == 1
    assert "--groups does not apply to ncsnv2: leave it out" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_errors_are_one_line(checkpoint, tmp_path, capsys):
    assert cli("import", "score-sde", checkpoint, "-o", tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert cli("import", "ncsnv2", tmp_path / "missing.pth", "-o", tmp_path / "run") == 1
    assert cli("import", "score-sde", checkpoint, "-o", tmp_path / "run", "--centred") == 1
    assert "--centred does not apply to score-sde: leave it out" in capsys.readouterr().err
    assert cli("import", "other", checkpoint, "-o", tmp_path / "run") == 2
