"""Annealed Langevin dynamics: the exact theory of its variance, and Figure 3 of NCSN."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from torch import Tensor, nn

import properties
from properties import Noises
from scorefield.denoisers import Gaussian, Mixture
from scorefield.diffusion import Diffusion
from scorefield.mcmc import ChainState, GaussianLangevin, Langevin, MetropolisLangevin, Target, Transition
from scorefield.processes import VE, Process
from scorefield.rng import Mixed, Samples
from scorefield.samplers import DDIM, AnnealedLangevin, ConsistentAnnealed, Sampling, annealed_langevin, sample
from scorefield.schedules import ExplicitLevels

D = torch.float64
PROCESSES = properties.instances(Process, "scorefield.processes")
every = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: type(process).__name__)


def ladder(first: float, last: float, count: int) -> list[float]:
    return [first * (last / first) ** (i / (count - 1)) for i in range(count)]


# -- the exact theory of point-like data ---------------------------------------------------------------------------


def ratios(transition: Transition, levels: list[float], moves: int) -> list[float]:
    """Var/level² at the end of each level for data at a point, beginning there, exactly: nothing is random."""
    count = 1 + 64 * math.ceil(moves * len(levels) / 64)
    x = torch.full((count, 1), 0.3, dtype=D)
    chain = annealed_langevin(
        lambda x, level: (0.3 - x) / level**2, x, levels, Noises(), transition, moves, denoise=False, keep=True
    )
    return [float((x - 0.3).square().sum()) / level**2 for x, level in zip(chain.kept, levels)]


def recursion(q: float, b: float, gamma: float, moves: int, count: int) -> list[float]:
    """ρ_i = qᵀ (γ² ρ_{i-1} - b) + b from ρ_0 = 0."""
    found = [0.0]
    for _ in range(count):
        found.append(q**moves * (gamma**2 * found[-1] - b) + b)
    return found[1:]


CIFAR = ladder(50.0, 0.01, 232)  # NCSNv2: T = 5, ε = 6.2e-6
GAMMA = (50 / 0.01) ** (1 / 231)


@pytest.mark.parametrize(
    ("transition", "rest"),
    [
        (Langevin.from_full(6.2e-6, 0.01), 1.1283),
        (Langevin.from_half(6.2e-6, 0.01), None),
        (GaussianLangevin(0.25), 1.0069),
        (GaussianLangevin(0.5), 1.0005),
    ],
    ids=repr,
)
def test_the_variance_at_every_level(transition, rest):
    """To 1e-10 the recursion of NCSNv2 (Technique 4) over all levels, whose fixed point is b (1 - qᵀ) / (1 - qᵀ γ²)."""
    q = (1 - transition.ratio) ** 2 if isinstance(transition, Langevin) else math.exp(-2 * transition.duration)
    b = 1 / (1 - transition.ratio / 2) if isinstance(transition, Langevin) else 1.0
    found = ratios(transition, CIFAR, 5)
    assert found == pytest.approx(recursion(q, b, GAMMA, 5, 232), rel=1e-10)
    fixed = b * (1 - q**5) / (1 - q**5 * GAMMA**2)
    assert found[-1] == pytest.approx(fixed, rel=1e-5)
    if rest is not None:
        assert fixed == pytest.approx(rest, abs=5.1e-5)


def test_the_numbers_of_ncsn():
    """Ten levels from 1 to 0.01 with T = 100 and ε = 2e-5: a ninth too wide, whatever the levels."""
    found = ratios(Langevin.from_full(2e-5, 0.01), ladder(1.0, 0.01, 10), 100)
    assert found == pytest.approx([1 / 0.9] * 10, rel=1e-8)


def test_the_last_noise_is_removed():
    """Of data at a point nothing else remains, whatever the transition."""
    for transition in (Langevin(), GaussianLangevin()):
        x = torch.zeros(8, 2, dtype=D)
        chain = annealed_langevin(
            lambda x, level: (0.3 - x) / level**2, x, [3.0, 0.5], Samples(0, count=8), transition, moves=3
        )
        torch.testing.assert_close(chain.state, torch.full((8, 2), 0.3, dtype=D), rtol=0, atol=1e-14)


# -- functions of any kind -----------------------------------------------------------------------------------------


def test_levels_are_numbers_in_the_type_of_the_state():
    seen = []

    def score(x: Tensor, level: Tensor) -> Tensor:
        seen.append((level.shape, level.dtype, float(level), len(x)))
        return -x / (1 + level**2)

    levels = [2.0, 1.0, 0.5]
    annealed_langevin(score, torch.zeros(5, 2), torch.tensor(levels), Samples(0, count=5), moves=2)
    assert seen == [
        (torch.Size([]), torch.float32, level, n) for level, n in zip([2, 2, 2, 1, 1, 0.5, 0.5, 0.5], [1, *[5] * 7])
    ]


def test_it_is_led_by_networks_and_energies():
    class Network(nn.Module):
        def __init__(self, out: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, out))

        def forward(self, x: Tensor, level: Tensor) -> Tensor:
            found = self.layers(torch.cat([x, level.log().expand(len(x), 1)], 1)) / level
            return found if found.shape[1] > 1 else found[:, 0]

    for network in (Network(2), Network(1)):
        for transition in (
            Langevin(),
            *([MetropolisLangevin()] if network(torch.zeros(1, 2), torch.ones(())).ndim == 1 else []),
        ):
            chain = annealed_langevin(
                network, torch.zeros(5, 2), [1.0, 0.5], Samples(0, count=5), transition, moves=3, keep=True
            )
            assert (chain.state.shape, chain.kept.shape) == ((5, 2), (2, 5, 2))
            assert not chain.state.requires_grad
        assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("transition", [Langevin(), GaussianLangevin(), MetropolisLangevin()], ids=repr)
def test_chains_ignore_their_companions(transition, mixture):
    def run(start: int, count: int, **how) -> Tensor:
        x = Samples(5, start, count).normal((count, 2), D)
        return annealed_langevin(
            lambda x, level: mixture.log_prob(x, level),
            x,
            [2.0, 0.7, 0.2],
            Samples(1, start, count),
            transition,
            20,
            **how,
        ).state

    whole = run(0, 60)
    torch.testing.assert_close(run(41, 1), whole[41:42], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(run(10, 50, block=7), whole[10:], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("levels", [[], [1.0, 2.0], [1.0, 1.0], [1.0, 0.0], [math.inf, 1.0], [2.0, math.nan]], ids=str)
def test_levels_that_do_not_fall(levels):
    with pytest.raises(ValueError, match="levels must be positive and fall, from the most noise to the least; got"):
        annealed_langevin(lambda x, level: -x, torch.zeros(3, 2), levels, Samples(0, count=3))


# -- as a sampler --------------------------------------------------------------------------------------------------


@every
def test_a_step_carries_the_state_and_lets_it_move(process, mixture):
    t, s = torch.tensor(0.6, dtype=D), torch.tensor(0.4, dtype=D)
    diffusion, x, rng = Diffusion(process, mixture), Samples(0, count=5).normal((5, 2), D), Samples(1, count=5)
    u, level = x / process.alpha(t), process.level(s)
    for _ in range(3):
        u = u + 0.1 * (mixture(u, level) - u) + math.sqrt(0.2) * level * rng.normal((5, 2), D)
    found = AnnealedLangevin(Langevin(0.1), 3).step(diffusion, x, t, s, Samples(1, count=5))
    torch.testing.assert_close(found, process.alpha(s) * u, rtol=1e-11, atol=1e-12)


def test_the_sampler_is_the_function_but_for_the_first_level(gaussian):
    """Its first state is drawn from the distribution of the first level: moments by exact propagation."""
    process, levels, transition = VE(0.1, 10.0), [10.0, 2.0, 0.5, 0.1], Langevin(0.3)
    diffusion = Diffusion(process, gaussian, gaussian)
    _, mean, covariance = properties.propagate(
        AnnealedLangevin(transition, 4), diffusion, 2, 3, denoise=True, grid=ExplicitLevels(tuple(levels))
    )[-1]
    start = diffusion.prior((1 + 2 + 64, 2), Noises(), t=torch.ones((), dtype=D))

    class Later(Noises):
        def normal(self, shape, dtype=None, device=None):
            return torch.cat(
                [torch.zeros(2, *shape[1:], dtype=dtype), super().normal((shape[0] - 2, *shape[1:]), dtype)]
            )

    state = annealed_langevin(
        lambda x, level: (gaussian(x, level) - x) / level**2, start, levels[1:], Later(), transition, moves=4
    ).state
    apart = state[1:] - state[0]
    torch.testing.assert_close(state[0], mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(apart.T @ apart, covariance, rtol=1e-10, atol=1e-10)


def test_a_test_of_proposals_leads_to_the_exact_distribution(mixture):
    """Where every transition without one is biased: 4,000 samples, within 5 standard errors."""
    count, moments = 4000, mixture.moments()
    x = sample(
        Diffusion(VE(0.02, 8.0), mixture, moments),
        (count, 2),
        Sampling(AnnealedLangevin(MetropolisLangevin(0.8), 8), 16),
        Samples(0, count=count),
        denoise=False,
    )
    error = (moments.covariance.diagonal() / count).sqrt()
    assert bool(((x.mean(0) - moments.mean).abs() < 5 * error).all())
    assert float((x.var(0) / moments.covariance.diagonal() - 1).abs().max()) < 5 * math.sqrt(2 / count)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 4, math.pi / 2])
def test_mixed_noise_keeps_the_distribution(angle, gaussian):
    """NCSNv2 interpolates by mixing the noises of two chains: mean and covariance are the same at every angle."""
    diffusion, sampler = Diffusion(VE(0.1, 10.0), gaussian, gaussian), AnnealedLangevin(Langevin(0.1), 3)
    _, mean, covariance = properties.propagate(sampler, diffusion, 2, 5, denoise=True)[-1]
    calls = 1 + 5 * 3
    second = Noises()
    second.calls = calls  # its unit vectors go to samples of their own
    x = sample(diffusion, (1 + 2 * 2 * calls, 2), Sampling(sampler, 5), Mixed(Noises(), second, angle))
    apart = x[1:] - x[0]
    assert second.calls == 2 * calls
    torch.testing.assert_close(x[0], mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(apart.T @ apart, covariance, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("moves", [0, -2])
def test_moves_that_are_none(moves):
    with pytest.raises(ValueError, match=f"AnnealedLangevin needs at least 1 move at each level, got moves={moves}"):
        AnnealedLangevin(moves=moves)


# -- consistent annealed sampling ----------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("ratio", [None, 0.1, 0.5, 1.0])
def test_the_noise_of_a_point_stays_consistent(process, ratio):
    """Var = σ_s² exactly at every level, which fall by 10 %: no fewer, or 0.1 is too small."""
    point = Gaussian(torch.full((1,), 0.3, dtype=D), torch.zeros(1, dtype=D))
    high, low = float(process.level(torch.ones((), dtype=D))), float(process.level(torch.zeros((), dtype=D)))
    levels = [high * (1 - 1e-9) * 0.9**i for i in range(30)]
    assert levels[-1] > low
    moved = properties.propagate(
        ConsistentAnnealed(ratio),
        Diffusion(process, point, point),
        1,
        29,
        denoise=False,
        grid=ExplicitLevels(tuple(levels)),
    )
    for level, mean, covariance in moved:
        alpha = float(process.alpha(process.time(torch.tensor(level, dtype=D))))
        assert float(mean) == pytest.approx(0.3 * alpha, abs=1e-9)
        assert float(covariance) == pytest.approx((alpha * level) ** 2, rel=1e-7)


@every
def test_without_a_ratio_it_is_ancestral_sampling(process, mixture):
    x, diffusion = Samples(0, count=5).normal((5, 2), D), Diffusion(process, mixture)
    for t, s in ((1.0, 0.7), (0.5, 0.45), (0.3, 0.0)):
        t, s = torch.tensor(t, dtype=D), torch.tensor(s, dtype=D)
        fall = float(process.level(s) / process.level(t))
        expected = DDIM(1.0).step(diffusion, x, t, s, Samples(1, count=5))
        for sampler in (ConsistentAnnealed(), ConsistentAnnealed(1 - fall**2)):
            found = sampler.step(diffusion, x, t, s, Samples(1, count=5))
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_formula_of_the_paper(mixture):
    """x + r σ² s + β σ' z with β² = 1 - (1 - r)² σ²/σ'²."""
    process, x = VE(0.1, 10.0), Samples(0, count=5).normal((5, 2), D)
    t, s, r = torch.tensor(0.5, dtype=D), torch.tensor(0.45, dtype=D), 0.4
    now, after, z = process.sigma(t), process.sigma(s), Samples(1, count=5).normal((5, 2), D)
    diffusion = Diffusion(process, mixture)
    beta = torch.sqrt(1 - (1 - r) ** 2 * now**2 / after**2)
    expected = x + r * now**2 * diffusion.score(x, t) + beta * after * z
    found = ConsistentAnnealed(r).step(diffusion, x, t, s, Samples(1, count=5))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_on_one_level_it_is_gaussian_langevin(mixture):
    process, x, t = VE(0.1, 10.0), Samples(0, count=5).normal((5, 2), D), torch.tensor(0.5, dtype=D)
    diffusion = Diffusion(process, mixture)
    distribution = Target(score=lambda x: diffusion.score(x, t))
    z = Samples(1, count=5).normal((5, 2), D)
    expected = GaussianLangevin(0.3).move(distribution, ChainState(x), float(process.level(t)), z, None)[0].x
    found = ConsistentAnnealed(-math.expm1(-0.3)).step(diffusion, x, t, t, Samples(1, count=5))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_smallest_ratio_is_deterministic(mixture):
    """r = 1 - σ'/σ is DDIM."""
    process, x = VE(0.1, 10.0), Samples(0, count=5).normal((5, 2), D)
    t, s = torch.tensor(0.5, dtype=D), torch.tensor(0.45, dtype=D)
    ratio = 1 - float(process.sigma(s) / process.sigma(t))
    found = ConsistentAnnealed(ratio).step(Diffusion(process, mixture), x, t, s, Samples(1, count=5))
    expected = DDIM().step(Diffusion(process, mixture), x, t, s, Samples(1, count=5))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_a_ratio_too_small_for_the_grid(mixture):
    message = r"needs a ratio from 0.206 to 1.79 where levels fall by 1.26, got ratio=0.2: take more steps, or no ratio"
    with pytest.raises(ValueError, match=message):
        sample(Diffusion(VE(0.1, 10.0), mixture), (3, 2), Sampling(ConsistentAnnealed(0.2), 20), Samples(0, count=3))
    with pytest.raises(ValueError, match=r"got ratio=1\.9"):
        sample(Diffusion(VE(0.1, 10.0), mixture), (3, 2), Sampling(ConsistentAnnealed(1.9), 20), Samples(0, count=3))
    for ratio in (0.0, 2.0, math.nan):
        with pytest.raises(ValueError, match=f"ConsistentAnnealed needs 0 < ratio < 2, got ratio={ratio:g}"):
            ConsistentAnnealed(ratio)


# -- Figure 3 of NCSN ----------------------------------------------------------------------------------------------


@pytest.fixture
def figure(examples):
    return importlib.import_module("ncsn_figure3")


def test_figure_3_at_its_size(figure):
    """Plain Langevin finds about half of the weight, annealed Langevin nearly all of it."""
    found = {name: figure.weight(x) for name, x in figure.states(1280, seed=0).items()}
    assert 0.44 < found["langevin"] < 0.58
    assert 0.73 < found["annealed"] < 0.83
    for name in ("data", "scorefield"):
        assert found[name] == pytest.approx(0.8, abs=5 * 0.4 / math.sqrt(1280))


@pytest.mark.slow
def test_figure_3_to_its_third_digit(figure):
    """0.509 ± 0.002 and 0.782 ± 0.002 of 50,000 other particles: within 5 standard errors of these 20,000."""
    states = figure.states(20_000, seed=0)
    for name, expected, known in (("langevin", 0.509, 0.002), ("annealed", 0.782, 0.002), ("scorefield", 0.8, 0.002)):
        error = math.sqrt(expected * (1 - expected) / 20_000)
        assert figure.weight(states[name]) == pytest.approx(expected, abs=known + 5 * error), name
    mode = states["annealed"][states["annealed"].sum(1) > 0]
    assert float(mode.var(0).mean()) == pytest.approx(1 / 0.975, abs=5 * math.sqrt(2 / len(mode) / 2))


def test_the_score_of_the_example_is_that_of_its_mixture(figure):
    """The mixture with components of the deviation `level` is that of two points with noise."""
    points = Mixture(
        torch.stack([figure.MODE, -figure.MODE]), torch.zeros(2, dtype=D), torch.tensor([0.8, 0.2]).double()
    )
    x, level = 6 * Samples(0, count=9).normal((9, 2), D), torch.tensor(3.0, dtype=D)
    torch.testing.assert_close(figure.score(x, level), (points(x, level) - x) / level**2, rtol=1e-10, atol=1e-10)
    assert figure.STEP.ratio == pytest.approx(0.05)
