"""Curves of samples next to those of real data: what the bands hold, and what differs by name."""

import re

import numpy as np
import pytest
import torch

from scorefield.metrics import Pool, compare_curves, field_tests, spectrum
from scorefield.rng import Samples
from scorefield.toys import Field


def draw(shape, count, seed, length=2.0):
    return Field(shape, length).sample(count, Samples(seed, count=count)).float()


@pytest.mark.parametrize("shape", [(1, 32), (2, 12, 10), (1, 6, 6, 6)])
def test_every_dimension_has_its_curves(shape):
    length = 2.0 if shape[0] == 1 else 1.5
    x = draw(shape, 60, 0, length) if shape[0] == 1 else torch.cat([draw((1, *shape[1:]), 60, s) for s in (0, 1)], 1)
    found = field_tests(x[:20], x[20:40], x[40:], permutations=19)
    second = "autocorrelation" if len(shape) == 2 else "two-point correlation"
    assert [c.name for c in found][:3] == ["power spectrum", second, "variogram"] and len(found) == 11
    for curve in found:
        assert curve.samples.shape == curve.real.shape == curve.low.shape == (shape[0], len(curve.at))
        assert curve.spread.shape == (2, shape[0], len(curve.at))
        assert (curve.low <= curve.real).all() and (curve.real <= curve.high).all()
        assert curve.distance.counts == (20, 20) and 0.05 <= curve.distance.p_value <= 1
    assert any("above the" in place for place in found[-1].places)


def test_bands_hold_the_curves_of_equal_distributions():
    inside = 0
    for seed in range(40):
        x = draw((1, 24), 600, seed)
        pool = Pool.of(x[:300], x[300:], standardize=False, seed=seed)
        curve = compare_curves(pool, "power spectrum", *spectrum(pool.rows), permutations=199)
        inside += bool(((curve.low <= curve.samples) & (curve.samples <= curve.high)).all())
    assert inside >= 34  # of 40, each with a probability of about 0.95


def test_too_much_of_the_same_is_seen():
    """Samples whose mean curve is right and whose curves vary too little."""
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(np.concatenate([0.7 * rng.normal(size=(300, 4)), rng.normal(size=(300, 4))])).float()
    pool = Pool.of(rows[:300], rows[300:], standardize=False)
    found = compare_curves(pool, "levels", np.arange(4), rows[:, None], permutations=99)
    assert found.distance.p_value == 0.01 and "variance" in found.distance.note


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda x: x * 1.1, "one-point distribution"),
        (lambda x: x.roll(1, 2) * 0.3 + x, "power spectrum"),
        (lambda x: x + 0.3, "lineal path"),
        (lambda x: x.flip(2) * x.flip(2).sign(), "Minkowski functionals"),
    ],
)
def test_differences_are_found(change, name):
    x = draw((1, 16, 16), 600, 3)
    found = {c.name: c.distance for c in field_tests(change(x[:300]), x[300:], permutations=99)}
    assert found[name].p_value == 0.01


def recessions(count, seed, length=64):
    """Series that rise at random times, by exponential amounts, and fall by 15 % in each step."""
    rng = np.random.default_rng(seed)
    shots = rng.exponential(5.0, size=(count, length + 50)) * (rng.random((count, length + 50)) < 0.08)
    for i in range(1, length + 50):
        shots[:, i] += 0.85 * shots[:, i - 1]
    return torch.from_numpy(shots[:, None, 50:]).float()


@pytest.mark.parametrize(("seed", "reversed_ones"), [(0, slice(None)), (1, slice(None, None, 2))])
def test_the_direction_of_time_is_seen(seed, reversed_ones):
    x, y = recessions(400, seed), recessions(100, seed + 100)
    drawn = x.clone()
    drawn[reversed_ones] = drawn[reversed_ones].flip(2)
    found = {c.name: c for c in field_tests(drawn, y, permutations=99, seed=seed)}
    assert found["asymmetry of increments"].distance.p_value == 0.01
    assert found["power spectrum"].distance.p_value > 0.01 and found["variogram"].distance.p_value > 0.01
    assert (found["asymmetry of increments"].real[0, :3] < 0).all()


def test_an_axis_of_a_field_that_is_reversed_is_seen():
    x = recessions(400, 0, 12)[:, :, None].expand(-1, 1, 12, 12) + 0.1 * draw((1, 12, 12), 400, 0)
    curve = next(c for c in field_tests(x[:200].flip(3), x[200:], permutations=99) if c.name.startswith("asymmetry"))
    assert curve.distance.p_value == 0.01 and "along axis 2" in curve.distance.note


def test_two_phase_media_have_one_threshold_and_own_measures():
    x = (draw((1, 16, 16), 80, 1) > 0).float() * 4 - 1
    found = field_tests(
        x[:40], x[40:], permutations=19, own={"mean": lambda f: (torch.zeros(1), f.mean((2, 3))[..., None])}
    )
    assert found[-1].places == (
        "area above the threshold",
        "perimeter above the threshold",
        "Euler number above the threshold",
    )
    assert found[-2].name == "mean" and found[-2].samples == pytest.approx(float(x[:40].mean()), abs=1e-6)
    given = field_tests(x[:40], x[40:], permutations=19, thresholds=2.9)
    assert given[-1].distance.value == found[-1].distance.value


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"fields must be \(N, C, \*S\).* got shape \(8, 3\)"):
        field_tests(torch.zeros(4, 3), torch.zeros(4, 3))
    pool = Pool.of(torch.zeros(4, 3), torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"curves must be \(8, C, R\), one per row of the pool, got \(4, 1, 2\)"):
        compare_curves(pool, "c", np.arange(2), torch.zeros(4, 1, 2))
    with pytest.raises(ValueError, match="curves of the c contain NaN"):
        compare_curves(pool, "c", np.arange(2), torch.full((8, 1, 2), torch.nan))


def test_a_difference_of_values_names_the_values_not_the_bin():
    """Uniform fields, but in samples the values from 0.4 to 0.6 are 0.1: too many there."""
    rng = np.random.default_rng(0)
    real, drawn = (rng.uniform(size=(60, 2, 8, 8)) for _ in range(2))
    drawn[(drawn > 0.4) & (drawn < 0.6)] = 0.1
    one, two = (
        next(c for c in field_tests(drawn[:, :n], real[:, :n], permutations=99) if c.name == "one-point distribution")
        for n in (1, 2)
    )
    pattern = r"the mean of the share of values from (\S+) to (\S+) is [\d.]+ standard errors above that of real data"
    low, high = re.match(pattern, one.distance.note).groups()
    assert float(low) < 0.1 <= float(high) and one.axis == "value" and one.value == "share of values"
    assert all(float(text) for _, text in one.ticks) and len(one.ticks) >= 3
    low, high, channel = re.match(pattern.replace(" is", " in channel (\\d) is"), two.distance.note).groups()
    assert float(low) < 0.1 <= float(high) and channel in "12"


def test_values_are_those_of_the_user_and_common_ones_have_one_bin():
    """Half of the values are 0, in units in which they are 300 K."""
    rng = np.random.default_rng(0)
    real, drawn = (rng.uniform(size=(40, 1, 8, 8)) * (rng.uniform(size=(40, 1, 8, 8)) < 0.5) for _ in range(2))
    found = field_tests(drawn, real, permutations=19, units=lambda x: 300 + 10 * x)
    one = next(c for c in found if c.name == "one-point distribution")
    assert one.places[0] == "share of values up to 300" and one.real[0, 0] == pytest.approx(0.5, abs=0.05)
    assert all(300 <= float(text) <= 310 for _, text in one.ticks)


@pytest.mark.parametrize(("shape", "word"), [((1, 32), "time step"), ((2, 12, 12), "grid point")])
def test_every_curve_names_its_axes_and_channels(shape, word):
    x = draw((1, *shape[1:]), 60, 0).expand(-1, shape[0], *shape[1:])
    found = field_tests(x[:20], x[20:40], permutations=19, channels=("pressure", "flow")[: shape[0]])
    assert all(curve.axis and curve.value for curve in found)
    assert word in found[0].axis and found[0].channels == ("pressure", "flow")[: shape[0]]
    assert any(curve.name == "autocorrelation" for curve in found) == (len(shape) == 2)
    assert found[2].directions == (("axis 1", "axis 2") if len(shape) == 3 else ())


def test_photographs_have_no_phases():
    x = draw((1, 12, 12), 60, 0)
    names = [curve.name for curve in field_tests(x[:30], x[30:], permutations=19, phases=False)]
    assert names[:2] == ["power spectrum", "two-point correlation"] and not any("chord" in name for name in names)
