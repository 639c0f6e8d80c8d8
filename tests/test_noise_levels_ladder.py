"""Ladders and annealed Langevin dynamics: the table of NCSNv2, and what the sampler really does."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

import properties
from scorefield import presets
from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.noise_levels import (
    PUBLISHED_OVERLAP,
    Annealing,
    Ladder,
    after,
    best_ratio,
    fixed_point,
    gap,
    one_level,
    overlap,
)

v2 = presets.ncsnv2


@pytest.mark.parametrize("numbers", [18, 64, 784, 3072, 196_608, 10**9])
@pytest.mark.parametrize("wanted", [1e-9, 0.3, 0.5, PUBLISHED_OVERLAP, 0.9, 0.997])
def test_the_gap_has_the_overlap(numbers, wanted):
    found = gap(wanted, numbers, widest=1e6)
    assert found > 1 and overlap(found, numbers) == pytest.approx(wanted, rel=1e-5)


def test_the_overlap_is_a_probability():
    """Noise of σ within three standard deviations of the ring of γσ, in 3,072 dimensions."""
    z = torch.randn(4000, 3072, generator=torch.Generator().manual_seed(0)).norm(dim=1)
    for scale in (1.01, 1.0376, 1.06):
        inside = ((z / scale - math.sqrt(3072)).abs() < 3 / math.sqrt(2)).double().mean()
        assert float(inside) == pytest.approx(overlap(scale, 3072), abs=0.03)
    assert overlap(1.0, 100) == pytest.approx(0.9973, abs=1e-4)


@pytest.mark.parametrize("numbers", [1, 2, 4, 5, 17])
def test_in_few_dimensions_the_gap_is_the_widest(numbers):
    assert gap(0.5, numbers) == 2.0 and gap(0.5, numbers, widest=1.5) == 1.5
    assert Ladder.overlapping(8.0, 0.01, numbers).count == 11


@pytest.mark.parametrize(("wanted", "numbers"), [(0.0, 10), (0.9973, 10), (math.nan, 10), (0.5, 0)])
def test_overlaps_that_cannot_be(wanted, numbers):
    need = "a ladder needs an overlap between 0 and 0.9973 and a dimension of at least 1"
    with pytest.raises(ValueError, match=f"^{need}, got overlap={wanted:g} and numbers={numbers}$"):
        gap(wanted, numbers)


def test_a_ladder_is_geometric():
    ladder = Ladder(50.0, 0.01, 232, 3072)
    levels = ladder.levels
    assert len(levels) == 232 and levels[0] == 50.0 and levels[-1] == 0.01
    assert all(a / b == pytest.approx(ladder.gap, rel=1e-12) for a, b in pairwise(levels))
    assert Ladder(2.0, 1.0, 2, 1).levels == (2.0, 1.0)


@pytest.mark.parametrize("given", [(0.01, 1.0, 5, 3), (1.0, 0.0, 5, 3), (1.0, 0.1, 1, 3), (1.0, 0.1, 5, 0)])
def test_ladders_fall(given):
    first, last, count, numbers = given
    got = f"first={first:g}, last={last:g}, count={count}, numbers={numbers}"
    with pytest.raises(ValueError, match=f"^Ladder needs 0 < last < first, count >= 2 and numbers >= 1, got {got}$"):
        Ladder(*given)
    if not 0 < last < first:
        with pytest.raises(ValueError, match=f"^Ladder needs 0 < last < first, got first={first:g}, last={last:g}$"):
            Ladder.overlapping(first, last, numbers)


# -- annealed Langevin dynamics ------------------------------------------------------------------------------------


def simulated(experiment: presets.Experiment) -> float:
    """The variance over σ_L² that the sampler itself ends with on data at one point: propagated exactly, nothing is drawn."""
    point = Gaussian(torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    diffusion = Diffusion(experiment.process(), point)
    moved = properties.propagate(experiment.sampler(), diffusion, 1, experiment.ladder.count - 1, denoise=False)
    level, _, covariance = moved[-1]
    assert level == pytest.approx(experiment.ladder.last)
    return float(covariance) / level**2


@pytest.mark.parametrize("name", ["cifar10", "celeba"])
def test_the_fixed_point_is_what_the_sampler_ends_with(name):
    experiment = getattr(v2, name)
    assert simulated(experiment) == pytest.approx(experiment.annealing.variance, rel=1e-6)


@pytest.mark.parametrize(("ratio", "moves", "scale"), [(0.062, 5, 1.0376), (0.3, 2, 1.2), (1.4, 1, 1.1), (1.0, 3, 2.0)])
def test_levels_one_after_another_reach_the_fixed_point(ratio, moves, scale):
    variance = 1.0
    for _ in range(3000):
        variance *= scale**2
        for _ in range(moves):
            variance = (1 - ratio) ** 2 * variance + 2 * ratio
    assert fixed_point(ratio, moves, scale) == pytest.approx(variance, rel=1e-12)
    assert after(3000, ratio, moves, scale) == pytest.approx(variance, rel=1e-12)
    assert one_level(ratio, moves, scale) == after(1, ratio, moves, scale)
    assert Annealing(moves, ratio, scale).variance == fixed_point(ratio, moves, scale)


@pytest.mark.parametrize("moves", [1, 5, 100])
@pytest.mark.parametrize("scale", [1.0001, 1.0376, 1.7, 30.0])
@pytest.mark.parametrize("criterion", [fixed_point, one_level])
def test_the_best_ratio_is_the_best(moves, scale, criterion):
    found = best_ratio(moves, scale, criterion)
    least = criterion(found, moves, scale)
    grid = [criterion(math.exp(-12 * i / 4000), moves, scale) for i in range(1, 4000)]
    assert 1 < least <= min(grid) * (1 + 1e-12)


def test_noise_that_gathers_never_settles():
    assert fixed_point(1e-4, 3, 1.01) == math.inf
    assert after(1000, 1e-4, 3, 1.01) > 1e3


@pytest.mark.parametrize("given", [(0.0, 5, 1.1), (2.0, 5, 1.1), (0.1, 0, 1.1), (0.1, 5, 1.0), (math.nan, 5, 1.1)])
def test_settings_of_langevin_dynamics(given):
    ratio, moves, scale = given
    got = f"ratio={ratio:g}, moves={moves}, gap={scale:g}"
    message = f"^annealed Langevin dynamics needs 0 < ratio < 2, moves >= 1 and gap > 1, got {got}$"
    for function in (fixed_point, one_level):
        with pytest.raises(ValueError, match=message):
            function(*given)
    with pytest.raises(ValueError, match=message):
        Annealing(moves, ratio, scale)


def test_steps_in_both_conventions():
    steps = v2.cifar10.annealing
    assert steps.ratio == pytest.approx(0.062) and steps.step(0.01) == pytest.approx(6.2e-6)
