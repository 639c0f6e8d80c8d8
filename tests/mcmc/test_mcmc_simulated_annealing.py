"""Simulated annealing finds the highest mode, and says nothing of weights."""

from __future__ import annotations

import pytest
import torch

from scorefield.mcmc import Hamiltonian, Target, simulated_annealing, tempered
from scorefield.rng import Samples
from scorefield.toys import unequal_modes

D = torch.float64
TEMPERATURES = torch.logspace(2, -2, 30)


@pytest.mark.parametrize("transition", [None, Hamiltonian(0.2, 3)])
def test_the_highest_mode_is_found(transition):
    """From the wrong mode of the mixture, whose heights differ by log 4; each best state is a maximum."""
    law = unequal_modes().mixture
    x = torch.full((50, 2), -5.0, dtype=D)
    more = {} if transition is None else {"transition": transition}
    found = simulated_annealing(law.log_prob, x, TEMPERATURES, Samples(0, count=50), **more)
    assert bool((found.best - 5).abs().max() < 0.1)
    torch.testing.assert_close(found.height, law.log_prob(found.state))
    assert found.chain.kept.shape == (30, 50, 2)
    assert bool((found.height >= law.log_prob(found.chain.state) - 1e-12).all())
    assert 0.3 < float(found.chain.acceptance.mean()) < 1


def test_the_states_are_no_draws():
    """At the end they lie at the modes, far closer than the law's own deviation of 1."""
    law = unequal_modes().mixture
    found = simulated_annealing(law.log_prob, torch.zeros(200, 2, dtype=D), TEMPERATURES, Samples(1, count=200))
    assert float((found.chain.state.abs() - 5).std()) < 0.3


def test_tempering_is_a_power():
    law = tempered(Target(score=lambda x: -x, log_prob=lambda x: -x.square().sum(1) / 2), 4.0)
    x = torch.ones(2, 3)
    assert torch.equal(law.score(x), -x / 4)
    assert torch.equal(law.log_prob(x), torch.full((2,), -1.5 / 4))
    assert tempered(Target(score=lambda x: -x), 2.0).log_prob is None


@pytest.mark.parametrize(
    ("target", "temperatures", "message"),
    [
        (lambda x: -x.square().sum(1), [1.0, 2.0], r"temperatures must be positive and fall, got \[1.0, 2.0\]"),
        (lambda x: -x.square().sum(1), [1.0, 0.0], "temperatures must be positive and fall"),
        (lambda x: -x, [2.0, 1.0], "an optimum needs heights to compare, .*: give log_prob"),
    ],
)
def test_what_cannot_be_annealed(target, temperatures, message):
    with pytest.raises(ValueError, match=message):
        simulated_annealing(target, torch.zeros(2, 2), temperatures, Samples(0, count=2))
