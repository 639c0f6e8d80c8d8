"""Annealed importance sampling: known normalizing constants, and the published mixture of two modes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.denoisers import Gaussian, Mixture
from scorefield.mcmc import (
    GaussianLangevin,
    Hamiltonian,
    Langevin,
    MetropolisLangevin,
    Target,
    WeightedSamples,
    annealed_importance,
    geometric,
    score_importance,
)
from scorefield.rng import Samples
from scorefield.toys import unequal_modes

D = torch.float64
MODE = torch.tensor([5.0, 5.0], dtype=D)


# -- SCIENCE: 7 p, p = 4/5 N(5, I) + 1/5 N(-5, I), from N(0, 8² I) by a geometric path ------------------------------


def wide(x: Tensor) -> Tensor:
    return -x.square().sum(1) / 128 - math.log(2 * math.pi * 64)


def seven(x: Tensor) -> Tensor:
    return unequal_modes().mixture.log_prob(x) + math.log(7)


def width(beta: float) -> float:
    return ((1 - beta) / 64 + beta) ** -0.5


def upper(x: Tensor) -> Tensor:
    return (x.sum(1) > 0).to(D)


def classical(seed: int, count: int, steps: int) -> WeightedSamples:
    rng = Samples(seed, count=count)
    x, betas = 8 * rng.child("start").normal((count, 2), D), torch.linspace(0, 1, steps + 1) ** 2
    return annealed_importance(geometric(wide, seven), x, betas, rng, MetropolisLangevin(0.5), scale=width)


def within(found: WeightedSamples, exact: float, errors: float = 3.0) -> bool:
    value, error = found.log_mean_weight
    return abs(float(value) - exact) < errors * float(error)


def parts(found: WeightedSamples, count: int) -> list[WeightedSamples]:
    """Equal parts: states are independent, so that each part is a run of its own."""
    pairs = zip(found.points.chunk(count), found.log_weight.chunk(count))
    return [WeightedSamples(points, weights) for points, weights in pairs]


def test_log_z_of_the_mixture_and_the_masses_of_its_modes():
    """100 runs of 100: log 7 within 3 standard errors in 95 or more; weights correct the masses of the modes."""
    found = classical(0, 10_000, 150)
    assert sum(within(part, math.log(7)) for part in parts(found, 100)) >= 95
    assert within(found, math.log(7))
    assert found.effective_sample_size > 0.3 * 10_000
    weighted, unweighted = float(found.mean(upper).value), float(upper(found.points).mean())
    assert abs(weighted - 0.8) < 0.02
    assert abs(unweighted - 0.53) < 0.02


@pytest.mark.slow
def test_log_z_in_100_seeds():
    runs = [classical(seed, 2000, 250) for seed in range(100)]
    assert sum(within(run, math.log(7)) for run in runs) >= 95
    assert all(abs(float(run.mean(upper).value) - 0.8) < 0.04 for run in runs)
    assert abs(sum(float(run.mean(upper).value) for run in runs) / 100 - 0.8) < 0.003


@pytest.mark.parametrize(
    "transition", [Hamiltonian(0.3, 3), MetropolisLangevin(0.2), Langevin(0.05), GaussianLangevin(0.05)], ids=repr
)
def test_every_transition_gives_the_ratio(transition):
    """Z of exp(-‖x‖²/2τ²) in two dimensions is 2πτ². The bias of unadjusted moves is corrected by the weights."""
    rng, tau = Samples(3, count=4000), 0.3
    x, betas = rng.child("start").normal((4000, 2), D), torch.linspace(0, 1, 101) ** 2
    path = geometric(lambda x: -x.square().sum(1) / 2, lambda x: -x.square().sum(1) / (2 * tau**2))
    found = annealed_importance(path, x, betas, rng, transition, scale=lambda b: (1 - b + b / tau**2) ** -0.5)
    assert within(found, 2 * math.log(tau), 4.0)
    assert float(found.log_mean_weight.standard_error) < 0.1
    value, error = found.mean(lambda x: x.square())
    assert bool(((value - tau**2).abs() < 4 * error).all())


def test_any_path_can_be_used():
    """A Gaussian that moves from 0 to 6 while its width shrinks: Z is 2π at the start and 2π/4 at the end."""

    def path(beta: float) -> Target:
        precision = 1 + 3 * beta
        return Target(
            score=lambda x: -precision * (x - 6 * beta),
            log_prob=lambda x: -precision * (x - 6 * beta).square().sum(1) / 2,
        )

    rng = Samples(1, count=3000)
    found = annealed_importance(
        path, rng.child("start").normal((3000, 2), D), torch.linspace(0, 1, 200), rng, scale=0.7
    )
    assert within(found, math.log(1 / 4))
    assert bool(((found.mean().value - 6).abs() < 4 * found.mean().standard_error).all())


def test_the_mean_weight_is_unbiased_without_any_moves():
    """With tiny steps it is plain importance sampling, whose weights are the ratios of the densities."""
    rng = Samples(0, count=5000)
    x = 1.5 * rng.child("start").normal((5000, 1), D)
    first, last = (lambda x, s=s: -x.square().sum(1) / (2 * s**2) for s in (1.5, 1.0))
    found = annealed_importance(geometric(first, last), x, [0.0, 1.0], rng, MetropolisLangevin(1e-12))
    torch.testing.assert_close(found.log_weight, last(x) - first(x), rtol=0, atol=1e-4)
    assert within(found, math.log(1 / 1.5))


# -- from the score ------------------------------------------------------------------------------------------------


def score(x: Tensor, level: Tensor) -> Tensor:
    """NCSN's toy: components of the standard deviation `level`, which obey the heat equation from level 1 upwards."""
    share = torch.sigmoid(2 * (x @ MODE)[:, None] / level**2 + math.log(0.8 / 0.2))
    return ((2 * share - 1) * MODE - x) / level**2


def squared_distance(x: Tensor) -> Tensor:
    """The mean squared distance to the mode, per coordinate."""
    return (x - torch.sign(x.sum(1, keepdim=True)) * MODE).square().mean(1)


@pytest.mark.slow
def test_weights_from_the_score_correct_annealed_langevin():
    """Mode weight and variance within a mode: 0.8 and 1 where the chains have 0.79 and more than 1.11."""
    count = 6000
    rng = Samples(0, count=count)
    x, levels = 50 * rng.child("start").normal((count, 2), D), torch.logspace(math.log10(50), 0, 400)
    found = score_importance(score, x, levels, rng, Langevin(0.2))
    assert within(found, 0.0)
    assert found.effective_sample_size > 0.3 * count
    (share, off), (variance, error) = found.mean(upper), found.mean(squared_distance)
    assert abs(float(share) - 0.8) < min(0.02, 3 * float(off))
    assert abs(float(variance) - 1) < 3 * float(error) < 0.08
    assert float(upper(found.points).mean()) < 0.8
    assert float(squared_distance(found.points).mean()) > 1.1


def test_the_weights_are_those_of_the_densities():
    """With the exact score the integrals are the differences of log q_v, up to the trapezoidal rule: the classical weights."""
    target = Mixture(
        torch.tensor([[-1.0, 0.0], [1.0, 0.5]]).double(),
        torch.tensor([0.4, 0.6]).double(),
        torch.tensor([0.3, 0.7]).double(),
    )
    count, levels = 50, torch.logspace(1, -1, 400, dtype=D)
    x = 10 * Samples(1, count=count).normal((count, 2), D)
    found = score_importance(lambda x, s: (target(x, s) - x) / s**2, x, levels, Samples(2, count=count), Langevin(0.05))

    def path(beta: float) -> Target:
        level = 10 ** (1 - 2 * beta)
        return Target(
            lambda x: (target(x, torch.tensor(level).double()) - x) / level**2, lambda x: target.log_prob(x, level)
        )

    other = annealed_importance(
        path,
        x,
        torch.linspace(0, 1, 400, dtype=D),
        Samples(2, count=count),
        Langevin(0.05),
        scale=lambda b: 10 ** (1 - 2 * b),
    )
    torch.testing.assert_close(found.points, other.points, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.log_weight, other.log_weight, rtol=0, atol=0.02)


def test_probes_and_grids_and_several_moves():
    target, count = Gaussian(torch.zeros(1, 3, 3, dtype=D), torch.full((1, 3, 3), 0.5, dtype=D)), 2000
    x, levels = target.sample(count, Samples(1, count=count), 5.0), torch.logspace(math.log10(5), -1, 60)
    exact, probed = (
        score_importance(
            lambda x, s: (target(x, s) - x) / s**2,
            *(x, levels, Samples(0, count=count), Langevin(0.05)),
            moves=2,
            probes=probes,
        )
        for probes in (0, 4)
    )
    assert exact.points.shape == (count, 1, 3, 3)
    torch.testing.assert_close(exact.log_weight, probed.log_weight)  # for a diagonal Jacobian random signs are exact
    assert within(exact, 0.0, 4.0)


def test_a_score_that_is_not_a_gradient_is_detected():
    """A score rotated by 0.3 rad."""
    count, levels = 2000, torch.logspace(1, -1, 100)
    x = 10.05 * Samples(1, count=count).normal((count, 2), D)

    def log_mean(angle: float) -> tuple[float, float]:
        turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=D)
        found = score_importance(lambda x, s: -x @ turn / (1 + s**2), x, levels, Samples(0, count=count))
        return float(found.log_mean_weight.value), float(found.log_mean_weight.standard_error)

    (right, error), (wrong, other) = log_mean(0.0), log_mean(0.3)
    assert abs(right) < 3 * error
    assert abs(wrong) > 5 * other


def test_a_state_depends_on_its_seed_and_index_only():
    def some(start: int, count: int) -> WeightedSamples:
        rng = Samples(5, start, count)
        x = 8 * rng.child("start").normal((count, 2), D)
        return annealed_importance(geometric(wide, seven), x, torch.linspace(0, 1, 9), rng, Hamiltonian(), moves=2)

    whole, part = some(0, 20), some(7, 6)
    torch.testing.assert_close(whole.points[7:13], part.points)
    torch.testing.assert_close(whole.log_weight[7:13], part.log_weight)


# -- messages ------------------------------------------------------------------------------------------------------

ONE = torch.ones(3, 1, dtype=D)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda rng: annealed_importance(geometric(wide, seven), ONE, [0.0, 0.0], rng),
            r"needs at least two betas that increase, got \[0.0, 0.0\]",
        ),
        (
            lambda rng: annealed_importance(geometric(wide, seven), ONE, [0, 1], rng, moves=0),
            "needs moves >= 1, got moves=0",
        ),
        (
            lambda rng: annealed_importance(geometric(wide, seven), ONE[:1], [0, 1], rng),
            r"at least 2 floating-point states",
        ),
        (
            lambda rng: annealed_importance(lambda b: Target(score=lambda x: -x), ONE, [0, 1], rng),
            "importance weights need log-densities",
        ),
        (
            lambda rng: geometric(Target(score=lambda x: -x), seven),
            "a geometric path needs the log-density of both ends",
        ),
        (
            lambda rng: score_importance(score, ONE, [1.0, 2.0], rng),
            "needs at least two levels that are positive and decrease",
        ),
        (
            lambda rng: score_importance(score, ONE, [2.0, 1.0], rng, MetropolisLangevin()),
            "MetropolisLangevin needs a log-density, .* use Langevin",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Samples(0, count=3))
