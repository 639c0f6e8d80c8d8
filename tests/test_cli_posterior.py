"""`scorefield posterior`, on a run of a small table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scorefield
from scorefield.calls import parse_call
from scorefield.cli import main
from scorefield.measurement import Blur, Fourier, Grey, Linear, Noise, Operator, PoissonNoise, Radon
from scorefield.posterior import DPS, Method, MomentMatching


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("posterior")
    x = np.random.default_rng(0).normal(size=(400, 3)) @ [[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]] + [10, 0, -5]
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    scorefield.fit(frame, folder / "run", training=scorefield.Training(steps=150))
    np.save(folder / "seen.npy", [11.0, np.nan, np.nan])
    np.save(folder / "y.npy", [6.0])
    np.save(folder / "matrix.npy", [[1.0, 0.0, 1.0]])
    np.save(folder / "covariance.npy", [[0.04]])
    return folder


def test_masks_are_where_nothing_is_known(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert (
        main(
            [
                "posterior",
                "run",
                "seen.npy",
                "--operator",
                "mask",
                "--noise",
                "0.1",
                "-n",
                "50",
                "-o",
                "draws.csv",
                "--overwrite",
            ]
        )
        == 0
    )
    said = capsys.readouterr()
    drawn = pd.read_csv("draws.csv")
    assert list(drawn.columns) == ["a", "b", "c"] and len(drawn) == 50
    assert abs(drawn["a"].mean() - 11) < 0.1 and said.out.strip() == "draws.csv"
    assert "x the noise variance (1 is expected)" in said.err and "biased" not in said.err


def test_a_biased_method_is_named(tmp_path, monkeypatch, capsys):
    """Three modes, of which y leaves two: moment matching is biased, and the default makes up for it."""
    rng = np.random.default_rng(0)
    means, sides = np.array([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]]), np.array([[0.6, 0.5], [0.5, 0.6], [0.4, 0.4]])
    modes = rng.choice(3, 1500, p=[0.45, 0.25, 0.3])
    monkeypatch.chdir(tmp_path)
    x = means[modes] + sides[modes] * rng.normal(size=(1500, 2))
    scorefield.fit(x, "run", training=scorefield.Training(steps=200))
    np.save("y.npy", [0.6])
    np.save("matrix.npy", [[1.0, 0.3]])
    words = ["posterior", "run", "y.npy", "--operator", "linear('matrix.npy')", "--noise", "0.5", "-n", "16"]
    words += ["-o", "draws.npy", "--overwrite"]
    for more, named in ((["--method", "momentmatching"], True), ([], False)):
        assert main([*words, *more]) == 0
        assert ("MomentMatching is biased here: data given a noisy state" in capsys.readouterr().err) == named


def test_arrays_are_files_and_methods_are_calls(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    words = ["posterior", "run", "y.npy", "--operator", "linear('matrix.npy')", "--noise", "covariance.npy"]
    more = ["--method", "tmpd(iterations=3)", "--sampler", "heun(steps=12)"]
    assert main([*words, "-n", "40", "-o", "draws.npy", "--overwrite", *more]) == 0
    assert np.abs(np.load("draws.npy")[:, [0, 2]].sum(1).mean() - 6) < 0.2
    assert main([*words, "-n", "40", "-o", "daps.npy", "--method", "daps", "--steps", "10"]) == 0
    assert np.abs(np.load("daps.npy")[:, [0, 2]].sum(1).mean() - 6) < 0.2


def test_operators_act_one_after_another(run, monkeypatch, capsys):
    """Sums of neighbours, of which one is not known: "first | then", and a mask that is read off what was measured."""
    monkeypatch.chdir(run)
    np.save("sums.npy", [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    np.save("first.npy", [[1.0, 0.0]])
    words = ["posterior", "run", "--noise", "0.1", "-n", "40", "--overwrite"]
    for y, then in (([10.5, np.nan], "mask"), ([10.5], "linear('first.npy')")):
        np.save("y2.npy", y)
        assert main([*words, "y2.npy", "--operator", f"linear('sums.npy') | {then}", "-o", "both.npy"]) == 0
        assert np.abs(np.load("both.npy")[:, :2].sum(1).mean() - 10.5) < 0.1
    np.save("y2.npy", [10.5, np.nan, 0.0])
    assert main([*words, "y2.npy", "--operator", "linear('sums.npy') | mask", "-o", "both.npy"]) == 1
    assert "Mask has the shape (3,), and a data point has the shape (2,)" in capsys.readouterr().err


def test_particles_give_the_evidence(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    words = (
        "posterior run seen.npy --operator mask --noise 0.1 -n 20 -o weighed.npy --particles 100 --islands 2 --steps 8"
    )
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert "log p(y), nats" in out and "log p(y) of each island" in out and np.load("weighed.npy").shape == (20, 3)


@pytest.mark.slow
def test_the_check_says_whether_to_trust(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    words = "posterior run seen.npy --operator mask --noise 0.1 --check --simulations 60 --seed 1"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert "Simulated: Gaussian data with the mean and the covariance of yours (3 numbers)." in out
    assert "do what they should with this operator" in out


def test_operators_are_written_as_calls():
    assert parse_call("blur(width=2, axes=(0, 1))", Operator).axes == (0, 1)
    assert isinstance(parse_call("grey", Operator), Grey) and isinstance(parse_call("FOURIER", Operator), Fourier)
    assert parse_call("radon(12)", Operator) == Radon(12) and isinstance(parse_call("blur", Operator), Blur)
    assert parse_call("poisson(gain=2)", Noise) == PoissonNoise(2)
    assert parse_call("moment", Method) == MomentMatching() and parse_call("dps(0.5)", Method) == DPS(0.5)
    read = {"a.npy": np.eye(2)}.__getitem__
    assert isinstance(parse_call("linear('a.npy')", Operator, read), Linear)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--operator mask --noise 0.1", "give the number of draws and an output file"),
        ("--operator mask --noise 0.1 -n 5", "give the number of draws and an output file"),
        ("--operator mask --noise 0.1 -n 5 -o a.npy --particles 9 --check", "--particles are a sampler of their own"),
        ("--operator smear --noise 0.1 -n 5 -o a.npy", "unknown operator 'smear': "),
        ("--operator blur|smear --noise 0.1 -n 5 -o a.npy", "unknown operator 'smear': "),
        ("--operator blur| --noise 0.1 -n 5 -o a.npy", "cannot read the operator"),
        ("--operator blur( --noise 0.1 -n 5 -o a.npy", "cannot read the operator"),
        ("--operator linear('none.npy') --noise 0.1 -n 5 -o a.npy", "there is no none.npy: did you mean"),
        ("--operator linear('none.csv') --noise 0.1 -n 5 -o a.npy", "arrays are read from .npy files"),
        ("--operator mask --noise strong -n 5 -o a.npy", "unknown noise 'strong'"),
        ("--operator mask --noise 0 -n 5 -o a.npy", "must be positive and finite"),
        ("--operator mask --noise 0.1 -n 5 -o a.npy --method guess", "unknown method 'guess'"),
    ],
)
def test_mistakes_are_told_in_a_line(run, monkeypatch, capsys, words, message):
    monkeypatch.chdir(run)
    assert main(["posterior", "run", "seen.npy", *words.split()]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1]


def test_a_mask_has_the_shape_of_a_datum(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    assert main(["posterior", "run", "y.npy", "--operator", "mask", "--noise", "0.1", "-n", "5", "-o", "a.npy"]) == 1
    assert "mask needs an example of shape (3,) with NaN where nothing is known, got (1,)" in capsys.readouterr().err
