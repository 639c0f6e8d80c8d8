"""Under the null every p-value is uniform: on vectors, tables, images and fields; forty times here, two hundred if slow."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.metrics import (
    Pool,
    calibration,
    classifier_test,
    energy_test,
    field_tests,
    kernel_test,
    loss_gap,
    marginal_test,
    memorization,
    mmd_test,
    moment_test,
    sliced_test,
    table_tests,
)
from scorefield.rng import Samples
from scorefield.toys import Field

COUNT = 40  # rows on a side
PERMUTATIONS = 59
REPEATS = [40, pytest.param(200, marks=pytest.mark.slow)]


def all_of(x, y, seed):
    """All tests for data of any kind."""
    pool = Pool.of(x, y, seed=seed)
    yield from (f(pool, PERMUTATIONS) for f in (energy_test, kernel_test))
    yield from (mmd_test(pool, scales, PERMUTATIONS) for scales in ((1.0,), None))
    yield sliced_test(pool, PERMUTATIONS, 8)
    yield from (f(pool, PERMUTATIONS).distance for f in (moment_test, marginal_test))
    yield classifier_test(pool, permutations=PERMUTATIONS)


def uniform(found):
    """The names of the p-values that are not uniform."""
    return {name: p for name, p in found.items() if stats.kstest(p, "uniform").pvalue <= 0.01}


def vectors(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_t(4, size=(2 * COUNT, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 0.2]])
    x[:, 2] = np.round(x[:, 2], 1)
    return x[:COUNT], x[COUNT:]


def images(seed):
    from sklearn.datasets import load_digits

    chosen = np.random.default_rng(seed).permutation(1797)[: 2 * COUNT]
    x = torch.from_numpy(load_digits().images[chosen]).float()[:, None]
    return x[:COUNT], x[COUNT:]


def fields(seed):
    x = Field((1, 10, 10), 2.0).sample(2 * COUNT, Samples(seed, count=2 * COUNT)).float()
    return x[:COUNT], x[COUNT:]


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("draw", [vectors, pytest.param(images, marks=pytest.mark.slow), fields])
def test_of_two_halves_of_the_same_data(draw, repeats):
    found = defaultdict(list)
    for seed in range(repeats):
        x, y = draw(seed)
        for one in all_of(x, y, seed):
            found[one.name].append(one.p_value)
    assert len(found) == 8 and not uniform(found)


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("draw", [fields, pytest.param(images, marks=pytest.mark.slow)])
def test_of_fields(draw, repeats):
    found = defaultdict(list)
    for seed in range(repeats):
        for curve in field_tests(*draw(seed), permutations=PERMUTATIONS, seed=seed):
            found[curve.name].append(curve.distance.p_value)
    assert len(found) == 11 and not uniform(found)


@pytest.mark.parametrize("repeats", REPEATS)
def test_of_tables(repeats):
    found = defaultdict(list)
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=2 * COUNT)
        table = {"a": a, "b": np.exp(a + rng.normal(size=2 * COUNT)), "k": rng.poisson(3, 2 * COUNT)}
        table["c"] = rng.choice(list("xyz"), 2 * COUNT)
        sides = slice(COUNT), slice(COUNT, None)
        halves = ({name: column[side] for name, column in table.items()} for side in sides)
        for family in table_tests(*halves, permutations=PERMUTATIONS, seed=seed):
            found[family.distance.name].append(family.distance.p_value)
    assert len(found) == 3 and not uniform(found)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", REPEATS)
def test_of_memorization_gaps_classifiers_and_posteriors(repeats):
    from sklearn.linear_model import LogisticRegression

    found = defaultdict(list)
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(300, 3))
        found["copies"].append(memorization(x[:100], x[100:200], x[200:]).p_value)
        found["gap"].append(loss_gap(np.arange(3), x[:150], x[150:], permutations=PERMUTATIONS, seed=seed).p_value)
        pool = Pool.of(x[:150], x[150:], seed=seed)
        found["classifier of one's own"].append(classifier_test(pool, LogisticRegression()).p_value)
        prior = rng.normal(size=(50, 2))
        exact = (prior + rng.normal(size=(50, 2)))[:, None] / 2 + 0.5**0.5 * rng.normal(size=(50, 19, 2))
        posterior = calibration(prior, exact, randomizations=199, seed=seed)
        found["ranks"].append(posterior.p_value)
        found["coverage"].append(posterior.coverage_p_value)
        found["a parameter"].append(posterior.p_values[0])
    assert not uniform(found)
