"""Precision, recall, density and coverage against loops, and for distributions with missing modes."""

import numpy as np
import pytest

from scorefield.metrics import Manifold, Pool, manifold_distances, precision_recall


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def by_loops(x, y, k):
    """From the definitions of Kynkäänniemi et al. (2019) and Naeem et al. (2020), with scikit-learn's neighbours."""
    from sklearn.neighbors import NearestNeighbors

    def radius(z):
        return NearestNeighbors(n_neighbors=k + 1).fit(z).kneighbors(z)[0][:, -1]

    inside = np.array([[np.linalg.norm(a - b) <= r for b, r in zip(y, radius(y))] for a in x])
    covered = np.array([[np.linalg.norm(a - b) <= r for a, r in zip(x, radius(x))] for b in y])
    return Manifold(inside.any(1).mean(), covered.any(1).mean(), inside.sum(1).mean() / k, inside.any(0).mean())


def test_definitions(rng):
    x, y = 0.8 * rng.normal(size=(40, 3)) + 0.3, rng.normal(size=(50, 3))
    assert precision_recall(x, y, 4) == pytest.approx(by_loops(x, y, 4), abs=1e-6)


def test_distances_have_the_same_values(rng):
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    found = manifold_distances(Pool.of(x, y, rng.normal(size=(200, 3)), standardize=False), 4)
    assert [d.name for d in found] == list(Manifold._fields)
    assert [d.value for d in found] == pytest.approx(precision_recall(x, y, 4), abs=1e-5)
    assert all(d.higher and d.low <= d.floor <= d.high and d.interval[0] <= d.value <= d.interval[1] for d in found)


def test_missing_modes_lower_coverage_and_wrong_ones_precision(rng):
    def draw(n, modes):
        return 6 * rng.choice(modes, size=n)[:, None] + rng.normal(size=(n, 2))

    real, more = draw(400, [0, 1]), draw(800, [0, 1])
    missing = dict(zip(Manifold._fields, manifold_distances(Pool.of(draw(400, [0]), real, more))))
    assert missing["precision"].covered and not missing["recall"].covered and not missing["coverage"].covered
    wrong = dict(zip(Manifold._fields, manifold_distances(Pool.of(draw(400, [0, 1, 2]), real, more))))
    assert not wrong["precision"].covered and wrong["recall"].covered and not wrong["density"].covered


def test_floors_without_further_data_use_permutations(rng):
    found = manifold_distances(Pool.of(rng.normal(size=(80, 2)), rng.normal(size=(80, 2))))
    assert all(d.low <= d.high for d in found) and sum(d.covered for d in found) >= 3


def test_bad_arguments_are_refused(rng):
    with pytest.raises(ValueError, match="more than 5 rows of each side, got 5 and 9"):
        precision_recall(np.zeros((5, 2)), np.zeros((9, 2)))
    with pytest.raises(ValueError, match="got 2 and 3 features"):
        precision_recall(np.zeros((9, 2)), np.zeros((9, 3)))
