"""Models that draw in a few evaluations: exact flow maps, what they keep, what they refuse, and the same bits again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import scorefield
from exact_models import CLASSIFIER
from properties import GaussianFlowMap
from scorefield.comparison import compare
from scorefield.data import Schema
from scorefield.denoisers import Blended, ConsistencyFunction, Denoiser, Gaussian, Mixture, Preconditioned
from scorefield.fitting import plan_distillation
from scorefield.measurement import Mask, Measurement
from scorefield.model import Model
from scorefield.nn import MLP
from scorefield.objectives import FlowMapMatching, PathLevels
from scorefield.processes import EDM
from scorefield.rng import Samples, Steps
from scorefield.runs import Run, teacher_of
from scorefield.samplers import Sampling
from scorefield.settings import Network, Training
from scorefield.units import Standardize

D = torch.float64
SHORT = Training(steps=60, batch=64)


def exact_teacher(denoiser: Denoiser, moments: Gaussian, width: int = 64) -> Model:
    """A model whose denoiser is exact, and holds a network that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MLP(moments.mean.numel(), width, 3)
    blended = Blended(denoiser, Preconditioned(network), 0.0)
    size = moments.mean.numel()
    return Model(
        Schema.of(np.zeros((2, size))),
        Standardize((size,)),
        blended,
        moments,
        Sampling(process=EDM(0.01, 40.0)),
    )


@pytest.fixture(scope="module")
def gaussian() -> tuple[Gaussian, Model]:
    data = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[1.0, 0.6], [0.6, 0.8]]))
    return data, exact_teacher(data, data).distill(steps=1, training=Training(steps=1500, learning_rate=2e-3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run of 300 points near a circle, and one that was distilled from it."""
    place = tmp_path_factory.mktemp("runs")
    x = data()
    network = Network(widths=(16,), depth=1)
    model = scorefield.fit(
        x, place / "run", network=network, training=Training(steps=60), data=scorefield.Data(maps="affine")
    )
    model.distill(place / "fast", training=SHORT)
    return place


def data() -> np.ndarray:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 300)
    return np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.normal(size=(300, 2))


# -- exact answers ---------------------------------------------------------------------------------------------------


def test_one_step_is_the_flow_map_of_gaussian_data_to_one_per_cent(gaussian):
    data, fast = gaussian
    x = fast.diffusion.prior((20_000, 2), Samples(1, 0, 20_000), torch.float32)
    level = torch.tensor(fast.process.ends()[1])
    exact, found = GaussianFlowMap(data.mean, data.covariance)(x, level), fast.diffusion.denoiser(x, level)
    assert float((found - exact).square().mean().sqrt()) < 0.01
    assert float((found.mean(0) - exact.mean(0)).abs().max()) < 0.01
    np.testing.assert_allclose(np.cov(found.T), np.cov(exact.T), atol=0.008)  # 1 % of the smallest variance


def test_the_map_is_the_identity_at_level_0_and_goes_on_as_the_flow_does(gaussian):
    data, fast = gaussian
    x, f = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), fast.diffusion.denoiser
    assert torch.equal(f(x, torch.tensor(0.0)), x)
    assert torch.equal(f(x, torch.zeros(50, 1)), x)
    smallest = torch.tensor(fast.process.ends()[0])
    exact = GaussianFlowMap(data.mean, data.covariance)
    for level in (smallest / 2, smallest):
        assert float((f(x, level) - x).abs().max()) < 1e-3
        assert float((f(x, level) - exact(x, level)).abs().max()) < 1e-3
    below, at = f(x, smallest * (1 - 1e-5)), f(x, smallest)
    assert float((below - at).abs().max()) < 1e-6


@pytest.mark.slow
def test_two_steps_keep_the_weights_of_modes():
    """Within 3 standard errors at 20,000 samples, of a mixture with an exact teacher."""
    means = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [1.0, -1.0]])
    mixture = Mixture(means, torch.tensor([0.3, 0.3, 0.3]), torch.tensor([0.2, 0.5, 0.3]))
    fast = exact_teacher(mixture, mixture.moments()).distill(training=Training(steps=2500, learning_rate=2e-3))
    x = torch.from_numpy(fast.sample(20_000, seed=2)).float()
    found = torch.bincount(torch.cdist(x, means).argmin(1), minlength=3) / 20_000
    error = torch.sqrt(mixture.weights * (1 - mixture.weights) / 20_000)
    assert float(((found - mixture.weights) / error).abs().max()) < 3


def test_the_loss_is_0_for_the_flow_map_and_is_that_of_a_formula():
    data = Gaussian(torch.zeros(2, dtype=D), torch.tensor([1.0, 0.25], dtype=D))
    exact, levels = GaussianFlowMap(data.mean, data.covariance), (5.0, 1.0, 0.2)
    end = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 2))) * data.covariance.sqrt()
    states = [end * torch.sqrt(1 + level**2 / data.covariance) for level in levels]
    paths, loss = torch.stack([*states, end], 1), FlowMapMatching(PathLevels(levels), 1.0)
    assert float(loss(exact, paths, Steps(0)).max()) < 1e-24
    level = torch.full((40, 1, 1), 1.0, dtype=D)
    error = states[1] * data.covariance / (data.covariance + 1) - end
    expected = 2 * error.square().mean(1)
    torch.testing.assert_close(loss.at(data, paths, level, Steps(0)), expected, rtol=1e-12, atol=0)


def test_paths_are_those_of_the_probability_flow():
    data = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[1.0, 0.6], [0.6, 0.8]]))
    planned = plan_distillation(exact_teacher(data, data), "", training=Training(steps=10))
    trainer = planned.trainer()
    paths, exact = trainer.feed.batches(3), GaussianFlowMap(data.mean, data.covariance)
    assert paths.shape == (256, 34, 2) and torch.equal(paths, trainer.feed.batches(0))
    assert not torch.equal(paths, trainer.feed.batches(33))
    for place, level in enumerate(planned.objective.levels.values):
        found = exact(paths[:, place], torch.tensor(level))
        assert float((found - paths[:, -1]).square().mean().sqrt()) < 2e-3


# -- drawn, saved, resumed -------------------------------------------------------------------------------------------


def test_sample_17_of_seed_5_is_the_same_whatever_the_count_and_the_batch(folder):
    fast = Run(folder / "fast").model
    for steps in (1, 2, 4):
        few, many = fast.sample(20, seed=5, steps=steps), fast.sample(1100, seed=5, steps=steps, batch=512)
        assert np.array_equal(few[17], many[17])
        assert not np.array_equal(few[17], few[16])


def test_a_model_that_is_read_again_draws_the_same_bits(folder, tmp_path):
    fast = Run(folder / "fast").model
    fast.save(tmp_path / "fast.safetensors")
    again = scorefield.load(tmp_path / "fast.safetensors")
    assert np.array_equal(again.sample(40, seed=1), fast.sample(40, seed=1))
    assert again.denoiser.distilled_from == str(folder / "run")
    assert str(again.sampling.replace(process=None)) == "Consistency(steps=2, schedule=Angle)"


def test_a_distillation_that_was_cut_off_goes_on_to_the_same_bits(folder, tmp_path):
    model = Run(folder / "run").model

    def stop(progress) -> None:
        if progress.step == 41:  # between two groups of paths
            raise KeyboardInterrupt

    from scorefield.runs import distill

    with pytest.raises(KeyboardInterrupt):
        distill(model, tmp_path / "fast", training=SHORT, watch=stop)
    assert not Run(tmp_path / "fast").ended
    model.distill(tmp_path / "fast", training=SHORT)
    one, other = (Run(place / "fast").model for place in (folder, tmp_path))
    assert np.array_equal(one.sample(50), other.sample(50))
    steps = [row["step"] for row in Run(tmp_path / "fast").log]
    assert steps == sorted(set(steps))
    with pytest.raises(ValueError, match=r"holds another run \(distilled.evaluations: 2 there, 1 asked\)"):
        model.distill(tmp_path / "fast", steps=1, training=SHORT)


@pytest.mark.slow
def test_a_run_that_was_distilled_is_compared_with_its_teacher(folder):
    run = Run(folder / "fast")
    assert teacher_of(run).path == folder / "run" and teacher_of(Run(folder / "run")) is None
    found = compare(run, x=data(), count=200)
    assert [row.name for row in found.rows[:3]] == [f"Consistency(steps={n}, schedule=Angle)" for n in (2, 1, 4)]
    assert found.rows[3].name.endswith(" of run") and found.rows[3].name.startswith("UniPC")
    assert [row.evaluations for row in found.rows] == [2, 1, 4, 33]
    evaluation = scorefield.evaluate(run, data(), count=200)
    assert evaluation.twin is None and evaluation.gap is None
    page = scorefield.report(run, data(), count=200).read_text()
    assert "Its teacher" in page and "Error of the flow map" in page


@pytest.mark.slow
def test_images_are_distilled_by_a_fourth_of_the_steps():
    x = np.random.default_rng(0).integers(0, 256, size=(60, 12, 10)).astype(np.uint8)
    training = Training(steps=12, batch=8, precision="bfloat16", muon_learning_rate=0.01)
    model = scorefield.fit(x, network=Network(widths=(16, 16)), training=training)
    fast = model.distill()
    assert fast.about["steps"] == 3
    drawn = fast.sample(20, seed=5)
    assert drawn.shape == (20, 12, 10) and drawn.dtype == np.uint8
    assert np.array_equal(drawn[17], fast.sample(40, seed=5, batch=16)[17])
    whole = fast.denoiser.full_precision()
    assert whole.distilled_from == "" and whole.denoiser.precision == "float32"
    with pytest.raises(ValueError, match="it was distilled from another: ask that one"):
        fast.log_prob(x[:1])


def test_what_a_damaged_run_says_of_its_teacher_is_refused(folder, tmp_path):
    shutil.copytree(folder / "fast", tmp_path / "fast")
    record = tmp_path / "fast" / "run.json"
    for old, new in (
        ('"guidance": 1.0', '"guidance": "x"'),
        ('"teacher"', '"teach"'),
        ('"conditions": []', '"conditions": 3'),
    ):
        record.write_text((folder / "fast" / "run.json").read_text().replace(old, new))
        with pytest.raises(ValueError, match=r"run.json is damaged \(asked.distilled"):
            teacher_of(Run(tmp_path / "fast"))


# -- contexts and guidance -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_contexts_are_kept_and_guidance_is_distilled_in(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(2, size=1000)
    x = (rng.normal(size=1000) + 2.0 * label)[:, None]
    model = scorefield.fit(x, tmp_path / "run", context=label, training=Training(steps=500))
    fast = model.distill(tmp_path / "fast", guidance=2.0, training=Training(steps=1000))
    for value in (0, 1):
        wanted = model.condition(label=value, guidance=2.0).sample(2000, sampler="unipc")
        found = fast.condition(label=value).sample(2000)
        assert abs(found.mean() - wanted.mean()) < 0.15 and abs(found.std() - wanted.std()) < 0.12
    assert abs(fast.sample(2000).mean() - model.sample(2000).mean()) < 0.2  # without a context nothing is guided
    with pytest.raises(
        ValueError, match=r"1 context, guidance 3 needs a denoiser; .* distilled from .*run: ask that one"
    ):
        fast.condition(label=1, guidance=3.0)
    one = model.condition(label=1).distill(steps=1, training=SHORT)
    assert one.conditions[0].guidance == 1 and one.sample(3).shape == (3, 1)
    alone = tmp_path / "alone.safetensors"
    model.save(alone)
    with pytest.raises(ValueError, match="a conditional model is distilled for the contexts of its data: pass them"):
        scorefield.load(alone).distill(training=SHORT)


@pytest.mark.slow
def test_guidance_by_a_classifier_is_distilled_in():
    data = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[1.0, 0.6], [0.6, 0.8]]))
    guided = exact_teacher(data, data).guide(CLASSIFIER, "a", weight=2.0)
    fast = guided.distill(training=Training(steps=1000))
    wanted, found = guided.sample(2000, seed=1), fast.sample(2000, seed=2)
    assert fast.conditions == ()
    np.testing.assert_allclose(found.mean(0), wanted.mean(0), atol=0.1)
    np.testing.assert_allclose(found.std(0), wanted.std(0), rtol=0.1)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_what_needs_a_denoiser_names_the_model_to_ask(folder):
    fast, x = Run(folder / "fast").model, data()
    measured = Measurement(Mask(torch.tensor([True, False])), [0.5], 0.1)
    for ask in (
        lambda: fast.log_prob(x[:2]),
        lambda: fast.encode(x[:2]),
        lambda: fast.decode(torch.zeros(2, 2)),
        lambda: fast.interpolate(x[:1], x[1:2]),
        lambda: fast.sample(3, sampler="heun"),
        lambda: fast.observe(measured).sample(3),
        lambda: fast.condition({0: 1.0}),
        lambda: fast.impute(np.array([[np.nan, 0.0]])),
        lambda: fast.distill(training=SHORT),
        lambda: scorefield.diagnose(Run(folder / "fast"), x),
    ):
        with pytest.raises(
            ValueError, match=r"needs a denoiser; .*; it was distilled from .*run: ask that one"
        ) as found:
            ask()
        assert "\n" not in str(found.value)


def test_a_denoiser_is_refused_by_the_sampler(folder):
    model = Run(folder / "run").model
    with pytest.raises(ValueError, match=r"Consistency draws with a consistency function, .*: distill it first"):
        model.sample(3, sampler="consistency")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "samples take at least 1 evaluation, got steps=0"),
        ({"guidance": 2.0}, "guidance=2 sharpens a context, and this model has none"),
        ({"context": [1]}, "this model was fitted without context: leave context=… out"),
        ({"training": Training(steps=2, compile=True)}, "compile and channels_last are for fits, and do not go with"),
        ({"training": Training(epochs=2)}, "distillation draws new paths all the time and knows no epochs"),
        ({"minutes": 1, "training": SHORT}, "the budget is given twice"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        Run(folder / "run").model.distill(**options)


def test_folders_that_do_not_fit_are_refused(folder, tmp_path):
    model = Run(folder / "run").model
    with pytest.raises(ValueError, match="is the run that is distilled: name another folder"):
        model.distill(folder / "run", training=SHORT)
    exact = Gaussian(torch.zeros(2), torch.ones(2))
    with pytest.raises(ValueError, match="this model comes from no run: distill it without one"):
        exact_teacher(exact, exact).distill(tmp_path / "fast", training=SHORT)


def test_categories_and_measurements_are_not_distilled(folder):
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "b": rng.choice(["x", "y"], 60)})
    with pytest.raises(ValueError, match="only data of plain numbers are distilled: a flow that ends at categories"):
        scorefield.fit(table, training=Training(steps=3)).distill(training=SHORT)
    measured = Measurement(Mask(torch.tensor([True, False])), [0.5], 0.1)
    with pytest.raises(ValueError, match="Observation is not distilled in: distill the model without it"):
        Run(folder / "run").model.observe(measured).distill(training=SHORT)
    without = Run(folder / "run").model.replace(denoiser=Gaussian(torch.zeros(2), torch.ones(2)))
    with pytest.raises(
        ValueError, match=r"begins with the network of a fit, and this model is a Gaussian: fit\(x\) makes"
    ):
        without.distill(training=SHORT)


def test_a_consistency_function_needs_a_smallest_level():
    with pytest.raises(ValueError, match="needs smallest > 0, the smallest level it learned, got 0"):
        ConsistencyFunction(Gaussian(torch.zeros(1), torch.ones(1)), 0.0)
