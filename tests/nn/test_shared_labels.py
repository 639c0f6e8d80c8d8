"""One noise label for all states gives the answers that it gives as a label of each."""

from __future__ import annotations

import inspect

import pytest
import torch

from scorefield import nn as networks
from scorefield.denoisers import Preconditioned
from scorefield.nn.shared_labels import shared_label

MADE = {
    "MLP": (networks.MLP(3), (3,), None),
    "MLP, context": (networks.MLP(3, context=2), (3,), (2,)),
    "ResidualMLP": (networks.ResidualMLP(3, numbers=2), (3,), None),
    "ResidualMLP, context": (networks.ResidualMLP(3, context=2), (3,), (2,)),
    "UNet": (networks.UNet(2, 1, (8, 16)), (1, 8, 8), None),
    "UNet, context": (networks.UNet(1, 1, (8,), context=2), (1, 8), (2,)),
    "FourierFeatures": (networks.FourierFeatures(networks.MLP(2, extra=4), (1.0,)), (2,), None),
}


def randomized(network):
    """The network with other parameters than its first ones, of which the last are 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return network.eval()


def test_all_that_share_a_label_are_tested():
    sharing = {name for name, cls in vars(networks).items() if inspect.isclass(cls) and hasattr(cls, "shares_label")}
    assert sharing == {type(network).__name__ for network, _, _ in MADE.values()}


@pytest.mark.parametrize(("network", "shape", "context"), MADE.values(), ids=MADE)
def test_one_label_for_all_states(network, shape, context):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, *shape, generator=generator)
    others = () if context is None else (torch.randn(5, *context, generator=generator),)
    network, c = randomized(network), torch.tensor(0.3).expand(5)
    one = shared_label(network, c)
    assert one.shape == (1,) and shared_label(network, torch.full((5,), 0.3)).shape == (5,)
    torch.testing.assert_close(network(x, one, *others), network(x, c, *others), rtol=1e-5, atol=1e-5)
    different = network(x, c + torch.arange(5) / 5, *others)
    assert not torch.allclose(different, network(x, c, *others), rtol=1e-2)


def test_networks_with_a_forward_of_their_own_get_a_label_for_each_state():
    class Own(networks.MLP):
        def forward(self, x, c, context=None):
            assert c.shape == (len(x),)
            return super().forward(x, c)

    Preconditioned(Own(2))(torch.zeros(4, 2), torch.tensor(0.5))
    assert shared_label(networks.FourierFeatures(Own(2, extra=4), (1.0,)), torch.zeros(()).expand(4)).shape == (4,)


@pytest.mark.parametrize(("network", "shape", "context"), [m for m in MADE.values() if m[2] is None])
def test_bits_do_not_depend_on_how_many_states_share_a_label(network, shape, context):
    denoiser, x = (
        Preconditioned(randomized(network)),
        torch.randn(64, *shape, generator=torch.Generator().manual_seed(2)),
    )
    asked = []
    network.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[1].shape))
    for count in (1, 64):
        denoiser(x[:count], torch.tensor(0.7))
    assert asked == [(1,), (1,)]
