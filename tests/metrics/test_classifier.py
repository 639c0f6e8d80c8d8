"""The classifier two-sample test."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from scorefield.metrics import Pool, c2st, classifier, classifier_test


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def test_accuracy_is_that_of_the_best_classifier(rng):
    # N(0, 1) against N(2, 1): the best accuracy is Φ(1).
    x, y = rng.normal(size=(2000, 2)) + np.array([2.0, 0.0]), rng.normal(size=(2000, 2))
    best = stats.norm.cdf(1)
    assert c2st(x, y, classifier=LinearDiscriminantAnalysis()) == pytest.approx(best, abs=0.02)
    found = classifier_test(Pool.of(x, y), permutations=99)
    assert found.value == pytest.approx(best, abs=0.02) and found.p_value == 0.01
    assert found.interval[0] < best < found.interval[1] and abs(found.floor - 0.5) < 0.01
    own = classifier_test(Pool.of(x, y), LogisticRegression())
    assert own.value == pytest.approx(best, abs=0.03) and own.p_value < 1e-50 and "LogisticRegression" in own.note


def test_the_default_of_the_benchmarks_detects_a_difference(rng):
    x, y = rng.normal(size=(120, 1)), rng.normal(size=(120, 1))
    assert abs(c2st(x, y, folds=3) - 0.5) < 0.12 and c2st(x + 3, y, folds=3) > 0.85


def test_a_ring_is_distinguished_from_a_disk(rng):
    angle = rng.uniform(0, 2 * np.pi, 400)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.normal(size=(400, 2))
    gauss = rng.normal(size=(400, 2)) * ring.std(0)
    assert classifier_test(Pool.of(ring, gauss), permutations=99).value > 0.8


def test_folds_equal_separate_fits(rng):
    """Weights from sums over folds equal those of fits to the rows of the other folds."""
    pool = Pool.of(rng.normal(size=(33, 2)), rng.normal(size=(28, 2)))
    scores = classifier._LeastSquares(pool)
    a, b = next(pool.permuted(3))
    features, _ = scores._folded(pool.pair)
    target = a / a.sum(1, keepdim=True) - b / b.sum(1, keepdim=True)
    out = torch.zeros_like(target)
    for fold, weight, _, _ in scores._fits(pool.pair, a, b):
        rest = np.setdiff1d(np.arange(61), fold.rows)
        inner = (features[rest] - features[rest].mean(0)).double()
        ridge = float(inner.square().sum(0).mean()) * (0.01 + 20 / len(rest))
        aim = target[:, rest].double()
        exact = torch.linalg.solve(
            inner.T @ inner + ridge * torch.eye(inner.shape[1], dtype=torch.float64),
            inner.T @ (aim - aim.mean(1, keepdim=True)).T,
        )
        assert torch.allclose(weight.double(), exact.T, rtol=1e-2, atol=1e-6)
        out[:, fold.rows] = ((features[fold.rows] - features[rest].mean(0)).double() @ exact).T.float()
    gap = (target * out).sum(1) / out.square().mean(1).sqrt()
    assert torch.allclose(scores.gap(pool.pair, a, b), gap, rtol=1e-2, atol=1e-3)
    right = ((a * (out > 0)).sum(1) / 33 + (b * (out < 0)).sum(1) / 28) / 2
    assert torch.allclose(scores.accuracy(pool.pair, a, b), right, atol=1e-4)


def test_bad_arguments_are_refused(rng):
    with pytest.raises(ValueError, match="at least 5 rows on each side, got 4 and 9"):
        classifier_test(Pool.of(rng.normal(size=(4, 1)), rng.normal(size=(9, 1))))
    with pytest.raises(ValueError, match="got 4 rows for 5 folds"):
        c2st(rng.normal(size=(4, 1)), rng.normal(size=(9, 1)))
