"""The examples that train networks: their parts against what is known, and as scripts at a size that takes seconds."""

from __future__ import annotations

import importlib

import pytest
import torch

from scorefield.noise_levels import fixed_point


@pytest.fixture
def example(examples):
    """A script as a module."""
    return importlib.import_module


def test_the_recipe_of_ncsnv2_for_digits(example):
    """Its levels begin at the largest distance between two digits, and its step is the best over all levels."""
    (train, held_out), recipe = example("ncsnv2_digits").digits(), example("ncsnv2_recipe")
    assert (train.shape, held_out.shape) == ((1297, 1, 8, 8), (500, 1, 8, 8))
    ncsnv2 = recipe.experiment("digits", train, steps=2, moves=5, features=2, batch=8)
    assert ncsnv2.ladder.first == pytest.approx(float(torch.pdist(train.flatten(1)).max()), rel=1e-6)
    assert ncsnv2.ladder.overlap == pytest.approx(0.5667, abs=0.02)
    ratio, gap = ncsnv2.sampler().transition.ratio, ncsnv2.ladder.gap
    assert all(fixed_point(ratio, 5, gap) < fixed_point(factor * ratio, 5, gap) for factor in (0.9, 1.1))


@pytest.mark.slow
def test_ncsnv2_on_digits(run_example):
    text, size = run_example("ncsnv2_digits", "--steps", "2", "--moves", "1", "--count", "32")
    assert "22 levels from 4.71 to 0.01" in text and "step 2: loss" in text and min(size) > 300
    assert text.count("energy distance") == 2 and "1 moves per level: 22 evaluations" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["annealed_langevin", "helix"])
def test_toy_problems_of_the_summer_school(run_example, name):
    text, size = run_example(name, "--steps", "40", "--count", "60", *["--points", "200"] * (name == "helix"))
    assert "summer school: 900 evaluations" in text and "default: 33 evaluations" in text
    assert text.count("energy distance") == 4 and min(size) > 300


def test_the_statistics_of_the_toy_problems(example):
    """On 20,000 exact points: the weight, the width of the modes, the width of the curve, and the unrolled curve."""
    mixture, helix = example("annealed_langevin"), example("helix")
    weight, width = mixture.modes(mixture.real(20_000, 0))
    assert weight == pytest.approx(0.2, abs=5 * (0.16 / 20_000) ** 0.5)
    assert width == pytest.approx(1, abs=5 / (2 * 40_000) ** 0.5)
    x = helix.real(20_000, 0)
    assert helix.across(x) == pytest.approx(0.2, abs=5 * 0.2 / (2 * 40_000) ** 0.5)
    assert torch.equal(helix.unrolled(x)[:, 2], x[:, 2])
    assert helix.unrolled(x)[:, :2].mean(0).tolist() == pytest.approx([1, 0], abs=5 * 0.2 / 20_000**0.5)


def test_the_exact_score_in_the_units_of_a_model(example):
    from scorefield.toys import two_modes
    from scorefield.units import Standardize

    class Units:
        standardize = Standardize((2,), torch.tensor([-1.8, -1.7]), torch.tensor([2.5, 2.0]))

    x = torch.tensor([[0.5, -1.0], [-4.0, -3.0]], dtype=torch.float64)
    units, level = Units.standardize, torch.tensor(0.0, dtype=torch.float64)
    exact = example("annealed_langevin").exact(Units)
    change = exact.log_prob(units(x), level) - two_modes().log_prob(x)
    torch.testing.assert_close(change, torch.full_like(change, float(torch.tensor([5.0]).log())), rtol=1e-6, atol=1e-6)
