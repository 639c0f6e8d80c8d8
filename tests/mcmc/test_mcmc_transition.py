"""Transitions: exact moments on Gaussians, detailed balance of adjusted ones, and the conventions of the papers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings, strategies as some
from torch import Tensor, nn

from scorefield.mcmc import (
    ChainState,
    GaussianLangevin,
    Hamiltonian,
    Langevin,
    MetropolisLangevin,
    Target,
    Transition,
    langevin,
)
from scorefield.rng import Samples
from scorefield.toys import Donut

D = torch.float64


def normal(mean: float, sigma: float) -> Target:
    return Target(score=lambda x: (mean - x) / sigma**2, log_prob=lambda x: -((x - mean) ** 2).sum(1) / (2 * sigma**2))


def moved(
    transition: Transition, target: Target, x: Tensor, scale: float, z: Tensor, u: Tensor | None = None
) -> Tensor:
    return transition.move(target, ChainState(x), scale, z, u)[0].x


# -- conventions ---------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(some.floats(1e-12, 1e6), some.floats(0.001, 1.9), some.sampled_from([Langevin, MetropolisLangevin]))
def test_conventions_round_trip(sigma, ratio, kind):
    one = kind(ratio)
    for other in (
        kind.from_full(one.full_step(sigma), sigma),
        kind.from_half(one.half_step(sigma), sigma),
        kind.from_snr(one.snr),
    ):
        assert type(other) is kind
        assert other.ratio == pytest.approx(ratio, rel=1e-15)


@settings(max_examples=25, deadline=None)
@given(some.floats(1e-6, 1e-2), some.floats(0.1, 10.0))
def test_each_convention_is_its_formula(step, sigma):
    """x + ε s + √(2ε) z, x + α/2 s + √α z, and the corrector's ε = 2 (snr σ)², as printed in the papers."""
    target, x, z = normal(0.3, sigma), Samples(0, count=4).normal((4, 3), D), Samples(1, count=4).normal((4, 3), D)
    score, snr = target.gradient(x), math.sqrt(step / 2) / sigma
    for found, expected in (
        (Langevin.from_full(step, sigma), x + step * score + math.sqrt(2 * step) * z),
        (Langevin.from_half(step, sigma), x + step / 2 * score + math.sqrt(step) * z),
        (Langevin.from_snr(snr), x + 2 * (snr * sigma) ** 2 * score + math.sqrt(4 * (snr * sigma) ** 2) * z),
    ):
        torch.testing.assert_close(moved(found, target, x, sigma, z), expected, rtol=1e-14, atol=1e-14)


def test_numbers_of_the_papers():
    """ε = 6.2e-6 with σ_L = 0.01 (NCSNv2, CIFAR-10) is a signal-to-noise ratio of 0.176; NCSN's 2e-5 a ratio of 0.2."""
    assert Langevin.from_full(6.2e-6, 0.01).snr == pytest.approx(0.176, abs=5e-4)
    assert Langevin.from_full(2e-5, 0.01).ratio == pytest.approx(0.2)
    assert Langevin.from_half(2e-5, 0.01).ratio == pytest.approx(0.1)  # the error if the conventions are confused


# -- Gaussian targets ----------------------------------------------------------------------------------------------


def test_gaussian_langevin_is_exact_on_a_gaussian_of_the_scale():
    """The transition of the Ornstein-Uhlenbeck process: mean e^-h, variance σ² (1 - e^-2h), so that σ² is invariant."""
    target, x, z = normal(1.3, 0.7), Samples(0, count=5).normal((5, 2), D), Samples(1, count=5).normal((5, 2), D)
    for h in (1e-9, 0.25, 3.0):
        expected = 1.3 + math.exp(-h) * (x - 1.3) + 0.7 * math.sqrt(-math.expm1(-2 * h)) * z
        torch.testing.assert_close(moved(GaussianLangevin(h), target, x, 0.7, z), expected, rtol=1e-13, atol=1e-13)


# -- the Metropolis test -------------------------------------------------------------------------------------------


def test_detailed_balance():
    """p(x) q(x → y) min(1, …) is symmetric in x and y, for any two points and any target."""

    def log_prob(x: Tensor) -> Tensor:
        return -(x**4).sum(1) / 4 + (x[:, 0] * x[:, 1]).sin()

    target, a, ratio = Target(log_prob=log_prob), 0.13 * 1.7**2, 0.13
    x, apart = (Samples(seed, count=50).normal((50, 2), D) for seed in (0, 1))
    y = x + 0.4 * apart

    def log_flow(start: Tensor, end: Tensor) -> Tensor:
        z = (end - start - a * target.gradient(start)) / math.sqrt(2 * a)
        point, chance = MetropolisLangevin(ratio).move(target, ChainState(start), 1.7, z, torch.zeros(50, dtype=D))
        torch.testing.assert_close(point.x, end, rtol=1e-12, atol=1e-12)
        return log_prob(start) - (z**2).sum(1) / 2 + chance.log()

    torch.testing.assert_close(log_flow(x, y), log_flow(y, x), rtol=1e-10, atol=1e-10)


def test_a_rejected_proposal_keeps_the_state():
    target, x, z = normal(0.0, 1.0), torch.ones(2, 1, dtype=D), torch.tensor([[4.0], [0.1]], dtype=D)
    u = torch.full((2,), 0.9, dtype=D)
    state, chance = MetropolisLangevin(0.5).move(target, ChainState(x), 1.0, z, u)
    assert chance[0] < 0.9 < chance[1]
    assert state.x[0] == 1 and state.x[1] != 1
    for known, expected in zip(state.known, target.value_and_gradient(state.x)):
        assert torch.equal(known, expected)


def test_log_density_and_score_are_not_computed_again():
    calls = []
    target = Target(log_prob=lambda x: (calls.append(len(x)), -(x**2).sum(1))[1])
    langevin(target, torch.zeros(3, 2), 40, Samples(0, count=3), MetropolisLangevin())
    assert calls == [3] * 41


def test_adjusted_chains_have_the_right_variance():
    """N(0, 1) with a step of 0.8: without a test the variance is 1/(1 - 0.4). Within 5 standard errors of 20,000 chains."""
    count, error = 20_000, math.sqrt(2 / 20_000)
    x, rng = Samples(0, count=count).normal((count, 1), D), Samples(1, count=count)
    target = normal(0.0, 1.0)
    biased = langevin(target, x, 30, rng, Langevin(0.8)).state
    chain = langevin(target, x, 30, rng, MetropolisLangevin(0.8))
    assert float(biased.var()) == pytest.approx(1 / 0.6, abs=5 * error / 0.6)
    assert float(chain.state.var()) == pytest.approx(1, abs=5 * error)
    grid = torch.linspace(-8, 8, 401, dtype=D)
    old, z = torch.meshgrid(grid, grid, indexing="ij")
    new = 0.2 * old + math.sqrt(1.6) * z
    back = (old - 0.2 * new) / math.sqrt(1.6)
    chance = torch.exp((((old**2 - new**2) + z**2 - back**2) / 2).clamp_max(0))
    exact = float((chance * torch.exp(-(old**2 + z**2) / 2)).sum() * 0.04**2 / (2 * math.pi))
    assert float(chain.acceptance.mean()) == pytest.approx(exact, abs=5 * 0.5 / math.sqrt(30 * count))


def test_adjusted_chains_on_the_donut():
    """ε = 1e-2 makes the variance across the ring 41 % too large, as in a tutorial; 90 % of adjusted moves are accepted."""
    toy, count = Donut(), 4000
    x, rng = toy.sample(count, Samples(0, count=count)), Samples(1, count=count)

    def variance(transition: Transition) -> tuple[float, float]:
        chain = langevin(toy.log_prob, x, 60, rng, transition, scale=toy.width)
        return float(chain.state.norm(dim=1).var()), float(chain.acceptance.mean())

    error = 5 * math.sqrt(2 / count)
    assert variance(Langevin.from_full(1e-2, toy.width))[0] / 0.1283**2 == pytest.approx(1.41, abs=1.41 * error)
    found, accepted = variance(MetropolisLangevin.from_full(1e-2, toy.width))
    assert found / 0.1283**2 == pytest.approx(1, abs=error)
    assert accepted == pytest.approx(0.895, abs=0.01)


def test_proposals_without_a_density_are_rejected():
    """An exponential distribution, whose log-density is NaN below 0."""
    target = Target(log_prob=lambda x: (-x + 0 * x.log()).sum(1))
    count = 4000
    chain = langevin(target, torch.ones(count, 1, dtype=D), 100, Samples(0, count=count), MetropolisLangevin(0.5))
    assert bool((chain.state > 0).all())
    assert float(chain.state.mean()) == pytest.approx(1, abs=5 / math.sqrt(count))
    assert 0.1 < float(chain.acceptance.mean()) < 0.9


# -- targets -------------------------------------------------------------------------------------------------------


def test_a_target_is_recognized_by_the_shape_of_its_output():
    x = torch.zeros(3, 2)
    assert Target.of(lambda x: -x, x).score is not None
    assert Target.of(lambda x: -(x**2).sum(1), x).log_prob is not None
    target = Target(score=torch.zeros_like)
    assert Target.of(target, x) is target


def test_a_network_is_a_score_and_an_energy_a_log_density():
    """Gradients are taken with respect to the state only, and the mode of the caller is restored."""
    network = nn.Linear(2, 2)
    energy = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    x = torch.ones(3, 2)
    for target in (Target.of(network, x), Target.of(energy, x)):
        for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with mode():
                before = torch.is_grad_enabled()
                chain = langevin(target, x, 3, Samples(0, count=3))
                assert torch.is_grad_enabled() == before
                assert not chain.state.requires_grad
    assert all(p.grad is None and p.requires_grad for p in (*network.parameters(), *energy.parameters()))


def test_the_score_of_a_log_density_is_its_gradient():
    x = Samples(0, count=5).normal((5, 2, 3), D)
    target = Target(log_prob=lambda x: -(x**4).flatten(1).sum(1) / 4)
    torch.testing.assert_close(target.gradient(x), -(x**3))
    log_prob, slope = target.value_and_gradient(x)
    torch.testing.assert_close(log_prob, -(x**4).flatten(1).sum(1) / 4)
    torch.testing.assert_close(slope, -(x**3))
    assert not log_prob.requires_grad and not x.requires_grad


def test_bad_targets_are_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="a target needs a score or a log-density"):
        Target()
    with pytest.raises(ValueError, match=r"the shape \(1, 2\) \(a score\) or \(1,\) \(a log-density\), got \(1, 3\)"):
        Target.of(lambda x: torch.zeros(len(x), 3), x)
    with pytest.raises(ValueError, match=r"for x of shape \(3,\) a score and a log-density have the same shape: pass"):
        Target.of(lambda x: -x, torch.zeros(3))
    with pytest.raises(TypeError, match="a target must return a tensor, got ndarray: compute it with torch"):
        Target.of(lambda x: -x.numpy(), x)
    with pytest.raises(ValueError, match="the log-density cannot be differentiated with respect to x"):
        langevin(lambda x: -(x.detach() ** 2).sum(1), x, 1, Samples(0, count=3))
    with pytest.raises(ValueError, match=r"needs the log-density, .* has only a score: pass Target"):
        langevin(lambda x: -x, x, 1, Samples(0, count=3), MetropolisLangevin())
    with pytest.raises(ValueError, match=r"not finite at 2 of 3 initial states \(the first is sample 1\): start where"):
        start = torch.tensor([[1.0], [0.0], [-1.0]])
        langevin(Target(log_prob=lambda x: (x.log() - x).sum(1)), start, 1, Samples(0, count=3), MetropolisLangevin())


@pytest.mark.parametrize("ratio", [0.0, -0.1, 2.0, 5.0, math.nan])
def test_steps_that_diverge(ratio):
    for kind in (Langevin, MetropolisLangevin):
        message = (
            f"{kind.__name__} needs 0 < ratio < 2, got ratio={ratio:g}: from 2 on, chains diverge even on a Gaussian"
        )
        with pytest.raises(ValueError, match=message):
            kind(ratio)
    with pytest.raises(ValueError, match="Langevin needs 0 < ratio < 2, got ratio=2"):
        Langevin.from_half(4e-4, 0.01)


@pytest.mark.parametrize("duration", [0.0, -1.0, math.inf, math.nan])
def test_bad_durations_are_refused(duration):
    with pytest.raises(ValueError, match=f"GaussianLangevin needs duration > 0, got duration={duration:g}"):
        GaussianLangevin(duration)


# -- Hamiltonian dynamics ------------------------------------------------------------------------------------------


def rough(x: Tensor) -> Tensor:
    return -(x**4).sum(1) / 4 + (x[:, 0] * x[:, 1]).sin()


def test_one_leapfrog_step_is_metropolis_langevin():
    target = Target(log_prob=rough)
    x, z = (Samples(seed, count=30).normal((30, 3), D) for seed in (0, 1))
    u = Samples(2, count=30).uniform((30,), D)
    (one, chance), (other, known) = (
        t.move(target, ChainState(x), 1.3, z, u) for t in (Hamiltonian(0.2, 1), MetropolisLangevin(0.2))
    )
    torch.testing.assert_close(one.x, other.x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(chance, known, rtol=1e-9, atol=1e-12)


def test_leapfrog_is_reversible():
    """With the momentum reversed, the trajectory returns to its start."""
    target, x = Target(log_prob=rough), Samples(0, count=30).normal((30, 3), D)
    z = Samples(1, count=30).normal((30, 3), D)
    leap, steps = math.sqrt(2 * 0.05) * 1.3, 5
    p, y = z + leap / 2 * target.gradient(x), x
    for i in range(steps):
        y = y + leap * p
        p = p + (leap if i < steps - 1 else leap / 2) * target.gradient(y)
    accepted = torch.zeros(30, dtype=D)
    there, chance = Hamiltonian(0.05, steps).move(target, ChainState(x), 1.3, z, accepted)
    torch.testing.assert_close(there.x, y, rtol=1e-12, atol=1e-12)
    back, reverse = Hamiltonian(0.05, steps).move(target, there, 1.3, -p, accepted)
    torch.testing.assert_close(back.x, x, rtol=1e-9, atol=1e-9)
    flow = rough(x) - z.square().sum(1) / 2 + chance.log()
    torch.testing.assert_close(flow, rough(y) - p.square().sum(1) / 2 + reverse.log(), rtol=1e-9, atol=1e-9)


def test_hamiltonian_chains_sample_the_target():
    """A ring: the mean radius and its square are those of exact draws, within 5 standard errors."""
    toy, count = Donut(), 4000
    x = toy.sample(count, Samples(0, count=count))
    chain = langevin(toy.log_prob, x, 30, Samples(1, count=count), Hamiltonian(0.3, 6), toy.width)
    fresh = toy.sample(count, Samples(2, count=count))
    for power in (1, 2):
        gap = chain.state.norm(dim=1) ** power, fresh.norm(dim=1) ** power
        error = math.hypot(*(float(g.std()) for g in gap)) / math.sqrt(count)
        assert abs(float(gap[0].mean() - gap[1].mean())) < 5 * error
    assert float(chain.acceptance.mean()) > 0.6


def test_hamiltonian_goes_farther_than_metropolis_langevin():
    """For the same evaluations, on a target with many scales: the widest direction mixes faster."""
    variance = torch.tensor([1.0, 400.0], dtype=D)
    target = Target(log_prob=lambda x: -(x**2 / variance).sum(1) / 2)
    x, kept = torch.zeros(300, 2, dtype=D), []
    for transition, moves in ((Hamiltonian(0.4, 30), 20), (MetropolisLangevin(0.4), 600)):
        kept.append(langevin(target, x, moves, Samples(0, count=300), transition).state[:, 1].var())
    assert float(kept[0]) > 0.8 * 400
    assert float(kept[1]) < 0.8 * 400 or float(kept[0]) > float(kept[1])


def test_hamiltonian_needs_a_leapfrog_step():
    with pytest.raises(ValueError, match="Hamiltonian needs at least 1 leapfrog step per move, got leaps=0"):
        Hamiltonian(0.1, 0)
    with pytest.raises(ValueError, match="Hamiltonian needs 0 < ratio < 2"):
        Hamiltonian(2.0)
