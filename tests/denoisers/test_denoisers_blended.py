from __future__ import annotations

import math

import pytest
import torch

from scorefield.denoisers import Blended, Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.likelihood import log_prob
from scorefield.processes import EDM
from scorefield.rng import Samples

D = torch.float64
COVARIANCE = torch.tensor([[1.0, 0.3], [0.3, 0.25]], dtype=D)
MEANS = torch.tensor([[1.0, -2.0], [0.5, 0.0]], dtype=D)


def states() -> torch.Tensor:
    return 2 * Samples(0, count=50).normal((50, 2), D)


@pytest.mark.parametrize("level", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_gaussians_of_one_covariance_blend_to_that_between_their_means(weight, level):
    blend = Blended(*(Gaussian(mean, COVARIANCE) for mean in MEANS), weight)
    exact = Gaussian((1 - weight) * MEANS[0] + weight * MEANS[1], COVARIANCE)
    level = torch.tensor(level, dtype=D)
    torch.testing.assert_close(blend(states(), level), exact(states(), level), rtol=1e-12, atol=1e-12)


def test_its_density_by_the_flow_is_exact():
    blend = Blended(*(Gaussian(mean, COVARIANCE) for mean in MEANS), 0.3)
    exact = Gaussian(0.7 * MEANS[0] + 0.3 * MEANS[1], COVARIANCE)
    process = EDM(0.01, 80.0)
    found = log_prob(Diffusion(process, blend, exact), states(), tolerance=1e-6)
    torch.testing.assert_close(found.value, exact.log_prob(states(), 0.01), rtol=0, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_levels_belong_to_rows(weight, mixture: Mixture, gaussian: Gaussian):
    x, level = states(), torch.linspace(0.1, 3, 50, dtype=D)[:, None]
    blend = Blended(mixture, gaussian, weight)
    expected = (1 - weight) * mixture(x, level) + weight * gaussian(x, level)
    torch.testing.assert_close(blend(x, level), expected)


def test_weights_of_levels_are_linear_in_the_logarithm_and_constant_beyond(mixture: Mixture, gaussian: Gaussian):
    blend = Blended(mixture, gaussian, (0.2, 0.8, 0.4), levels=(0.01, 0.1, 10.0))
    for level, weight in (
        (1e-4, 0.2),
        (0.01, 0.2),
        (0.01**0.5 * 0.1**0.5, 0.5),
        (0.1, 0.8),
        (1.0, 0.6),
        (10.0, 0.4),
        (90.0, 0.4),
    ):
        at = torch.tensor(level, dtype=D)
        torch.testing.assert_close(blend(states(), at), Blended(mixture, gaussian, weight)(states(), at))
    rows = torch.logspace(-4, 2, 50, dtype=D)[:, None]
    each = torch.cat([blend(x[None], level) for x, level in zip(states(), rows)])
    torch.testing.assert_close(blend(states(), rows), each)
    assert blend.share == 0.4 and bool(blend(states(), torch.tensor(0.0, dtype=D)).isfinite().all())


def test_each_weight_has_a_level(gaussian: Gaussian):
    for weight, levels in (((0.1, 0.2), (1.0,)), ((0.1, 0.2), (1.0, 0.5)), ((0.1, 0.2), ()), ((0.1,), (0.0,))):
        with pytest.raises(ValueError, match="as many levels, above 0 and increasing"):
            Blended(gaussian, gaussian, weight, levels=levels)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_weights_are_parts(weight, gaussian: Gaussian):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Blended(gaussian, gaussian, weight)


def test_far_from_the_data_the_baseline_is_left(gaussian: Gaussian, mixture: Mixture):
    """Half of the weight is left at a squared distance of n + 8 √(2n), almost all within it, almost none beyond."""
    direction = gaussian.colour(torch.tensor([[1.0, 0.0]], dtype=D), 0.5) - gaussian.mean
    blend, everywhere = Blended(mixture, gaussian, 0.4, reach=gaussian), Blended(mixture, gaussian, 0.4)
    level = torch.tensor(0.5, dtype=D)
    for square, part in ((0.0, 1.0), (8.0, 1.0), (18.0, 0.5), (30.0, 0.0), (1e8, 0.0)):
        x = gaussian.mean + square**0.5 * direction
        share = (blend(x, level) - mixture(x, level)) / (everywhere(x, level) - mixture(x, level))
        torch.testing.assert_close(share, torch.full_like(x, part), rtol=0, atol=0.01)
