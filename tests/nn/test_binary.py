"""Bits given a context: probabilities sum to 1, draws have them, and logistic regression finds known slopes."""

import itertools

import pytest
import torch

from scorefield import checkpoint
from scorefield.nn import ConditionalBits
from scorefield.rng import Samples


def made(features: int, context: int, width: int) -> ConditionalBits:
    generator = torch.Generator().manual_seed(features)
    density = ConditionalBits(features, context, width)
    with torch.no_grad():
        for parameter in density.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        if width:
            density.before /= 20
    return density.requires_grad_(False)


ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))


@pytest.mark.parametrize("width", [0, 8])
def test_probabilities_sum_to_one(width):
    density, context = made(4, 3, width), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    each = density.each_log_prob(ALL, context)
    assert torch.allclose(each.exp().sum(1), torch.ones(5))
    pairs = density.log_prob(ALL[None].expand(5, 16, 4), context[:, None].expand(5, 16, 3))
    assert torch.allclose(each, pairs, atol=1e-6)
    assert torch.equal(density.member_log_probs(ALL[None, :5], context[None])[0], density.log_prob(ALL[:5], context))


@pytest.mark.parametrize("width", [0, 8])
def test_draws_have_the_probabilities(width):
    density, context = made(4, 3, width), torch.tensor([[0.3, -1.0, 0.5]])
    count = 40_000
    x = density.sample(context, Samples(1, 0, count), count)
    found = torch.bincount((x @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long(), minlength=16) / count
    expected = density.each_log_prob(ALL, context)[0].exp()
    chi = float((count * (found - expected) ** 2 / expected).sum())
    assert chi < 15 + 4 * 30**0.5  # 15 degrees of freedom


def test_logistic_regression_finds_known_slopes():
    generator = torch.Generator().manual_seed(3)
    true = made(3, 2, 0)
    context = torch.randn(20_000, 2, generator=generator)
    x = true.sample(context, Samples(0, 0, 20_000))
    density = ConditionalBits(3, 2)
    density.start_at(x, context)
    p = torch.sigmoid(true.line(context))
    for i in range(3):
        known = torch.cat((context, torch.ones(20_000, 1)), 1)
        information = known.T @ (known * (p * (1 - p))[:, i : i + 1])
        errors = torch.linalg.inv(information).diagonal().sqrt()
        found = torch.cat((density.line.weight[i], density.line.bias[i : i + 1]))
        assert bool(((found - torch.cat((true.line.weight[i], true.line.bias[i : i + 1]))).abs() < 4 * errors).all())


def test_numbers_that_a_context_separates_have_finite_slopes():
    context = torch.linspace(-1, 1, 200)[:, None]
    density = ConditionalBits(1, 1)
    density.start_at((context > 0).float(), context)
    assert torch.isfinite(density.line.weight).all()
    assert float(density.log_prob((context > 0).float(), context).detach().exp().min()) > 0.5


def test_it_is_saved(tmp_path):
    density = made(4, 3, 8)
    checkpoint.save(density, tmp_path / "bits.safetensors")
    again, context = checkpoint.load(tmp_path / "bits.safetensors"), torch.zeros(2, 3)
    assert torch.equal(again.each_log_prob(ALL, context), density.each_log_prob(ALL, context))


def test_sizes_that_are_none():
    with pytest.raises(ValueError, match=r"^ConditionalBits needs positive sizes, got features=0, context=1, width=0"):
        ConditionalBits(0, 1)
