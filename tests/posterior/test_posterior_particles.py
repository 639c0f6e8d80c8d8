"""Posteriors of vectors by particles, and levels that follow the noise of the measurement."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.measurement import Function, Linear, Mask, Measurement
from scorefield.model import Model
from scorefield.posterior import (
    DAPS,
    MomentMatching,
    Posterior,
    SmallestLevel,
    TwistedParticles,
    exact_posterior,
)
from scorefield.posterior.levels import following, thinnest
from scorefield.processes import EDM, VE, VP, Flow, SubVP
from scorefield.rng import Samples
from scorefield.samplers import DormandPrince, ExponentialAdams, Sampling, sample
from scorefield.schedules import Angle
from scorefield.units import Standardize

D = torch.float64
MATRIX = torch.randn(2, 10, generator=torch.Generator().manual_seed(0), dtype=D) / 10**0.5
PROCESSES = [EDM(0.0079, 40.0), VE(), VP(), SubVP(), Flow()]
NORMAL = Gaussian(torch.zeros(10, dtype=D), torch.eye(10, dtype=D))


def mixture() -> tuple[Mixture, Measurement]:
    """Three modes, of which a measurement leaves two: (0.446, 0.521, 0.033); moment matching says 0.59, 0.32, 0.08."""
    means = torch.tensor([[1.0, 3.0], [0.0, -0.6], [-1.5, 1.0]], dtype=D)
    roots = torch.tensor([[[0.6, 0], [0.2, 0.5]], [[0.5, 0], [-0.3, 0.6]], [[0.4, 0], [0.1, 0.4]]], dtype=D)
    prior = Mixture(means, roots @ roots.mT, torch.tensor([0.45, 0.25, 0.3], dtype=D))
    return prior, Measurement(Linear([[1.0, 0.3]]), [0.6], 0.5)


def model(prior: Gaussian | Mixture, process=PROCESSES[0], sampler=None) -> Model:
    moments = prior if isinstance(prior, Gaussian) else prior.moments()
    n = moments.mean.numel()
    sampling = Sampling(sampler or ExponentialAdams(3), 32, process=process)
    return Model(Schema.of(np.zeros((3, n)) + np.arange(3)[:, None]), Standardize((n,)), prior, moments, sampling)


METHODS = {"default": None, "moment matching": MomentMatching()}
IN_THE_SUITE = {"default": (EDM, Flow), "moment matching": (VE,)}  # the others are slow
WIDTHS = [
    pytest.param(
        p, m, id=f"{name}-{type(p).__name__}", marks=[] if isinstance(p, IN_THE_SUITE[name]) else [pytest.mark.slow]
    )
    for name, m in METHODS.items()
    for p in PROCESSES
]


@pytest.mark.parametrize(("process", "method"), WIDTHS)
def test_draws_are_as_wide_as_the_posterior_at_every_noise(process, method):
    count = 800
    for noise in (0.1, 0.001):
        seen = Measurement(Linear(MATRIX), [0.5, -1.0], noise)
        exact = exact_posterior(NORMAL, seen).distribution
        x = torch.from_numpy(model(NORMAL, process).observe(seen, method).sample(count))
        values, vectors = torch.linalg.eigh(exact.covariance)
        along = (x - exact.mean) @ vectors / values.sqrt()
        assert float((along.std(0) - 1).abs().max()) < 0.03 + 4 / math.sqrt(2 * count)
        assert float(along.mean(0).abs().max()) < 4.5 / math.sqrt(count)


@pytest.mark.slow
def test_modes_have_the_weights_of_the_posterior():
    prior, seen = mixture()
    exact, _ = exact_posterior(prior, seen)
    posterior = model(prior, EDM(0.002, 80.0)).observe(seen)
    assert posterior.sampler == TwistedParticles() and posterior.schedule == Angle()
    found = {}
    for name, sampler in (("particles", TwistedParticles(24)), ("moment matching", ExponentialAdams(3))):
        x = torch.from_numpy(posterior.sample(1000, sampler=sampler))
        found[name] = float((exact._joint(x, 0.0)[2].softmax(1).mean(0) - exact.weights).abs().max())
    assert found["particles"] < 0.02 + 3 * 0.016 < 0.1 < found["moment matching"]


def test_a_thin_measurement_of_a_mixture():
    prior, _ = mixture()
    seen = Measurement(Linear([[1.0, 0.3]]), [0.6], 0.003)
    for process in (EDM(0.0079, 40.0), VP()):
        x = model(prior, process).observe(seen, TwistedParticles(4)).sample(1000)
        spread = exact_posterior(prior, seen).distribution.moments().covariance
        a = np.array([1.0, 0.3])
        assert (x @ a).std() / math.sqrt(float(a @ spread.numpy() @ a)) == pytest.approx(1, abs=0.02 + 4 * 0.022)


def test_a_sample_is_itself_whatever_the_others_are():
    posterior = model(mixture()[0]).observe(mixture()[1])
    few, many = posterior.sample(3, batch=2), posterior.sample(40)
    np.testing.assert_allclose(few, many[:3], rtol=1e-6, atol=1e-8)


def test_measurements_count_together_and_each_sample_may_have_its_own():
    one, two = (Measurement(Linear(MATRIX[i : i + 1]), [v], 0.1) for i, v in enumerate((0.5, -1.0)))
    both = Measurement(Linear(MATRIX), [0.5, -1.0], 0.1)
    exact = exact_posterior(NORMAL, both).distribution
    x = torch.from_numpy(model(NORMAL).observe(one).observe(two).sample(1000))
    assert float(((x.mean(0) - exact.mean) / exact.covariance.diagonal().sqrt()).abs().max()) < 4.5 / math.sqrt(1000)
    y = torch.tensor([[0.5, -1.0], [2.0, 2.0]], dtype=D)
    posterior = Posterior(NORMAL, both, moments=NORMAL).about(y.repeat(300, 1))
    x = sample(Diffusion(VP(), posterior, NORMAL), (600, 10), Sampling(TwistedParticles(2), 8), Samples(0, 0, 600))
    for i in (0, 1):
        assert float(((x[i::2] @ MATRIX.T).mean(0) - y[i]).abs().max()) < 0.06


def test_the_default_is_exact_where_that_is_affordable():
    measured = Measurement(Mask(np.arange(10) < 2), [0.0, 0.0], 0.1)
    assert model(NORMAL).observe(measured).sampler == TwistedParticles()
    assert isinstance(model(NORMAL).observe(measured, DAPS()).sampler, DAPS)
    assert model(NORMAL).observe(measured, "momentmatching").sampler == ExponentialAdams(3)
    wide = Gaussian(torch.zeros(17, dtype=D), torch.eye(17, dtype=D))
    first = Measurement(Mask(np.arange(17) < 2), [0.0, 0.0], 0.1)
    assert model(wide).observe(first).sampler == ExponentialAdams(3)
    density = model(NORMAL).observe(measured).log_prob(np.zeros((1, 10)))
    exact = exact_posterior(NORMAL, measured).distribution.log_prob(torch.zeros(1, 10, dtype=D))
    torch.testing.assert_close(density.value, exact, atol=2e-2, rtol=0)


def test_levels_reach_the_thinnest_direction():
    seen = Measurement(Linear(2 * torch.eye(10, dtype=D)[:1]), [0.0], 0.01)
    posterior = Posterior(NORMAL, seen, moments=NORMAL)
    thin = thinnest(posterior.measured, NORMAL)
    assert thin == pytest.approx(0.005, rel=1e-3)
    assert thinnest(Posterior(NORMAL, Measurement(Function(torch.sin), torch.zeros(10), 0.1)).measured, NORMAL) is None
    before = Sampling(ExponentialAdams(3), 32, process=EDM(0.0079, 40.0))
    after = following(before, thin)
    assert after.process.ends()[0] == pytest.approx(thin / 8) and after.steps > 32
    assert following(after, thin) == after and following(before, 0.5) == before
    adaptive = following(Sampling(DormandPrince(), process=EDM(0.0079, 40.0)), thin)
    assert adaptive.steps is None and adaptive.process == after.process
    with pytest.raises(ValueError, match=r"which takes 2\d\d steps and 200 are allowed"):
        following(before, 1e-21)


def test_below_the_smallest_level_the_score_is_that_of_this_level():
    thin = Gaussian(torch.zeros(1, dtype=D), 0.01**2 * torch.eye(1, dtype=D))
    prior, x = SmallestLevel(thin, 0.1), torch.tensor([[0.3]], dtype=D)
    for level in (1.0, 0.1):
        assert torch.equal(prior(x, torch.tensor(level, dtype=D)), thin(x, torch.tensor(level, dtype=D)))
    for level in (0.05, 1e-4):
        score = (prior(x, torch.tensor(level, dtype=D)) - x) / level**2
        torch.testing.assert_close(score, -x / (0.01**2 + 0.1**2), rtol=1e-6, atol=0)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"TwistedParticles needs particles >= 1 and 0 <= threshold <= 1, got"):
        TwistedParticles(0)
    infinite = Measurement(Function(lambda x: x[:, :1].log()), [0.0], 0.1)
    for method in (None, MomentMatching()):
        with pytest.raises(
            ValueError, match=r"^Function gives NaN or inf for the data point \[-.*write it so that it is finite"
        ):
            model(NORMAL).observe(infinite, method).sample(2)
