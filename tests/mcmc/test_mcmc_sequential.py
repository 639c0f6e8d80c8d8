"""Sequential Monte Carlo between distributions that are known exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield.mcmc import sequential_monte_carlo
from scorefield.rng import Samples

N = 4000


def normal(mean, std):
    mean, std = torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(std, dtype=torch.float64)
    return lambda x: (-0.5 * ((x - mean) / std) ** 2 - torch.log(std) - 0.5 * math.log(2 * math.pi)).sum(1)


def start(seed, size=2, scale=1.0):
    rng = Samples(seed, count=N, purpose="test")
    return scale * rng.child("start").normal((N, size), torch.float64), rng


def test_between_gaussians():
    """A narrow Gaussian at 3 standard deviations: log Z over seeds, and the moments of the points."""
    found = []
    for seed in range(8):
        x, rng = start(seed)
        found.append(sequential_monte_carlo(normal([0.0, 0.0], [1.0, 1.0]), normal([3.0, 0.0], [0.01, 0.5]), x, rng))
    ratios = torch.tensor([each.log_ratio for each in found])
    assert abs(float(ratios.mean())) < 5 * float(ratios.std()) / 8**0.5 + 1e-3 and float(ratios.std()) < 0.1
    points = torch.stack([each.points for each in found])
    assert points.shape == (8, N, 2)
    means, stds = points.mean(1), points.std(1)
    for at, value, of in ((0, 3.0, means), (1, 0.0, means), (0, 0.01, stds), (1, 0.5, stds)):
        assert abs(float(of[:, at].mean()) - value) < 5 * float(of[:, at].std()) / 8**0.5
    assert found[0].betas[-1] == 1 and len(found[0].betas) == len(found[0].acceptance) > 5
    assert all(a < b for a, b in zip(found[0].betas, found[0].betas[1:]))


def test_modes_keep_their_masses():
    """Two narrow, distant modes with masses 0.2 and 0.8, from a wide Gaussian."""
    first = normal([0.0, 0.0], [4.0, 4.0])
    a, b = normal([-3.0, 1.0], [0.1, 0.1]), normal([4.0, 0.0], [0.1, 0.3])
    last = lambda x: torch.logaddexp(math.log(0.2) + a(x), math.log(0.8) + b(x))  # noqa: E731
    parts, ratios = [], []
    for seed in range(8):
        x, rng = start(seed, scale=4.0)
        found = sequential_monte_carlo(first, last, x, rng)
        parts.append(float((found.points[:, 0] < 0).double().mean()))
        ratios.append(found.log_ratio)
    parts, ratios = torch.tensor(parts), torch.tensor(ratios)
    assert abs(float(parts.mean()) - 0.2) < 5 * float(parts.std()) / 8**0.5 and float(parts.std()) < 0.05
    assert abs(float(ratios.mean())) < 5 * float(ratios.std()) / 8**0.5 + 1e-3


def test_bounded_supports():
    """From the uniform distribution on a square to that on its corner: the ratio of the areas."""
    square = lambda x: torch.where((x.abs() < 1).all(1), 0.0, -math.inf)  # noqa: E731
    corner = lambda x: torch.where(((x > 0.5) & (x < 1)).all(1), 0.0, -math.inf)  # noqa: E731
    rng = Samples(0, count=N)
    x = 2 * rng.child("start").uniform((N, 2), torch.float64) - 1
    found = sequential_monte_carlo(square, corner, x, rng)
    assert bool(((found.points > 0.5) & (found.points < 1)).all())
    assert abs(found.log_ratio - math.log(1 / 16)) < 5 * (15 / N) ** 0.5
    assert abs(float(found.points.mean()) - 0.75) < 0.02
    with pytest.raises(RuntimeError, match=r"^no point has a density under the target"):
        sequential_monte_carlo(square, lambda x: torch.full((len(x),), -math.inf), x, rng)


def test_equal_distributions_need_no_moves():
    x, rng = start(0)
    target = normal([0.0, 0.0], [1.0, 1.0])
    found = sequential_monte_carlo(target, target, x, rng)
    assert found.betas == (1.0,) and found.acceptance == (0.0,) and found.log_ratio == 0
    assert torch.equal(found.points.sort(0).values, x.sort(0).values)


def test_bad_arguments_are_refused():
    target = normal([0.0], [1.0])
    with pytest.raises(ValueError, match=r"^sequential Monte Carlo needs at least 4 points, .* got 3 points"):
        sequential_monte_carlo(target, target, torch.zeros(3, 1), Samples(0, count=3))
    with pytest.raises(ValueError, match=r"got 9 points, effective=1,"):
        sequential_monte_carlo(target, target, torch.zeros(9, 1), Samples(0, count=9), effective=1.0)


def test_moves_at_the_end_bring_the_mean_back():
    """Resampling far from the start shifts all points together; the moves that follow lose that shift."""
    dim, mean = 10, 0.8  # 2.5 standard deviations from the start

    def error(at_the_end: float) -> float:
        squares = []
        for seed in range(6):
            rng = Samples(seed, 0, 1000, "population")
            start = rng.child("start").normal((1000, dim)).double()
            wide, narrow = (lambda x: -x.square().sum(1) / 2), (lambda x: -(x - mean).square().sum(1))
            found = sequential_monte_carlo(wide, narrow, start, rng, at_the_end=at_the_end)
            squares.append(float((found.points.mean(0) - mean).square().mean() / 0.5))
        return float(np.mean(squares)) * 1000  # 1 for independent draws

    assert error(40.0) < 4 < 8 < error(0.0)
