"""Chains: exact moments on Gaussian targets, independence of blocks and batches, and stored states."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from properties import Noises, example_mixture
from scorefield.mcmc import (
    Chain,
    GaussianLangevin,
    Langevin,
    MetropolisLangevin,
    Target,
    Transition,
    autocorrelation,
    effective_sample_size,
    langevin,
)
from scorefield.rng import Mixed, Samples

D = torch.float64
EVERY = [Langevin(0.2), GaussianLangevin(0.3), MetropolisLangevin(0.2)]
each = pytest.mark.parametrize("transition", EVERY, ids=lambda transition: type(transition).__name__)


def moments(transition: Transition, steps: int, mean: float, sigma: float, scale: float) -> tuple[float, float]:
    """The mean and the variance of a chain on N(mean, sigma²) started at 0, exactly: nothing is random."""
    count = 1 + 64 * math.ceil(steps / 64)
    chain = langevin(
        lambda x: (mean - x) / sigma**2, torch.zeros(count, 1, dtype=D), steps, Noises(), transition, scale
    )
    x = chain.state[:, 0]
    return float(x[0]), float(((x[1:] - x[0]) ** 2).sum())


@pytest.mark.parametrize("ratio", [0.05, 0.6, 1.5])
def test_the_variance_of_unadjusted_langevin(ratio):
    """v_k = σ²/(1 - r/2) (1 - (1 - r)^2k), and the mean approaches its limit as (1 - r)^k."""
    for steps in (1, 2, 7, 400):
        mean, variance = moments(Langevin(ratio), steps, 1.3, 0.7, 0.7)
        assert mean == pytest.approx(1.3 * (1 - (1 - ratio) ** steps), rel=1e-12)
        assert variance == pytest.approx(0.49 / (1 - ratio / 2) * (1 - (1 - ratio) ** (2 * steps)), rel=1e-12)
    assert variance == pytest.approx(0.49 / (1 - ratio / 2), rel=1e-12)


@pytest.mark.parametrize("wide", [1.0, 3.0, 100.0])
def test_variances_in_directions_wider_than_the_scale(wide):
    """S/(1 - a/2S) for a plain step, and for a Gaussian-exact one between exact (S = σ²) and (1 + e^-h)/2."""
    scale, square = 0.5, (0.5 * wide) ** 2
    steps = 40 if wide == 1 else 40_000 if wide == 100 else 400
    if wide < 100:
        found = moments(Langevin(0.8), steps, 0.0, scale * wide, scale)[1]
        assert found == pytest.approx(square / (1 - 0.8 * scale**2 / 2 / square), rel=1e-10)
    h = 0.5
    lost, added = -math.expm1(-h) / wide**2, -math.expm1(-2 * h) * scale**2
    rest = added / (1 - (1 - lost) ** 2)
    if wide == 1:
        assert rest == pytest.approx(square, rel=1e-12)
    if wide < 100:
        assert moments(GaussianLangevin(h), steps, 0.0, scale * wide, scale)[1] == pytest.approx(rest, rel=1e-10)
    else:
        assert rest / square == pytest.approx((1 + math.exp(-h)) / 2, rel=1e-3)


# -- addressed noise -----------------------------------------------------------------------------------------------


def run(transition: Transition, start: int, count: int, steps: int = 40, **how) -> Chain:
    mixture = example_mixture()
    x = Samples(7, start, count).normal((count, 2), D)
    return langevin(mixture.log_prob, x, steps, Samples(3, start, count), transition, 0.4, **how)


@each
def test_chains_are_independent_of_the_batch(transition):
    """Alone, in a batch with another start, and in blocks of any size."""
    whole = run(transition, 0, 300, keep=5)
    for start, count, block in ((17, 1, None), (250, 40, 7), (3, 5, 1), (0, 300, 64), (0, 300, 1000)):
        state, acceptance, kept = run(transition, start, count, keep=5, block=block)
        rows = slice(start, start + count)
        torch.testing.assert_close(state, whole.state[rows], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(acceptance, whole.acceptance[rows], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(kept, whole.kept[:, rows], rtol=1e-6, atol=1e-6)


@each
def test_a_chain_is_the_beginning_of_longer_ones(transition):
    """They differ only in the number of moves: a state that the longer chain stores is the end of the shorter one."""
    kept = run(transition, 0, 20, steps=70, keep=70).kept
    for steps in (1, 31, 33, 70):
        assert torch.equal(run(transition, 0, 20, steps).state, kept[steps - 1])


def test_a_chain_is_continued_with_its_source():
    """Another call with the same source draws new noise; a new source with the same seed draws the same noise again."""
    x, rng = torch.zeros(3, 2), Samples(0, count=3)
    one = langevin(torch.zeros_like, x, 1, rng, Langevin()).state
    two = langevin(torch.zeros_like, x, 1, rng, Langevin()).state
    again = langevin(torch.zeros_like, x, 1, Samples(0, count=3), Langevin()).state
    assert torch.equal(one, again)
    assert not torch.isclose(one, two).any()


def test_mixed_noise_interpolates_between_chains():
    mixture = example_mixture()
    x = torch.zeros(5, 2, dtype=D)

    def at(rng) -> Tensor:
        return langevin(mixture.log_prob, x, 20, rng, Langevin(), 0.4).state

    a, b = at(Samples(0, count=5)), at(Samples(1, count=5))
    for angle, expected in ((0.0, a), (math.pi / 2, b)):
        torch.testing.assert_close(at(Mixed(Samples(0, count=5), Samples(1, count=5), angle)), expected)


# -- results -------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("shape", [(4, 3), (2, 1), (3, 2, 1, 5)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, D], ids=str)
def test_shapes_and_types(transition, shape, dtype):
    x = torch.zeros(shape, dtype=dtype)
    chain = langevin(
        lambda x: -(x.flatten(1).double() ** 2).sum(1) / 2, x, 9, Samples(0, count=len(x)), transition, keep=2
    )
    assert (chain.state.shape, chain.state.dtype) == (x.shape, dtype)
    assert (chain.acceptance.shape, chain.acceptance.dtype) == ((len(x),), dtype)
    assert (chain.kept.shape, chain.kept.dtype) == ((2, *x.shape), dtype)
    assert not bool(x.any())  # the argument is not modified


def test_states_of_one_number():
    chain = langevin(Target(score=lambda x: -x), torch.zeros(3), 9, Samples(0, count=3), keep=6)
    assert chain.state.shape == (3,) and chain.effective_sample_size().shape == ()


def test_stored_states():
    """The last states, `thin` moves apart, the last one last."""
    everything = run(Langevin(), 0, 4, keep=40).kept
    for keep, thin in ((1, 1), (3, 1), (4, 10), (2, 39), (1, 1000), (0, 3)):
        chain = run(Langevin(), 0, 4, keep=keep, thin=thin)
        expected = everything[[39 - thin * back for back in range(keep)][::-1]]
        assert torch.equal(chain.kept, expected)
        assert torch.equal(chain.state, everything[-1])


def test_acceptance_of_unadjusted_chains_is_one():
    assert run(Langevin(), 0, 4).acceptance.tolist() == [1.0] * 4
    accepted = run(MetropolisLangevin(), 0, 4).acceptance
    assert bool(((accepted > 0.3) & (accepted < 1)).all())


def test_autocorrelation_and_effective_sample_size_of_a_chain():
    """On N(0, 1) the plain chain is the autoregression of ρ = 1 - r."""
    count, ratio = 2000, 0.4
    x = Samples(0, count=count).normal((count, 1), D) / math.sqrt(1 - ratio / 2)
    chain = langevin(lambda x: -x, x, 100, Samples(1, count=count), Langevin(ratio), keep=100)
    assert torch.equal(chain.autocorrelation(), autocorrelation(chain.kept))
    assert torch.equal(chain.effective_sample_size(), effective_sample_size(chain.kept))
    torch.testing.assert_close(chain.autocorrelation()[:4, 0], 0.6 ** torch.arange(4, dtype=D), rtol=0, atol=0.02)
    assert float(chain.effective_sample_size()) == pytest.approx(0.4 / 1.6 * 100 * count, rel=0.1)


def test_one_evaluation_per_move():
    """And one for a single state, to find out whether it is a score."""
    calls = []

    def score(x: Tensor) -> Tensor:
        calls.append(len(x))
        return -x

    langevin(score, torch.zeros(5, 2), 40, Samples(0, count=5), block=3)
    assert calls[0] == 1 and sorted(calls[1:]) == [2] * 40 + [3] * 40


# -- errors --------------------------------------------------------------------------------------------------------


def test_a_non_finite_state_stops_the_chain():
    message = r"Langevin\(ratio=0.1\) became non-finite .* by move 64 of 500, at the scale 2: use a smaller step"
    with pytest.raises(RuntimeError, match=message):
        langevin(lambda x: -(x**3), torch.full((3, 1), 30.0), 500, Samples(0, count=3), scale=2.0)


def test_bad_arguments_are_refused():
    x, rng = torch.zeros(3, 2), Samples(0, count=3)
    for steps in (0, -1):
        with pytest.raises(ValueError, match=f"a chain needs at least 1 move, got {steps}"):
            langevin(torch.zeros_like, x, steps, rng)
    with pytest.raises(ValueError, match=r"chains need keep >= 0 and thin >= 1, got keep=-1, thin=1"):
        langevin(torch.zeros_like, x, 5, rng, keep=-1)
    with pytest.raises(ValueError, match=r"chains need keep >= 0 and thin >= 1, got keep=2, thin=0"):
        langevin(torch.zeros_like, x, 5, rng, keep=2, thin=0)
    with pytest.raises(ValueError, match="storing 3 states 4 moves apart needs more than 8 moves, got 8"):
        langevin(torch.zeros_like, x, 8, rng, keep=3, thin=4)
    with pytest.raises(ValueError, match="a block needs at least 1 chain, got block=0"):
        langevin(torch.zeros_like, x, 8, rng, block=0)
    with pytest.raises(ValueError, match="the scale of a target must be positive and finite, got scale=0"):
        langevin(torch.zeros_like, x, 8, rng, scale=0.0)
    with pytest.raises(TypeError, match=r"states must be floating-point numbers, got torch.int64: pass x.double\(\)"):
        langevin(torch.zeros_like, torch.zeros(3, 2, dtype=torch.int64), 8, rng)
    with pytest.raises(ValueError, match="this source has 3 samples"):
        langevin(torch.zeros_like, torch.zeros(4, 2), 8, rng)
