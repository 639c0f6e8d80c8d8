"""Gradients that networks compute themselves are those of autograd, for every network that offers them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import scorefield.nn as networks
from scorefield.denoisers import Preconditioned
from scorefield.nn import MLP, FourierEmbedding, FourierFeatures, UNet
from scorefield.nn.backpropagation import Autograd, Backpropagates
from scorefield.training import Flat

SIZES = [
    {"features": features, "width": width, "depth": depth}
    for features, width, depth in itertools.product((1, 3, 40), (1, 16, 24), (1, 2, 4))
]
EXAMPLES: dict[str, list[nn.Module]] = {
    "MLP": [
        *(MLP(**sizes) for sizes in SIZES),
        MLP(3, 16, 2, extra=5),
        *(MLP(2, 12, depth, context, extra) for depth, context, extra in ((1, 1, 0), (3, 4, 3))),
    ],
    "FourierFeatures": [
        FourierFeatures(MLP(features, 16, 2, extra=2 * features * len(periods)), periods)
        for features, periods in ((2, (2.0, 0.5)), (1, (0.3,)))
    ]
    + [FourierFeatures(MLP(2, 8, 1, context=3, extra=4), (1.0,))],
}
OFFERING = [
    name
    for name in networks.__all__
    if isinstance(getattr(networks, name), type) and hasattr(getattr(networks, name), "backpropagation")
]
CASES = [
    pytest.param(network, dtype, id=f"{name}-{i}-{str(dtype)[6:]}")
    for name in OFFERING
    for i, network in enumerate(EXAMPLES.get(name, []))
    for dtype in (torch.float32, torch.float64)
]


def awake(network: nn.Module) -> nn.Module:
    """The same network with no weight at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return network


def inputs(network: nn.Module, count: int, seed: int = 0) -> list[torch.Tensor]:
    """States, noise labels and, where there is one, contexts."""
    inner = network.network if isinstance(network, FourierFeatures) else network
    columns = inner.features + (0 if inner is not network else inner.extra)
    generator = torch.Generator().manual_seed(seed)
    found = [torch.randn(count, columns, generator=generator), 0.3 * torch.randn(count, generator=generator)]
    return found + ([torch.randn(count, inner.context, generator=generator)] if inner.context else [])


def test_every_network_that_offers_gradients_has_examples() -> None:
    assert set(OFFERING) == set(EXAMPLES)


@pytest.mark.parametrize(("network", "dtype"), CASES)
def test_gradients_are_those_of_autograd(network, dtype):
    """For one batch after another, of equal and of other sizes, with inputs that were encoded together."""
    awake(network).to(dtype)
    flat = Flat(network)
    found = network.backpropagation()
    assert found is not None
    whole = [part.to(dtype) for part in inputs(network, 23)]
    with torch.no_grad():
        encoded = found.encode(*whole)
    for rows in (slice(0, 7), slice(7, 14), slice(14, 23)):
        plain = network(*(part[rows] for part in whole))
        y = torch.randn(plain.shape, generator=torch.Generator().manual_seed(9), dtype=dtype)
        loss = F.mse_loss(plain, y)
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, flat.parameters)])
        flat.gradients.zero_()
        answer = found.forward(*(part[rows] for part in encoded))
        error = answer - y
        found.backward(2 / error.numel() * error)
        tolerance = 1e-12 if dtype == torch.float64 else 1e-6
        assert float((answer - plain.detach()).norm()) <= tolerance * float(answer.norm())
        assert float((flat.gradients - expected).norm()) <= tolerance * float(expected.norm())
        with torch.no_grad():  # the next batch meets other weights
            flat.values.mul_(0.9)


class Doubled(MLP):
    """A subclass that computes something else."""

    def forward(self, x: torch.Tensor, c: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return 2 * super().forward(x, c, context)


class Louder(nn.Linear):
    """A layer that is not the usual one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(x)


class Halved(Preconditioned):
    """A denoiser that changes the answers of its network."""

    def answer(self, x: torch.Tensor, c: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return super().answer(x, c, context) / 2


class Learned(FourierEmbedding):
    """An embedding of the noise label that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(self._buffers.pop("frequencies"))


def _changed(change: str) -> nn.Module:
    network: Any = Doubled(2, 8, 2) if change == "subclass" else MLP(2, 8, 2, context=2)
    if change == "layer":
        network.layers[1] = Louder(8, 8)
    if change == "label":
        network.label = Learned()
    if change == "layer of a context":
        network.embed_context[2] = Louder(8, 8)
    if change == "parametrized":
        nn.utils.parametrizations.weight_norm(network.layers[0])
    if change == "hook":
        network.layers[0].register_forward_hook(lambda module, args, output: 2 * output)
    if change == "hook of a parameter":
        network.layers[0].weight.register_hook(lambda gradient: 2 * gradient)
    if change == "waves of a subclass":
        return FourierFeatures(Doubled(2, 8, 2, extra=4), (1.0,))
    if change == "waves of another network":
        return FourierFeatures(UNet(2, 1, (8,), extra=2), (1.0,))
    return network


@pytest.mark.parametrize(
    "change",
    [
        "subclass",
        "layer",
        "parametrized",
        "hook",
        "hook of a parameter",
        "layer of a context",
        "label",
        "waves of a subclass",
        "waves of another network",
    ],
)
def test_autograd_computes_what_was_not_written_out(change):
    """Gradients that were written for other operations would be wrong without a sign of it."""
    network = _changed(change)
    assert isinstance(network, Backpropagates)
    assert network.backpropagation() is None
    Flat(network)
    assert isinstance(Preconditioned(network).backpropagation(), Autograd)


def test_a_context_that_is_missing_is_asked_for():
    network = MLP(2, 8, 1, context=3)
    Flat(network)
    with pytest.raises(ValueError, match=r"^this network needs a context of 3 values and got none: pass context$"):
        network.backpropagation().encode(torch.zeros(1, 2), torch.zeros(1))


def test_autograd_computes_in_bfloat16_with_frozen_parameters_and_with_other_answers():
    network = MLP(2, 8, 2)
    assert isinstance(Preconditioned(network).backpropagation(), Autograd)  # there is no place for gradients yet
    Flat(network)
    assert not isinstance(Preconditioned(network).backpropagation(), Autograd)
    assert isinstance(Preconditioned(network, precision="bfloat16").backpropagation(), Autograd)
    assert isinstance(Halved(network).backpropagation(), Autograd)
    frozen = MLP(2, 8, 2)
    frozen.output.requires_grad_(False)
    Flat(frozen)
    assert isinstance(Preconditioned(frozen).backpropagation(), Autograd)
