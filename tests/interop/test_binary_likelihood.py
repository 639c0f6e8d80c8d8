"""Observations of numbers that take two values each: their likelihood is learned as a probability."""

import math

import pytest
import torch

from scorefield import checkpoint
from scorefield.interop import NLE
from scorefield.interop.binary_likelihood import BinaryLikelihood

SLOPES = torch.linspace(-2, 2, 12, dtype=torch.float64)


def uniform(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def answers(theta, seed):
    """Twelve answers to questions: -2 or 5, the latter with a probability of 1 / (1 + exp(-slope θ - .3))."""
    p = torch.sigmoid(theta * SLOPES + 0.3)
    return torch.where(uniform(len(theta), 12, seed=seed) < p, 5.0, -2.0)


def trained(seed=0, count=4000):
    theta = 4 * uniform(count, 1, seed=seed) - 2
    inference = NLE(prior=(-2.0, 2.0)).append_simulations(theta, answers(theta, seed + 1))
    inference.train()
    return inference


def test_posteriors_are_those_of_the_exact_probabilities():
    inference = trained()
    assert isinstance(inference.likelihood, BinaryLikelihood)
    posterior, grid = inference.build_posterior(), torch.linspace(-2, 2, 2001, dtype=torch.float64)[1:-1]
    for x in answers(torch.tensor([[-1.2], [0.4], [1.5]], dtype=torch.float64), 9):
        signs = torch.where(x > 0, 1.0, -1.0)
        exact = torch.nn.functional.logsigmoid(signs * (grid[:, None] * SLOPES + 0.3)).sum(1)
        weight = exact.softmax(0)
        mean = float(weight @ grid)
        std = float(weight @ (grid - mean) ** 2) ** 0.5
        draws = posterior.sample((4000,), x=x, seed=1).double()
        # 48,000 answers and 24 numbers: the slopes shift a posterior by about √(24/48,000 · 12) = 0.08 deviations
        assert abs(float(draws.mean()) - mean) < (4 * 0.08 + 4 / 4000**0.5) * std
        assert abs(math.log(float(draws.std()) / std)) < 0.15
        found = inference.likelihood.log_prob(grid[:, None], x)
        assert float((found - exact).abs()[weight > 1e-4].max()) < 0.5  # probabilities, not densities of -2 and 5


@pytest.mark.slow
def test_answers_that_depend_on_each_other():
    theta = 4 * uniform(4000, 1, seed=0) - 2
    x = answers(theta, 1)
    x[:, 6:] = x[:, :6]  # the second half says nothing new
    inference = NLE(prior=(-2.0, 2.0)).append_simulations(theta, x)
    likelihood = inference.train()
    fresh = 4 * uniform(2000, 1, seed=5) - 2
    new = answers(fresh, 6)
    new[:, 6:] = new[:, :6]
    signs = torch.where(new[:, :6] > 0, 1.0, -1.0)
    exact = torch.nn.functional.logsigmoid(signs * (fresh * SLOPES[:6] + 0.3)).sum(1)
    found = likelihood.paired_log_prob(fresh, new)
    assert float(exact.mean() - found.mean()) < 0.3  # as independent ones they would count twice, -2.4
    drawn = likelihood.sample(fresh, 3)
    assert float((drawn[:, :6] == drawn[:, 6:]).double().mean()) > 0.95


def test_a_value_that_no_simulation_has_is_refused():
    posterior = trained(count=400).build_posterior()
    x = answers(torch.zeros(1, 1, dtype=torch.float64), 3)[0]
    x[4] = 1
    with pytest.raises(ValueError, match=r"a number of the observation is 1, and -2 or 5 in every simulation"):
        posterior.sample((10,), x=x)


def test_it_is_saved(tmp_path):
    likelihood = trained(count=400).likelihood
    checkpoint.save(likelihood, tmp_path / "likelihood.safetensors")
    again, x = checkpoint.load(tmp_path / "likelihood.safetensors"), answers(torch.zeros(2, 1, dtype=torch.float64), 3)
    assert torch.equal(again.log_prob(torch.zeros(1, 1), x), likelihood.log_prob(torch.zeros(1, 1), x))


def chain(theta, seed):
    """Twenty numbers, each equal to the one before with a probability of 1 / (1 + exp(-θ)): alone they say nothing."""
    same = uniform(len(theta), 20, seed=seed) < torch.sigmoid(theta)
    x = (uniform(len(theta), 1, seed=seed + 1) < 0.5).expand(-1, 20).clone()
    for i in range(1, 20):
        x[:, i] = x[:, i - 1] == same[:, i]
    return x.double()


@pytest.mark.slow
def test_parameters_that_say_how_numbers_depend_on_each_other():
    theta = 4 * uniform(8000, 1, seed=0) - 2
    inference = NLE(prior=(-2.0, 2.0)).append_simulations(theta, chain(theta, 1))
    inference.train()
    posterior, grid = inference.build_posterior(), torch.linspace(-2, 2, 801, dtype=torch.float64)[1:-1]
    for x in chain(torch.tensor([[-1.5], [0.0], [1.5]], dtype=torch.float64), 7):
        equal = int((x[1:] == x[:-1]).sum())
        logs = equal * torch.nn.functional.logsigmoid(grid) + (19 - equal) * torch.nn.functional.logsigmoid(-grid)
        weight = logs.softmax(0)
        mean = float(weight @ grid)
        std = float(weight @ (grid - mean) ** 2) ** 0.5
        draws = posterior.sample((2000,), x=x).double()
        assert abs(float(draws.mean()) - mean) < 0.5 * std  # of 20 by 20 weights; the prior's is up to 4 of these away
        assert abs(math.log(float(draws.std()) / std)) < 0.25
