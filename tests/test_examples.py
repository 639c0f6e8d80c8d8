"""The examples that train networks, at a size that takes seconds."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scorefield.noise_levels import fixed_point
from scorefield.samplers import AnnealedLangevin, ExponentialAdams
from scorefield.schedules import Karras


def example(name: str):
    """A script of `examples/` as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look names in annotations up here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ncsnv2_digits():
    yield example("ncsnv2_digits")
    del sys.modules["ncsnv2_digits"]


@pytest.fixture(scope="module")
def annealed_langevin():
    yield example("annealed_langevin")
    del sys.modules["annealed_langevin"]


def test_ncsnv2_on_digits(ncsnv2_digits, tmp_path, capsys):
    data = ncsnv2_digits.digits()
    assert (data.train.shape, data.held_out.shape) == ((1297, 1, 8, 8), (500, 1, 8, 8))
    ncsnv2 = replace(ncsnv2_digits.experiment(data.train, steps=2), features=2, batch=8)
    largest = torch.cdist(data.train.flatten(1), data.train.flatten(1)).max()
    assert ncsnv2.ladder.first == pytest.approx(float(largest), rel=1e-6)
    assert ncsnv2.ladder.overlap == pytest.approx(0.5667, abs=0.02)
    model = ncsnv2.model(ncsnv2_digits.trained(ncsnv2, data.train), data.train[:, 0].numpy())
    assert "step 2: loss" in capsys.readouterr().out
    langevin, default = ncsnv2_digits.methods(ncsnv2, [1], spread=0.37)
    assert isinstance(langevin.sampler, AnnealedLangevin) and langevin.evaluations == ncsnv2.ladder.count
    assert default.sampler == ExponentialAdams(2, scale=0.37, eta=1.0) and default.schedule == Karras()
    for method in (langevin, default):
        drawn = model.sample(1, sampler=method.sampler, steps=method.steps, schedule=method.schedule)
        assert drawn.shape == (1, 8, 8)
    text = ncsnv2_digits.measure(data.held_out[:50], data)
    assert "energy distance" in text and "outside the range 0.0%" in text
    ncsnv2_digits.draw({"some": data.held_out, "few": data.train[:21]}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_step_is_the_best_over_all_levels(ncsnv2_digits):
    ncsnv2 = ncsnv2_digits.experiment(ncsnv2_digits.digits().train, steps=1, moves=5)
    ratio, gap = ncsnv2.sampler().transition.ratio, ncsnv2.ladder.gap
    assert all(fixed_point(ratio, 5, gap) < fixed_point(factor * ratio, 5, gap) for factor in (0.9, 1.1))


def test_both_toy_problems(annealed_langevin, tmp_path, capsys, monkeypatch):
    def short(method):
        return replace(method, sampler=replace(method.sampler, moves=2)) if method.name != "default" else method

    methods = annealed_langevin.methods
    monkeypatch.setattr(annealed_langevin, "methods", lambda model, x: [short(each) for each in methods(model, x)])
    mixture = annealed_langevin.show_mixture(60, steps=40)
    helix = annealed_langevin.show_helix(40, points=200, steps=20)
    text = capsys.readouterr().out
    assert "summer school: 18 evaluations" in text and "default: 33 evaluations" in text
    assert [x.shape for x in mixture.values()] == [(400, 2), *[(60, 2)] * 4]
    assert [x.shape for x in helix.values()] == [(200, 3), *[(40, 3)] * 4]
    annealed_langevin.draw(mixture, helix, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_statistics_of_the_toy_problems(annealed_langevin):
    """On 20,000 exact points: the weight, the width of the modes, the width of the curve, and the unrolled curve."""
    from scorefield.rng import Samples
    from scorefield.toys import Helix, two_modes

    found = annealed_langevin.modes(two_modes().sample(20_000, Samples(0, count=20_000)))
    assert found.weight == pytest.approx(0.2, abs=5 * (0.16 / 20_000) ** 0.5)
    assert found.width == pytest.approx(1, abs=5 / (2 * 40_000) ** 0.5)
    x = Helix().sample(20_000, Samples(0, count=20_000))
    assert annealed_langevin.across(x) == pytest.approx(0.2, abs=5 * 0.2 / (2 * 40_000) ** 0.5)
    assert torch.equal(annealed_langevin.unrolled(x)[:, 2], x[:, 2])
    assert annealed_langevin.unrolled(x)[:, :2].mean(0).tolist() == pytest.approx([1, 0], abs=5 * 0.2 / 20_000**0.5)


def test_the_exact_score_in_the_units_of_a_model(annealed_langevin):
    from scorefield.toys import two_modes
    from scorefield.units import Standardize

    class Units:
        standardize = Standardize((2,), torch.tensor([-1.8, -1.7]), torch.tensor([2.5, 2.0]))

    x = torch.tensor([[0.5, -1.0], [-4.0, -3.0]], dtype=torch.float64)
    units, level = Units.standardize, torch.tensor(0.0, dtype=torch.float64)
    exact = annealed_langevin.exact(Units)
    change = exact.log_prob(units(x), level) - two_modes().log_prob(x)
    torch.testing.assert_close(change, torch.full_like(change, float(torch.tensor([5.0]).log())), rtol=1e-6, atol=1e-6)
