"""Priors that are given one by one are the prior of all parameters."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Gamma, MultivariateNormal, Normal, Uniform

from scorefield.interop import NLE, NPE, NPSE, SBI, JointInference
from scorefield.interop.independent_priors import IndependentPriors

METHODS = (NLE, NPE, NPSE, SBI, JointInference)
PAIR = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
PARTS = [Uniform(-1.0, 2.0), MultivariateNormal(torch.zeros(2), PAIR), Gamma(torch.tensor([3.0]), torch.tensor([2.0]))]


def test_densities_and_draws_are_those_of_the_product():
    prior = IndependentPriors(PARTS)
    assert prior.event_shape == (4,) and prior.batch_shape == ()
    assert prior.support.lower_bound.tolist() == [-1, -math.inf, -math.inf, 0]
    assert prior.support.upper_bound.tolist() == [2, math.inf, math.inf, math.inf]
    theta = prior.sample((50,))
    assert theta.shape == (50, 4) and prior.sample((3, 2)).shape == (3, 2, 4)
    a, b, c = theta[:, 0].numpy(), theta[:, 1:3].numpy(), theta[:, 3].numpy()
    expected = stats.uniform(-1, 3).logpdf(a) + stats.multivariate_normal([0, 0], PAIR).logpdf(b)
    expected += stats.gamma(3, scale=0.5).logpdf(c)
    np.testing.assert_allclose(prior.log_prob(theta).numpy(), expected, atol=1e-4)
    for shape in ((), (3, 2)):  # one row, and rows of rows
        some = prior.sample(shape)
        found = prior.log_prob(some)
        assert found.shape == shape
        torch.testing.assert_close(found.reshape(-1), prior.log_prob(some.reshape(-1, 4)))
    torch.manual_seed(0)
    drawn = prior.sample((20_000,))[:, 3]
    assert stats.kstest(drawn.numpy(), stats.gamma(3, scale=0.5).cdf).pvalue > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_list_of_priors(method):
    torch.manual_seed(0)
    inference = method(PARTS)
    theta = IndependentPriors(PARTS).sample((40,))
    inference.append_simulations(theta, theta + torch.randn(40, 4))
    with pytest.raises(ValueError, match="the prior has 4 parameters, and the simulations 3"):
        inference.append_simulations(theta[:, :3], theta)
    with pytest.raises(ValueError, match="1 of 40 parameters lie outside of the bounds"):
        inference.append_simulations(torch.where(torch.arange(40)[:, None] == 7, 3.0, theta), theta)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "prior", ["normal", 5, {"a": Normal(0.0, 1.0)}, (1.0,), [0.0, Normal(0.0, 1.0)], [1, 2, 3], []]
)
def test_what_is_not_a_prior_is_refused_in_a_line(method, prior):
    with pytest.raises(
        ValueError, match=r"^a prior is a distribution .*, a list of such, or bounds \(low, high\), got "
    ) as error:
        method(prior)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_likelihood_with_a_list_of_priors_gives_the_exact_posterior():
    """x = θ + noise of variance 1/4, θ ~ N(0, 1): θ | x ~ N(0.8 x, 0.2), for both parameters."""
    torch.manual_seed(0)
    priors = [Normal(0.0, 1.0), Normal(0.0, 1.0)]
    theta = IndependentPriors(priors).sample((2000,))
    inference = NLE(priors).append_simulations(theta, theta + 0.5 * torch.randn(2000, 2))
    inference.train()
    drawn = inference.build_posterior().sample((2000,), x=[1.0, -1.0])
    np.testing.assert_allclose(drawn.mean(0), [0.8, -0.8], atol=0.1)
    np.testing.assert_allclose(drawn.var(0), [0.2, 0.2], rtol=0.25)
