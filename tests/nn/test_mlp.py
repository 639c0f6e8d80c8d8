from __future__ import annotations

import json

import pytest
import torch

from scorefield import spec
from scorefield.nn import MLP


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


@pytest.mark.parametrize("features", [1, 2, 17, 300])
@pytest.mark.parametrize(("width", "depth"), [(1, 1), (32, 3)])
def test_any_number_of_features(features, width, depth):
    """The output is 0 at initialization; after that, the state, the label and every parameter matter."""
    network = MLP(features, width, depth)
    x, c = batch(features)
    assert torch.equal(network(x, c), torch.zeros(5, features))
    out = awake(network)(x, c)
    assert out.shape == x.shape
    assert not torch.equal(out, network(x, c + 1))
    assert not torch.equal(out, network(x + 1, c))
    out.square().sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())


@pytest.mark.parametrize("bfloat16", [False, True])
def test_samples_of_a_batch_are_independent(bfloat16):
    network = awake(MLP(7, 64, 2))
    x, c = batch(7, 33)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        whole = network(x, c).float()
        for part in (slice(0, 1), slice(3, 5), slice(10, 33)):
            torch.testing.assert_close(network(x[part], c[part]).float(), whole[part], rtol=1e-5, atol=1e-5)


def test_the_formula():
    """Layers of SiLU on a(c) · W x + b(c), written out."""
    network = awake(MLP(3, 8, 2)).double()
    x, c = (part.double() for part in batch(3))
    silu = torch.nn.functional.silu
    scale, shift = network.modulate(network.label(c)).reshape(5, 2, 8).unbind(1)
    h = silu(scale * network.input(x) + shift)
    for layer in network.layers:
        h = silu(h @ layer.weight.T + layer.bias)
    torch.testing.assert_close(network(x, c), network.output(h))


def test_the_constructor_is_the_configuration():
    network = MLP(3, 8, 2)
    described = json.loads(json.dumps(spec.describe(network)))
    assert described["arguments"] == {"features": 3, "width": 8, "depth": 2, "context": 0, "extra": 0}
    again = spec.build(described)
    again.load_state_dict(awake(network).state_dict())
    assert torch.equal(again(*batch(3)), network(*batch(3)))


@pytest.mark.parametrize("name", ["features", "width", "depth"])
def test_sizes_must_be_positive(name):
    sizes = {"features": 3, "width": 8, "depth": 2, "context": 0, "extra": 0} | {name: 0}
    got = ", ".join(f"{k}={v}" for k, v in sizes.items())
    with pytest.raises(ValueError, match=f"^MLP needs positive sizes, got {got}$"):
        MLP(**sizes)
