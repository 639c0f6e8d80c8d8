"""Twisted sequential Monte Carlo against posteriors in closed form."""

from __future__ import annotations

import pytest
import torch

from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.measurement import Linear, Measurement
from scorefield.posterior import DPS, TMPD, Posterior, exact_posterior, twisted_smc
from scorefield.processes import EDM, VP
from scorefield.rng import Samples
from scorefield.samplers import ExponentialAdams, Sampling, sample
from scorefield.schedules import ExplicitLevels

D = torch.float64


def problem() -> tuple[Mixture, Measurement]:
    """Three modes, of which a measurement leaves two: (0.446, 0.521, 0.033)."""
    means = torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]], dtype=D)
    roots = torch.tensor([[[0.6, 0], [0.2, 0.5]], [[0.5, 0], [-0.3, 0.6]], [[0.4, 0], [0.1, 0.4]]], dtype=D)
    distribution = Mixture(means, roots @ roots.mT, torch.tensor([0.45, 0.25, 0.3], dtype=D))
    return distribution, Measurement(Linear([[1.0, 0.3]]), [0.6], 0.5)


def modes(distribution: Mixture):
    """The mean of this under a distribution is the weights of its modes."""
    return lambda x: distribution._joint(x, 0.0)[2].softmax(-1)


@pytest.mark.slow
def test_it_finds_the_weights_of_two_modes_and_the_evidence():
    """K = 4,000 on 4 islands, as the approximation that leads it does not (test_what_leads_it_errs)."""
    distribution, seen = problem()
    exact, evidence = exact_posterior(distribution, seen)
    diffusion = Diffusion(EDM(0.002, 80.0), Posterior(distribution, seen), distribution.moments())
    found = twisted_smc(diffusion, (2,), seed=0, particles=4000, islands=4, steps=64)
    weights = found.weighted.mean(modes(exact))
    assert float((weights.value - exact.weights).abs().max()) < 0.03
    assert abs(float(found.log_evidence.value - evidence)) < 0.05
    assert float(found.log_evidence.standard_error) < 0.02
    assert float((found.islands - evidence).abs().max()) < 0.1
    torch.testing.assert_close(found.weighted.log_mean_weight.value, found.log_evidence.value)
    assert found.effective.shape == (4, 66) and float(found.effective.min()) > 1000
    mean = found.weighted.mean()
    truth = exact.moments().mean
    assert float((mean.value - truth).abs().max()) < 0.1


def test_what_leads_it_errs():
    distribution, seen = problem()
    exact, _ = exact_posterior(distribution, seen)
    diffusion = Diffusion(EDM(0.002, 80.0), Posterior(distribution, seen), distribution.moments())
    x = sample(diffusion, (2000, 2), Sampling(ExponentialAdams(3), 32), Samples(0, 0, 2000))
    assert float((modes(exact)(x).mean(0) - exact.weights).abs().max()) > 0.1


@pytest.mark.parametrize("process", [EDM(0.01, 50.0), VP()], ids=["EDM", "VP"])
def test_evidence_of_gaussian_data(process):
    distribution = Gaussian(torch.tensor([1.0, -0.5], dtype=D), torch.tensor([[1.0, 0.6], [0.6, 0.7]], dtype=D))
    seen = Measurement(Linear([[1.0, 0.3], [0.2, -1.0]]), [0.6, 1.0], [0.5, 0.3])
    _, evidence = exact_posterior(distribution, seen)
    found = twisted_smc(
        Diffusion(process, Posterior(distribution, seen, TMPD()), distribution), (2,), 1, particles=500, steps=24
    )
    error = float(found.log_evidence.standard_error)
    assert error < 0.06
    assert abs(float(found.log_evidence.value - evidence)) < 4 * error


def test_an_island_is_itself_whatever_the_others_are():
    distribution, seen = problem()
    diffusion = Diffusion(EDM(), Posterior(distribution, seen), distribution.moments())
    two = twisted_smc(diffusion, (2,), 3, particles=50, islands=2, steps=8)
    three = twisted_smc(diffusion, (2,), 3, particles=50, islands=3, steps=8, block=17)
    torch.testing.assert_close(two.islands, three.islands[:2])
    torch.testing.assert_close(two.weighted.points, three.weighted.points[:100], rtol=1e-6, atol=1e-6)
    one = twisted_smc(
        diffusion, (2,), 3, particles=50, islands=1, sampling=Sampling(schedule=ExplicitLevels((10.0, 1.0, 0.1)))
    )
    assert one.log_evidence.standard_error == torch.inf


def test_what_is_refused():
    distribution, seen = problem()
    with pytest.raises(ValueError, match=r"particles need a posterior.Posterior, got Mixture"):
        twisted_smc(Diffusion(EDM(), distribution), (2,))
    with pytest.raises(ValueError, match="an island needs 2 particles or more"):
        twisted_smc(Diffusion(EDM(), Posterior(distribution, seen)), (2,), particles=1)
    with pytest.raises(ValueError, match="the gradient of the likelihood and not its value"):
        twisted_smc(
            Diffusion(EDM(), Posterior(distribution, seen, DPS()), distribution.moments()), (2,), particles=5, steps=3
        )
