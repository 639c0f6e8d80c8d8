from __future__ import annotations

import math

import pytest
import torch

from scorefield.denoisers import Gaussian
from scorefield.gaussian_frame import GaussianFrame
from scorefield.rng import Samples

D = torch.float64
FULL = Gaussian(torch.tensor([1.0, -2.0], dtype=D), torch.tensor([[4.0, 1.0], [1.0, 0.5]], dtype=D))
IMAGE = Gaussian(
    torch.linspace(-1, 1, 12, dtype=D).reshape(3, 2, 2), torch.linspace(0, 3, 12, dtype=D).reshape(3, 2, 2)
)
LEVELS = torch.tensor([0.01, 1.0, 80.0], dtype=D)


def states(gaussian: Gaussian) -> torch.Tensor:
    return gaussian.sample(5, Samples(0, count=5)) + Samples(1, count=5).normal((5, *gaussian.mean.shape), D)


@pytest.mark.parametrize("gaussian", [FULL, IMAGE], ids=["full", "image"])
def test_back_inverts_into(gaussian):
    x = states(gaussian)
    frame = GaussianFrame.of(gaussian, x, LEVELS[0])
    for level in (*LEVELS, torch.linspace(0.1, 2, 5, dtype=D)):
        w = frame.into(x, level)
        assert w.shape == (5, gaussian.mean.numel())
        torch.testing.assert_close(frame.back(w, level), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gaussian", [FULL, IMAGE], ids=["full", "image"])
def test_gaussian_data_do_not_move(gaussian):
    x = states(gaussian)
    frame = GaussianFrame.of(gaussian, x, LEVELS[0])
    for level in LEVELS:
        w = frame.into(x, level)
        slope = frame.slope(gaussian, w, torch.full((5,), frame.clock(level), dtype=D))
        assert float(slope.abs().max()) < 1e-10


def test_states_of_gaussian_data_have_unit_variance():
    level = torch.tensor(0.3, dtype=D)
    w = GaussianFrame.of(FULL, FULL.mean[None], level).into(FULL.sample(200_000, Samples(0, count=200_000), 0.3), level)
    torch.testing.assert_close(torch.cov(w.T), torch.eye(2, dtype=D), rtol=0, atol=0.02)


def test_the_slope_is_that_of_the_probability_flow():
    """dw/dφ by central differences along du/dσ = (u - D)/σ, for data with other moments."""
    other = Gaussian(torch.zeros(2, dtype=D), torch.eye(2, dtype=D))
    u, level, step = states(FULL), torch.tensor(0.7, dtype=D), 1e-5
    frame = GaussianFrame.of(FULL, u, LEVELS[0])
    slope = (u - other(u, level)) / level
    ends = [frame.into(u + sign * step * slope, level + sign * step) for sign in (1, -1)]
    angle = frame.clock(level + step) - frame.clock(level - step)
    found = frame.slope(other, frame.into(u, level), torch.full((5,), frame.clock(level), dtype=D))
    torch.testing.assert_close((ends[0] - ends[1]) / angle, found, rtol=1e-6, atol=1e-8)


def test_the_angle_has_the_scale_of_the_data():
    assert GaussianFrame.of(FULL, states(FULL), LEVELS[0]).scale == pytest.approx(1.5)  # √((4 + 0.5)/2)
    assert GaussianFrame.of(FULL, states(FULL), LEVELS[0]).clock(torch.tensor(1.5, dtype=D)) == pytest.approx(
        math.pi / 4
    )
    assert GaussianFrame.of(None, states(FULL), LEVELS[0]).scale == 1.0


def test_constant_data_have_the_scale_of_the_smallest_level():
    gaussian = Gaussian(torch.zeros(2, dtype=D), torch.zeros(2, 2, dtype=D))
    assert GaussianFrame.of(gaussian, torch.zeros(1, 2, dtype=D), LEVELS[0]).scale == pytest.approx(0.01)


def test_the_type_of_the_state_is_kept():
    frame = GaussianFrame.of(FULL, states(FULL).float(), LEVELS[0])
    assert frame.into(states(FULL).float(), torch.tensor(1.0)).dtype == torch.float32
