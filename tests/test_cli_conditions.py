"""Every verb that loads a model takes the same options for its context, and every verb that draws those of sampling."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scorefield.cli import main
from scorefield.cli.options import Conditions
from scorefield.cli.verbs import app
from scorefield.context import Context
from scorefield.data import Schema
from scorefield.evaluation import RunData
from scorefield.model import load
from scorefield.runs import Run, fit
from scorefield.settings import Data, Training

LOADS = ("sample", "logprob", "posterior", "compare", "evaluate", "diagnose", "report")
DRAWS = ("sample", "posterior", "compare", "evaluate", "report")


def cli(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model that needs a context, one that does not, and one without."""
    folder = tmp_path_factory.mktemp("conditions")
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    x = rng.normal(size=(400, 2)) + 6 * label[:, None]
    np.save(folder / "x.npy", x)
    source = {"path": str(folder / "x.npy")}
    for name, context, unconditional in (("needs", label, 0.0), ("optional", label, 0.3), ("plain", None, 0.0)):
        training = Training(steps=80, unconditional=unconditional) if context is not None else Training(steps=20)
        fit(x, folder / name, context=context, training=training, data=Data(held_out=0.25), source=source)
    y = np.array([0.5, np.nan])
    np.save(folder / "y.npy", y)
    return folder


def words(verb: str, place, run: str, tmp_path) -> list[object]:
    """A command line of the verb that is short."""
    start: list[object] = [verb, place / run]
    return (
        start
        + {
            "sample": ["-n", 40, "-o", tmp_path / "new.npy", "--overwrite", "--steps", 6],
            "logprob": [place / "x.npy", "-n", 3, "-o", tmp_path / "new.csv", "--overwrite"],
            "posterior": [
                place / "y.npy",
                "--operator",
                "mask",
                "--noise",
                0.5,
                "-n",
                5,
                "-o",
                tmp_path / "new.npy",
                "--overwrite",
            ],
            "compare": ["--samplers", "ddim(steps=4)", "-n", 30],
            "evaluate": ["-n", 30, "--steps", 6],
            "report": ["-n", 30, "--steps", 6],
            "diagnose": [],
        }[verb]
    )


@pytest.mark.parametrize("verb", LOADS)
def test_the_options_are_there(verb):
    names = {argument.name for argument in app[verb].assemble_argument_collection()}
    assert {"--given", "--guidance", "--guidance-interval"} <= names
    if verb in DRAWS:
        assert {"--steps", "--schedule", "--process"} <= names and names & {"--sampler", "--samplers"}


@pytest.mark.parametrize("verb", ["sample", "logprob", "posterior", pytest.param("diagnose", marks=pytest.mark.slow)])
def test_a_context_that_is_missing_is_said(verb, place, tmp_path, capsys):
    """Where the contexts of held-out rows are no substitute; with a context the same words work."""
    assert cli(*words(verb, place, "needs", tmp_path)) == 1
    assert capsys.readouterr().err.strip().endswith("this model needs a context: say which with --given label=…")
    assert not (tmp_path / "new.npy").exists() and not (tmp_path / "new.csv").exists()
    assert cli(*words(verb, place, "needs", tmp_path), "--given", "label=1") == 0


@pytest.mark.parametrize(
    ("verb", "runs"),
    [("compare", ("needs",)), ("evaluate", ("needs",)), ("report", ("needs",))],  # test_cli.py: without context
)
def test_contexts_of_held_out_rows_are_taken_where_none_is_given(verb, runs, place, tmp_path):
    for run in runs:
        assert cli(*words(verb, place, run, tmp_path)) == 0


@pytest.mark.parametrize("verb", LOADS)
def test_a_context_for_a_model_without_is_refused(verb, place, tmp_path, capsys):
    for option in (("--given", "label=1"), ("--guidance", 2)):
        assert cli(*words(verb, place, "plain", tmp_path), *option) == 1
        said = capsys.readouterr().err
        assert "fitted without context" in said or "--guidance 2 sharpens a context" in said


def test_the_context_reaches_the_numbers(place, tmp_path):
    model, sets = load(place / "needs"), {}
    for label in (0, 1):
        assert cli(*words("sample", place, "needs", tmp_path), "--given", f"label={label}") == 0
        sets[label] = np.load(tmp_path / "new.npy")
        np.testing.assert_array_equal(sets[label], model.given(label).sample(40, steps=6))
        assert cli(*words("logprob", place, "needs", tmp_path), "--given", f"label={label}") == 0
        found = np.genfromtxt(tmp_path / "new.csv", delimiter=",", names=True)["log_prob"]
        np.testing.assert_allclose(found, model.given(label).log_prob(np.load(place / "x.npy")[:3]).value, rtol=1e-6)
    assert sets[0].mean() + 3 < sets[1].mean()
    drawn = (*words("sample", place, "optional", tmp_path), "--given", "label=1")
    for options, guided in (
        (("--guidance", 3), {"guidance": 3.0}),
        (("--guidance", 3, "--guidance-interval", 0.5, 2),) * 2,
    ):
        assert cli(*drawn, *options) == 0
        chosen = guided if isinstance(guided, dict) else {"guidance": 3.0, "interval": (0.5, 2.0)}
        expected = load(place / "optional").given(1, **chosen).sample(40, steps=6)
        np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), expected)


def test_one_context_is_compared_with_the_held_out_rows_that_have_it(place, tmp_path, capsys):
    data = RunData.of(Run(place / "needs")).conditioned(1)
    x = data.held_out.take(range(len(data.held_out))).numpy()
    assert 10 < len(x) < 100 and x.mean() > 5 and not data.matched
    assert cli(*words("evaluate", place, "needs", tmp_path), "--given", "label=1") == 0
    found = json.loads((place / "needs" / "evaluation.json").read_text())
    energy = next(d for d in found["distances"] if "energy" in d["name"])
    assert energy["counts"] == [30, len(x)] and found["gap"] is None
    with pytest.raises(ValueError, match="held-out rows are chosen by one context, got 2"):
        RunData.of(Run(place / "needs")).conditioned([0, 1])


@pytest.mark.parametrize("verb", ["compare", "evaluate", "report"])
def test_a_file_of_contexts_is_refused_where_one_is_taken(verb, place, tmp_path, capsys):
    np.save(tmp_path / "labels.npy", np.arange(30) % 2)
    assert cli(*words(verb, place, "needs", tmp_path), "--given", tmp_path / "labels.npy") == 1
    assert "held-out rows are chosen by one context, got 30: give one" in capsys.readouterr().err


def test_no_context_passes_for_one(place, tmp_path, capsys):
    """NaN, in words or in a file, for a model that has not learned to do without."""
    np.save(tmp_path / "nan.npy", np.array([np.nan, 1.0]))
    for value in ("label=nan", tmp_path / "nan.npy"):
        for verb in LOADS:
            assert cli(*words(verb, place, "needs", tmp_path), "--given", value) == 1
            assert (
                "is missing (NaN or None), and this model has only learned data given a context"
                in capsys.readouterr().err
            )


def test_values_in_their_order_may_be_of_several_types():
    context = Context.of({"kind": ["yes", "no", "yes"], "size": [4.0, 1.5, 2.0]}, (2,))
    found = context(
        Conditions(given=("yes", "4"))._context(SimpleNamespace(schema=Schema.of(np.zeros((9, 2))), context=context))
    )
    assert torch.equal(found, context({"kind": "yes", "size": 4.0}))


def test_the_process_and_the_schedule_reach_the_numbers(place, tmp_path):
    chosen = ("--sampler", "heun", "--process", "vp", "--schedule", "karras(rho=5)")
    assert cli(*words("sample", place, "plain", tmp_path), *chosen) == 0
    expected = load(place / "plain").sample(40, sampler="heun(steps=6, process=vp, schedule=karras(5))")
    np.testing.assert_array_equal(np.load(tmp_path / "new.npy"), expected)
    assert cli(*words("compare", place, "plain", tmp_path), "--process", "flow", "--schedule", "uniformtime") == 0
    row = json.loads((place / "plain" / "compare.json").read_text())["rows"][0]
    assert row["sampler"] == "DDIM(steps=4, schedule=UniformTime)"


@pytest.mark.slow
def test_a_report_reads_and_draws_once(place, monkeypatch):
    """One model, one file of data, and one set of samples for evaluation and page."""
    import scorefield.evaluation.runs as runs
    from scorefield.model import Model
    from scorefield.reporting.run import report

    counts = {"read": 0, "fingerprint": 0, "sample": 0, "load": 0}

    def counted(name, inner):
        def call(*args, **kwargs):
            counts[name] += 1
            return inner(*args, **kwargs)

        return call

    monkeypatch.setattr(runs, "read", counted("read", runs.read))
    monkeypatch.setattr(runs, "fingerprint", counted("fingerprint", runs.fingerprint))
    monkeypatch.setattr(Model, "batches", counted("sample", Model.batches))
    model = Run(place / "plain").model
    monkeypatch.setattr(Run, "model", property(lambda self: counted("load", lambda: model)()))
    report(Run(place / "plain"), count=30)
    assert counts == {"read": 1, "fingerprint": 1, "sample": 2, "load": 1}  # the second sample is the check of two ways
