"""Likely mistakes in Python get one line that says what was got, and what to write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas
import pytest
import torch

import scorefield
from scorefield.cli.entry import _message
from scorefield.cli.options import Conditions, Drawing
from scorefield.context import Context
from scorefield.data import FORMATS
from scorefield.data.columns import Category
from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.measurement import Mask, Measurement
from scorefield.posterior import DPS
from scorefield.processes import VP
from scorefield.samplers import Heun, Sampling
from scorefield.units import Standardize


@dataclass(frozen=True)
class Own(VP):
    """A process of the user's."""


X = np.random.default_rng(0).normal(size=(60, 2))


@pytest.fixture(scope="module")
def model():
    return scorefield.fit(X, steps=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minutes": "2"}, "minutes must be a number, got '2'"),
        ({"steps": True}, "steps must be a number, got True"),
        ({"network": "mlp"}, r"network must be Network\(…\) or a module of yours, got 'mlp'"),
        ({"data": 3}, r"data must be Data\(…\), got 3"),
        ({"training": 5}, r"training must be Training\(…\), got 5"),
        ({"stesp": 5}, "fit has no argument stesp: did you mean steps"),
        ({"colour": 5}, "fit has no argument colour: it takes x, run, context"),
        ({"sampler": Heun}, "sampler must be .* got the class Heun: write Heun"),
        ({"process": VP}, "process must be .* got the class VP: write VP"),
    ],
)
def test_arguments_of_fit(given, message):
    with pytest.raises(TypeError, match=message):
        scorefield.fit(X, **given)


def test_arguments_of_sample(model):
    for seed in (None, 1.5, "a"):
        with pytest.raises(TypeError, match=f"seed must be a whole number, got {seed!r}: write seed=0, say"):
            model.sample(5, seed=seed)
    for count in ("5", 5.0, True, None):
        with pytest.raises(TypeError, match=f"count must be a whole number, got {count!r}"):
            model.sample(count)
    with pytest.raises(TypeError, match="got the class Heun: write Heun"):
        model.sample(3, sampler=Heun)
    with pytest.raises(TypeError, match="sample has no argument stesp: did you mean steps"):
        model.sample(3, stesp=4)
    assert len(model.sample(np.int64(3))) == 3


@pytest.mark.parametrize("verb", ["evaluate", "compare", "diagnose", "report"])
def test_verbs_of_runs_say_what_they_take(verb, model, tmp_path):
    with pytest.raises(
        TypeError, match=r"a Run or its folder is needed, .* got a Model: .*evaluate\(model, train, held_out"
    ):
        getattr(scorefield, verb)(model, X)
    with pytest.raises(FileNotFoundError):
        getattr(scorefield, verb)(str(tmp_path / "none"))


def test_methods_are_named_as_on_the_command_line(model):
    measurement = Measurement(Mask([True, False]), [1.0], noise=0.2)
    assert model.observe(measurement, method="dps(zeta=0.5)").conditions[0].method == DPS(0.5)
    with pytest.raises(ValueError, match="did you mean DPS"):
        model.observe(measurement, method="dsp")


@pytest.mark.parametrize("count", [3, 9])
def test_few_examples_are_warned_of(count):
    with pytest.warns(UserWarning, match=f"Only {count} examples: too few") as warned:
        scorefield.fit(X[:count], steps=2)
    assert [w.filename for w in warned if issubclass(w.category, UserWarning)] == [__file__]


def test_fit_says_what_load_needs(tmp_path):
    with pytest.warns(UserWarning, match=r"will hold objects of .*: read it with load\(.*, trusted=\('scorefield', '"):
        scorefield.fit(X, tmp_path / "run", process=Own(), steps=2)


def test_fit_says_that_load_needs_the_network(tmp_path):
    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x, c):
            return self.layer(torch.cat([x, c[:, None]], 1))

    network = Small()
    with pytest.warns(UserWarning, match=r"network=…\)") as warned:
        scorefield.fit(X, tmp_path / "run", network=network, steps=2)
    assert any("will hold objects" in str(w.message) and w.filename == __file__ for w in warned)
    trusted = ("scorefield", __name__.partition(".")[0])
    assert len(scorefield.load(tmp_path / "run", trusted=trusted, network=network).sample(3)) == 3


def test_reprs_are_one_short_line(model):
    conditioned = model.observe(Measurement(Mask([True, False]), [1.0], noise=0.2)).conditions[0]
    context = Context.of({"label": np.arange(9) % 3, "size": np.linspace(0, 1, 9)}, (2,))
    shown = {
        repr(v)
        for v in (conditioned, context, Standardize((2,)), Diffusion(VP(), Gaussian(torch.zeros(2), torch.ones(2))))
    }
    assert all("\n" not in text and len(text) < 120 for text in shown), shown
    assert repr(context) == "Context(label of 3 classes, size)"


@pytest.mark.parametrize(
    ("python", "line"),
    [
        ("conditioned on one: fit(x, context=…)", "scorefield fit DATA -o RUN --context FILE"),
        ("missing: model.condition(size=…, label=…)", "missing: --given size=… label=…"),
        ("fit with unconditional=0.1, or pass weak=…", "fit with --unconditional 0.1"),
        ("given in memory: pass them again", "given in memory: name a file of them after the run"),
    ],
)
def test_the_command_line_speaks_of_its_options(python, line):
    assert _message(ValueError(python), ["sample"]).endswith(line)


def test_the_help_lists_the_suffixes_that_are_written(capsys):
    from scorefield.cli import main

    for verb in ("sample", "posterior"):
        main([verb, "--help"])
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert " ".join(f.suffixes[0] for f in FORMATS if f.suffixes) in shown


def test_what_is_given_twice_on_the_command_line():
    with pytest.raises(ValueError, match=r"heun\(steps=3, steps=4\) gives an argument twice: give it once"):
        Sampling.of("heun(steps=3, steps=4)")
    with pytest.raises(ValueError, match=r"^steps=7 and heun\(steps=5\) disagree: give steps once$"):
        Drawing("heun(steps=5)", 7).sampling()
    assert Drawing("heun(steps=5)", 5).sampling() == Drawing("heun", 5).sampling()
    model = scorefield.fit(pandas.DataFrame({"mode": ["sea", "road"] * 20, "x": np.arange(40) ** 0.5}), steps=1)
    with pytest.raises(ValueError, match=r"--given has mode twice: give it once, or a file with a row"):
        Conditions(("mode=sea", "x=3", "mode=road"))._context(model)


def test_booleans_are_read_in_any_case():
    column = Category.of(pandas.Series([True, False, True]), "express")
    assert column.read(pandas.Series(["true", "TRUE", "False", True, "yes"])).tolist() == [1, 1, 0, 1, -1]
