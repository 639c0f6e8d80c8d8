"""Denoisers that are told something, and guidance."""

from __future__ import annotations

import pytest
import torch

from scorefield.denoisers import Conditioned, EDMPrediction, Gaussian, Guided, Preconditioned, part_of
from scorefield.nn import MLP, UNet

X, LEVEL = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor(0.7)


def awake(network: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return network


def denoiser() -> Preconditioned:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Preconditioned(awake(MLP(3, 16, 2, context=2)), EDMPrediction())


def test_each_state_is_told_its_own():
    rows = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    whole = Conditioned(denoiser(), rows)(X, LEVEL)
    single = [Conditioned(denoiser(), rows[i : i + 1])(X[i : i + 1], LEVEL) for i in range(4)]
    torch.testing.assert_close(whole, torch.cat(single))
    assert float((whole - Conditioned(denoiser(), rows[:1])(X, LEVEL)).abs().max()) > 0.01
    assert torch.equal(
        Conditioned(denoiser(), rows[:1])(X, LEVEL), Conditioned(denoiser(), rows[:1].expand(4, 2))(X, LEVEL)
    )
    with pytest.raises(ValueError, match=r"^4 states are given one context or as many, got 2$"):
        Conditioned(denoiser(), rows[:2])(X, LEVEL)


@pytest.mark.parametrize(("network", "given"), [
    (UNet(2, 1, (8, 16), context=3).requires_grad_(False), torch.randn(2, 3)),
    (UNet(2, 1, (8, 16), patch=2, context_channels=3).requires_grad_(False), torch.randn(2, 3, 6, 6)),
])  # fmt: skip
def test_grids_are_told_numbers_or_channels(network, given):
    x, c = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(2)
    assert float(network(x, c, given).abs().max()) == 0  # as without a context: it begins as the zero function
    awake(network)
    found = network(x, c, given)
    assert found.shape == x.shape and float((found - network(x, c, given + 1)).abs().max()) > 1e-3
    with pytest.raises(
        ValueError, match=r"^this network needs a context and got none: pass context$"
    ):
        network(x, c)


def test_networks_that_ask_for_too_little_or_too_much():
    with pytest.raises(
        ValueError, match=r"^this network needs a context of 2 values and got none: pass context$"
    ):
        denoiser()(X, LEVEL)
    with pytest.raises(ValueError, match=r"^UNet takes values or channels as context, not both: got context=1 and context_"):
        UNet(2, 1, context=1, context_channels=2)


def test_sample_i_has_the_context_of_row_i():
    rows = torch.arange(6.0).reshape(3, 2)
    part = part_of(Conditioned(denoiser(), rows), torch.arange(4, 8))
    assert torch.equal(part.context, rows[[1, 2, 0, 1]])
    both = part_of(
        Guided(Conditioned(denoiser(), rows), Conditioned(denoiser(), rows[:1]), 2.0, 0.1, 5.0), torch.tensor([2, 0])
    )
    assert torch.equal(both.strong.context, rows[[2, 0]]) and torch.equal(both.weak.context, rows[:1])
    assert (both.weight, both.low, both.high) == (2.0, 0.1, 5.0)
    law = Gaussian(torch.zeros(3), torch.ones(3))
    alike = Guided(Conditioned(denoiser(), rows[:1]), law, 2.0)
    some = torch.arange(3, 5)
    assert part_of(law, some) is law and part_of(alike, some) is alike


def test_guidance_is_what_its_formula_says():
    """A weight of 1, and levels outside of the interval, leave the denoiser to the bit."""
    strong, weak = Gaussian(torch.ones(3), torch.ones(3)), Gaussian(torch.zeros(3), 2 * torch.ones(3))
    a, b = strong(X, LEVEL), weak(X, LEVEL)
    torch.testing.assert_close(Guided(strong, weak, 2.5)(X, LEVEL), b + 2.5 * (a - b))
    assert torch.equal(Guided(strong, weak, 1.0)(X, LEVEL), a)
    assert torch.equal(Guided(strong, weak, 3.0, low=0.8)(X, LEVEL), a)
    levels = torch.tensor([0.1, 0.5, 1.0, 9.0])[:, None]
    found, led = Guided(strong, weak, 3.0, 0.4, 2.0)(X, levels), Guided(strong, weak, 3.0)(X, levels)
    assert torch.equal(found[[0, 3]], strong(X, levels)[[0, 3]]) and torch.equal(found[1:3], led[1:3])
    with pytest.raises(ValueError, match=r"^guidance needs a weight, and levels low < high; got weight=2.0, 3 and 1$"):
        Guided(strong, weak, 2.0, 3, 1)
