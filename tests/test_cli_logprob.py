"""`scorefield logprob`: a table of log-densities, and the self-check."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.cli import main
from scorefield.data import Schema
from scorefield.model import load


def cli(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A table with a column of whole numbers, one of rounded ones and one of others, and images of bytes."""
    folder = tmp_path_factory.mktemp("logprob")
    rng = np.random.default_rng(0)
    count = rng.poisson(5, 200)
    table = {"size": rng.normal(size=200), "count": count, "tenth": (count + rng.normal(size=200)).round(1)}
    pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
    np.save(folder / "images.npy", rng.integers(0, 256, (40, 10, 10)).astype(np.uint8))
    assert cli("fit", folder / "table.csv", "-o", folder / "run", "--steps", 30) == 0
    small = ("--steps", 4, "--batch", 4, "--widths", 8, "--precision", "float32")
    assert cli("fit", folder / "images.npy", "-o", folder / "images", *small) == 0
    return folder


@pytest.mark.parametrize("suffix", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_a_table_is_written(place, tmp_path, capsys, suffix):
    output = tmp_path / f"new.{suffix}"
    words = ("logprob", place / "run", place / "table.csv", "-o", output, "-n", 12, "--tolerance", 1e-3)
    assert cli(*words, "--draws", 2) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{output}\n"
    assert "12 data: log-density" in captured.err and "nats" in captured.err and "bits per dimension" in captured.err
    table = pd.read_csv(output) if suffix == "csv" else pd.read_parquet(output)
    errors = ["standard_error", "solver_error", "end_error", "truncation", "evaluations"]
    assert list(table)[:6] == ["log_prob", *errors] and len(table) == 12
    model, data = load(place / "run"), pd.read_csv(place / "table.csv")[:12]
    np.testing.assert_allclose(table["log_prob"], model.log_prob(data, tolerance=1e-3).value, rtol=1e-9)
    bits = model.density(tolerance=1e-3).bits_per_dim(data, 2)
    np.testing.assert_allclose(table["bits_per_dim"], bits.value, rtol=1e-9)
    assert bool(torch.isfinite(bits.value).all())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_probability_0_are_written(place, tmp_path, capsys, suffix):
    data = pd.read_csv(place / "table.csv")[:6]
    data.loc[3, "tenth"] += 0.05  # between the cells of the data
    data.to_csv(tmp_path / "data.csv", index=False)
    output = tmp_path / f"new.{suffix}"
    words = ("logprob", place / "run", tmp_path / "data.csv", "-o", output, "--tolerance", 1e-2, "--draws", 1)
    assert cli(*words) == 0
    assert "1 of 6 data lies where the model has probability 0: log-density -inf" in capsys.readouterr().err
    table = pd.read_parquet(output) if suffix == "parquet" else pd.read_csv(output)
    assert np.flatnonzero(np.isneginf(table["log_prob"])).tolist() == [3] and table["log_prob"].dtype == "float64"
    assert np.isfinite(table["log_prob"].drop(index=3)).all()


def test_the_self_check_says_how_large_the_errors_are(place, capsys):
    assert cli("logprob", place / "run", place / "table.csv", "-n", 3, "--check") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "self-check on two Gaussians fitted to the data: error" in lines[0] and "nats" in lines[0]
    median = float(lines[0].split("error ")[1].split()[0])
    assert median < 1e-3 and "covers the error at" in lines[1]


def test_images_take_probes(place, capsys):
    words = ("logprob", place / "images", place / "images.npy", "-n", 2, "--probes", 4, "--tolerance", 1e-2)
    assert cli(*words, "--check") == 0
    captured = capsys.readouterr()
    assert "standard error" in captured.err and "self-check" in captured.out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.npy", "log-densities are written as .csv or .parquet"),
        ("no/x.csv", "there is no folder"),
        ("folder.csv", "is a folder: name a file"),
    ],
)
def test_a_place_that_cannot_be_written_is_an_error_at_once(place, tmp_path, capsys, name, message):
    (tmp_path / "folder.csv").mkdir()
    assert cli("logprob", place / "run", place / "table.csv", "-o", tmp_path / name) == 1
    assert message in capsys.readouterr().err
    assert cli("logprob", place / "run", place / "table.csv", "--tolerance", 0) == 1
    assert "--tolerance" in capsys.readouterr().err


def test_a_file_without_rows_is_refused_before_anything_is_said(place, tmp_path, capsys):
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    assert cli("logprob", place / "run", tmp_path / "none.npy", "-o", tmp_path / "new.csv") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no rows: give one or more" in said and "nan" not in said
    assert not (tmp_path / "new.csv").exists()


def test_densities_of_dates_are_per_step_which_is_said(tmp_path, capsys):
    """Of whole weeks per week: over all weeks they add up to 1."""
    weeks = 7 * np.random.default_rng(0).normal(50, 8, 400).round().astype(int)
    days = (np.datetime64("2024-01-01") + weeks).astype("M8[s]")
    times = [f"{h}:{m:02}" for h, m in zip(7 + np.arange(400) % 13, np.arange(400) % 60)]
    columns = Schema.of(
        pd.DataFrame({"week": days, "at": times, "hour": days + 3600 * np.arange(400), "n": weeks})
    ).table
    assert [column.density_unit for column in columns] == ["week", "second", "hour", ""]
    run = tmp_path / "run"
    pd.DataFrame({"week": days}).to_csv(tmp_path / "t.csv", index=False)
    assert cli("fit", tmp_path / "t.csv", "-o", run, "--steps", 40) == 0
    every = pd.DataFrame({"week": np.datetime64("2024-01-01") + 7 * np.arange(15, 86)})
    every.to_csv(tmp_path / "all.csv", index=False)
    assert cli("logprob", run, tmp_path / "all.csv", "-o", tmp_path / "d.csv", "--tolerance", 1e-3) == 0
    assert "units of the densities of dates and times: week per week" in capsys.readouterr().err.splitlines()
    assert np.exp(pd.read_csv(tmp_path / "d.csv")["log_prob"]).sum() == pytest.approx(1, abs=0.02)
