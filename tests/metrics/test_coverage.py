"""Calibration of posterior draws, on a Gaussian whose posterior is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.metrics import calibration, coverage

WIDTH = 0.5**0.5  # deviation of the posterior of θ ~ N(0, 1) given y = θ + N(0, 1), about y / 2


def simulate(count, draws, parameters=3, bias=0.0, width=1.0, seed=0):
    rng = np.random.default_rng(seed)
    prior = rng.normal(size=(count, parameters))
    data = prior + rng.normal(size=(count, parameters))
    return prior, data[:, None] / 2 + bias + width * WIDTH * rng.normal(size=(count, draws, parameters)), data


def test_the_exact_posterior_passes_and_its_coverage_lies_in_the_band():
    found = calibration(*simulate(500, 99)[:2], randomizations=299)
    assert found.passed() and "No miscalibration" in found.verdict and found.ranks.shape == (500, 3)
    assert found.ranks.min() == 0 and found.ranks.max() == 99 and found.draws == 99
    inside = (found.band[0] <= found.coverage) & (found.coverage <= found.band[1])
    assert inside.mean() > 0.8 and np.abs(found.coverage - found.credibility).max() < 0.1
    assert np.abs(found.shift).max() < 4 and np.abs(found.width).max() < 4


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"bias": 0.25}, "biased high"),
        ({"bias": -0.25}, "biased low"),
        ({"width": 0.75}, "overconfident"),
        ({"width": 1.35}, "underconfident"),
    ],
)
def test_wrong_posteriors_fail_with_the_right_diagnosis(wrong, word):
    prior, posterior, data = simulate(500, 99, **wrong)
    # Points to one side of the posterior: about its middle, a bias only makes distances a little longer.
    found = calibration(prior, posterior, data / 2 + 1, randomizations=299)
    assert found.p_value == found.coverage_p_value == 1 / 300 and not found.passed() and word in found.verdict


def test_coverage_detects_wrong_dependence():
    """Draws with the right marginals but without the correlation of the posterior: ranks of parameters are uniform."""
    rng = np.random.default_rng(1)
    # θ = (u, v) with the data u + v: given these, the parameters are anticorrelated.
    prior = rng.normal(size=(600, 2))
    total = prior.sum(1, keepdims=True)
    given = (total / 2)[:, None] + WIDTH * rng.normal(size=(600, 99, 2))
    found = calibration(prior, given, total / 2 * np.ones((1, 2)), randomizations=199)
    assert found.p_value > 0.02 and found.coverage_p_value == 0.005


def test_the_prior_passes_unless_references_depend_on_the_data():
    prior, _, data = simulate(400, 99)
    ignorant = np.random.default_rng(5).normal(size=(400, 99, 3))
    assert calibration(prior, ignorant, randomizations=199).passed()
    found = calibration(prior, ignorant, data, randomizations=199)
    assert found.coverage_p_value == 0.005 and "check their dependence" in found.verdict


def test_ranks_and_their_departure_are_scipys():
    rng = np.random.default_rng(0)
    every = rng.normal(size=(40, 12, 2))
    ranks = coverage._ranks(every, 0)
    assert np.array_equal(ranks, stats.rankdata(every, axis=1).astype(int) - 1)
    column = rng.integers(0, 5000, size=(80, 1))
    u = (column[:, 0] + 0.5) / 5000
    expected = max(stats.kstest(u, "uniform").statistic, stats.kstest(np.abs(2 * u - 1), "uniform").statistic)
    assert coverage._departure(column, 5000)[0] == pytest.approx(expected, abs=0.02)
    for places in (4, 5):  # every rank once: nothing departs
        assert coverage._departure(np.arange(places)[:, None], places) == pytest.approx(0, abs=1e-12)


def test_ties_are_broken_at_random():
    ranks = coverage._ranks(np.zeros((3000, 4, 1)), 0)
    counts = np.bincount(ranks[:, 0, 0], minlength=4)
    assert stats.chisquare(counts).pvalue > 1e-3
    found = calibration(np.zeros((50, 1)), np.zeros((50, 9, 1)), randomizations=99)
    assert found.p_value > 0.01


def test_tensors_and_fields_are_accepted():
    prior, posterior, data = simulate(40, 9, parameters=4)
    one = calibration(prior, posterior, data, randomizations=19)
    shaped = [torch.from_numpy(x).reshape(*x.shape[:-1], 2, 2) for x in (prior, posterior, data)]
    other = calibration(*shaped, randomizations=19)
    assert np.array_equal(one.ranks, other.ranks) and one.coverage_p_value == other.coverage_p_value


def test_bad_arguments_are_refused():
    with pytest.raises(
        ValueError, match=r"prior draws \(N, P\) and posterior draws \(N, L, P\), got \(9, 2\) and \(9, 5, 3\)"
    ):
        calibration(np.zeros((9, 2)), np.zeros((9, 5, 3)))
    with pytest.raises(ValueError, match="at least 8 simulations, and hundreds for any power, got 3"):
        calibration(np.zeros((3, 2)), np.zeros((3, 5, 2)))
    with pytest.raises(ValueError, match="NaN or infinite draws"):
        calibration(np.full((9, 2), np.nan), np.zeros((9, 5, 2)))
    with pytest.raises(ValueError, match=r"one point per simulation, shape \(9, 2\), got \(8, 2\)"):
        calibration(np.zeros((9, 2)), np.zeros((9, 5, 2)), np.zeros((8, 2)))
