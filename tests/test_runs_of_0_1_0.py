"""Runs that 0.1.0 wrote: interrupted ones are resumed to the same numbers, ended ones are read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield.data import read
from scorefield.nn import UNet
from scorefield.runs import Run, fit
from scorefield.settings import Data, Network, Training

RUNS = Path(__file__).parent / "v0_1_0" / "runs"
TINY = Network(widths=(4,), depth=1)
SMALL = Training(steps=40, batch=64, evaluations=4)


def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(2, 1, (2,), 1, patch=2, embedding=2)


def images() -> np.ndarray:
    with np.load(RUNS / "images.npz") as file:
        return file[file.files[0]][:80]


def asked(name: str) -> dict:
    """The arguments of the fit that was interrupted."""
    grid = Training(steps=12, batch=8, evaluations=3, precision="float32", reference_batch=64)
    return {
        "interrupted_table": lambda: {"x": read(RUNS / "table.csv"), "network": TINY, "training": SMALL},
        "interrupted_conditional": lambda: {
            "x": np.load(RUNS / "x2.npy"),
            "network": TINY,
            "training": SMALL,
            "context": np.arange(200) % 3,
        },
        "interrupted_grid": lambda: {"x": images(), "network": unet(), "training": grid},
        "interrupted_bfloat16": lambda: {
            "x": images(),
            "network": unet(),
            "training": Training(steps=8, batch=8, evaluations=2),
        },
        "older_90e5e4e_cut": lambda: {"x": np.load(RUNS / "older_data.npy"), "network": TINY, "training": SMALL},
    }[name]()


def outcome(path: Path) -> tuple:
    """What a run has come to: its weights, its log and its measurements, less how long they took."""
    run = Run(path)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.log]
    about = {k: v for k, v in run.read("fit.json").items() if k != "seconds"}
    return {k: v.tolist() for k, v in run.model.state_dict().items()}, rows, about


@pytest.mark.parametrize("name", ["interrupted_table", "interrupted_conditional", "interrupted_grid"])
def test_an_interrupted_run_is_resumed_to_the_numbers_of_a_whole_one(tmp_path, monkeypatch, name):
    shutil.copytree(RUNS / name, tmp_path / "resumed")
    steps = []
    for place, maps in (("resumed", "auto"), ("whole", "affine")):  # as they were then
        request = asked(name)
        request["data"] = replace(request.get("data", Data()), maps=maps)
        if place == "whole":  # targets were not averaged over rows of the batches then
            monkeypatch.setattr(
                "scorefield.runs.fitting.resumed", lambda o, _: replace(o, overlapping=False, whitening=False)
            )
        fit(run=tmp_path / place, **request, seed=1, device="cpu", watch=lambda p: steps.append(p.step))
    resumed = steps[: steps.index(1)]
    assert 1 < resumed[0] < resumed[-1] == steps[-1]
    assert not list((tmp_path / "resumed").glob(".*.part"))
    kept = Run(RUNS / name).log
    weights, rows, about = outcome(tmp_path / "resumed")
    assert [row | {"seconds": 0} for row in rows[: len(kept) - 1]] == [row | {"seconds": 0} for row in kept[:-1]]
    assert_close((weights, rows, about), outcome(tmp_path / "whole"))


def assert_close(found: object, expected: object) -> None:
    """Plain data that are equal but for rounding: the first half was computed on a CPU whose last bits may differ."""
    if isinstance(expected, dict):
        assert isinstance(found, dict) and found.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(found[name], value)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple) and len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)
    else:
        assert found == expected


def test_a_measured_choice_is_that_of_the_beginning(tmp_path, monkeypatch):
    """The run began in bfloat16, and 0.1.0 called what it chose by other names."""
    shutil.copytree(RUNS / "interrupted_bfloat16", tmp_path / "run")
    monkeypatch.setattr("scorefield.fitting.budget._bfloat16_is_faster", lambda device: pytest.fail("measured again"))
    found = []
    fit(run=tmp_path / "run", **asked("interrupted_bfloat16"), seed=1, device="cpu", begin=found.append)
    assert found[0].training.precision == "bfloat16" and found[0].training.reference_batch == 4096
    record = Run(tmp_path / "run").read("run.json")
    names = [name for name, *_ in record["choices"]]
    assert {"learning_rate", "muon_learning_rate", "reference_batch"} < set(names) and "rate" not in names
    assert "learning_rate" in record["asked"]["training"] and record["noise_levels"] and "calibration" not in record


def test_a_run_from_before_cells_goes_on_without_them(tmp_path):
    shutil.copytree(RUNS / "older_90e5e4e_cut", tmp_path / "run")
    found = []
    fit(run=tmp_path / "run", **asked("older_90e5e4e_cut"), seed=1, device="cpu", begin=found.append)
    assert found[0].prepared.cells is None
    kept = json.loads((RUNS / "older_90e5e4e_cut" / "run.json").read_text())["calibration"]
    assert [list(row[1:]) for row in found[0].noise_levels.table()] == [row[1:] for row in kept]
    assert Run(tmp_path / "run").ended


def test_other_settings_are_named_as_they_are_called_now(tmp_path):
    shutil.copytree(RUNS / "interrupted_table", tmp_path / "run")
    how = asked("interrupted_table") | {"training": Training(steps=40, batch=64, evaluations=4, learning_rate=1e-3)}
    with pytest.raises(ValueError, match=r"training.learning_rate: None there, 0.001 asked"):
        fit(run=tmp_path / "run", **how, seed=1, device="cpu")


def test_an_ended_run_says_what_it_holds():
    run = Run(RUNS / "table")
    assert run.ended and len(run.log) > 10
    count, *_ = run.read("run.json")["shape"]
    assert repr(run).startswith(f"Run({str(RUNS / 'table')!r}): {count} examples of shape ")
    assert repr(run).endswith("40 steps, held-out loss 1.0390")
    assert "interrupted after step 20: the same fit resumes it" in repr(Run(RUNS / "interrupted_table"))
