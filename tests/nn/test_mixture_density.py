"""Mixtures of Gaussians that depend on a context, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield import checkpoint
from scorefield.nn import ConditionalMixture
from scorefield.rng import Samples, torch_seeded
from scorefield.training import DensityTraining, train_density


def made(features: int, context: int, **sizes: int) -> ConditionalMixture:
    """One with weights that are not those of the start."""
    with torch_seeded(0):
        density = ConditionalMixture(features, context, **sizes)
        for parameter in density.parameters():
            parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return density.double()


@torch.no_grad()
def test_it_is_a_density_in_one_and_two_dimensions():
    one, grid = made(1, 2, components=3, members=2), torch.linspace(-30, 30, 6001).double()[:, None]
    given = torch.tensor([[0.3, -1.0]]).double()
    assert abs(float(torch.trapezoid(one.log_prob(grid, given.expand(len(grid), -1)).exp(), grid[:, 0])) - 1) < 1e-6
    two, line = made(2, 2, components=2, members=3), torch.linspace(-20, 20, 161).double()
    points = torch.cartesian_prod(line, line)
    total = two.log_prob(points, given.expand(len(points), -1)).exp().sum() * (line[1] - line[0]) ** 2
    assert abs(float(total) - 1) < 1e-3


@torch.no_grad()
@pytest.mark.slow
def test_draws_are_those_of_the_density():
    """Means and covariances of 40,000 draws, against integrals of the density on a grid, within five standard errors."""
    density, count = made(2, 1, components=2, members=2), 40_000
    given = torch.tensor([[0.7]]).double()
    x = density.sample(given, Samples(0, count=count), count).numpy()
    few = density.sample(given.expand(50, -1), Samples(0, count=50)).numpy()
    np.testing.assert_allclose(few, x[:50], rtol=1e-9, atol=1e-9)  # one context for all, or one each
    one = density.log_prob(torch.from_numpy(x[:50]), given)
    torch.testing.assert_close(one, density.log_prob(torch.from_numpy(x[:50]), given.expand(50, -1)))
    line = torch.linspace(-20, 20, 201).double()
    points = torch.cartesian_prod(line, line)
    weight = density.log_prob(points, given.expand(len(points), -1)).exp().numpy()
    weight, points = weight / weight.sum(), points.numpy()
    for f in (lambda p: p[:, 0], lambda p: p[:, 1], lambda p: p[:, 0] * p[:, 1], lambda p: np.tanh(p[:, 0]) ** 2):
        values = f(x)
        assert abs(values.mean() - weight @ f(points)) < 5 * values.std() / math.sqrt(count) + 1e-4


@torch.no_grad()
def test_members_are_averaged_and_computed_together():
    density = made(3, 2, members=3)
    x, given = torch.randn(5, 3).double(), torch.randn(5, 2).double()
    each = density.member_log_probs(x, given)
    torch.testing.assert_close(density.log_prob(x, given), each.exp().mean(0).log())
    own = torch.stack([x, x + 1, x - 1])
    torch.testing.assert_close(density.member_log_probs(own, given.expand(3, -1, -1))[0], each[0])


@pytest.mark.parametrize("features", [3, 21])
@torch.no_grad()
def test_pairs_of_every_row_and_context(features):
    density = made(features, 2, members=3)
    x, given = torch.randn(4, features).double(), torch.randn(5, 2).double()
    each = density.each_log_prob(x, given)
    assert each.shape == (5, 4)
    for i in range(4):
        torch.testing.assert_close(each[:, i], density.log_prob(x[i].expand(5, -1), given))


@pytest.mark.parametrize("features", [2, 21])
@torch.no_grad()
def test_near_singular_data_start_at_their_regression(features):
    """Of a linear Gaussian simulator with a condition number of 1e8, the first density is already that of the regression."""
    rng = np.random.default_rng(0)
    given = torch.from_numpy(rng.normal(size=(4000, 3)))
    noise = rng.normal(size=(4000, features)) * np.geomspace(1, 1e-4, features)
    x = given @ torch.from_numpy(rng.normal(size=(3, features))) + torch.from_numpy(noise)
    density = ConditionalMixture(features, 3, components=1).double()
    density.start_at(x, given)
    residual = (
        x
        - torch.cat([given, torch.ones(4000, 1)], 1)
        @ torch.linalg.lstsq(torch.cat([given, torch.ones(4000, 1)], 1), x)[0]
    )
    covariance = residual.T @ residual / (4000 - 4)
    exact = torch.distributions.MultivariateNormal(torch.zeros(features).double(), covariance).log_prob(residual)
    assert abs(float(density.log_prob(x, given).mean() - exact.mean())) < 0.5  # first weights are small, not 0


@pytest.mark.slow
def test_training_finds_what_depends_on_the_context():
    """x ~ N(c, (0.1 + c²)²) in one dimension: within 0.03 nats of the truth on data that were not trained on."""
    rng = np.random.default_rng(0)
    c = rng.uniform(-1, 1, size=(6000, 1))
    x = c + (0.1 + c**2) * rng.normal(size=c.shape)
    c, x = torch.from_numpy(c).float(), torch.from_numpy(x).float()
    with torch_seeded(0):
        density = ConditionalMixture(1, 1, components=2, members=2, width=32)
    density.start_at(x[2000:], c[2000:])
    found = train_density(density, x[2000:], c[2000:], (x[:1000], c[:1000]), steps=1200)
    exact = torch.distributions.Normal(c, 0.1 + c**2).log_prob(x)[:, 0]
    assert found == pytest.approx(float(density.log_prob(x[:1000], c[:1000]).mean().detach()), abs=1e-5)
    assert abs(float((density.log_prob(x[1000:2000], c[1000:2000]) - exact[1000:2000]).mean())) < 0.03


def test_it_is_saved_with_its_regression(tmp_path):
    density = made(2, 2).float()
    density.start_at(torch.randn(50, 2), torch.randn(50, 2))
    checkpoint.save(density, tmp_path / "density.safetensors")
    again = checkpoint.load(tmp_path / "density.safetensors")
    x, given = torch.randn(4, 2), torch.randn(4, 2)
    assert torch.equal(again.log_prob(x, given), density.log_prob(x, given))


def test_sizes_are_positive():
    with pytest.raises(ValueError, match=r"^ConditionalMixture needs positive sizes, got features=2, context=0"):
        ConditionalMixture(2, 0)


def test_what_training_does_not_improve_stays():
    """A linear regression of Gaussian data is right from the start, and steps that are too long only disturb it."""
    rng = torch.Generator().manual_seed(2)
    c = torch.randn(1500, 3, generator=rng)
    x = c @ torch.tensor([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.2]]) + 0.3 * torch.randn(1500, 2, generator=rng)
    density = ConditionalMixture(2, 3, 1)
    density.start_at(x[500:], c[500:])
    start = [weight.detach().clone() for weight in density.parameters()]
    found = train_density(density, x[500:], c[500:], (x[:500], c[:500]), steps=300, learning_rate=0.3)
    assert all(torch.equal(a, b) for a, b in zip(start, density.parameters()))
    assert found == float(density.log_prob(x[:500], c[:500]).mean())


def test_training_in_pieces_is_training_as_a_whole():
    rng = torch.Generator().manual_seed(3)
    c = torch.randn(300, 1, generator=rng)
    x = c.abs() + 0.1 * torch.randn(300, 1, generator=rng)
    whole, pieces = (make_small(x, c) for _ in range(2))
    how = (x, c, (x[:100], c[:100]), 60)
    found = train_density(whole, *how)
    training = DensityTraining(pieces, *how)
    for share in (0.1, 0.35, 0.4):
        training.run(share)
        assert training.step == round(60 * share)
    assert training.finish() == found == float(pieces.log_prob(x[:100], c[:100]).mean())
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), pieces.parameters()))


def make_small(x: torch.Tensor, c: torch.Tensor) -> ConditionalMixture:
    with torch_seeded(0):
        density = ConditionalMixture(1, 1, components=2, members=2, width=16)
    density.start_at(x, c)
    return density
