"""Measurements in the tail of an exact mixture, of functions with two branches, almost without noise, or of many numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.inverse import approximation_error, evidence
from scorefield.measurement import Function, Linear, Mask, Measurement
from scorefield.model import Model
from scorefield.posterior import Posterior, exact_posterior, twisted_smc
from scorefield.posterior.guided_step import guided_states
from scorefield.posterior.joint import JointMeasurement
from scorefield.processes import EDM
from scorefield.samplers import ExponentialAdams, Sampling
from scorefield.units import Standardize

D = torch.float64
MEANS = torch.tensor([[-2.0, 0.0], [2.0, 1.0]], dtype=D)
COVARIANCES = torch.tensor([[[0.09, 0.0], [0.0, 0.09]], [[0.3, 0.1], [0.1, 0.2]]], dtype=D)
MIXTURE = Mixture(MEANS / 2, COVARIANCES / 4, torch.tensor([0.3, 0.7], dtype=D))  # in units of 2


def model() -> Model:
    sampling = Sampling(ExponentialAdams(3), 32, process=EDM(0.002, 80.0))
    units = Standardize((2,), torch.zeros(2, dtype=D), 2 * torch.ones(2, dtype=D))
    return Model(Schema.of(np.arange(6.0).reshape(3, 2)), units, MIXTURE, MIXTURE.moments(), sampling)


def table() -> Model:
    made = model()
    rows = pd.DataFrame({"x": [0.0, 0.7, 2.0, 1.3], "z": [0.1, 0.2, 0.5, 0.9]})
    return Model(Schema.of(rows), made.standardize, MIXTURE, made.moments, made.sampling)


def exact(y: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the deviations of the posterior given the first number."""
    found, _ = exact_posterior(MIXTURE, Measurement(Linear([[2.0, 0.0]]), [y], noise))
    moments = found.moments()
    return 2 * moments.mean.numpy(), 2 * moments.covariance.diagonal().sqrt().numpy()


@pytest.mark.parametrize("y", [5.0, *(pytest.param(y, marks=pytest.mark.slow) for y in (-6.0, 0.6, 10.0))])
def test_draws_far_from_the_data_are_those_of_the_posterior(y):
    count = 100
    mean, std = exact(y, 0.1)
    x = model().observe(Measurement(Mask([1, 0]), [y], 0.1)).sample(count, seed=1)
    assert np.abs((x.mean(0) - mean) / std).max() < 4 / math.sqrt(count)
    assert np.abs(x.std(0) / std - 1).max() < 4 / math.sqrt(2 * count)


def test_evidence_far_from_the_data():
    found = evidence(model().observe(Measurement(Mask([1, 0]), [5.0], 0.1)), particles=100, islands=3, steps=32)
    truth = float(exact_posterior(MIXTURE, Measurement(Linear([[2.0, 0.0]]), [5.0], 0.1))[1])
    assert truth == pytest.approx(-15.21, abs=0.01)
    assert abs(float(found.log_evidence.value) - truth) < 0.05  # 0.03 are due to 32 steps


def test_both_branches_of_a_square():
    """A derivative is 0 between them; P(x < 0) = 0.434 and log p(y) = -1.498 by integration on a grid."""
    seen = Measurement(Function(lambda x: x[:, :1].square()), [4.0], 0.3)
    found = evidence(model().observe(seen), particles=300, islands=3, steps=48)
    error = float(found.log_evidence.standard_error)
    assert error < 0.08
    assert abs(float(found.log_evidence.value) + 1.498) < 4 * error + 0.02
    left = found.weighted.mean(lambda x: (x[:, 0] < 0).double()).value
    assert float(left) == pytest.approx(0.434, abs=0.06)


@pytest.mark.slow
def test_draws_of_both_branches_of_a_square():
    seen = Measurement(Function(lambda x: x[:, :1].square()), [4.0], 0.3)
    x = model().observe(seen).sample(400, seed=1)
    assert np.mean(x[:, 0] < 0) == pytest.approx(0.434, abs=0.03 + 3 * 0.025)


@pytest.mark.parametrize("noise", [1e-1, 1e-5, 1e-8])
def test_evidence_at_every_noise(noise):
    covariance = torch.tensor([[4.0, 1.5, 0.0], [1.5, 1.0, -0.3], [0.0, -0.3, 1.0]], dtype=D) / 4
    prior = Gaussian(torch.zeros(3, dtype=D), covariance)
    seen = Measurement(Linear([[1.0, 0.5, 0.0]]), [1.0], noise)
    found = twisted_smc(Diffusion(EDM(), Posterior(prior, seen), prior), (3,), particles=50, islands=2, steps=8)
    assert float(found.log_evidence.value) == pytest.approx(float(exact_posterior(prior, seen)[1]), abs=0.01)


def test_a_standard_error_where_one_island_has_all():
    from scorefield.posterior.twisted_smc import _joined

    weights = torch.tensor([[0.0, 0.0], [-200.0, -190.0], [-150.0, -160.0]], dtype=D)
    found = _joined(torch.zeros(6, 1), weights, torch.ones(3, 2))
    assert float(found.log_evidence.standard_error) > 50


def test_many_measurements_are_as_few():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(40, 2))
    y = matrix @ [1.0, 0.5] + rng.normal(size=40)
    posterior = Posterior(MIXTURE, Measurement(Linear(matrix), y, 1.0), moments=MIXTURE.moments())
    joint, level = JointMeasurement.of(posterior), torch.tensor(0.4, dtype=D)
    u = torch.tensor([[1.0, 0.3], [0.9, -0.2]], dtype=D)
    found = guided_states(joint, u, level)
    assert joint.regression(u, torch.eye(2, dtype=D).expand(2, 2, 2)).matrix.shape == (1, 2, 2)
    whole = posterior.moments_given(u, level)
    torch.testing.assert_close(found.mean + found.shift, whole.mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.log_prob, whole.log_prob, atol=1e-5, rtol=1e-6)


def test_a_measurement_outside_of_the_data_is_said():
    with pytest.warns(
        UserWarning, match=r"^what was measured lies \d+ standard deviations from what the data make likely: "
    ):
        model().observe(Measurement(Mask([1, 0]), [20.0], 0.1))
    with pytest.warns(
        UserWarning, match=r"^x=9 lies outside of the data \(0 to 2\): what is drawn there is extrapolated"
    ):
        table().observe(Measurement(Mask([1, 0]), [9.0], 0.1))


def test_too_few_particles_are_found():
    far = model().observe(Measurement(Function(lambda x: x[:, :1].square()), [16.0], 0.3))
    found = approximation_error(far)
    assert found.found and found.spread > 2 and found.effective < 5
    assert found.verdict.startswith("TwistedParticles has too few particles here: 16 particles are worth")
    assert not approximation_error(model().observe(Measurement(Mask([1, 0]), [0.6], 0.1))).found
