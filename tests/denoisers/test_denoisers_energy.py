"""Energies: the score is a gradient, the log-density is its integral, and chains with a test take both."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scorefield
from scorefield.data import ArrayRows
from scorefield.denoisers import (
    AnalyticDensity,
    DataPrediction,
    EDMPrediction,
    EnergyDenoiser,
    FlowPrediction,
    Gaussian,
    Mixture,
    NoisePrediction,
    Preconditioned,
    ScorePrediction,
    VPrediction,
)
from scorefield.derivatives import gradient, products
from scorefield.diffusion import Diffusion
from scorefield.mcmc import MetropolisLangevin, langevin
from scorefield.nn import MLP, Potential, UNet
from scorefield.objectives import DenoisingScoreMatching, LogNormal, excess
from scorefield.processes import VP
from scorefield.rng import Samples
from scorefield.samplers import AnnealedLangevin, Sampling, sample
from scorefield.schedules import LogLevel
from scorefield.settings import Training
from scorefield.toys import Donut
from scorefield.training import Feed, Trainer
from scorefield.units import Standardize

D = torch.float64
PARAMETRIZATIONS = [
    EDMPrediction(),
    EDMPrediction(0.4),
    DataPrediction(),
    NoisePrediction(),
    ScorePrediction(),
    VPrediction(),
    FlowPrediction(),
]


def awake(network: nn.Module, size: float = 0.3) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(size * torch.randn(p.shape, generator=generator))
    return network.double()


def turning(denoiser: nn.Module, level: float) -> float:
    x, v = (Samples(seed, count=20).normal((20, 3), D) for seed in (0, 1))
    pushed, pulled = products(lambda x: denoiser(x, torch.tensor(level, dtype=D)), x, v)
    return float((pushed - pulled).square().sum() / pushed.square().sum())


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS, ids=repr)
@pytest.mark.parametrize("level", [0.05, 1.0, 30.0])
def test_the_score_is_the_gradient_of_the_log_density(parametrization, level):
    energy = EnergyDenoiser(Preconditioned(Potential(awake(MLP(3, 16, 1))), parametrization))
    x, sigma = level * Samples(0, count=10).normal((10, 3), D), torch.tensor(level, dtype=D)
    slope = gradient(lambda x: energy.log_prob(x, sigma), x)[1].detach()
    score = (energy(x, sigma) - x).detach() / sigma**2
    torch.testing.assert_close(score, slope, rtol=1e-7, atol=1e-7 * float(slope.abs().max()))
    each = torch.full((10, 1), level, dtype=D)
    torch.testing.assert_close(energy.log_prob(x, each), energy.log_prob(x, level))


@pytest.mark.parametrize("level", [0.1, 2.0])
def test_an_energy_does_not_turn_and_other_networks_do(level):
    assert turning(Preconditioned(Potential(awake(MLP(3, 16, 1)))), level) < 1e-20
    assert turning(Preconditioned(awake(MLP(3, 16, 1))), level) > 1e-5


def test_grids_have_energies():
    network = Potential(awake(UNet(2, 1, (8,), embedding=8), 0.1))
    energy = EnergyDenoiser(Preconditioned(network))
    x = Samples(0, count=2).normal((2, 1, 4, 4), D)
    slope = gradient(lambda x: energy.log_prob(x, 0.5), x)[1].detach()
    with torch.no_grad():
        found = (energy(x, torch.tensor(0.5, dtype=D)) - x) / 0.25
    assert not found.requires_grad
    torch.testing.assert_close(found, slope, rtol=1e-6, atol=1e-8)


class Half(nn.Module):
    """N(x, c) = (A(c) - 1)/2 … of Gaussian data of the covariance C: what makes a Potential exact for them."""

    def __init__(self, covariance: Tensor) -> None:
        super().__init__()
        self.register_buffer("covariance", covariance)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        level = torch.exp(4 * c)[:, None, None]
        eye = torch.eye(len(self.covariance), dtype=x.dtype)
        total = self.covariance + level**2 * eye
        skip = 1 / (level**2 + 1)
        wanted = (torch.linalg.solve(total, self.covariance.expand_as(total)) - skip * eye) * (level**2 + 1) / level
        return torch.einsum("bij,bj->bi", wanted, x) / 2


def example() -> tuple[Gaussian, EnergyDenoiser]:
    distribution = Gaussian(torch.zeros(2, dtype=D), torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=D))
    return distribution, EnergyDenoiser(Preconditioned(Potential(Half(distribution.covariance)), EDMPrediction()))


def test_gaussian_data_are_represented_exactly():
    distribution, energy = example()
    x = Samples(0, count=20).normal((20, 2), D)
    for level in (0.01, 0.7, 40.0):
        sigma = torch.tensor(level, dtype=D)
        torch.testing.assert_close(energy(x, sigma).detach(), distribution(x, sigma), rtol=1e-9, atol=1e-9)
        gap = energy.log_prob(x, level) - distribution.log_prob(x, level)
        torch.testing.assert_close(gap, gap[:1].expand(20), rtol=1e-7, atol=1e-7)


def test_chains_with_a_test_take_an_energy():
    """At one level by `langevin`, and along levels of any process: moments within 5 standard errors of 1,500 chains."""
    distribution, energy = example()
    count, level = 1500, 0.5
    x = distribution.sample(count, Samples(0, count=count), level)
    chain = langevin(
        lambda x: energy.log_prob(x, level), x, 30, Samples(1, count=count), MetropolisLangevin(0.5), level
    )
    assert 0.5 < float(chain.acceptance.mean()) < 1
    drawn = sample(
        Diffusion(VP(), energy, distribution),
        (count, 2),
        Sampling(AnnealedLangevin(MetropolisLangevin(0.5), moves=6), 40, LogLevel()),
        Samples(2, count=count),
        denoise=False,
    )
    for found, noise in ((chain.state, level), (drawn, 0.0)):
        covariance = distribution.covariance + noise**2 * torch.eye(2, dtype=D)
        apart = torch.cov(found.T) - covariance
        assert float(apart.abs().max()) < 5 * math.sqrt(2 / count) * float(covariance.max())


def trained(network: nn.Module, x: Tensor, steps: int) -> Preconditioned:
    denoiser = Preconditioned(network)
    feed = Feed(ArrayRows(x), Standardize((2,), torch.zeros(2), torch.ones(2)), 256, 0)
    training = Training(steps=steps, batch=256, rate=3e-3, matrix_rate=0.0)
    trainer = Trainer(denoiser, feed, x[:500].float(), DenoisingScoreMatching(LogNormal(-0.5, 1.2)), training)
    for _ in trainer.run():
        pass
    trainer.finish()
    return denoiser


@pytest.mark.slow
def test_an_energy_trains_as_well_as_another_network():
    """Excess loss on a mixture in standard units, in 1,500 steps: no more than 1.5 times that of the network itself."""
    distribution = Mixture(
        torch.tensor([[-0.9, -0.9], [0.9, 0.9]], dtype=D),
        torch.tensor([0.3, 0.5]).double(),
        torch.tensor([0.5, 0.5]).double(),
    )
    x = distribution.sample(8000, Samples(0, count=8000))
    fresh = distribution.sample(4000, Samples(1, count=4000)).float()
    objective, found = DenoisingScoreMatching(LogNormal(-0.5, 1.2)), []
    for potential in (False, True):
        torch.manual_seed(0)
        network = MLP(2, 64, 3)
        denoiser = trained(Potential(network) if potential else network, x, 1500)
        found.append(float(excess(objective, denoiser, distribution.float(), fresh, Samples(2, count=4000)).mean()))
    assert found[1] < 1.5 * found[0]
    assert found[1] < 0.01


def test_a_model_with_an_energy_is_fitted_saved_and_loaded(tmp_path):
    x = np.random.default_rng(0).normal([1.0, -2.0], [1.0, 0.5], size=(400, 2))
    torch.manual_seed(0)
    model = scorefield.fit(x, training=Training(steps=300), network=Potential(MLP(2, 32, 2)))
    model.save(tmp_path / "model.safetensors")
    again = scorefield.load(tmp_path / "model.safetensors")
    states, sigma = Samples(0, count=50).normal((50, 2)), torch.tensor(0.3)
    energies = [EnergyDenoiser(m.denoiser).log_prob(states, sigma) for m in (model, again)]
    assert torch.equal(*energies)
    drawn = model.sample(500)
    assert abs(drawn.mean(0) - [1, -2]).max() < 0.3
    value = model.log_prob(x[:5]).value
    assert bool(torch.isfinite(value).all())


# -- distributions known by a formula ---------------------------------------------------------------------------------------


def test_a_density_of_noisy_data_is_the_exact_denoiser(mixture):
    density = AnalyticDensity(mixture.log_prob)
    x = 2 * Samples(0, count=30).normal((30, 2), D)
    for level in (torch.tensor(0.3, dtype=D), torch.full((30, 1), 1.7, dtype=D)):
        torch.testing.assert_close(density(x, level), mixture(x, level), rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(density.log_prob(x, level), mixture.log_prob(x, level))


def test_the_donut_by_its_log_density_alone():
    """The score by autograd is that of the formula, and chains on it draw the ring."""
    toy = Donut()
    density = AnalyticDensity(lambda x, level: toy.log_prob(x))
    x = toy.sample(2000, Samples(0, count=2000))
    radius = x.norm(dim=1, keepdim=True)
    torch.testing.assert_close(density.score(x), -(radius - toy.radius) / toy.width**2 * x / radius)
    chain = langevin(density.log_prob, x, 40, Samples(1, count=2000), MetropolisLangevin(0.3), toy.width)
    assert abs(float(chain.state.norm(dim=1).mean()) - float(radius.mean())) < 0.02
    assert 0.9 < float(chain.state.norm(dim=1).std()) / toy.width < 1.1
    with pytest.raises(RuntimeError, match="grad"):
        AnalyticDensity(lambda x, level: x.detach().sum(1)).score(x)


def test_an_energy_needs_a_potential():
    with pytest.raises(
        TypeError, match=r"EnergyDenoiser needs a Preconditioned\(Potential\(network\)\), got one of a MLP"
    ):
        EnergyDenoiser(Preconditioned(MLP(2)))
    with pytest.raises(TypeError, match="got one of a Gaussian"):
        EnergyDenoiser(Gaussian(torch.zeros(2), torch.ones(2)))
