"""Numbers of any scale are learned right, or refused in one line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import scorefield
from scorefield import Training
from scorefield.data import ArrayRows
from scorefield.units import choose_units

COUNT = 400
ROOT = np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1]])


def data(scale: float | np.ndarray = 1.0, offset: float = 0.0, features: int = 3) -> np.ndarray:
    z = np.random.default_rng(0).normal(size=(COUNT, features))
    return (z @ ROOT if features == 3 else z) * scale + offset


def fitted(x: np.ndarray) -> scorefield.Model:
    return scorefield.fit(x, training=Training(steps=40, batch=64), seed=0)


@pytest.fixture(scope="module")
def plain() -> scorefield.Model:
    return fitted(data())


def spreads_agree(x: np.ndarray, drawn: np.ndarray) -> None:
    """Means to 5 standard errors, and standard deviations to those of a few steps of training."""
    assert np.isfinite(drawn).all()
    x, drawn = x - x[0], drawn - x[0]  # exact: sums of large values have no digits left
    unit = np.abs(x).max(0)
    (mean, std), (other, spread) = (((y / unit).mean(0), (y / unit).std(0)) for y in (x, drawn))
    assert np.abs((other - mean) / std).max() < 5 * math.sqrt(2 / COUNT)
    np.testing.assert_allclose(spread / std, 1, atol=5 / math.sqrt(COUNT))


@pytest.mark.parametrize("power", [-460, *(pytest.param(p, marks=pytest.mark.slow) for p in (-100, 127, 455)), 130])
def test_a_change_of_units_changes_nothing_else(plain, power):
    """Of a power of two, so that no digit is lost: the same samples, and log-densities shifted by n log(scale)."""
    scale = 2.0**power
    model = fitted(data(scale))
    assert np.array_equal(model.sample(50, seed=1), plain.sample(50, seed=1) * scale)
    here, there = plain.log_prob(data()[:4]).value, model.log_prob(data(scale)[:4]).value
    np.testing.assert_allclose(there + 3 * power * math.log(2), here, rtol=0, atol=1e-12 * abs(power))


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (1e-139, 0),
        (1, 1e15),
        (np.array([1e-130, 1, 1e130]), 0),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((1e139, 0), (1, 1e12), (1e-3, 1e12), (1e-6, 1e8))),
    ],
    ids=str,
)
def test_scales_and_offsets(scale, offset):
    x = data(scale, offset)
    model = fitted(x)
    spreads_agree(x, model.sample(COUNT, seed=1))
    rows = torch.from_numpy(x)
    back = model.standardize.inverse(model.standardize(rows)).numpy()
    np.testing.assert_allclose(back, x, rtol=1e-12, atol=float(np.max(np.spacing(np.abs(x)))) * 4)


@pytest.mark.parametrize(
    "x",
    [
        *(data(scale) for scale in (1e-300, 1e-200, 1e141, 1e200, 1e300)),
        data(5e-320),
        data(1e290, -1e300),
        data(np.array([1e-200, 1, 1e200])),
        data(np.array([1, 1, 1e-310])),
        data(1e-310, 1e-300),
    ],
)
def test_what_has_no_variance_is_refused(x):
    with pytest.raises(
        ValueError, match=r"^columns? \d.* hold.* values .*whose variance cannot be computed: change the units$"
    ):
        fitted(x)


def test_grids_and_names_are_in_the_message():
    with pytest.raises(ValueError, match=r"^channel 0 holds values beyond 1e\+140"):
        fitted(np.random.default_rng(0).normal(size=(20, 4, 4)) * 1e200)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"^column 'b' holds values that differ by less than 1e-140"):
        fitted(pandas.DataFrame(data(np.array([1, 1e-200, 1])), columns=["a", "b", "c"]))


def test_columns_that_are_named_are_those_that_have_the_fault():
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ValueError, match=r"^column 1 holds values beyond 1e\+140"):
        fitted(x * [1e-150, 1e150])


def test_whole_numbers_that_differ_beyond_the_digits_of_floats():
    x = np.random.default_rng(0).integers(2**63, 2**63 + 5, (50, 2), np.uint64)
    with pytest.raises(
        ValueError, match=r"as far as float64 holds it; if .* subtract the smallest first, x - x\.min\(0\)"
    ):
        fitted(x)
    with pytest.raises(ValueError, match=r"^all data are the same, 3, 3 in every row: there is nothing"):
        fitted(np.full((50, 2), 3.0))


def test_offsets_without_digits_are_constant():
    with pytest.raises(ValueError, match=r"^all data are the same"):
        fitted(data(1e-6, 1e12))


@pytest.mark.slow
def test_nearly_constant_columns():
    x = data()
    x[:, 1] = 5 + 1e-13 * x[:, 1]  # a few hundred distinct values, 9e-16 apart
    spreads_agree(x, fitted(x).sample(COUNT, seed=1))
    x[:, 1] = 5.0
    x[0, 1] += 1e-9
    drawn = fitted(x).sample(COUNT, seed=1)
    assert np.abs(drawn[:, 1] - 5).max() < 1e-8
    x[0, 1] = 5.0
    assert (fitted(x).sample(COUNT, seed=1)[:, 1] == 5).all()  # it follows from nothing


def test_few_rows_and_one_feature():
    spreads_agree(data(features=1), fitted(data(features=1)).sample(COUNT, seed=1))
    with pytest.raises(ValueError, match=r"^a distribution cannot be learned from 1 row: give 2 or more$"):
        fitted(data()[:1])
    for count in range(2, 6):
        try:
            drawn = fitted(data()[:count]).sample(3)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert drawn.shape == (3, 3) and np.isfinite(drawn).all()


@pytest.mark.slow
def test_ten_thousand_features():
    """The choice of a map takes 20 ms a column; the affine one is asked for."""
    x = np.random.default_rng(0).normal(3, 2, size=(100, 10_000))
    units = scorefield.Data(maps="affine")
    model = scorefield.fit(x, data=units, training=Training(steps=5, batch=16), seed=0)
    drawn = model.sample(20, seed=1)
    assert abs(drawn.mean() - 3) < 0.1 and abs(drawn.std() - 2) < 0.1


def test_units_of_columns_of_all_scales_come_back():
    x = np.random.default_rng(0).normal(3, 2, size=(50, 60)) * np.logspace(-130, 130, 60)
    units = choose_units(ArrayRows(x)).units
    np.testing.assert_allclose(units.inverse(units(torch.from_numpy(x))).numpy(), x, rtol=1e-12)
