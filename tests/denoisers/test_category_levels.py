"""Levels of categories, with their frequencies."""

from __future__ import annotations

import pytest
import torch

from scorefield.data.variables import Variables
from scorefield.denoisers import MixedDenoiser
from scorefield.denoisers.category_levels import CategoryLevels

D = torch.float64
SIZES, FREQUENCIES = (2, 3), (0.96, 0.04, 0.5, 0.3, 0.2)


class Zero(torch.nn.Module):
    def forward(self, x, c):
        return x.new_zeros(len(x), 6)


@pytest.mark.parametrize("level", [0.3, 1.0, 4.0])
def test_a_network_that_answers_nothing_has_the_posterior_of_independent_variables(level):
    """By Bayes: the frequency times the density of the noisy coordinates, for each level of each category."""
    variables = Variables(1, SIZES)
    denoiser = MixedDenoiser(Zero(), variables, frequencies=FREQUENCIES)
    x = torch.randn(50, 6, dtype=D, generator=torch.Generator().manual_seed(0))
    found = denoiser(x, torch.tensor(level, dtype=D))[:, 1:]
    for start, stop in ((0, 2), (2, 5)):
        corners = torch.eye(stop - start, dtype=D)
        square = (x[:, None, 1 + start : 1 + stop] - corners).square().sum(-1)
        exact = (torch.tensor(FREQUENCIES[start:stop], dtype=D).log() - square / (2 * level**2)).softmax(1)
        assert torch.allclose(found[:, start:stop], exact, atol=1e-6)


def test_levels_are_seen_in_units_of_their_standard_deviation():
    """Over draws by the frequencies, inputs have mean 0 and variance 1, also those of a level of 4 %; in closed form."""
    levels, frequencies = CategoryLevels(SIZES, FREQUENCIES), torch.tensor(FREQUENCIES)
    for start, stop in ((0, 2), (2, 5)):
        corners = torch.zeros(stop - start, 5)
        corners[:, start:stop] = torch.eye(stop - start)
        seen = levels.standardized(corners)[:, start:stop]
        weights = frequencies[start:stop, None]
        assert torch.allclose((weights * seen).sum(0), torch.zeros(stop - start), atol=1e-6)
        assert torch.allclose((weights * seen.square()).sum(0), torch.ones(stop - start), atol=1e-5)


def test_answers_are_in_the_same_units():
    """To first order an answer of F for a level of a pair moves its probability by F standard deviations."""
    levels = CategoryLevels(SIZES, FREQUENCIES)
    answer = torch.tensor([[0.0, 1e-2, 0.0, 0.0, 0.0]])
    moved = levels.log_probs(torch.zeros(1, 5), answer).exp() - torch.tensor(FREQUENCIES)
    assert float(moved[0, 1]) == pytest.approx(1e-2 * (0.96 * 0.04) ** 0.5, rel=0.05)
    assert float(moved.sum()) == pytest.approx(0, abs=1e-6)


def test_without_frequencies_all_levels_are_alike():
    levels = CategoryLevels(SIZES)
    answer = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    exact = torch.cat((answer[:, :2].log_softmax(1), answer[:, 2:].log_softmax(1)), 1)
    assert torch.allclose(levels.log_probs(torch.zeros(4, 5), answer), exact, atol=1e-6)
    assert torch.allclose(
        levels.standardized(torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]))[:2], torch.tensor([0.5, -0.5]) * 2**0.5
    )


@pytest.mark.parametrize("frequencies", [(0.5,) * 4, (0.0, 1.0, 0.5, 0.3, 0.2)])
def test_frequencies_must_fit(frequencies):
    with pytest.raises(ValueError, match="frequencies are one number between 0 and 1 for each of 5 levels"):
        MixedDenoiser(Zero(), Variables(1, SIZES), frequencies=frequencies)
