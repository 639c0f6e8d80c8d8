"""The conditional Gaussian, against PyTorch's distributions, and learned."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.nn import ConditionalGaussian
from scorefield.training import train_density


@pytest.fixture
def fitted() -> ConditionalGaussian:
    torch.manual_seed(0)
    made = ConditionalGaussian(3, 2, width=16)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return made.double()


def test_the_density_is_that_of_its_mean_and_covariance(fitted):
    x, c = torch.randn(5, 3).double(), torch.randn(5, 2).double()
    mean, whiten, _ = fitted.parts(c)
    other = torch.distributions.MultivariateNormal(mean, precision_matrix=whiten.mT @ whiten)
    torch.testing.assert_close(fitted.log_prob(x, c), other.log_prob(x))


def test_inverse(fitted):
    x, c = torch.randn(5, 3).double(), torch.randn(5, 2).double()
    z, volume = fitted(x, c)
    torch.testing.assert_close(fitted.inverse(z, c), x)
    jacobian = torch.autograd.functional.jacobian(lambda x: fitted(x, c)[0].sum(0), x).transpose(0, 1)
    torch.testing.assert_close(torch.linalg.det(jacobian).abs().log(), volume)


def test_standard_normal_at_initialization():
    fitted, x = ConditionalGaussian(2, 1), torch.randn(4, 2)
    expected = -x.square().sum(1) / 2 - math.log(2 * math.pi)
    torch.testing.assert_close(fitted.log_prob(x, torch.randn(4, 1)), expected)
    with pytest.raises(ValueError, match=r"^ConditionalGaussian needs positive sizes, got features=2, context=0"):
        ConditionalGaussian(2, 0)


def test_noise_that_depends_on_the_context():
    """x ~ N(c, e^(2c)), a hundredfold range of noise: within 2 % of the entropy's nat, and the width itself within 5 %."""
    torch.manual_seed(0)
    c = 4 * torch.rand(8000, 1) - 2
    x = c + c.exp() * torch.randn(8000, 1)
    fitted = ConditionalGaussian(1, 1, width=32)
    found = train_density(fitted, x[800:], c[800:], (x[:800], c[:800]), steps=1500, learning_rate=4e-3)
    entropy = 0.5 * math.log(2 * math.pi * math.e)  # the mean of c is 0
    assert abs(found + entropy) < 5 * (0.5 / 800) ** 0.5 + 0.02
    at = torch.tensor([[-1.5], [0.0], [1.5]])
    with torch.no_grad():
        mean, whiten, _ = fitted.parts(at)
    assert float((whiten[:, 0] * at.exp()).log().abs().max()) < 0.08
    assert float(((mean - at) / at.exp()).abs().max()) < 0.12
    with pytest.raises(ValueError, match=r"^every row needs one context, got 2 contexts for 3 rows$"):
        train_density(fitted, x[:3], c[:2], (x, c))
