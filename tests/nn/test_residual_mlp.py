from __future__ import annotations

import json

import pytest
import torch

from scorefield import spec
from scorefield.nn import ResidualMLP
from scorefield.nn.pieces import Pieces


def awake(network: torch.nn.Module) -> torch.nn.Module:
    """The same network with no weight at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return network


def batch(features: int, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, features, generator=generator), torch.randn(count, generator=generator)


@pytest.mark.parametrize(("features", "extra", "context"), [(1, 0, 0), (5, 7, 0), (5, 7, 3)])
def test_everything_that_goes_in_matters(features, extra, context):
    """The output is 0 at initialization; after that every input and every parameter matter."""
    network, (x, c) = ResidualMLP(features, 16, 2, context, extra, numbers=1), batch(features + extra)
    given = (torch.ones(5, context),) if context else ()
    assert torch.equal(network(x, c, *given), torch.zeros(5, features))
    out = awake(network)(x, c, *given)
    assert out.shape == (5, features) and not torch.equal(out, network(x, c + 1, *given))
    for i in range(features + extra):
        assert not torch.equal(out, network(x + torch.eye(features + extra)[i], c, *given))
    if context:
        assert not torch.equal(out, network(x, c, 2 * given[0]))
        with pytest.raises(ValueError, match=r"^this network needs a context of 3 values and got none: pass context$"):
            network(x, c)
    out.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())


def test_samples_of_a_batch_are_independent():
    network, (x, c) = awake(ResidualMLP(7, 32, 2)), batch(7, 33)
    for part in (slice(0, 1), slice(3, 5), slice(10, 33)):
        torch.testing.assert_close(network(x[part], c[part]), network(x, c)[part], rtol=1e-5, atol=1e-5)


def test_blocks_are_added_to_the_stream():
    """With the second layer of every block at 0, the network is an affine map of the normalized input layer."""
    network, (x, c) = awake(ResidualMLP(3, 8, 2)), batch(3)
    for block in network.blocks:
        torch.nn.init.zeros_(block.second.weight)
        torch.nn.init.zeros_(block.second.bias)
    torch.testing.assert_close(network(x, c), network.output(network.norm(network.input(x))))


def test_the_constructor_is_the_configuration():
    network = ResidualMLP(3, 8, 2, extra=1, expansion=3, numbers=2, pieces=5)
    described = json.loads(json.dumps(spec.describe(network)))
    again = spec.build(described)
    assert spec.describe(again) == described
    again.load_state_dict(awake(network).state_dict())
    assert torch.equal(again(*batch(4)), network(*batch(4)))


def test_numbers_are_encoded_by_pieces():
    """Pieces between quantiles of a normal distribution fill one after another; other inputs are not encoded."""
    network, x = ResidualMLP(2, 8, 1, numbers=1, pieces=4), torch.linspace(-4, 4, 81)[:, None].expand(81, 2)
    found = network._encoded(x)
    assert found.shape == (81, 6) and torch.equal(found[:, :2], x)
    for i, (low, high) in enumerate([(-3, -0.674490), (-0.674490, 0), (0, 0.674490), (0.674490, 3)]):
        expected = (2 * (x[:, 0] - low) / (high - low) - 1).clamp(-1, 1)
        torch.testing.assert_close(found[:, 2 + i], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"^of 3 inputs, 4 cannot be numbers: choose fewer$"):
        ResidualMLP(2, 8, 1, extra=1, numbers=4)


@pytest.mark.parametrize("name", ["features", "width", "depth", "expansion", "pieces"])
def test_sizes_must_be_positive(name):
    sizes = {"features": 3, "width": 8, "depth": 2, "context": 0, "extra": 0, "expansion": 2, "numbers": 0, "pieces": 7}
    sizes |= {name: 0}
    got = ", ".join(f"{k}={v}" for k, v in sizes.items())
    with pytest.raises(ValueError, match=f"^ResidualMLP needs positive sizes, got {got}$"):
        ResidualMLP(**sizes)


def test_given_variables_shift_the_inner_layers_and_noisy_ones_do_not():
    """Two numbers and a category of two levels; what is given acts through two paths, what is free through one."""
    network = awake(ResidualMLP(4, 8, 2, extra=6, numbers=2, pieces=3, owners=(0, 1, 2, 2)))
    x, c = torch.randn(5, 10, generator=torch.Generator().manual_seed(0)), torch.zeros(5)
    x[:, 4:] = 0
    x[:, 4], x[:, 6] = 1, 1  # the first number and the category are given
    apart = network._of_given(x)
    assert bool((apart[:, 1] == 0).all()) and torch.equal(apart[:, [0, 2, 3]], x[:, [0, 2, 3]])
    assert bool((apart[:, 42:] == 0).all()) and torch.equal(apart[:, 10:42], Pieces(1, 32)(x[:, :1]))
    moved = x.clone()
    moved[:, 1] += 1.0  # a free number
    assert torch.equal(network._of_given(moved), apart) and not torch.equal(network(moved, c), network(x, c))
    with torch.no_grad():
        network.embed_given.weight.zero_()
        network.embed_given.bias.zero_()
        alone = ResidualMLP(4, 8, 2, extra=6, numbers=2, pieces=3)
        alone.load_state_dict(network.state_dict(), strict=False)
    torch.testing.assert_close(network(x, c), alone(x, c))  # as it starts: the network without this path


def test_owners_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="two flags for each variable"):
        ResidualMLP(4, 8, 1, extra=4, owners=(0, 1, 2, 2))
    with pytest.raises(ValueError, match="one variable for each of 4 features"):
        ResidualMLP(4, 8, 1, extra=6, owners=(0, 1, 2))
