"""Models and runs that version 0.1.0 wrote give what they gave then.

`v0_1_0/expected.json` holds, for each file, what 0.1.0 answered: `raw`, samples 0 to 2 of seed 5 in the units of the data;
`log_prob` and `encode` of a few rows. `names.json` holds the public names of 0.1.0 (tests/test_renames.py).
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scorefield
from scorefield import checkpoint, renames

HERE = Path(__file__).parent / "v0_1_0"
EXPECTED = json.loads((HERE / "expected.json").read_text())
# By kind of model: exact has no network; in whole chains a proposal near its bound may be decided otherwise elsewhere.
TOLERANCE = {"exact": 1e-8, "vector": 1e-4, "chain": 1e-4, "grid": 1e-3, "bfloat16": 5e-2}
OTHERWISE = {
    "labels_given_rows": ("log_prob",),  # three contexts for two rows: 0.1.0 repeated them in silence
    "posterior_of_guided": ("raw", "encode"),  # 0.1.0 took the guided denoiser's derivative for a covariance
}
REFUSED = {"labels_only"}  # 0.1.0 gave log-densities without the context that the model needs


class External(nn.Module):
    """The network of `external_network`, whose file holds its numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 2))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.inner(torch.cat((x, c[:, None]), 1))


def rows_of(entry):
    return EXPECTED["data"][entry["data"]] if isinstance(entry["data"], str) else entry["data"]


def shortened(x):
    """As the file has them: samples whole, or of large ones the first 16 numbers with their mean and root mean square."""
    if x[0].numel() <= 192:
        return x
    flat = x.flatten(1).double()
    return {"first": flat[:, :16], "mean": flat.mean(1), "rms": flat.square().mean(1).sqrt()}


def agree(found, expected, tolerance):
    if isinstance(expected, dict):
        for name, value in expected.items():
            agree(found[name], value, tolerance)
        return
    expected = torch.tensor([[float(v) for v in np.ravel(expected)]], dtype=torch.float64)
    found = torch.as_tensor(found, dtype=torch.float64).reshape(1, -1)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def answers_as_then(model, rows, expected, tolerance, how):
    if "raw" in expected:
        agree(shortened(torch.cat(list(model.batches(3, seed=5, **how)))), expected["raw"], tolerance)
    if "sample" in expected:
        drawn, then = model.sample(3, seed=5, **how), expected["sample"]
        assert f"{type(drawn).__module__.split('.')[0]}.{type(drawn).__name__}" == then["kind"]
        assert list(drawn.shape) == then["shape"]
        assert "columns" not in then or list(drawn.columns) == then["columns"]
        assert "dims" not in then or (list(drawn.dims), drawn.attrs) == (then["dims"], then["attrs"])
    if rows is not None:
        x = model.schema.pack(torch.tensor(rows, dtype=torch.float64))
        if "log_prob" in expected:
            found = model.log_prob(x)
            agree(found.value, expected["log_prob"]["value"], max(tolerance, 1e-6))  # integrated otherwise since
        if "encode" in expected and "error" not in expected["encode"]:
            magnified = max(tolerance, min(100 * tolerance, 0.02))  # by the flow: rounding, which CPUs do not share
            agree(model.encode(x[:1]), expected["encode"], magnified)


def load(path, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        return scorefield.load(path, **how)


def some(names, remainder):
    """One in three of many names in the suite, all of them in the slow one."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (i % 3 != remainder)) for i, name in enumerate(names)]


@pytest.mark.parametrize("name", some(EXPECTED["models"], 0))
def test_models_answer_as_then(name):
    entry = EXPECTED["models"][name]
    model = load(HERE / entry["file"], **({"network": External()} if name == "external_network" else {}))
    if name in REFUSED:
        with pytest.raises(ValueError, match="label"):
            model.sample(3)
    else:
        wanted = {part: value for part, value in entry["expected"].items() if part not in OTHERWISE.get(name, ())}
        answers_as_then(model, rows_of(entry), wanted, TOLERANCE[entry["kind"]], entry["how"])
    for then in entry.get("then", {}).values():
        given = then["given"]
        other = model.given(*[np.array(value) for value in given.get("args", [])], **given["named"])
        wanted = {part: then["expected"][part] for part in ("raw",) if part in then["expected"]}
        answers_as_then(other, rows_of(entry), wanted, TOLERANCE[entry["kind"]], {})


@pytest.mark.parametrize("name", some([n for n in EXPECTED["models"] if n != "external_network"], 1))
def test_models_are_written_in_the_format_of_today(name, tmp_path):
    """... and read again to the same samples, with no name of 0.1.0 left."""
    entry = EXPECTED["models"][name]
    model = load(HERE / entry["file"])
    model.save(tmp_path / "again.safetensors")
    again = load(tmp_path / "again.safetensors")
    about = checkpoint.read_tensors(tmp_path / "again.safetensors")[1]
    assert about["format"] == checkpoint.FORMAT
    assert all(path.split(".", 1)[1] == renames.current(path.split(".", 1)[1]) for path in classes(about["spec"]))
    for (key, one), (same, other) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert key == same
        assert torch.equal(one, other)


def classes(value):
    """The classes that a description names."""
    if isinstance(value, dict):
        own = {value["class"]} if "class" in value else set()
        return own.union(*map(classes, value.values()))
    return set().union(*map(classes, value)) if isinstance(value, list) else set()


def parts(name):
    return EXPECTED["parts"][name], checkpoint.load(HERE / EXPECTED["parts"][name]["file"])


def test_parts_answer_as_then():
    for name in ("classifier", "denoiser"):
        entry, part = parts(name)
        agree(part(torch.tensor(entry["data"]), torch.tensor(0.5)), entry["expected"], 1e-5)
    entry, likelihood = parts("likelihood")
    agree(likelihood.log_prob(*(np.array(rows) for rows in entry["data"])), entry["expected"], 1e-4)


@pytest.mark.parametrize("name", ["table", "conditional", "imported_ncsnv2", "older_90e5e4e_whole"])
def test_finished_runs_answer_as_then(name):
    entry = EXPECTED["runs"][name]
    then = entry.get("answers") or entry["0.1.0 load"]
    wanted = {part: then[part] for part in ("raw", "sample", "encode") if part in then}
    rows = [[1.0, 2.0], [14.0, 6.0]] if name.startswith("older") else rows_of(entry)
    answers_as_then(load(HERE / entry["folder"]), rows, wanted, 1e-3, entry.get("how", {}))


def test_a_run_that_needs_its_context_refuses():
    with pytest.raises(ValueError, match=r"c0=…, c1=…|c0.*c1"):
        load(HERE / "runs" / "conditional_only").sample(2)
