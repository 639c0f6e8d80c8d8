"""The battery of all distances and tests."""

import numpy as np
import pytest
import torch

from scorefield.metrics import Distance, battery, rejected

TESTS = [
    "moments",
    "marginals, Kolmogorov-Smirnov",
    "classifier two-sample test",
    "energy distance",
    "MMD, one scale",
    "MMD, several scales",
    "sliced Wasserstein, order 1",
    "kernel distance",
]
OTHERS = ["Wasserstein, order 2", "Fréchet distance", "precision", "recall", "density", "coverage"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(), (3,), (1, 9, 9)])
def test_every_distance_has_a_floor_and_an_interval_and_every_test_a_p_value(shape, rng):
    real = rng.normal(size=(300, *shape))
    found = battery(rng.normal(size=(100, *shape)), real[:100], real[100:], permutations=99)
    assert [d.name for d in found] == TESTS + OTHERS
    for one in found:
        assert (one.p_value is not None) == (one.name in TESTS), one.name
        assert one.low <= one.floor <= one.high and one.interval[0] <= one.value <= one.interval[1], one.name
        assert one.note and min(one.counts) > 0
    assert not rejected(found) and sum(one.covered for one in found) > 10
    again = battery(rng.normal(size=(100, *shape)) * 2, real[:100], real[100:], permutations=299)
    assert {"moments", "energy distance"} <= {one.name for one in rejected(again)}


def test_features_of_a_network_are_used(rng):
    sizes = []

    def features(x):
        sizes.append(len(x))
        return x.flatten(1)[:, :2] ** 2

    x, y = torch.randn(80, 1, 4, 4), torch.randn(60, 1, 4, 4)
    found = {one.name: one for one in battery(x, y, features=features, permutations=19)}
    assert sum(sizes) >= 280 and "network" in found["Fréchet distance"].note
    assert found["precision"].value > 0.5


def test_results_depend_on_the_seed_only(rng):
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2))
    assert battery(x, y, permutations=19) == battery(x, y, permutations=19)
    assert battery(x, y, permutations=19) != battery(x, y, permutations=19, seed=1)


def test_holm_rejects_in_order_of_the_p_values():
    def result(p):
        return Distance("d", 0.0, 0.0, 0.0, 0.0, p_value=p)

    p = [0.04, 0.02, None, 0.011, 0.5]
    assert [d.p_value for d in rejected([result(q) for q in p])] == [0.011]
    assert [d.p_value for d in rejected([result(q) for q in p], level=0.1)] == [0.011, 0.02, 0.04]
    assert rejected([]) == ()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least 10 samples and as many held-out data, got 9 and 20"):
        battery(np.zeros((9, 2)), np.zeros((20, 2)))
