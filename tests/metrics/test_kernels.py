"""Energy and kernel statistics against plain sums over pairs, and against one another."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from scorefield.metrics import Pool, energy_distance, energy_test, kernel_distance, kernel_test, kernels, mmd, mmd_test


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def unbiased(kernel, n):
    """Means over pairs of different rows, of a kernel matrix of all rows; the first n are one side."""
    m = len(kernel) - n
    np.fill_diagonal(kernel, 0)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return within - 2 * kernel[:n, n:].mean()


def test_mmd_is_a_sum_over_pairs(rng, monkeypatch):
    x, y = rng.normal(size=(31, 3)), rng.normal(size=(40, 3)) + 0.5
    both = np.concatenate([x, y])
    far = cdist(both, both)
    positive = np.sort(far[far > 0])
    width = positive[len(positive) // 2]
    scales = (0.5, 2.0)
    kernel = np.mean([np.exp(-(far**2) / (2 * (s * width) ** 2)) for s in scales], axis=0)
    expected = unbiased(kernel, 31)
    assert mmd(x, y, scales=scales, standardize=False) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(kernels, "BLOCK", 300)
    assert mmd(x, y, scales=scales, standardize=False) == pytest.approx(expected, abs=1e-12)


def test_kernel_distance_is_a_sum_over_pairs(rng, monkeypatch):
    from sklearn.metrics.pairwise import polynomial_kernel

    x, y = rng.normal(size=(31, 5)), rng.normal(size=(40, 5)) + 0.5
    both = np.concatenate([x, y])
    expected = unbiased(polynomial_kernel(both, degree=3, gamma=1 / 5, coef0=1), 31)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(kernels, "BLOCK", 100)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_tests_agree_with_the_plain_functions(rng):
    x, y = rng.normal(size=(60, 4)) + 0.4, rng.normal(size=(50, 4))
    pool = Pool.of(x, y, standardize=False)
    pairs = [
        (energy_test(pool, 19), energy_distance(x, y, standardize=False)),
        (mmd_test(pool, (1.0,), 19), mmd(x, y, standardize=False)),
        (mmd_test(pool, permutations=19), mmd(x, y, scales=(0.25, 0.5, 1, 2, 4), standardize=False)),
        (kernel_test(pool, 19), kernel_distance(x, y)),
    ]
    for found, value in pairs:
        assert found.value == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_one_product_serves_both_sides_if_each_row_is_on_one(rng):
    pool = Pool.of(rng.normal(size=(30, 2)), rng.normal(size=(20, 2)))
    quadratic = kernels._Quadratic(pool.squares.sqrt())
    a, b = next(pool.permuted(5))
    fast = quadratic(pool.pair, a, b)
    slow = quadratic(pool.pair, 2 * a, 2 * b)
    left, right = (w @ quadratic.kernel for w in (a, b))
    plain = (a * left).sum(1) / (30 * 29) + (b * right).sum(1) / (20 * 19) - 2 * (b * left).sum(1) / 600
    assert np.allclose(fast, plain, atol=1e-5) and np.allclose(fast, slow, atol=1e-5)


def test_units_and_constant_features_do_not_matter(rng):
    x, y = rng.normal(size=(60, 2)) + 0.3, rng.normal(size=(60, 2))
    one = energy_test(Pool.of(x, y), 99)
    units = np.array([1e-6, 1e6])
    other = energy_test(Pool.of(x * units + [5.0, 0.0], y * units + [5.0, 0.0]), 99)
    assert one.p_value == other.p_value and one.value == pytest.approx(other.value, rel=1e-3)
    constant = np.ones((60, 1))
    third = energy_test(Pool.of(np.hstack([x, constant]), np.hstack([y, constant])), 99)
    assert third.p_value == one.p_value
    assert mmd(np.zeros(5), np.zeros(5)) == 0 and mmd_test(Pool.of(np.zeros(9), np.zeros(9)), (1.0,), 9).p_value == 1


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"must be positive, got \(0.0,\)"):
        mmd(np.zeros(5), np.zeros(5), scales=(0.0,))
    with pytest.raises(ValueError, match="mmd needs at least two rows of each side, got 1 and 5"):
        mmd(np.zeros(1), np.zeros(5))
    with pytest.raises(ValueError, match="kernel_distance needs at least two rows"):
        kernel_distance(np.zeros(1), np.zeros(5))
    with pytest.raises(ValueError, match=r"must have the shape of \w+, got \(2,\) and \(3,\)"):
        kernel_distance(np.zeros((4, 2)), np.zeros((4, 3)))
