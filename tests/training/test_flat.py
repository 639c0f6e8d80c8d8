from __future__ import annotations

import pytest
import torch
from torch import nn

from scorefield.nn import MLP
from scorefield.training import Flat, Optimizer
from scorefield.training.flat import inside


def shares(p: torch.Tensor, whole: torch.Tensor) -> bool:
    start = whole.data_ptr()
    return start <= p.data_ptr() < start + whole.numel() * whole.element_size()


def test_parameters_are_views_and_stay_views():
    """Through steps of the optimizer, other values, and what a checkpoint loads."""
    network = MLP(3, 16, 2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    flat = Flat(network)
    assert len(flat.values) == len(flat.gradients) == sum(p.numel() for p in network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    optimizer = Optimizer(flat, 1e-2, 1e-2)
    for _ in range(3):
        flat.gradients.zero_()
        network(torch.ones(2, 3), torch.zeros(2)).sub(1).square().sum().backward()
        optimizer.step(1.0)
    assert not torch.equal(network.output.bias, before["output.bias"])
    flat.read(flat.values + 1)
    network.load_state_dict(before)
    for p in network.parameters():
        assert shares(p, flat.values)
        assert p.grad is not None and shares(p.grad, flat.gradients)
    assert torch.equal(torch.cat([p.detach().flatten() for p in flat.parameters]), flat.values)
    flat.read(torch.zeros_like(flat.values))
    assert not any(bool(p.any()) for p in network.parameters())


def test_matrices_come_last():
    network = nn.ModuleDict({"conv": nn.Conv1d(16, 20, 3), "thin": nn.Linear(16, 15), "wide": nn.Linear(40, 16)})
    flat = Flat(network)
    assert [inside(p) for p in flat.parameters] == [False] * 4 + [True] * 2
    assert flat.boundary == 20 + 15 * 16 + 15 + 16
    assert {id(p) for p in flat.matrices} == {id(network["conv"].weight), id(network["wide"].weight)}


def test_frozen_parameters_are_left_alone():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)).double()
    network[0].requires_grad_(False)
    network[0].float()  # another type, which does not matter
    flat = Flat(network)
    assert len(flat.values) == 16
    assert not shares(network[0].weight, flat.values)


def test_release_gives_memory_of_its_own():
    network = MLP(3, 16, 1)
    flat = Flat(network)
    kept = flat.values.clone()
    flat.release()
    flat.read(torch.full_like(kept, 7))
    assert torch.equal(torch.cat([p.detach().flatten() for p in flat.parameters]), kept)
    assert all(p.grad is None and not shares(p, flat.values) for p in network.parameters())


@pytest.mark.parametrize(
    ("module", "got"),
    [
        (nn.Identity(), r"\[\]"),
        (nn.Linear(2, 2).requires_grad_(False), r"\[\]"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()),
            r"""\["\(torch.float32, device\(type='cpu'\)\)", "\(torch.float64, device\(type='cpu'\)\)"\]""",
        ),
    ],
)
def test_parameters_of_one_kind(module, got):
    message = f"^a network needs trainable parameters of one type on one device, got {got}$"
    with pytest.raises(ValueError, match=message):
        Flat(module)
