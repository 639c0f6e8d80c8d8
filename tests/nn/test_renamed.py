"""State dictionaries of version 0.1 can be loaded."""

from __future__ import annotations

import pytest
import torch

from scorefield.nn import MLP, ClassifierNetwork, SigmaUNet, UNet

OLD = {"input": "enter", "output": "leave", "embed_context": "given", "modulate_layers": "lead"}
NETWORKS = [MLP(3, 8, 2), MLP(3, 8, 2, context=2), UNet(1, 2, (4, 8), attention=True, context=3)]
NETWORKS += [SigmaUNet(1, 4), ClassifierNetwork((3,), 2)]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: type(network).__name__)
def test_layers_are_found_under_their_old_names(network, inside):
    network = torch.nn.ModuleDict({"network": network}) if inside else network
    state = {name: torch.randn_like(value) for name, value in network.state_dict().items()}
    old = {".".join(OLD.get(part, part) for part in name.split(".")): value for name, value in state.items()}
    assert old.keys() != state.keys()
    network.load_state_dict(old)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
