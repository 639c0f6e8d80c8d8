"""`scorefield diagnose`: what is printed, and what is left in the folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from scorefield.cli import main


def cli(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnose")
    x = np.random.default_rng(0).normal([3.0, -1.0], [2.0, 0.5], size=(600, 2))
    np.save(folder / "data.npy", x)
    assert cli("fit", folder / "data.npy", "-o", folder / "run", "--steps", 150) == 0
    return folder / "run"


def test_a_run_is_diagnosed(run, capsys):
    assert cli("diagnose", run) == 0
    out = capsys.readouterr().out
    kept = json.loads((run / "diagnosis.json").read_text())
    names = [check["name"] for check in kept["checks"]]
    assert names == ["Stein tests", "excess loss", "memory", "curl", "heat equation", "mean weight"]
    for check in kept["checks"]:
        assert check["said"] in out and check["meaning"] in out
    assert kept["verdict"] in out
    assert len(kept["levels"]) == 12 and all(len(check["by_level"]) in (0, 12) for check in kept["checks"])
    with Image.open(run / "diagnosis.png") as picture:
        assert picture.width == 1960


def test_what_it_needs_is_said(run, tmp_path, capsys):
    assert cli("diagnose", tmp_path / "none") == 1
    assert "there is no folder" in capsys.readouterr().err
    small = tmp_path / "few.npy"
    np.save(small, np.random.default_rng(0).normal(size=(60, 2)))
    assert cli("fit", small, "-o", tmp_path / "few", "--steps", 20) == 0
    capsys.readouterr()
    assert cli("diagnose", tmp_path / "few") == 1
    assert (
        "a diagnosis needs at least 30 held-out data, got 6: fit again with more held out (--held-out"
        in capsys.readouterr().err
    )
