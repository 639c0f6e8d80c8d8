"""Observations that consist of independent parts are recognized, and their likelihoods multiply."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield import checkpoint
from scorefield.interop import NLE
from scorefield.interop.independent_parts import IndependentParts, find_parts, split


def measured(count: int, parts: int, seed: int, width: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """θ ~ N(0, 1) in two dimensions, and parts (θ + noise) whose width is that of the first numbers of θ."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(count, 2))
    x = theta[:, None, :width] + rng.normal(size=(count, parts, width))
    return torch.from_numpy(theta), torch.from_numpy(x)


@pytest.mark.parametrize("strided", [False, True])
def test_parts_are_recognized_in_either_order(strided):
    for seed in range(5):
        theta, x = measured(600, 3, seed)
        found = find_parts(theta, (x.mT if strided else x).reshape(len(x), -1))
        assert found == (3, strided)
        assert torch.equal(split((x.mT if strided else x).reshape(len(x), -1), *found), x)


def test_numbers_that_are_not_alike_are_not_parts():
    """Of another parameter, another noise, another shape, or another dependence inside of a part: at 2,000 simulations."""
    rng = np.random.default_rng(0)
    theta = torch.from_numpy(rng.normal(size=(2000, 2)))
    noise = torch.from_numpy(rng.normal(size=(2000, 4)))
    same = theta[:, :1]
    assert find_parts(theta, theta + noise[:, :2]) is None
    assert find_parts(theta, torch.cat([same + noise[:, :1], same + 1.5 * noise[:, 1:2]], 1)) is None
    assert find_parts(theta, torch.cat([same + noise[:, :1], same + noise[:, 1:2].abs()], 1)) is None
    turned = torch.cat([noise[:, :2], noise[:, 2:3], 0.5 * noise[:, 2:3] + 0.75**0.5 * noise[:, 3:]], 1)
    assert find_parts(theta, turned) != (2, False)


def test_alike_parts_are_found_as_often_as_the_level_says():
    found = [find_parts(*((v if v.ndim == 2 else v[:, :, 0]) for v in measured(400, 4, seed, 1))) for seed in range(60)]
    assert found.count((4, False)) >= 59


@pytest.mark.slow
def test_the_likelihood_of_parts_is_the_better_one_and_exact(tmp_path):
    """θ given four independent measurements each: within 0.02 nats a number of the truth, as one by one; saved and loaded."""
    theta, x = measured(2000, 4, 0)
    flat = x.reshape(2000, -1)
    inference = NLE(prior=torch.distributions.Normal(torch.zeros(2), torch.ones(2))).append_simulations(theta, flat)
    likelihood = inference.train(max_num_epochs=15)
    assert isinstance(likelihood, IndependentParts) and likelihood.parts == 4
    new, observed = measured(500, 4, 1)
    exact = torch.distributions.Normal(new[:, None], 1.0).log_prob(observed).sum((1, 2))
    value = likelihood.paired_log_prob(new, observed.reshape(500, -1))
    assert abs(float((value - exact).mean())) < 0.02 * 8
    assert torch.allclose(likelihood.log_prob(new[:1], observed[0].reshape(1, -1)), value[:1], atol=1e-4)
    drawn = likelihood.sample(new[:1].expand(4000, -1), seed=0)
    assert drawn.shape == (4000, 8)
    assert torch.allclose(drawn.mean(0), new[0].repeat(4), atol=0.1) and torch.allclose(
        drawn.std(0), torch.ones(8).double(), atol=0.1
    )
    posterior = inference.build_posterior()
    draws = posterior.sample((800,), x=observed[0].reshape(-1), seed=0)
    assert torch.allclose(draws.double().mean(0), observed[0].sum(0) / 5, atol=0.1)
    checkpoint.save(likelihood, tmp_path / "parts.safetensors")
    again = checkpoint.load(tmp_path / "parts.safetensors")
    assert torch.equal(again.paired_log_prob(new, observed.reshape(500, -1)), value)


@pytest.mark.slow
def test_dependent_parts_are_learned_together():
    """Alike parts with a common noise: the product of their densities is worse, and is not taken."""
    rng = np.random.default_rng(0)
    theta = torch.from_numpy(rng.normal(size=(1500, 1)))
    x = theta + torch.from_numpy(0.9 * rng.normal(size=(1500, 1)) + 0.3 * rng.normal(size=(1500, 3)))
    assert find_parts(theta, x) == (3, False)
    likelihood = NLE(prior=torch.distributions.Normal(torch.zeros(1), torch.ones(1))).append_simulations(theta, x)
    assert not isinstance(likelihood.train(max_num_epochs=20), IndependentParts)
