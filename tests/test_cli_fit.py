"""The command line makes every choice that `fit` makes, and takes old names for a version."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield import fit
from scorefield.cli import main
from scorefield.denoisers import VPrediction
from scorefield.processes import VP
from scorefield.runs import Run
from scorefield.samplers import DDIM
from scorefield.settings import Network, Training

TINY = ["--steps", "3", "--batch", "8", "--widths", "8", "--depth", "1", "--device", "cpu"]


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(60, 2)))
    return str(tmp_path / "data.npy")


def test_choices_reach_the_fit(data, tmp_path, capsys):
    words = ["--process", "vp", "--objective", "slicedscorematching(count=2)", "--parametrization", "v"]
    words += ["--sampler", "ddim(steps=5)", "--noise-levels", "noiselevels(sigma_min=0.005)", "--units", "1", "2"]
    assert main(["fit", data, "-o", str(tmp_path / "run"), *TINY, *words]) == 0
    printed = capsys.readouterr().err
    assert (
        "process: VP(" in printed
        and "objective: SlicedScoreMatching" in printed
        and "sampling: DDIM(steps=5)" in printed
    )
    model = Run(tmp_path / "run").model
    assert isinstance(model.process, VP) and isinstance(model.denoiser.parametrization, VPrediction)
    assert (model.sampler, model.steps) == (DDIM(), 5)
    assert float(model.standardize.mean) == 1 and float(model.standardize.std) == 2
    assert model.process.ends()[0] == pytest.approx(0.005, rel=1e-6)
    same = fit(
        np.load(data),
        training=Training(steps=3, batch=8),
        network=Network(widths=(8,), depth=1),
        process="vp",
        objective="slicedscorematching(count=2)",
        parametrization="v",
        sampler="ddim(steps=5)",
        noise_levels="noiselevels(sigma_min=0.005)",
        units=(1.0, 2.0),
        device="cpu",
    )
    assert np.array_equal(model.sample(3), same.sample(3))
    assert main(["info", str(tmp_path / "run")]) == 0
    assert "SlicedScoreMatching" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--process", "--objective", "--parametrization", "--sampler"])
def test_a_wrong_name_lists_the_right_ones(data, tmp_path, capsys, flag):
    assert main(["fit", data, "-o", str(tmp_path / "run"), *TINY, flag, "nonsense"]) == 1
    printed = capsys.readouterr().err
    assert "'nonsense'" in printed and printed.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sign", [" ", "="])
def test_old_flags_work_with_a_word_on_it(data, tmp_path, capsys, sign):
    words = f"--rate{sign}1e-3 --matrix-rate{sign}0 --reference{sign}0".split()
    assert main(["fit", data, "-o", str(tmp_path / "run"), *TINY, *words]) == 0
    printed = capsys.readouterr().err
    for old, new in (("--rate", "--learning-rate"), ("--matrix-rate", "--muon-learning-rate")):
        assert f"warning: {old} is now {new}: write {new}\n" in printed
    asked = Run(tmp_path / "run").read("run.json")["asked"]["training"]
    assert (asked["learning_rate"], asked["muon_learning_rate"], asked["reference_batch"]) == (1e-3, 0, 0)
    main(["fit", "--help"])
    assert "--rate" not in capsys.readouterr().out.replace("-learning-rate", "")


def test_old_names_in_a_file(data, tmp_path, capsys):
    (tmp_path / "run.toml").write_text("[fit]\nsteps = 3\nrate = 1e-3\n\n[calibrate]\nmoves = 7\n")
    config = ["--config", str(tmp_path / "run.toml")]
    assert main(["fit", data, "-o", str(tmp_path / "run"), "--batch", "8", "--widths", "8", *config]) == 0
    assert "run.toml: rate is now learning_rate: write learning_rate" in capsys.readouterr().err
    assert Run(tmp_path / "run").read("run.json")["asked"]["training"]["learning_rate"] == 1e-3
    assert main(["calibrate", data, *config]) == 0
    printed = capsys.readouterr()
    assert "warning: calibrate is now noise-levels: write noise-levels" in printed.err
    moves = next(line for line in printed.out.splitlines() if "Langevin moves" in line)
    assert " 7 " in moves
