"""Families of differences: they agree with scipy, and name the largest difference."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.metrics import Pool, family, marginal_test, moment_test, sliced_test
from scorefield.metrics.moments import directions


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_z_is_that_of_permutations(rng):
    x, y = rng.exponential(size=(40, 3)) + 0.2, rng.exponential(size=(60, 3))
    pool = Pool.of(x, y, standardize=False)
    found = family(pool, pool.flat, ["a", "b", "c"], "means", permutations=999)
    both = np.concatenate([x, y])
    std = np.sqrt(both.var(0, ddof=1) * (1 / 40 + 1 / 60))
    assert found.differences == pytest.approx((x.mean(0) - y.mean(0)) / std, rel=1e-4)
    drawn = np.array([rng.permutation(both)[:40].mean(0) for _ in range(4000)])
    assert (drawn - both.mean(0)).std(0) * 100 / 60 == pytest.approx(std, rel=0.05)
    assert found.samples == pytest.approx(x.mean(0), rel=1e-5) and found.real == pytest.approx(y.mean(0), rel=1e-5)
    expected = stats.permutation_test(
        (x[:, 0], y[:, 0]), lambda a, b: abs(a.mean() - b.mean()), n_resamples=4000, alternative="greater", rng=1
    )
    alone = family(pool, pool.flat[:, :1], ["a"], "mean", permutations=999).distance.p_value
    assert alone == pytest.approx(expected.pvalue, abs=0.05)


@pytest.mark.parametrize("features", [5, 300])
def test_directions_are_the_leading_ones(features, rng):
    scale = 0.8 ** np.arange(features)
    rotation = np.linalg.qr(rng.normal(size=(features, features)))[0]
    rows = torch.from_numpy((rng.normal(size=(500, features)) * scale) @ rotation).float()
    axes = directions(rows, 4)
    exact = np.linalg.svd(rows.numpy() - rows.numpy().mean(0), full_matrices=False)[2][:4]
    assert np.allclose(np.abs(axes.T.numpy() @ exact.T), np.eye(4), atol=0.02)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda x: x + np.array([0, 0, 0.2]), "mean of feature 2"),
        (lambda x: x * [1, 1, 1.15], "variance of feature 2"),
        (lambda x: np.column_stack([x[:, 0], x[:, 1], 0.9 * x[:, 2] + math.sqrt(0.19) * x[:, 0]]), "direction"),
    ],
)
def test_a_moment_that_differs_is_named(change, word, rng):
    x, y = rng.normal(size=(3000, 3)), rng.normal(size=(3000, 3))
    found = moment_test(Pool.of(change(x), y, maximum=3000), 199)
    assert found.distance.p_value == 0.005 and word in found.distance.note and found.p_values.min() < 1e-4


@pytest.mark.parametrize(
    ("shape", "at", "said"),
    [
        ((9,), 7, "of feature 7"),
        ((1, 9), (0, 7), "of point 7"),
        ((1, 3, 4), (0, 2, 1), "of point (2, 1)"),
        ((2, 2, 2, 2), (1, 0, 1, 0), "of point (0, 1, 0) of channel 2"),
    ],
)
def test_a_number_of_a_grid_is_named_by_its_place(shape, at, said, rng):
    x, y = rng.normal(size=(100, *shape)), rng.normal(size=(100, *shape))
    x[(slice(None), *np.atleast_1d(at))] += 3
    found = moment_test(Pool.of(x, y, standardize=False), principal=2)
    worst = [label for label in found.labels if label.startswith("mean ") and "direction" not in label]
    z = dict(zip(found.labels, np.abs(found.differences)))
    assert max(worst, key=z.get) == f"mean {said}" and len(set(worst)) == np.prod(shape)


def test_marginals_are_scipys(rng):
    x, y = rng.normal(size=(150, 2)), rng.normal(size=(100, 2))
    x[:, 0] = np.round(x[:, 0])  # ties
    y[:, 0] = np.round(y[:, 0])
    found = marginal_test(Pool.of(x, y), 19)
    for i in range(2):
        expected = stats.ks_2samp(x[:, i], y[:, i], method="asymp")
        assert found.differences[i] == pytest.approx(expected.statistic, abs=1e-6)
        assert found.p_values[i] == pytest.approx(min(1, 4 * expected.pvalue), rel=0.2)
    assert found.labels == ("feature 0", "feature 1", "principal direction 1", "principal direction 2")


def test_many_features_are_projected(rng):
    found = marginal_test(Pool.of(rng.normal(size=(100, 50)), rng.normal(size=(100, 50))), 19, projections=10)
    assert (
        len(found.labels) == 10 and found.labels[4] == "principal direction 5" and found.labels[9].startswith("random")
    )


def test_the_sliced_distance_is_scipys_in_one_dimension(rng):
    x, y = rng.normal(size=150), rng.exponential(size=100)
    found = sliced_test(Pool.of(x, y, standardize=False), 19, projections=3)
    assert found.value == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-5)


def test_an_outlier_does_not_make_a_difference(rng):
    x, y = rng.standard_cauchy(size=(300, 2)), rng.standard_cauchy(size=(300, 2))
    x[0] = 1e6
    assert moment_test(Pool.of(x, y), 199).distance.p_value > 0.01
