"""Posteriors from simulations, against exact ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield.denoisers import ComposedDenoiser, ConditionalDenoiser, Denoiser, Gaussian
from scorefield.diffusion import Diffusion
from scorefield.interop import NPSE
from scorefield.interop.simulations import bounded, unbounded
from scorefield.mcmc import GaussianLangevin
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import AnnealedLangevin, Sampling, sample
from scorefield.settings import Network, Training

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def inference() -> NPSE:
    """θ uniform on (0, 1), x = θ + N(0, 0.2²): the posterior is a normal distribution, cut off at both ends."""
    theta = RNG.uniform(0, 1, size=(4000, 1))
    made = NPSE(torch.distributions.Uniform(torch.zeros(1), torch.ones(1)))
    half = made.append_simulations(theta[:2000], theta[:2000] + 0.2 * RNG.normal(size=(2000, 1)))
    half.append_simulations(theta[2000:], theta[2000:] + 0.2 * RNG.normal(size=(2000, 1)))
    half.train(training=Training(steps=1500), network=Network(widths=(64,), depth=2))
    return half


def exact(x: float, at: np.ndarray) -> np.ndarray:
    grid = np.linspace(0, 1, 2001)
    norm = np.trapezoid(np.exp(-((grid - x) ** 2) / 0.08), grid)
    return -((at - x) ** 2) / 0.08 - np.log(norm)


@pytest.mark.slow
@pytest.mark.parametrize("x", [0.95, pytest.param(0.5, marks=pytest.mark.slow)])
def test_a_posterior_with_bounds(inference, x):
    posterior, grid = inference.build_posterior(), np.linspace(0, 1, 2001)
    draws = posterior.sample((4000,), x=[x], seed=1).numpy()[:, 0]
    assert draws.min() > 0 and draws.max() < 1
    density = np.exp(exact(x, grid))
    cumulative = np.cumsum(density) / density.sum()
    reached = np.searchsorted(np.sort(draws), grid) / len(draws)
    assert np.abs(reached - cumulative).max() < 0.08  # what 1,500 steps leave
    at = np.array([[0.3], [0.6], [0.9]])
    assert np.abs(posterior.log_prob(at, x=[x]).numpy() - exact(x, at[:, 0])).max() < 0.35
    assert posterior.log_prob([[1.5], [0.0]], x=[x]).tolist() == [-np.inf, -np.inf]


def test_the_volume_of_bounds():
    """Against automatic differentiation, and back; a parameter without bounds stays as it is."""
    low = torch.tensor([-1.0, -np.inf, 0.5, -np.inf]).double()
    high = torch.tensor([3.0, np.inf, np.inf, 6.0]).double()
    theta = torch.tensor([[0.5, 2.0, 1.0, -9.0], [-0.9, -7.0, 4.0, 5.9]]).double().requires_grad_()
    z, volume = unbounded(theta, low, high)
    slope = torch.autograd.grad(z.sum(), theta)[0]
    torch.testing.assert_close(slope.log().sum(1), volume)
    torch.testing.assert_close(bounded(z, low, high), theta)
    assert torch.equal(z[:, 1], theta[:, 1])
    wild = bounded(torch.full((1, 4), -30.0).double(), low, high)
    assert bool(((wild >= low) & (wild <= high)).all())


class Normal(Denoiser):
    """That of N(mean, variance), with a mean for each state."""

    def __init__(self, mean, variance):
        super().__init__()
        self.mean, self.variance = mean, variance

    def forward(self, x, level):
        return self.mean + self.variance / (self.variance + level**2) * (x - self.mean)


class Exact(ConditionalDenoiser):
    """θ ~ N(0, 1), x given θ ~ N(θ, 1)."""

    unconditional = True

    def given(self, context):
        return Normal(context / 2, 0.5)

    def free(self):
        return Normal(torch.zeros(1, 1).double(), 1.0)


def test_several_observations_together():
    """The posterior of four is N(Σx/5, 1/5)."""
    observed = torch.tensor([[0.3], [1.1], [-0.2], [0.8]]).double()
    distribution = Gaussian(torch.zeros(1).double(), torch.ones(1).double())
    diffusion = Diffusion(EDM(0.005, 20.0), ComposedDenoiser(Exact(), observed), distribution)
    way = AnnealedLangevin(GaussianLangevin(0.2), 8)
    x = sample(diffusion, (4000, 1), Sampling(way, 60), Samples(0, count=4000))
    assert abs(float(x.mean()) - 0.4) < 5 * (0.2 / 4000) ** 0.5
    assert abs(float(x.var()) / 0.2 - 1) < 0.08


@pytest.mark.slow
def test_several_observations_of_a_learned_posterior(inference):
    """Errors of the learned scores add up, more the more observations there are: the test is of the plumbing."""
    posterior = inference.build_posterior()
    observed = np.array([[0.35], [0.5], [0.45]])
    draws = posterior.sample((200,), x=observed)
    assert abs(float(draws.mean()) - 0.43) < 0.12 and float(draws.std()) < 0.2
    with pytest.raises(ValueError, match=r"^log_prob knows one observation, got 3: draw samples for several$"):
        posterior.log_prob([[0.5]], x=observed)


def test_what_cannot_be_learned_from():
    with pytest.raises(
        ValueError, match=r"^there are no simulations to learn from: append_simulations\(theta, x\) first$"
    ):
        NPSE().train()
    with pytest.raises(ValueError, match=r"^there is no posterior before training: train\(\) first$"):
        NPSE().build_posterior()
    with pytest.raises(ValueError, match=r"^every simulation needs its parameters, got 3 parameters and 4 sim"):
        NPSE().append_simulations(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match=r"^1 of 3 simulations are not finite \(first: row 1\): leave them out"):
        NPSE().append_simulations(np.zeros(3), [0.0, np.inf, 1.0])
    gap = NPSE().append_simulations(np.arange(12.0), [[0.0, 1.0], [np.nan, 0.5], [1.0, 0.2]] + [[0.5, 0.5]] * 9)
    with pytest.raises(ValueError, match=r"^data are missing in 1 of 12 simulations \(first: row 1\), and NPSE needs"):
        gap.train()
    with pytest.raises(
        ValueError, match=r"^2 of 3 parameters lie outside of the bounds of the prior, or on them \(first: row 0\)"
    ):
        NPSE((0.0, 1.0)).append_simulations([0.0, 0.5, 2.0], np.zeros(3))
    with pytest.raises(ValueError, match=r"^columns \[1\] of the parameters are the same in every simulation: leave"):
        NPSE().append_simulations(np.stack([np.arange(12.0), np.ones(12)], 1), np.arange(12.0)).train()
    with pytest.raises(ValueError, match=r"^the data are the same in every simulation: there is nothing to learn"):
        NPSE().append_simulations(np.arange(12.0), np.ones(12)).train()
    with pytest.raises(ValueError, match=r"^bounds need low < high, got 1.0 and 0.0$"):
        NPSE((1.0, 0.0))


@pytest.mark.slow
def test_observations_whose_order_says_nothing():
    """Of the mean of four numbers, a posterior that is known: N(4 x̄ / 5, 1/5) under a standard normal prior."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3000, 1))
    x = theta[:, None] + rng.normal(size=(3000, 4, 1))
    inference = NPSE().append_simulations(theta, x)
    with pytest.raises(ValueError, match=r"^pairs are .*, as those before, got \(3, 1\) and \(3, 1\)"):
        inference.append_simulations(theta[:3], x[:3, 0])
    inference.train(training=Training(steps=400, unconditional=0.0))
    observed = np.array([[0.3], [1.1], [-0.2], [0.8]])
    drawn = inference.build_posterior().sample((4000,), x=observed).double()[:, 0]
    assert abs(float(drawn.mean()) - 0.4) < 0.06
    assert abs(float(drawn.std()) - 0.2**0.5) < 0.03
