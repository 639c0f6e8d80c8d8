"""Posteriors by a learned likelihood, against exact ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield import checkpoint
from scorefield.interop import NLE
from scorefield.interop.nle import LearnedLikelihood, NLEPosterior, _Prior
from scorefield.settings import Network, Training

SEEN = np.array([[0.3], [1.1], [-0.2], [0.8]])


@pytest.fixture(scope="module")
def inference() -> NLE:
    """θ ~ N(0, 1), two observations N(θ, 1) each: that of m is N(Σx/(m + 1), 1/(m + 1))."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3000, 1))
    made = NLE(torch.distributions.Normal(torch.zeros(1), torch.ones(1)))
    made.append_simulations(theta, theta[:, None] + rng.normal(size=(3000, 2, 1)))
    made.train(training=Training(steps=250, unconditional=0.0))
    return made


@pytest.mark.slow
def test_any_number_of_observations(inference):
    posterior = inference.build_posterior()
    for observed in (SEEN, SEEN[:1]):
        m = len(observed)
        drawn = posterior.sample((4000,), x=observed).double()[:, 0]
        assert abs(float(drawn.mean()) - observed.sum() / (m + 1)) < 0.05
        assert abs(float(drawn.std()) * (m + 1) ** 0.5 - 1) < 0.1  # what 400 steps leave
        total = np.eye(m) + np.ones((m, m))  # the covariance of the observations
        exact = -0.5 * (
            np.log(np.linalg.det(2 * math.pi * total)) + observed[:, 0] @ np.linalg.solve(total, observed[:, 0])
        )
        assert abs(posterior.evidence(observed) - exact) < 0.1
        at = np.array([[-0.5], [0.3], [1.0]])
        known = -0.5 * ((at[:, 0] - observed.sum() / (m + 1)) ** 2 * (m + 1) + math.log(2 * math.pi / (m + 1)))
        assert np.abs(posterior.log_prob(at, x=observed).numpy() - known).max() < 0.4
    assert posterior.sample((2, 3), x=SEEN).shape == (2, 3, 1)
    assert torch.equal(posterior.sample((5,), x=SEEN, seed=1), posterior.sample((5,), x=SEEN, seed=1))


@pytest.mark.slow
def test_a_gaussian_simulator_is_left_to_a_gaussian_law(inference):
    assert inference.likelihood.model is None


@pytest.mark.slow
def test_one_pair_of_bounds_is_that_of_all_parameters():
    """Two parameters between -1 and 1, each observed with noise of 0.2: draws stay inside, around what was observed."""
    rng = np.random.default_rng(3)
    theta = rng.uniform(-1, 1, size=(2000, 2))
    inference = NLE((-1.0, 1.0)).append_simulations(theta, theta + 0.2 * rng.normal(size=(2000, 2)))
    inference.train(training=Training(steps=300, unconditional=0.0), network=Network(widths=(32,), depth=1))
    drawn = inference.build_posterior().sample((500,), x=[0.3, -0.2])
    assert drawn.shape == (500, 2) and float(drawn.abs().max()) < 1
    assert float((drawn.mean(0) - torch.tensor([0.3, -0.2])).abs().max()) < 0.1


@pytest.mark.slow
def test_noise_of_two_modes():
    """x = θ ± 1 + N(0, 0.3²) θ uniform: the diffusion model is needed, and kept. Exact by quadrature."""
    rng = np.random.default_rng(2)
    theta = rng.uniform(-3, 3, size=(4000, 1))
    noise = rng.choice([-1.0, 1.0], size=(4000, 1)) + 0.3 * rng.normal(size=(4000, 1))
    inference = NLE((-3.0, 3.0)).append_simulations(theta, theta + noise)
    small = Network(widths=(32,), depth=2)  # a likelihood is asked for often
    likelihood = inference.train(training=Training(steps=1500, unconditional=0.0), network=small)
    assert likelihood.model is not None
    drawn = likelihood.sample(np.zeros((2000, 1)))
    assert abs(float((drawn > 0).double().mean()) - 0.5) < 0.1 and float((drawn.abs() < 0.3).double().mean()) < 0.1
    grid, observed = np.linspace(-3, 3, 4001), np.array([[0.2]])
    one = np.exp(-(((observed - grid - 1) / 0.3) ** 2) / 2) + np.exp(-(((observed - grid + 1) / 0.3) ** 2) / 2)
    cumulative = np.cumsum(one.prod(0)) / one.prod(0).sum()
    posterior = inference.build_posterior().sample((1000,), x=observed)[:, 0].double().numpy()
    reached = np.searchsorted(np.sort(posterior), grid) / len(posterior)
    assert np.abs(reached - cumulative).max() < 0.1
    assert math.isfinite(float(inference.build_posterior().log_prob([[0.9]], x=observed)))


@pytest.mark.slow
def test_the_simulator_as_it_was_learned(inference):
    drawn = inference.likelihood.sample(np.full((4000, 1), 0.7))
    assert drawn.shape == (4000, 1)
    assert abs(float(drawn.mean()) - 0.7) < 0.1 and abs(float(drawn.std()) - 1) < 0.06


@pytest.mark.slow
def test_a_likelihood_on_disk(inference, tmp_path):
    checkpoint.save(inference.likelihood, tmp_path / "likelihood.safetensors")
    again = checkpoint.load(tmp_path / "likelihood.safetensors")
    assert isinstance(again, LearnedLikelihood)
    at = np.array([[0.1], [0.9]])
    assert torch.equal(again.log_prob(at, SEEN), inference.likelihood.log_prob(at, SEEN))
    alone = torch.stack([again.log_prob(at, row) for row in SEEN]).sum(0)  # independent observations add up
    torch.testing.assert_close(again.log_prob(at, SEEN), alone, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_noise_from_a_hundredth_to_one():
    """x ~ N(0, θ⁴) of two observations, θ uniform: one network for needles and for wide distributions. Exact by quadrature."""
    rng = np.random.default_rng(1)
    theta = rng.uniform(0.1, 1, size=(4000, 1))
    inference = NLE((0.1, 1.0)).append_simulations(theta, theta[:, None] ** 2 * rng.normal(size=(4000, 2, 1)))
    inference.train(training=Training(steps=400, unconditional=0.0))
    grid = np.linspace(0.1, 1, 4001)
    for observed in ([[0.02], [-0.01]], [[0.4], [-0.7]]):
        height = -((np.array(observed) / grid**2) ** 2).sum(0) / 2 - 4 * np.log(grid)
        density = np.exp(height - height.max())
        cumulative = np.cumsum(density) / density.sum()
        drawn = inference.build_posterior().sample((4000,), x=observed)[:, 0].double().numpy()
        assert drawn.min() > 0.1 and drawn.max() < 1
        reached = np.searchsorted(np.sort(drawn), grid) / len(drawn)
        assert np.abs(reached - cumulative).max() < 0.06
    outside = inference.build_posterior().log_prob([[1.5], [0.5]], x=[[0.1], [0.2]])
    assert outside[0] == -math.inf and math.isfinite(outside[1])


def test_what_cannot_be_inferred():
    with pytest.raises(ValueError, match=r"^posteriors by a likelihood need a prior, .*; got None$"):
        NLE(None)
    with pytest.raises(ValueError, match=r"^there are no simulations to learn from: "):
        NLE((0.0, 1.0)).train()
    with pytest.raises(ValueError, match=r"^there is no posterior before training: train\(\) first$"):
        NLE((0.0, 1.0)).build_posterior()


def test_what_was_seen_must_be_said(inference):
    with pytest.raises(ValueError, match=r"^a posterior is one given data: pass x=…"):
        inference.build_posterior().sample((3,))


class _Known:
    """The likelihood of parameters that are observed with noise, up to their signs if there are two modes."""

    model = None

    def __init__(self, scale, modes=1):
        self.scale, self.signs = scale, (1.0, -1.0)[:modes]

    def log_prob(self, theta, x, tolerance=None):
        far = torch.stack([((x - sign * theta) / self.scale).square().sum(1) / 2 for sign in self.signs])
        constant = theta.shape[1] * math.log(self.scale * math.sqrt(2 * math.pi)) + math.log(len(self.signs))
        return (-far).logsumexp(0) - constant

    gaussian_log_prob = log_prob


@pytest.mark.parametrize(
    ("scale", "modes", "allowed"),
    [(0.3, 1, 0.015), (0.3, 2, 0.08), pytest.param(0.03, 2, 0.15, marks=pytest.mark.slow)],
)
def test_evidence_is_exact(scale, modes, allowed):
    """Of one mode and of two, as near as many draws are; the last one is that of several populations."""
    prior = torch.distributions.MultivariateNormal(torch.zeros(3), torch.eye(3))
    posterior = NLEPosterior(
        _Known(scale, modes), _Prior(prior, torch.full((3,), -math.inf), torch.full((3,), math.inf))
    )
    seen = torch.tensor([0.8, -0.5, 0.3])
    exact = float(torch.distributions.MultivariateNormal(torch.zeros(3), (1 + scale**2) * torch.eye(3)).log_prob(seen))
    found = posterior.evidence(seen)
    assert abs(found - exact) < allowed
    density = posterior.log_prob(seen[None], x=seen)
    assert float(density) == pytest.approx(float(posterior.unnormalized(seen[None].double(), seen.double())) - found)
