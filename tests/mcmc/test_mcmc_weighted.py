"""Weighted samples: estimates, resampling, and that they cannot be mistaken for plain samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield.mcmc import WeightedSamples, langevin
from scorefield.metrics import energy_distance
from scorefield.rng import Samples

D = torch.float64


def tilted(count: int, seed: int = 0, mean: float = 1.0) -> WeightedSamples:
    """Standard normal points with the weights of N(m, 1): e^(m x - m²/2), whose mean is 1."""
    x = Samples(seed, count=count).normal((count, 1), D)
    return WeightedSamples(x, mean * x[:, 0] - mean**2 / 2)


def test_means_and_their_errors():
    """Over 400 repetitions z-values have the standard deviation 1, of the mean weight and of a weighted mean."""
    runs = [tilted(500, seed, 0.5) for seed in range(400)]
    for found, exact in (
        ([run.log_mean_weight for run in runs], 0.0),
        ([run.mean(lambda x: x[:, 0]) for run in runs], 0.5),
    ):
        z = torch.tensor([(float(e.value) - exact) / float(e.standard_error) for e in found])
        assert abs(float(z.mean())) < 0.25
        assert 0.85 < float(z.std()) < 1.2


def test_the_effective_sample_size():
    """N for equal weights, N/e for those of N(1, 1) on N(0, 1), k for k points that carry all."""
    assert WeightedSamples(torch.zeros(7, 1), torch.full((7,), 3.0)).effective_sample_size == pytest.approx(7)
    assert tilted(200_000).effective_sample_size == pytest.approx(200_000 / math.e, rel=0.05)
    weights = torch.tensor([0.0, 0.0, -math.inf, -math.inf])
    assert WeightedSamples(torch.zeros(4, 1), weights).effective_sample_size == pytest.approx(2)


def test_systematic_resampling_draws_each_point_in_proportion_to_its_weight():
    found = tilted(50)
    for count in (10, 1000):
        for seed in range(5):
            chosen = found.resample(count, Samples(seed, count=count))
            often = (chosen == found.points.T).sum(0)
            expected = count * found.weights
            assert bool((often >= expected.floor()).all() & (often <= expected.ceil()).all())
    means = torch.stack([found.resample(20, Samples(seed, count=20)).mean() for seed in range(2000)])
    assert abs(float(means.mean() - found.mean().value)) < 5 * float(means.std()) / math.sqrt(2000)


def test_weighted_samples_are_not_accepted_as_samples():
    found = tilted(20)
    with pytest.raises(TypeError, match=r"weighted samples are not an array: use resample\(count, rng\)"):
        np.asarray(found)
    with pytest.raises(TypeError):
        torch.stack(list(found))
    with pytest.raises((TypeError, RuntimeError)):
        torch.as_tensor(found)
    with pytest.raises(TypeError):
        energy_distance(found, found.points)
    with pytest.raises((TypeError, AttributeError)):
        langevin(lambda x: -x, found, 3, Samples(0, count=20))


@pytest.mark.parametrize(
    ("points", "weights", "error", "message"),
    [
        (
            torch.zeros(3, 1),
            torch.zeros(2),
            ValueError,
            r"at least two points and one weight per point, got log_weight of shape \(2,\)",
        ),
        (torch.zeros(1, 1), torch.zeros(1), ValueError, "at least two points"),
        (
            torch.zeros(2, 1),
            torch.tensor([0.0, math.nan]),
            RuntimeError,
            "1 of 2 weights are NaN or inf: use smaller steps",
        ),
        (torch.zeros(2, 1), torch.tensor([-math.inf] * 2), RuntimeError, "all weights are 0"),
    ],
)
def test_bad_weights_are_refused(points, weights, error, message):
    with pytest.raises(error, match=message):
        WeightedSamples(points, weights)


def test_resampling_needs_a_count():
    with pytest.raises(ValueError, match="resample needs count >= 1, got count=0"):
        tilted(5).resample(0, Samples(0, count=1))
