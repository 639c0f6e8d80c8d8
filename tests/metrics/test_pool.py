"""Pools of samples and real data: their divisions and p-values."""

import numpy as np
import pytest
import torch

from scorefield.metrics import Distance, Pool, permutation_test
from scorefield.metrics.base import stream
from scorefield.metrics.pool import p_value


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_divisions_are_disjoint_and_of_the_sizes_of_the_test(rng):
    pool = Pool.of(rng.normal(size=(30, 2)), rng.normal(size=(20, 2)), rng.normal(size=(90, 2)))
    for divisions, rows in ((pool.permuted(150), 50), (pool.splits(150), 50)):
        parts = list(divisions)
        a, b = (torch.cat(side) for side in zip(*parts))
        assert a.shape == b.shape == (150, rows)
        assert (a.sum(1) == 30).all() and (b.sum(1) == 20).all() and ((a + b) <= 1).all()
        assert len({tuple(row) for row in a.tolist()}) == 150
    a, b = next(pool.resampled(7))
    assert (a[:, 30:] == 0).all() and (b[:, :30] == 0).all() and (a.sum(1) == 30).all() and (b.sum(1) == 20).all()
    assert a.max() > 1


def test_divisions_depend_on_the_seed_only(rng):
    x, y, more = rng.normal(size=(30, 2)), rng.normal(size=(20, 2)), rng.normal(size=(40, 2))
    first, second, other = (Pool.of(x, y, more, seed=seed) for seed in (5, 5, 6))
    list(second.splits(3)), list(second.resampled(4))  # what was drawn before is of no account
    a, b, c = (next(pool.permuted(10))[0] for pool in (first, second, other))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert stream(-1, "a").random() != stream(1, "a").random() != stream(1, "b").random()


def test_a_permutation_treats_both_sides_equally(rng):
    # The unit and the middle are those of both sides: to exchange the sides changes no square of the distances.
    x, y = rng.normal(size=(30, 3)) * 5, rng.normal(size=(20, 3))
    one, other = Pool.of(x, y).squares, Pool.of(y, x).squares
    rolled = np.r_[20 + np.arange(30), np.arange(20)]
    assert torch.allclose(one, other[rolled][:, rolled], atol=1e-4)


def test_distances_are_those_of_double_precision(rng):
    x = 1e4 + rng.normal(size=(60, 40))
    pool = Pool.of(x[:30], x[30:], standardize=False)
    exact = torch.cdist(*[torch.from_numpy(x - 1e4)] * 2).square()
    assert torch.allclose(pool.squares.double(), exact, rtol=2e-3) and (pool.squares.diagonal() == 0).all()
    fine = Pool.of(x[:30] - 1e4, x[30:] - 1e4, standardize=False)
    assert torch.allclose(fine.squares.double(), exact, rtol=1e-5, atol=1e-5)


def test_too_few_further_real_data_are_ignored(rng):
    x = rng.normal(size=(60, 2))
    assert Pool.of(x[:20], x[20:40], x[40:]).extra == 20
    assert Pool.of(x[:30], x[30:50], x[50:]).extra == 0
    assert Pool.of(x, x, x, maximum=10).rows.shape == (30, 2)


def test_p_values_count_the_observed_arrangement():
    null = np.array([0.0, 1.0, 2.0])
    assert p_value(3.0, null) == 0.25 and p_value(0.0, null) == 1.0 and p_value(1.0 + 1e-9, null) == 0.75


def test_a_result_has_floor_interval_and_test(rng):
    pool = Pool.of(rng.normal(size=(40, 1)) + 1, rng.normal(size=(40, 1)), rng.normal(size=(200, 1)))

    def shift(block, a, b):
        rows = pool.flat[block, 0]
        return ((a @ rows) / a.sum(1) - (b @ rows) / b.sum(1)).abs()

    found = permutation_test(pool, shift, "shift", permutations=99)
    assert found.p_value == 0.01 and found.low <= found.floor <= found.high < found.value
    assert found.interval[0] < found.value < found.interval[1] and found.counts == (40, 40)
    # The deviation of a difference of means, 2/40 of a variance of 0.8 each: an interval of 4 deviations.
    assert 0.5 < (found.interval[1] - found.interval[0]) / (4 * np.sqrt(0.8 / 40 * 2)) < 1.5
    assert permutation_test(pool, shift, "shift", permutations=0).p_value is None


def test_a_statistic_that_is_not_finite_is_an_error(rng):
    pool = Pool.of(rng.normal(size=(9, 1)), rng.normal(size=(9, 1)))
    with pytest.raises(RuntimeError, match="the ratio is not finite: check for values whose squares"):
        permutation_test(pool, lambda block, a, b: a.sum(1) * torch.nan, "ratio", permutations=9)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least two samples and two held-out data, got 1 and 5"):
        Pool.of(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"samples must have the shape of held_out, got \(3,\) and \(2,\)"):
        Pool.of(np.zeros((4, 3)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="train contains NaN"):
        Pool.of(np.zeros((2, 1)), np.zeros((2, 1)), np.full((9, 1), np.nan))


def test_higher_may_be_better():
    assert Distance("recall", 0.8, 0.9, 0.7, 0.95, higher=True).covered
    assert not Distance("recall", 0.6, 0.9, 0.7, 0.95, higher=True).covered
