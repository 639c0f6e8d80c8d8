"""Models of the distribution of data conditioned on something, from fit to samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scorefield
from scorefield import Data, Network, Run, Training, fit
from scorefield.cli import main
from scorefield.evaluation import evaluate_run
from scorefield.fitting import Options, plan, prepare, trainer_of
from scorefield.measurement import Blur, Measurement
from scorefield.rng import Steps

RNG = np.random.default_rng(0)
C = RNG.normal(size=(3000, 1))
X = np.concatenate([2.0 * C, -C], 1) + 0.5 * RNG.normal(size=(3000, 2))  # N((2c, -c), 0.25)


@pytest.fixture(scope="module")
def model() -> scorefield.Model:
    return fit(X, context=C, training=Training(steps=1000), network=Network(widths=(64,), depth=2))


@pytest.mark.slow
def test_the_distribution_given_a_number(model):
    """Means and deviations of a linear-Gaussian distribution, at three places; 1,000 steps leave a tenth of a deviation."""
    for c in (-1.0, 0.0, 1.5):
        x = model.given(context=c).sample(2000, seed=1)
        assert np.abs(x.mean(0) - [2 * c, -c]).max() < 0.12
        assert np.abs(x.std(0) - 0.5).max() < 0.06


def test_a_linear_distribution_is_known_before_anything_is_learned():
    """The trend and the deviation that is left are read off: a network that answers 0 has nothing to add."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(2000, 2))
    x = 5 + 3 * c[:, :1] + 0.1 * rng.normal(size=(2000, 2))
    model = fit(x, context=c, training=Training(steps=1, unconditional=0.0))
    drawn = model.given(context=c[0]).sample(4000)
    se = 0.1 / 4000**0.5
    assert np.abs(drawn.mean(0) - (5 + 3 * c[0, 0])).max() < 4 * se + 0.1 * 3 * 4 / 2000**0.5
    assert np.abs(drawn.std(0) - 0.1).max() < 0.1 * (4 / 8000**0.5 + 4 / 4000**0.5 + 0.01)


def test_given_something_levels_reach_lower_and_sets_are_shuffled():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(300, 1))
    sets = theta[:, None] + rng.normal(size=(300, 4, 1))
    options = Options(training=Training(steps=1))
    found = plan(prepare(theta, options, sets), options)
    alone, given = plan(prepare(theta)).noise_levels, found.noise_levels
    assert given.sigma_min == min(alone.sigma_min, 0.002) and given.sigma_max == alone.sigma_max
    assert given.level_mean < alone.level_mean - 0.5 and given.level_std == 1.5 * alone.level_std
    assert "may leave less open" in given.reasons[2]
    trainer = trainer_of(found)
    seen = trainer._contexts(0, Steps(0).at(0))
    plain = trainer.feed.contexts(0, trainer._together)
    there = seen[:, -1] == 0  # the others were left out
    assert 0.8 < float(there.double().mean()) < 1
    torch.testing.assert_close(seen[there, :4].sort(1).values, plain[there, :4].sort(1).values)
    assert not torch.equal(seen[there], plain[there])


def test_without_it_the_distribution_of_all_data(model):
    x = model.sample(4000, seed=1)
    assert np.abs(x.mean(0)).max() < 0.25
    assert np.abs(np.cov(x.T) - np.cov(X.T)).max() < 0.5


def test_log_densities_given_a_number(model):
    x = np.array([[2.0, -1.0], [2.5, -1.0]])
    exact = -np.log(2 * np.pi * 0.25) - ((x - [2.0, -1.0]) ** 2).sum(1) / 0.5
    assert np.abs(model.given(context=1.0).log_prob(x).value.numpy() - exact).max() < 0.25


def test_many_contexts_at_once(model, tmp_path):
    """Sample i has that of row i mod M, whatever the batch; a file keeps them."""
    told = model.given(context=[[-1.0], [2.0]])
    x = told.sample(7, seed=3)
    alone = model.given(context=[2.0]).sample(7, seed=3)
    np.testing.assert_allclose(x[1::2], alone[1::2], atol=1e-4)
    np.testing.assert_allclose(told.sample(7, seed=3, batch=3), x, atol=1e-4)
    told.save(tmp_path / "told.safetensors")
    np.testing.assert_allclose(scorefield.load(tmp_path / "told.safetensors").sample(7, seed=3), x, atol=1e-6)
    for values in zip(
        model.given(context=[[-1.0], [2.0]] * 2).log_prob(X[:4]).value,
        model.given(context=-1.0).log_prob(X[:4]).value,
        range(4),
    ):
        assert values[2] % 2 or abs(float(values[0] - values[1])) < 1e-5


@pytest.mark.slow
def test_guidance(model):
    """A weight of 1 is the model; another narrows the distribution, as p(x|c)³/p(x)² does here: from 0.5 to 0.29."""
    plain = model.given(context=1.0).sample(300, seed=2)
    assert np.array_equal(model.given(context=1.0, guidance=1.0).sample(300, seed=2), plain)
    led = model.given(context=1.0, guidance=3.0).sample(300, seed=2)
    assert led[:, 0].std() < 0.8 * plain[:, 0].std()
    late = model.given(context=1.0, guidance=3.0, interval=(100.0, 200.0)).sample(300, seed=2)
    np.testing.assert_allclose(late, plain, atol=1e-5)
    weaker = fit(X, context=C, training=Training(steps=60))
    led = model.given(context=1.0, guidance=2.0, weak=weaker).sample(300, seed=2)
    assert np.isfinite(led).all() and np.abs(led - plain).max() > 0.05


def test_a_run_with_context(tmp_path):
    """Cut off, it goes on to the same numbers; it knows other contexts; it is evaluated with those of held-out data."""
    label = np.where(X[:400, 0] > 0, "right", "left")
    whole = fit(X[:400], tmp_path / "whole", context=label, training=Training(steps=40))
    seen = []

    def stop(progress):
        seen.append(progress)
        if progress.step == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(X[:400], tmp_path / "cut", context=label, training=Training(steps=40), watch=stop)
    again = fit(X[:400], tmp_path / "cut", context=label, training=Training(steps=40))
    for a, b in zip(whole.state_dict().values(), again.state_dict().values()):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match=r"holds another run \(context: "):
        fit(X[:400], tmp_path / "cut", context=label[::-1], training=Training(steps=40))
    found = evaluate_run(Run(tmp_path / "whole"), X[:400], count=100)
    assert found.gap is not None and found.count == 100


@pytest.mark.slow
def test_a_field_given_beside_a_field():
    """The mean of the data is the field that is given."""
    beside = RNG.normal(size=(400, 8, 8))
    data = beside + 0.1 * RNG.normal(size=(400, 8, 8))
    small, training = Network(widths=(24, 24)), Training(steps=150, batch=32)
    model = fit(data, context=beside, training=training, data=Data(structure="grid"), network=small)
    x = model.given(context=beside[:4]).sample(4)
    assert np.sqrt(np.mean((x - beside[:4]) ** 2)) < 0.6 < np.sqrt(np.mean((x - beside[4:8]) ** 2))


def test_what_cannot_be_conditioned_on(model):
    plain = fit(X[:100], training=Training(steps=5))
    message = r"^this model was fitted without context and cannot be conditioned on one: fit\(x, context=…\)$"
    with pytest.raises(ValueError, match=message):
        plain.given(context=1.0)
    with pytest.raises(ValueError, match=r"; columns of the data are given by their numbers, condition\(\{0: …\}\)$"):
        plain.condition(**{"0": 1.0})
    with pytest.raises(ValueError, match=r"^every example needs one context, got 100 contexts for 3000 examples$"):
        fit(X, context=C[:100])
    with pytest.raises(
        ValueError, match=r"^reference_batch=64 averages targets over other data, whatever their context: leave it out"
    ):
        fit(X, context=C, training=Training(reference_batch=64))
    always = fit(X[:100], context=C[:100], training=Training(steps=5, unconditional=0))
    for use in (lambda: always.sample(3), lambda: always.log_prob(X[:3]), lambda: always.encode(X[:3])):
        with pytest.raises(
            ValueError,
            match=r"^this model has only learned data given a context, not data without one: model.condition\(context=…\)$",
        ):
            use()
    assert always.given(context=0.5).sample(3).shape == (3, 2)
    with pytest.raises(ValueError, match=r"^guidance needs a model that has also learned data without context"):
        always.given(context=0.5, guidance=2.0)
    with pytest.raises(
        ValueError, match=r"^unconditional=0.5 drops contexts, and there are none: pass context=…, or leave"
    ):
        fit(X, training=Training(unconditional=0.5))
    with pytest.raises(ValueError, match=r"^unconditional is a part of the data, from 0 to below 1, got 1$"):
        Training(unconditional=1.0)


# -- on the command line -------------------------------------------------------------------------------------------


def test_from_the_command_line(tmp_path, capsys):
    """Labels from another array of the same file; what is given by name, by value, or row by row from a file."""
    label = (X[:300, 0] > 0).astype(int)
    np.savez(tmp_path / "data.npz", x=X[:300], label=label)
    data, run, out = str(tmp_path / "data.npz"), str(tmp_path / "run"), tmp_path / "new.npy"
    assert main(["fit", data, "-o", run, "--steps", "150", "--context", data, "--context-key", "label"]) == 0

    def drawn(*words: str) -> np.ndarray:
        assert main(["sample", run, "-n", "60", "-o", str(out), "--overwrite", *words]) == 0
        return np.load(out)

    right = drawn("--given", "label=1")
    assert np.array_equal(drawn("--given", "1"), right)
    assert right[:, 0].mean() > 0.5 > -0.5 > drawn("--given", "label=0")[:, 0].mean()
    np.save(tmp_path / "given.npy", np.array([1, 0]))
    both = drawn("--given", str(tmp_path / "given.npy"))
    assert both[::2, 0].mean() > 0.5 > -0.5 > both[1::2, 0].mean()
    assert "no context" not in capsys.readouterr().err
    assert drawn("--given", "label=1", "--guidance", "2").shape == (60, 2)
    assert 0.2 < (drawn()[:, 0] > 0).mean() < 0.8  # of both labels
    note = "no context is given, and this is of data of all contexts together; of one: --given label=…"
    assert note in capsys.readouterr().err.splitlines()
    for words, told in (
        (("--given", "label=7"), "label has no class 7: known are 0, 1"),
        (("--given", "label=1", "3"), "--given takes name=value for each, or values alone; got label=1 3"),
        (("--guidance", "2"), "--guidance 2 sharpens a context: give one with --given"),
    ):
        assert main(["sample", run, "-n", "6", "-o", str(out), "--overwrite", *words]) == 1
        assert told in capsys.readouterr().err


def test_empty_contexts_need_a_model_that_learns_to_do_without():
    """Fitted with unconditional=0, examples without a context would teach what the model then refuses to be asked."""
    x = np.random.default_rng(0).normal(size=(50, 2))
    size = np.where(np.arange(50) == 7, np.nan, x[:, 0])
    message = r"^example 7 has no context, and with unconditional=0 every example needs one: leave such examples out"
    with pytest.raises(ValueError, match=message):
        scorefield.fit(x, context=size, training=Training(unconditional=0.0, steps=2))


def test_a_model_of_colour_images_asks_which_axes_an_operator_is_along():
    x = np.random.default_rng(0).normal(size=(40, 8, 8, 3))
    model = fit(x, training=Training(steps=1))
    with pytest.raises(
        ValueError, match=r"^Blur acts .* the spatial axes of these data are \(0, 1\): give axes=\(0, 1\)$"
    ):
        model.observe(Measurement(Blur(2.0), np.zeros((8, 8, 3)), 0.1))
    for operator in ("blur(width=2, axes=(0, 1))", "grey | blur(width=2)"):
        shape = (8, 8) if "grey" in operator else (8, 8, 3)
        assert len(model.observe(Measurement(operator, np.zeros(shape), 0.1)).conditions) == 1
