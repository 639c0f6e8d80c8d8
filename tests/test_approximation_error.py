"""Where posterior methods are biased: third cumulants and regressions in closed form, and nothing for Gaussian data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.inverse import approximation_error, check_posterior
from scorefield.inverse.approximating import _errors
from scorefield.measurement import Blur, Function, Linear, Mask, Measurement
from scorefield.model import Model
from scorefield.posterior import DPS, MomentMatching, PiGDM, Posterior
from scorefield.processes import EDM, VE, VP, Flow
from scorefield.rng import Samples
from scorefield.samplers import DPM, ExponentialAdams, Sampling
from scorefield.units import Standardize

D = torch.float64
LINE = Mixture(
    torch.tensor([[-1.0], [1.5]], dtype=D), torch.tensor([0.3, 0.6], dtype=D), torch.tensor([0.6, 0.4], dtype=D)
)


def model(prior, shape=None, units=None, process=None) -> Model:
    moments = prior if isinstance(prior, Gaussian) else prior.moments()
    shape = shape or tuple(moments.mean.shape)
    x = np.random.default_rng(0).normal(size=(5, *shape))
    schema = Schema.of(x, structure="grid") if len(shape) > 1 else Schema.of(x)
    sampler = DPM(2, eta=1.0) if len(shape) > 1 else ExponentialAdams(3)
    sampling = Sampling(sampler, 32, process=process or EDM(0.01, 50.0))
    return Model(schema, units or Standardize(tuple(moments.mean.shape)), prior, moments, sampling)


def two(separation: float = 3.0) -> Mixture:
    means = separation / 2 * torch.tensor([[-0.8, -0.6], [0.8, 0.6]], dtype=D)
    return Mixture(means, torch.eye(2, dtype=D).expand(2, 2, 2), torch.tensor([0.6, 0.4], dtype=D))


def of_the_docs() -> tuple[Mixture, Measurement]:
    """Moment matching gives the modes of this posterior the weights 0.55 / 0.37 / 0.08, where 0.45 / 0.52 / 0.03 are right."""
    means = torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]], dtype=D)
    roots = torch.tensor([[[0.6, 0], [0.2, 0.5]], [[0.5, 0], [-0.3, 0.6]], [[0.4, 0], [0.1, 0.4]]], dtype=D)
    return Mixture(means, roots @ roots.mT, torch.tensor([0.45, 0.25, 0.3], dtype=D)), Measurement(
        Linear([[1.0, 0.3]]), [0.6], 0.5
    )


def given_a_state(x, level):
    """Weights, means and variances of x_0 given x = x_0 + level z, for the mixture on the line."""
    means, variances = LINE.means[:, 0], LINE.covariances[:, 0, 0]
    total = variances + level**2
    log = LINE.weights.log() - (x - means) ** 2 / (2 * total) - total.log() / 2
    return log.softmax(-1), means + variances / total * (x - means), variances - variances**2 / total


def test_the_skewness_is_the_third_cumulant_of_a_mixture():
    g, level = 0.01, torch.tensor([[0.4], [0.8], [1.5]], dtype=D)
    x = torch.tensor([[-0.2], [0.3], [1.0]], dtype=D)
    posterior = Posterior(LINE, Measurement(Linear([[1.0]]), [0.3], 1 / g), MomentMatching())
    found = _errors(posterior, x, x, level, Samples(0, 0, 3))
    w, m, v = given_a_state(x, level)
    mean = (w * m).sum(1, keepdim=True)
    variance = (w * ((m - mean) ** 2 + v)).sum(1)
    third = (w * ((m - mean) ** 3 + 3 * (m - mean) * v)).sum(1)
    exact = (third * g**3) ** 2 / (1 + g**2 * variance) ** 3
    assert float(third.abs().min()) > 0.01
    torch.testing.assert_close(found.skewness, exact, rtol=2e-3, atol=0)


@pytest.mark.parametrize("x", [-0.2, 0.0, 1.0])
def test_the_error_is_that_of_the_best_linear_regression(x):
    """E over y of (E[x_0 | x, y] - its linear regression)², by quadrature, where third cumulants are what matters."""
    g, level = 0.1, 0.6
    posterior = Posterior(LINE, Measurement(Linear([[1.0]]), [0.3], 1 / g), MomentMatching())
    state = torch.tensor([[x]], dtype=D)
    found = _errors(posterior, state, state, torch.tensor([[level]], dtype=D), Samples(0, 0, 1)).skewed
    w, m, v = given_a_state(x, level)
    mean = (w * m).sum()
    variance = (w * ((m - mean) ** 2 + v)).sum()
    y = torch.linspace(-8, 8, 4001, dtype=D)[:, None]
    total = g**2 * v + 1
    log = w.log() - (y - g * m) ** 2 / (2 * total) - (2 * math.pi * total).log() / 2
    shifted = (log.softmax(1) * (m + v * g / total * (y - g * m))).sum(1)
    linear = mean + variance * g / (1 + g**2 * variance) * (y[:, 0] - g * mean)
    exact = float((log.exp().sum(1) * (shifted - linear) ** 2).sum()) * (16 / 4000)
    assert float(found) * level**2 == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("process", [EDM(0.01, 50.0), VE(), VP(), Flow()], ids=lambda p: type(p).__name__)
def test_nothing_is_wrong_with_gaussian_data(process):
    g = torch.Generator().manual_seed(1)
    root = torch.randn(6, 6, generator=g, dtype=D)
    prior = Gaussian(torch.randn(6, generator=g, dtype=D), root @ root.T)
    for rows in (1, 3, 6):
        seen = Measurement(Linear(torch.randn(rows, 6, generator=g, dtype=D)), torch.ones(rows, dtype=D), 0.1)
        x = torch.randn(8, 6, generator=g, dtype=D).numpy()
        found = approximation_error(model(prior, process=process).observe(seen, MomentMatching()), x)
        assert found.nats < 1e-12 and not found.found and "too little to matter" in found.verdict


def test_nothing_is_wrong_with_gaussian_fields():
    place = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0)).double()
    covariance = torch.exp(-(torch.cdist(place, place) ** 2) / 8) + 0.01 * torch.eye(36, dtype=D)
    made = model(Gaussian(torch.zeros(1, 6, 6, dtype=D), covariance), (6, 6))
    seen = Measurement(Blur(0.8), torch.full((6, 6), 0.5, dtype=D), 0.3)
    x = np.random.default_rng(1).normal(size=(4, 6, 6))
    found = approximation_error(made.observe(seen, MomentMatching(24, 1e-4)), x)
    assert found.nats < 1e-8 and not found.vector
    assert approximation_error(made.observe(seen, MomentMatching(1)), x).nats > 0.5  # too few iterations


def test_units_do_not_matter():
    seen = Measurement(Linear([[1.0, 0.0]]), [0.3], 0.3)
    one = model(two()).observe(seen, MomentMatching())
    units = Standardize((2,), torch.tensor([5.0, -7.0], dtype=D), torch.tensor([20.0, 0.1], dtype=D))
    shifted = Measurement(Linear([[50.0, 0.0]]), [50 * (5 + 20 * 0.3)], 50 * 20 * 0.3)
    other = model(two(), units=units).observe(shifted, MomentMatching())
    x = np.random.default_rng(0).normal(size=(8, 2))
    a, b = (approximation_error(each, rows) for each, rows in ((one, x), (other, x * [20, 0.1] + [5, -7])))
    np.testing.assert_allclose(a.skewed, b.skewed, rtol=1e-5)
    np.testing.assert_allclose(a.levels, b.levels, rtol=1e-5)


def test_it_grows_with_the_distance_of_modes_and_says_what_to_do():
    seen = Measurement(Linear([[1.0, 0.0]]), [0.3], 0.5)
    x = np.random.default_rng(0).normal(size=(32, 2)) * [0.7, 1.0]
    found = [approximation_error(model(two(s)).observe(seen, MomentMatching()), x, 32) for s in (0.5, 1.5, 3.0, 5.0)]
    errors = [each.probability for each in found]
    assert errors == sorted(errors) and errors[0] < 0.02 and errors[3] > 0.1
    assert not found[0].found and found[3].found
    assert "data given a noisy state are not Gaussian" in found[3].verdict and "TwistedParticles" in found[3].verdict


def test_methods_that_are_wrong_for_gaussian_data_are_found():
    prior = Gaussian(torch.zeros(2, dtype=D), torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=D))
    seen = Measurement(Linear([[1.0, -1.0]]), [0.5], 0.1)
    for method in (DPS(), PiGDM()):
        found = approximation_error(model(prior).observe(seen, method))
        assert found.found and found.skewed.max() < 1e-12
        assert "would be wrong even for Gaussian data" in found.verdict


def test_the_mixture_of_the_docs_and_the_default_of_vectors():
    prior, seen = of_the_docs()
    found = approximation_error(model(prior).observe(seen, MomentMatching()))
    assert found.found and 0.1 < found.probability < 0.3  # 0.15 is the error of the weights
    found = approximation_error(model(prior).observe(seen))
    assert found.corrected and found.probability > 0.1
    assert not found.found and "TwistedParticles makes up by weights" in found.verdict


def test_an_operator_that_is_bent_is_found():
    prior = Gaussian(torch.zeros(2, dtype=D), torch.eye(2, dtype=D))
    bent = approximation_error(
        model(prior).observe(Measurement(Function(lambda x: x[:, :1] ** 2), [1.0], 0.1), MomentMatching())
    )
    flat = approximation_error(
        model(prior).observe(Measurement(Function(lambda x: 2 * x[:, :1]), [1.0], 0.1), MomentMatching())
    )
    assert bent.found and "where it is linearized" in bent.verdict
    assert flat.curvature.max() < 1e-6 and not flat.found


def test_draws_may_be_given_and_each_seed_is_one_answer():
    given = model(two()).observe(Measurement(Linear([[1.0, 0.0]]), [0.3], 0.5), MomentMatching())
    x = np.random.default_rng(0).normal(size=(20, 2))
    one, two_ = (approximation_error(given, x, draws=16, seed=4) for _ in range(2))
    assert one.draws == 16 and one.nats == two_.nats and len(one.levels) == 12


def test_a_network_for_gaussian_data_is_not_accused():
    x = np.random.default_rng(0).normal(size=(2000, 3)) @ [[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]]
    made = scorefield.fit(x, training=scorefield.Training(steps=300))
    given = made.observe(Measurement(Mask([1, 0, 0]), [1.5], 0.1), MomentMatching())
    assert not approximation_error(given).found


def test_the_check_says_it_for_the_measurement_that_you_have():
    prior, seen = of_the_docs()
    given = model(prior).observe(seen, MomentMatching())
    found = check_posterior(given, simulations=20, draws=8)
    assert found.approximation.found and any("For the y that you have: MomentMatching" in s for s in found.verdict)


def test_what_is_refused():
    prior = two()
    with pytest.raises(ValueError, match="this model has observed no measurement"):
        approximation_error(model(prior))
    given = model(prior).observe(Measurement(Linear([[1.0, 0.0]]), [0.3], 0.5), MomentMatching())
    with pytest.raises(ValueError, match="needs a draw and 2 levels, got draws=0"):
        approximation_error(given, draws=0)
    with pytest.raises(ValueError, match="got none: leave x out"):
        approximation_error(given, np.zeros((0, 2)))
