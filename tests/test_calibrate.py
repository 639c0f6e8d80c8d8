"""What is read off the data. Not the constants of the recipe: those are for benchmarks to say."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.calibrate import Calibration, calibrate
from scorefield.process import EDM


def cloud(count: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("x", [cloud(300, 2), cloud(40, 300), cloud(100, 1, 8, 8), cloud(2, 1), cloud(50, 2, 5, 4, 3)])
def test_all_data_have_levels(x):
    found = calibrate(x)
    assert 0 < found.sigma_min < 0.1 < 10 < found.sigma_max
    assert math.isfinite(found.level_mean) and found.level_std > 0
    assert found == calibrate(x.clone()) == calibrate(x.double())  # nothing in it is random
    assert len(found.reasons) == len(found.table()) == 4
    assert [value for _, value, _ in found.table()] == [
        found.sigma_min,
        found.sigma_max,
        found.level_mean,
        found.level_std,
    ]
    assert all(isinstance(name, str) and isinstance(why, str) and len(why) > 20 for name, _, why in found.table())
    assert found.process() == EDM(found.sigma_min, found.sigma_max)


def test_the_largest_level_reaches_across_the_data():
    x = 30 * cloud(200, 3)
    far = float(torch.cdist(x.double(), x.double()).max())
    found = calibrate(x)
    assert found.sigma_max == pytest.approx(far, rel=1e-6)
    assert f"{far:.3g}" in found.reasons[1]
    assert calibrate(x / 1000).sigma_max > 1000 * far / 1e5  # never less than what makes Gaussians of standard data


def test_levels_follow_the_scale_of_the_data():
    """Twice as wide data are decided at twice the levels; the spread of ln σ has no units."""
    x = cloud(200, 3) * torch.tensor([30.0, 40.0, 50.0])
    one, two = calibrate(x), calibrate(2 * x)
    assert two.sigma_max == pytest.approx(2 * one.sigma_max, rel=1e-6)
    assert two.level_mean == pytest.approx(one.level_mean + math.log(2), abs=1e-6)
    assert two.level_std == pytest.approx(one.level_std, abs=1e-6)


def test_levels_do_not_see_where_the_data_lie_nor_how_they_are_turned():
    x = cloud(200, 3).double() * torch.tensor([1.0, 5.0, 50.0])
    turn = torch.linalg.qr(cloud(3, 3, seed=1).double())[0]
    for other in (x + 7, x @ turn, x.flip(0)):
        found, one = calibrate(other), calibrate(x)
        for name in ("sigma_min", "sigma_max", "level_mean", "level_std"):
            assert getattr(found, name) == pytest.approx(getattr(one, name), rel=1e-6, abs=1e-6)


def test_data_of_many_scales_get_a_wider_law():
    plain, steep = cloud(500, 404), cloud(500, 404) * torch.tensor([10.0] * 4 + [0.1] * 400)
    assert calibrate(steep).level_std > calibrate(plain).level_std
    assert calibrate(0.1 * plain).level_mean < calibrate(plain).level_mean


def test_denser_data_ask_for_smaller_levels():
    found = [calibrate(cloud(count, 2)).sigma_min for count in (10, 300, 3000)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


@pytest.mark.parametrize("size", [0.05, 0.15])
def test_integers_ask_for_a_tenth_of_their_step(size):
    """Finer noise than a tenth of the step shows nothing but the lattice."""
    x = (cloud(3000, 1) / size).round() * size
    found = calibrate(x, size)
    assert found.sigma_min == pytest.approx(0.1 * size)
    assert "step between neighbouring values" in found.reasons[0]
    assert calibrate(x, 1e-9).sigma_min == calibrate(x).sigma_min  # a step finer than the neighbours are
    assert "nearest neighbour" in calibrate(x).reasons[0]


def test_copies_of_data_are_no_neighbours():
    x = cloud(200, 2)
    twice = torch.cat([x, x, x])
    assert calibrate(twice).sigma_min == pytest.approx(calibrate(x).sigma_min, rel=1e-6)
    two_points = calibrate(torch.tensor([[-1.0], [1.0]]).repeat(100, 1))
    assert 0 < two_points.sigma_min < 0.1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_data(count):
    message = f"^noise levels are read off distances between data: at least 2 are needed, got {count}$"
    with pytest.raises(ValueError, match=message):
        calibrate(cloud(count, 3))


def test_equal_data():
    with pytest.raises(ValueError, match=r"^all 5 data are equal: there is nothing to learn$"):
        calibrate(cloud(1, 3).repeat(5, 1))


def test_levels_that_were_given():
    given = Calibration(0.01, 50.0, -1.0, 1.2)
    assert [why for *_, why in given.table()] == ["given"] * 4
    with pytest.raises(ValueError, match="EDM needs 0 < sigma_min < sigma_max, got sigma_min=2, sigma_max=1"):
        Calibration(2.0, 1.0, 0.0, 1.0).process()
