"""Models that were given a measurement: in the units and the form of the data, saved, checked and weighed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import scorefield
from scorefield.checkpoint import save
from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.inverse import check_posterior, evidence, misfit
from scorefield.measurement import Blur, Function, Linear, Mask, Measurement, PoissonNoise
from scorefield.model import Model, load
from scorefield.posterior import DAPS, DPS, MomentMatching, PiGDM, RePaint, exact_posterior
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import DDIM, DPM, ExponentialAdams, Sampling
from scorefield.units import Standardize

D = torch.float64
MEAN = torch.tensor([10.0, -5.0, 3.0], dtype=D)
ROOT = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, -0.3, 0.7]], dtype=D)
SEEN = Measurement(Linear([[1.0, 1.0, 0.0], [0.0, 1.0, 2.0]]), [7.0, 4.0], 0.5)


def table(form=lambda x: x) -> Model:
    """Of a Gaussian, in units that are not its own."""
    x = np.random.default_rng(0).normal(size=(20, 3))
    units = Standardize((3,), MEAN + 0.3, torch.tensor([1.5, 2.0, 4.0], dtype=D))
    inner = Gaussian(units(MEAN[None])[0], ROOT @ ROOT.T / (units.std[:, None] * units.std))
    return Model(Schema.of(form(x)), units, inner, inner, Sampling(ExponentialAdams(3), 32, process=EDM(0.002, 80.0)))


def fields() -> Model:
    """Of smooth images of 6 x 6, of which the moments know the variances alone."""
    place = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0)).double()
    covariance = torch.exp(-(torch.cdist(place, place) ** 2) / 8) + 0.01 * torch.eye(36, dtype=D)
    distribution = Gaussian(torch.zeros(1, 6, 6, dtype=D), covariance)
    moments = Gaussian(distribution.mean, torch.full_like(distribution.mean, 1.01))
    units = Standardize((1, 6, 6), torch.tensor(50.0), torch.tensor(10.0))
    x = np.zeros((5, 6, 6))
    return Model(
        Schema.of(x, structure="grid"),
        units,
        distribution,
        moments,
        Sampling(DPM(2, eta=1.0), 32, process=EDM(0.01, 50.0)),
    )


def test_it_is_a_model_in_the_units_of_the_data():
    given = table(lambda x: pd.DataFrame(x, columns=["a", "b", "c"])).given(SEEN)
    exact, _ = exact_posterior(Gaussian(MEAN, ROOT @ ROOT.T), SEEN)
    x = given.sample(4000)
    assert list(x.columns) == ["a", "b", "c"]
    error = exact.covariance.diagonal().sqrt().numpy() / math.sqrt(4000)
    assert (np.abs(x.mean().to_numpy() - exact.mean.numpy()) < 4 * error).all()
    np.testing.assert_allclose(np.cov(x.to_numpy().T), exact.covariance.numpy(), atol=0.02)
    torch.testing.assert_close(x.iloc[3:4].to_numpy(), given.sample(5).iloc[3:4].to_numpy(), rtol=1e-6, atol=1e-6)
    found = given.log_prob(x[:20]).value
    torch.testing.assert_close(found, exact.log_prob(torch.from_numpy(x[:20].to_numpy())), rtol=0, atol=5e-3)
    assert float(misfit(given, x).mean()) == pytest.approx(1.0, abs=0.3)


def test_it_is_saved_with_what_was_measured(tmp_path):
    given = table().given(SEEN, method=MomentMatching(iterations=3))
    given.save(tmp_path / "posterior.safetensors")
    again = load(tmp_path / "posterior.safetensors")
    np.testing.assert_array_equal(again.sample(5), given.sample(5))
    assert again.conditions[0].method == MomentMatching(iterations=3)


def test_code_is_not_saved_and_what_to_save_instead_is_said(tmp_path):
    given = table().given(Measurement(Function(lambda x: x[:, :1] ** 2), [90.0], 5.0))
    with pytest.raises(
        ValueError, match=r"a file holds no code, and Function is code of yours: save the model without the"
    ):
        given.save(tmp_path / "posterior.safetensors")
    assert not list(tmp_path.iterdir())


def test_one_measurement_after_another_is_both():
    one = Measurement(Linear([[1.0, 1.0, 0.0]]), [7.0], 0.5)
    two = Measurement(Linear([[0.0, 1.0, 2.0]]), [4.0], 0.5)
    np.testing.assert_allclose(table().given(one).given(two).sample(5), table().given(SEEN).sample(5), atol=1e-6)


def test_a_method_may_be_a_sampler():
    model = fields()
    keep = np.arange(36).reshape(6, 6) % 2 == 0
    seen = Measurement(Mask(keep), np.full(18, 60.0), 1.0)
    assert isinstance(model.given(seen, method=RePaint(3)).sampler, RePaint)
    x = model.given(seen, method=RePaint(3)).sample(20)
    assert x.shape == (20, 6, 6) and np.abs(x[:, keep] - 60).mean() < 2
    assert isinstance(model.given(seen, method=DAPS()).sampler, DAPS)


@pytest.mark.slow
def test_fields_are_measured_in_their_own_axes():
    model = fields()
    truth = model.standardize.inverse(model.denoiser.sample(1, Samples(0, 0, 1)))[0, 0]
    operator = Blur(0.8)
    y = operator(truth[None])[0] + 0.5 * Samples(1, 0, 6).normal((6, 6), D)
    given = model.given(Measurement(operator, y, 0.5), method=MomentMatching(20, 1e-4))
    exact, _ = exact_posterior(model.denoiser, given.diffusion.denoiser.measured)
    x = given.sample(200)
    mean = model.standardize.inverse(exact.mean.reshape(1, 1, 6, 6))[0, 0].numpy()
    std = exact.covariance.diagonal().sqrt().reshape(6, 6).numpy() * 10
    assert np.abs((x.mean(0) - mean) / std).max() < 5 / math.sqrt(200)
    assert 0.85 < (x.std(0) / std).mean() < 1.1


@pytest.mark.parametrize(
    ("method", "trusted"),
    [(None, True), (PiGDM(), False), pytest.param(DPS(), False, marks=pytest.mark.slow)],
    ids=["default", "PiGDM", "DPS"],
)
def test_the_check_tells_right_from_wrong(method, trusted):
    found = check_posterior(table().given(SEEN, method=method), simulations=300, draws=32, seed=1)
    assert found.trusted == trusted
    said = " ".join(found.verdict)
    assert ("do what they should" in said) == trusted and ("Do not trust these draws" in said) != trusted
    assert 0.05 < found.surprise <= 1
    if trusted:
        assert abs(found.width - 1) < 0.05 and found.shift < 0.05


def test_the_check_sees_too_few_steps():
    assert not check_posterior(table().given(SEEN), simulations=300, sampling=Sampling(DDIM(1.0), 6)).trusted


@pytest.mark.slow
def test_the_check_of_fields_and_of_counts():
    model = fields()
    y = Blur(0.8)(torch.full((1, 6, 6), 50.0))[0]
    found = check_posterior(model.given(Measurement(Blur(0.8), y, 3.0), method=MomentMatching(12, 1e-3)), 40, 8, own=16)
    assert found.trusted and "stationary" in found.twin
    counts = Measurement(Linear([[1.0, 0.0, 0.0]]), [11.0], PoissonNoise(1.0))
    found = check_posterior(table().given(counts), 100, 20)
    assert found.width is None and found.calibration.passed()


def test_a_strange_measurement_is_called_strange():
    far = Measurement(SEEN.operator, [70.0, 4.0], 0.5)
    found = check_posterior(table().given(far), simulations=20, draws=8)
    assert found.surprise < 1e-4 and "The measurement is far out for such data" in found.verdict[-1]


def test_evidence_is_a_density_in_the_units_of_y():
    exact, log_evidence = exact_posterior(Gaussian(MEAN, ROOT @ ROOT.T), SEEN)
    found = evidence(table().given(SEEN), particles=500, steps=16)
    assert abs(float(found.log_evidence.value - log_evidence)) < 4 * float(found.log_evidence.standard_error) < 0.3
    mean = found.weighted.mean()
    assert float(((mean.value - exact.mean) / exact.covariance.diagonal().sqrt()).abs().max()) < 0.25


@pytest.mark.slow
def test_coverage_of_five_hundred_linear_problems():
    """TARP of moment matching on simulated measurements of Gaussian data: inside the pointwise band of 95 %, nearly always."""
    found = check_posterior(table().given(SEEN), simulations=500, draws=100)
    low, high = found.calibration.band
    assert found.calibration.passed()
    assert ((found.calibration.coverage >= low - 1e-9) & (found.calibration.coverage <= high + 1e-9)).mean() > 0.85


def test_what_is_refused(tmp_path):
    model = table()
    for ask in (lambda: check_posterior(model), lambda: evidence(model), lambda: misfit(model, np.zeros((2, 3)))):
        with pytest.raises(ValueError, match="this model has observed no measurement"):
            ask()
    with pytest.raises(ValueError, match="they must agree"):
        model.given(Measurement(Linear(torch.eye(3)), [1.0], 0.1))
    with pytest.raises(
        ValueError, match=r"^label belongs to a context, not to a measurement: model.condition\(label=…\)"
    ):
        model.given(SEEN, label=3)


def test_a_mixture_is_weighed_as_it_is():
    """Through a model: the weights of two modes in the units of the data."""
    distribution = Mixture(
        torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=D),
        torch.tensor([0.5, 0.3], dtype=D),
        torch.tensor([0.5, 0.5], dtype=D),
    )
    units = Standardize((2,), torch.tensor([1.0, 2.0], dtype=D), torch.tensor([2.0, 3.0], dtype=D))
    model = Model(
        Schema.of(np.random.default_rng(0).normal(size=(9, 2))),
        units,
        distribution,
        distribution.moments(),
        Sampling(process=EDM(0.002, 80.0)),
    )
    given = model.given(Measurement(Linear([[0.3, 1.0]]), [3.6], 1.0))
    exact, log_evidence = exact_posterior(distribution, given.diffusion.denoiser.measured)
    found = evidence(given, particles=1000, islands=2, steps=48)
    assert abs(float(found.log_evidence.value - log_evidence)) < 0.05
    left = found.weighted.mean(lambda x: (x[:, :1] < 1.0).double()).value  # at 0 in states, 1 in the units of the data
    assert float((left - exact.weights[0]).abs()) < 0.04


def test_a_checkpoint_of_a_posterior_is_one_file(tmp_path):
    given = table().given(SEEN)
    save(given, tmp_path / "one.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["one.safetensors"]


@pytest.mark.slow
def test_a_measurement_and_a_context_go_together():
    """A label and then a measurement; sample i of several labels has the posterior given its own."""
    label = np.arange(300) % 2
    x = np.random.default_rng(0).normal(size=(300, 2)) + 6 * label[:, None]
    model = scorefield.fit(x, context=label, training=scorefield.Training(steps=300))
    seen = Measurement(Mask([1, 0]), [6.5], 0.2)
    drawn = model.given(1).given(seen).sample(40)
    assert abs(drawn[:, 0].mean() - 6.5) < 0.3 and abs(drawn[:, 1].mean() - 6) < 1.5
    both = model.given([0, 1]).given(seen).sample(6)
    np.testing.assert_allclose(both[1::2], model.given(1).given(seen).sample(6)[1::2], rtol=1e-4, atol=1e-4)
