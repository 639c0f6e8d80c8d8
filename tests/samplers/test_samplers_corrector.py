"""Predictor-corrector sampling: exact propagation through any predictor, any process."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

import properties
from scorefield.denoisers import Denoiser, Gaussian
from scorefield.diffusion import Diffusion
from scorefield.mcmc import GaussianLangevin, Langevin, MetropolisLangevin, Transition
from scorefield.processes import VE, VP, Process
from scorefield.rng import Samples
from scorefield.samplers import DDIM, DPM, ExponentialAdams, Heun, OneStepSampler, PredictorCorrector, Sampler

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


class Still(Transition):
    def move(self, distribution, here, scale, z, u):
        return here, None


@dataclass(frozen=True)
class Wrong(OneStepSampler):
    """A predictor that is far off."""

    factor: float = 3.0

    def step(self, diffusion, x, t, s, rng):
        return self.factor * DDIM().step(diffusion, x, t, s, rng) + 5


def white(variance: float) -> Gaussian:
    return Gaussian(torch.full((1,), 0.4, dtype=D), torch.full((1,), variance, dtype=D))


def propagated(sampler: Sampler, process: Process, distribution: Gaussian, steps: int) -> list[tuple[float, float]]:
    moved = properties.propagate(sampler, Diffusion(process, distribution, distribution), 1, steps, denoise=False)
    return [(float(mean), float(covariance)) for _, mean, covariance in moved]


@every
@pytest.mark.parametrize("predictor", [DDIM(), Heun(), DPM(), ExponentialAdams(3)], ids=repr)
def test_a_corrector_that_does_nothing_leaves_the_predictor(predictor, process):
    """Also one that remembers."""
    distribution, times = white(0.3), torch.linspace(1, 0, 6, dtype=D)
    diffusion = Diffusion(process, distribution, distribution)
    x = diffusion.prior((4, 1), Samples(0, count=4))
    alone = predictor.trajectory(diffusion, x, times, Samples(1, count=4))
    held = PredictorCorrector(predictor, Still(), 3).trajectory(diffusion, x, times, Samples(1, count=4))
    for a, b in zip(alone, held):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=0)


@every
@pytest.mark.parametrize("corrector", [Langevin(0.7), GaussianLangevin(1.5)], ids=repr)
def test_many_moves_forget_the_predictor(process, corrector):
    """Mean α m and variance α² S/(1 - a/2S), S = C + level², or b²/(1 - (1 - a/S)²): whatever was predicted."""
    distribution, times = white(1e-12), torch.linspace(1, 0, 4, dtype=D)
    for predictor in (DDIM(1.0), Wrong()):
        moved = propagated(PredictorCorrector(predictor, corrector, 25), process, distribution, 3)
        for t, (mean, variance) in zip(times[1:], moved[1:]):
            alpha, level = float(process.alpha(t)), float(process.level(t))
            rest = 1e-12 + level**2
            a = 0.7 * level**2 if isinstance(corrector, Langevin) else -math.expm1(-1.5) * level**2
            b = 2 * a if isinstance(corrector, Langevin) else -math.expm1(-3.0) * level**2
            assert mean == pytest.approx(alpha * 0.4, abs=1e-9 * alpha * (1 + level))
            assert variance == pytest.approx(alpha**2 * b / (1 - (1 - a / rest) ** 2), rel=1e-9)


@every
def test_one_move_is_its_formula(process, mixture):
    """At s, in u = x/α, with the score of the distribution there."""
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.5, dtype=D)
    diffusion, x = Diffusion(process, mixture), Samples(0, count=5).normal((5, 2), D)
    found = PredictorCorrector(DDIM(), Langevin(0.3)).start(diffusion, torch.stack([t, s]), Samples(1, count=5))(
        x, t, s
    )
    u, level = DDIM().step(diffusion, x, t, s, Samples(1, count=5)) / process.alpha(s), process.level(s)
    z = Samples(1, count=5).normal((5, 2), D)
    u = u + 0.3 * (mixture(u, level) - u) + math.sqrt(0.6) * level * z
    torch.testing.assert_close(found, process.alpha(s) * u, rtol=1e-12, atol=1e-12)


def test_the_corrector_of_score_sde(mixture):
    """ε = 2 (snr σ)², x + ε s + √(2ε) z in the units of x, on a variance exploding process (Song et al., 2021)."""
    process, snr = VE(0.1, 10.0), 0.16
    t = s = torch.tensor(0.5, dtype=D)
    diffusion, x = Diffusion(process, mixture), Samples(0, count=5).normal((5, 2), D)
    found = PredictorCorrector(DDIM(), Langevin.from_snr(snr)).start(diffusion, t, Samples(1, count=5))(x, t, s)
    step = 2 * (snr * process.sigma(s)) ** 2
    expected = x + step * diffusion.score(x, s) + torch.sqrt(2 * step) * Samples(1, count=5).normal((5, 2), D)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_corrections_repair_a_predictor():
    """One that makes states a fifth too large on every step; five Gaussian-exact moves leave a tenth of its error."""
    process, distribution = VE(0.01, 50.0), white(1e-8)
    times = torch.linspace(1, 0, 9, dtype=D)
    exact = [1e-8 + float(process.level(t)) ** 2 for t in times]
    wrong = [abs(v / e - 1) for (_, v), e in zip(propagated(Wrong(1.2), process, distribution, 8), exact)]
    right = propagated(PredictorCorrector(Wrong(1.2), GaussianLangevin(0.5), 5), process, distribution, 8)
    assert max(abs(v / e - 1) for (_, v), e in zip(right, exact)) < 0.1 * max(wrong)


def test_predictors_that_remember_extrapolate_the_fresh_noise():
    """Ten steps: the variance of DPM is off by a factor, of samplers that forget or stay near the mean by a part."""
    process, distribution, corrector = VP(), white(0.3), GaussianLangevin(0.1)
    exact = sum(float(c(torch.zeros((), dtype=D))) ** 2 * v for c, v in ((process.alpha, 0.3), (process.sigma, 1.0)))
    for predictor, low, high in ((DPM(), 2, 5), (DPM(3), 10, 50), (Heun(), 1, 1.2), (ExponentialAdams(3), 0.8, 1)):
        variance = propagated(PredictorCorrector(predictor, corrector), process, distribution, 10)[-1][1]
        assert low < variance / exact < high, predictor


def test_a_test_needs_a_density(mixture):
    class Opaque(Denoiser):
        def forward(self, x, level):
            return mixture(x, level)

    t = torch.tensor(0.5, dtype=D)
    sampler, x = PredictorCorrector(DDIM(), MetropolisLangevin(0.1)), torch.zeros(2, 2, dtype=D)
    message = (
        r"MetropolisLangevin tests its proposals with the log_prob\(x, level\) of a denoiser: Opaque has none, denoise"
    )
    with pytest.raises(ValueError, match=message):
        sampler.start(Diffusion(VP(), Opaque()), t, Samples(0, count=2))(x, t, t)
    assert sampler.start(Diffusion(VP(), mixture), t, Samples(0, count=2))(x, t, t).shape == x.shape


@every
def test_with_a_test_the_distribution_stays(process, mixture):
    """4,000 samples of the distribution at s keep its mean and its variance along x, within 5 standard errors."""
    count, s = 4000, torch.tensor(0.4, dtype=D)
    alpha, sigma = process(s)
    x0, z = mixture.sample(count, Samples(0, count=count)), Samples(1, count=count).normal((count, 2), D)
    diffusion, x = Diffusion(process, mixture), alpha * x0 + sigma * z
    move = PredictorCorrector(DDIM(), MetropolisLangevin(1.0), 4).start(diffusion, s, Samples(2, count=count))
    found = move(x, s, s)
    assert not torch.isclose(found, x).all(1).float().mean() > 0.5
    moments = mixture.moments()
    covariance = alpha**2 * moments.covariance + sigma**2 * torch.eye(2, dtype=D)
    error = (covariance.diagonal() / count).sqrt()
    assert bool(((found.mean(0) - alpha * moments.mean).abs() < 5 * error).all())
    assert bool((found.var(0) / covariance.diagonal() - 1).abs().max() < 5 * math.sqrt(2 / count))


def test_corrections_do_not_touch_the_state_they_are_given(mixture):
    """A trajectory that was listed keeps its states."""
    diffusion, x = Diffusion(VE(), mixture), torch.ones(3, 2, dtype=D)
    states = list(PredictorCorrector().trajectory(diffusion, x, torch.linspace(1, 0, 4, dtype=D), Samples(0, count=3)))
    assert torch.equal(states[0], torch.ones(3, 2, dtype=D))
    assert len({tuple(state[0].tolist()) for state in states}) == 4


@pytest.mark.parametrize("moves", [0, -1])
def test_moves_that_are_none(moves):
    with pytest.raises(ValueError, match=f"needs at least 1 move of the corrector, got moves={moves}"):
        PredictorCorrector(moves=moves)
