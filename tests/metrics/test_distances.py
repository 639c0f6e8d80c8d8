"""Distances against scipy, closed forms, symmetries and their own null."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.metrics import Distance, distances, energy_distance, sliced_wasserstein, with_floor


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_energy_is_scipys_up_to_the_pairs_of_a_datum_with_itself(rng):
    x, y = rng.normal(size=300), rng.exponential(size=200)

    def within(v):
        return float(np.abs(v[:, None] - v).mean())

    biased = stats.energy_distance(x, y) ** 2
    expected = biased - within(x) / (len(x) - 1) - within(y) / (len(y) - 1)
    assert energy_distance(x, y, standardize=False) == pytest.approx(expected, abs=1e-12)


def test_energy_of_shifted_gaussians_has_its_closed_form(rng):
    shift, n, repeats = 1.0, 400, 60
    # E|N(μ, 2)| is the mean of a folded normal; the within terms are 2/√π each.
    folded = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    exact = 2 * folded - 4 / math.sqrt(math.pi)
    values = [
        energy_distance(rng.normal(size=n) + shift, rng.normal(size=n), standardize=False) for _ in range(repeats)
    ]
    assert abs(np.mean(values) - exact) < 4 * np.std(values) / math.sqrt(repeats)


def test_energy_is_centred_on_zero_for_equal_distributions(rng):
    values = [energy_distance(rng.normal(size=(60, 3)), rng.normal(size=(80, 3))) for _ in range(100)]
    assert min(values) < 0
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values))


def test_energy_is_the_same_in_blocks(rng, monkeypatch):
    x, y = rng.normal(size=(70, 4)) + 5, rng.normal(size=(50, 4))
    whole = energy_distance(x, y)
    monkeypatch.setattr(distances, "BLOCK", 333)
    assert energy_distance(x, y) == pytest.approx(whole, abs=1e-12)


def test_sliced_wasserstein_is_scipys_in_one_dimension(rng):
    x, y = rng.normal(size=300), rng.exponential(size=200)
    ours = sliced_wasserstein(x, y, order=1, standardize=False)
    assert ours == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-12)
    equal = sliced_wasserstein(x[:200], y, order=1, standardize=False)
    assert equal == pytest.approx(stats.wasserstein_distance(x[:200], y), abs=1e-12)


def test_unequal_sizes_agree_with_repeated_values(rng):
    x, y = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
    ours = sliced_wasserstein(x, y, standardize=False)
    repeated = sliced_wasserstein(np.repeat(x, 2, 0), np.repeat(y, 3, 0), standardize=False)
    assert ours == pytest.approx(repeated, abs=1e-12)


def test_sliced_wasserstein_of_a_shift_is_its_length_over_root_dimension(rng):
    y, shift, projections = rng.normal(size=(500, 5)), np.array([3.0, 0, 0, 4.0, 0]), 512
    # For an exact shift δ each slice gives (θ·δ)², of mean ‖δ‖²/D and of variance 2(D − 1)/(D²(D + 2)) ‖δ‖⁴.
    square = sliced_wasserstein(y + shift, y, projections=projections, standardize=False) ** 2
    deviation = 25 * math.sqrt(2 * 4 / (25 * 7) / projections)
    assert abs(square - 25 / 5) < 4 * deviation


def test_sliced_wasserstein_of_gaussians_has_its_closed_form(rng):
    n, dimension, scale, projections = 20000, 4, 1.5, 64
    value = sliced_wasserstein(
        scale * rng.normal(size=(n, dimension)), rng.normal(size=(n, dimension)), projections=projections
    )
    # Isotropic: every slice gives |scale − 1|, up to the deviation of a standard deviation, σ/√(2n) on either side.
    assert abs(value - 0.5) < 5 * math.sqrt((scale**2 + 1) / (2 * n)) + 1e-3


@pytest.mark.parametrize("distance", [energy_distance, sliced_wasserstein])
def test_order_of_rows_and_units_are_of_no_account(distance, rng):
    x, y = rng.normal(size=(90, 3)) + 0.3, rng.normal(size=(70, 3))
    value = distance(x, y)
    assert distance(rng.permutation(x), rng.permutation(y)) == pytest.approx(value, abs=1e-12)
    units, origin = np.array([1e-3, 1.0, 1e3]), np.array([5.0, -2.0, 1e4])
    assert distance(x * units + origin, y * units + origin) == pytest.approx(value, rel=1e-6)
    assert distance(torch.from_numpy(x), torch.from_numpy(y)) == value


def test_grids_are_standardized_by_channel(rng):
    x, y = rng.normal(size=(40, 2, 4, 4)), rng.normal(size=(40, 2, 4, 4))
    units = np.array([1.0, 100.0]).reshape(1, 2, 1, 1)
    assert energy_distance(x * units, y * units) == pytest.approx(energy_distance(x, y), abs=1e-9)


def test_a_long_sample_is_represented_by_some_of_its_rows(rng):
    x, y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
    assert energy_distance(x, y, maximum=100) == energy_distance(x, y, maximum=100)
    assert energy_distance(x, y, maximum=100) != energy_distance(x, y, maximum=100, seed=1)


def test_the_floor_covers_equal_distributions_and_only_those(rng):
    def draw(n):
        return rng.normal(size=(n, 3))

    covered = [with_floor(sliced_wasserstein, draw(80), draw(80), draw(400)).covered for _ in range(40)]
    assert np.mean(covered) > 0.75  # 0.95 but for the few splits; 0.75 is 4.5 binomial deviations below 0.93
    found = with_floor(energy_distance, draw(200) * 1.5, draw(200), draw(400))
    assert not found.covered and found.low <= found.floor <= found.high < found.value


def test_a_floor_is_taken_at_the_sizes_of_the_value(rng):
    sizes = []

    def distance(x, y):
        sizes.append((len(x), len(y)))
        return 0.0

    result = with_floor(distance, rng.normal(size=70), rng.normal(size=50), rng.normal(size=100), splits=3)
    assert set(sizes) == {(70, 50)} and result.counts == (70, 50) and result.name == "distance"
    sizes.clear()
    assert with_floor(distance, rng.normal(size=70), torch.zeros(50), name="d", splits=3).name == "d"
    assert set(sizes) == {(25, 25)}
    sizes.clear()
    with_floor(distance, rng.normal(size=70), rng.normal(size=50), rng.normal(size=100), maximum=10, splits=3)
    assert set(sizes) == {(10, 10)}


def test_a_floor_mixes_held_out_and_training_data_without_repeats():
    parts = []

    def distance(x, y):
        parts.append(np.concatenate([np.asarray(x), np.asarray(y)]))
        return 0.0

    with_floor(distance, np.zeros(3), np.arange(4.0), torch.arange(4.0, 9.0), splits=4)
    for part in parts[1:]:
        assert len(np.unique(part)) == 7 and set(part) <= set(range(9))


def test_an_interval_lies_about_the_value_and_is_as_wide_as_repetitions_vary(rng):
    def shift(x, y):
        return float(np.asarray(x).mean() - np.asarray(y).mean())

    found = with_floor(shift, rng.normal(size=200) + 1, rng.normal(size=300), rng.normal(size=400), resamples=200)
    width = 2 * 1.96 * math.sqrt(1 / 200 + 1 / 300)
    assert found.interval[0] < found.value < found.interval[1] and found.p_value is None
    assert found.interval[1] - found.interval[0] == pytest.approx(width, rel=0.25)
    again = with_floor(shift, np.zeros(20), np.zeros(20), np.zeros(99), resamples=5, note="as it is")
    assert again.interval == (0, 0) and again.note == "as it is"


def test_bad_arguments_are_refused(rng):
    with pytest.raises(ValueError, match=r"at least two rows of each side, got 1 and 5"):
        energy_distance(np.zeros(1), np.zeros(5))
    with pytest.raises(ValueError, match="order >= 1"):
        sliced_wasserstein(np.zeros(3), np.zeros(3), order=0.5)
    with pytest.raises(ValueError, match="4 real rows"):
        with_floor(energy_distance, np.zeros(3), np.zeros(3))


def test_a_distance_is_covered_up_to_the_upper_quantile():
    assert Distance("d", 0.2, 0.1, 0.0, 0.2).covered
    assert not Distance("d", 0.21, 0.1, 0.0, 0.2).covered
