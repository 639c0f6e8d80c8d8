"""Simulated annealing finds the highest mode; its states are not draws."""

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
    """From the lower mode of the mixture, whose log-density is lower by log 4; each best state is a maximum."""
    target = unequal_modes().mixture
    x = torch.full((50, 2), -5.0, dtype=D)
    more = {} if transition is None else {"transition": transition}
    found = simulated_annealing(target.log_prob, x, TEMPERATURES, Samples(0, count=50), **more)
    assert bool((found.best - 5).abs().max() < 0.1)
    torch.testing.assert_close(found.log_prob, target.log_prob(found.state))
    assert found.chain.kept.shape == (30, 50, 2)
    assert bool((found.log_prob >= target.log_prob(found.chain.state) - 1e-12).all())
    assert 0.3 < float(found.chain.acceptance.mean()) < 1


def test_the_states_are_not_draws():
    """They end at the modes, much closer than the standard deviation of 1."""
    target = unequal_modes().mixture
    found = simulated_annealing(target.log_prob, torch.zeros(200, 2, dtype=D), TEMPERATURES, Samples(1, count=200))
    assert float((found.chain.state.abs() - 5).std()) < 0.3


def test_tempering_is_a_power():
    target = tempered(Target(score=lambda x: -x, log_prob=lambda x: -x.square().sum(1) / 2), 4.0)
    x = torch.ones(2, 3)
    assert torch.equal(target.score(x), -x / 4)
    assert torch.equal(target.log_prob(x), torch.full((2,), -1.5 / 4))
    assert tempered(Target(score=lambda x: -x), 2.0).log_prob is None


@pytest.mark.parametrize(
    ("target", "temperatures", "message"),
    [
        (lambda x: -x.square().sum(1), [1.0, 2.0], r"temperatures must be positive and decreasing, got \[1.0, 2.0\]"),
        (lambda x: -x.square().sum(1), [1.0, 0.0], "temperatures must be positive and decreasing"),
        (lambda x: -x, [2.0, 1.0], "simulated annealing needs a log-density, .*: pass log_prob"),
    ],
)
def test_bad_arguments_are_refused(target, temperatures, message):
    with pytest.raises(ValueError, match=message):
        simulated_annealing(target, torch.zeros(2, 2), temperatures, Samples(0, count=2))
