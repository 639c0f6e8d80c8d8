from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scorefield import spec
from scorefield.nn import UNet

SHAPES: dict[int, list[tuple[int, ...]]] = {
    1: [(1,), (2,), (5,), (28,), (31,)],
    2: [(1, 1), (1, 7), (28, 28), (31, 57)],
    3: [(1, 1, 1), (5, 4, 3), (8, 1, 9)],
}


def awake(network: UNet) -> UNet:
    """The same network with no weight at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return network


def without_norms(module: nn.Module) -> None:
    """Norms use the whole feature map: without them only convolutions carry a change from point to point."""
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, nn.Identity())
        else:
            without_norms(child)


def batch(shape: tuple[int, ...], count: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, *shape, generator=generator), torch.randn(count, generator=generator)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("patch", "channels", "periodic"), [(1, 1, True), (2, 3, False), (4, 2, True)])
def test_data_of_any_size(dims, patch, channels, periodic):
    """The shape is kept; the output is 0 at initialization; then the state and the label matter, sample by sample.

    With 32 features, groups have four channels: a group of two on a grid of one point would be ±1 for any input.
    """
    network = UNet(dims, channels, (32, 64), 1, patch, periodic=periodic, embedding=16)
    for size in SHAPES[dims]:
        x, c = batch((channels, *size))
        assert torch.equal(network(x, c), torch.zeros_like(x))
    awake(network)
    for size in SHAPES[dims]:
        x, c = batch((channels, *size))
        out = network(x, c)
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())
        assert not torch.allclose(out, network(x, c + 1))
        assert not torch.allclose(out, network(x + torch.randn_like(x), c))
        torch.testing.assert_close(network(x[:1], c[:1]), out[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_patches_are_folded_into_channels_and_back(dims, patch):
    network = UNet(dims, 3, (4,), patch=patch, embedding=4)
    x, _ = batch((3, *(8, 4, 12)[:dims]))
    folded = network._fold(x)
    assert folded.shape == (2, 3 * patch**dims, *(n // patch for n in x.shape[2:]))
    assert torch.equal(network._unfold(folded), x)
    if dims == 2:
        assert torch.equal(folded, F.pixel_unshuffle(x, patch))


@pytest.mark.parametrize("scales", [1, 2, 3])
@pytest.mark.parametrize(("dims", "patch"), [(1, 1), (1, 2), (2, 2), (3, 1)])
def test_periodic_networks_are_equivariant_to_shifts(dims, patch, scales):
    """By a point of the coarsest grid; without wrapping they are not."""
    step = patch * 2 ** (scales - 1)
    sizes = tuple(step * k for k in (4, 2, 3)[:dims])
    x, c = (part.double() for part in batch((2, *sizes)))
    shift, axes = tuple(step * k for k in (1, 1, 2)[:dims]), tuple(range(2, 2 + dims))
    for periodic in (True, False):
        network = awake(UNet(dims, 2, (8, 8, 8)[:scales], 1, patch, True, periodic, 8)).double()
        moved, out = network(x.roll(shift, axes), c), network(x, c).roll(shift, axes)
        assert torch.allclose(moved, out, rtol=1e-9, atol=1e-9) is periodic


def reach(network: UNet, length: int) -> list[int]:
    """Which points of the output depend on the last point of the input."""
    x, c = (part.double() for part in batch((1, length), 1))
    nudged = x.clone()
    nudged[..., -1] += 1
    change = (network(nudged, c) - network(x, c)).abs().flatten()
    return (change > 1e-12).nonzero().flatten().tolist()


@pytest.mark.parametrize(("length", "patch", "scales"), [(64, 1, 1), (61, 2, 1), (203, 4, 1), (205, 2, 2), (101, 1, 2)])
def test_neighbours_across_the_boundary(length, patch, scales):
    """The last point of an axis is a neighbour of the first if it wraps around, also where sizes do not divide."""
    found = {}
    for periodic in (True, False):
        network = awake(UNet(1, 1, (8, 8)[:scales], 1, patch, periodic=periodic, embedding=8)).double()
        without_norms(network)
        found[periodic] = reach(network, length)
    assert 0 in found[True]
    assert 0 not in found[False]
    for points in found.values():
        assert length - 1 in points
        assert length // 2 not in points  # the receptive field is local


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(("size", "factor"), [((5,), 2), ((1,), 4), ((3, 8), 4), ((2, 3, 5), 3)])
def test_padding(size, factor, periodic):
    """Periodically, as `numpy.pad` wraps, or with the last value."""
    network = UNet(len(size), 1, (4,), embedding=4, periodic=periodic)
    x, _ = batch((1, *size))
    padded = network._pad(x, factor)
    mode = "circular" if periodic else "replicate"
    expected = x
    for axis, n in enumerate(size, start=2):
        line = expected.movedim(axis, -1)
        flat = line.reshape(-1, 1, n)
        while flat.shape[-1] % factor:  # one point at a time, each from the other end of what was there
            extra = flat[..., flat.shape[-1] - n : flat.shape[-1] - n + 1] if mode == "circular" else flat[..., -1:]
            flat = torch.cat([flat, extra], -1)
        expected = flat.reshape(*line.shape[:-1], -1).movedim(-1, axis)
    assert torch.equal(padded, expected)
    assert torch.equal(network._crop(padded, size), x)


def test_attention_connects_all_positions():
    """Beyond the receptive field of convolutions; it is the identity at initialization."""
    networks = {}
    for attention in (False, True):
        torch.manual_seed(0)
        network = UNet(1, 1, (32,), patch=1, attention=attention, embedding=8).double()
        without_norms(network)
        nn.init.normal_(network.output.weight)
        networks[attention] = network
    state = networks[False].state_dict()
    networks[True].load_state_dict(state, strict=False)
    x, c = (part.double() for part in batch((1, 50)))
    assert torch.equal(networks[True](x, c), networks[False](x, c))
    assert 0 in reach(awake(networks[True]), 50)
    assert 0 not in reach(awake(networks[False]), 50)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_every_parameter_gets_a_gradient(dims, attention):
    network = awake(UNet(dims, 2, (16, 32), 2, 2, attention, embedding=8))
    x, c = batch((2, *(9, 6, 5)[:dims]), 3)
    network(x, c).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())] == []


@pytest.mark.parametrize("bfloat16", [False, True])
def test_samples_of_a_batch_are_independent(bfloat16):
    network = awake(UNet(2, 1, (16, 32), attention=True, embedding=32))
    x, c = batch((1, 13, 12), 9)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        whole = network(x, c).float()
        for part in (slice(0, 1), slice(2, 4), slice(1, 9)):
            torch.testing.assert_close(network(x[part], c[part]).float(), whole[part], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [2, 3, 4, 8, 48])
def test_one_sample_of_one_point_passes_through_every_width(width):
    """A norm over a single number would fail, or be constant."""
    network = awake(UNet(1, 1, (width,), patch=1, embedding=4))
    x, c = batch((1, 1))
    out = network(x, c)
    torch.testing.assert_close(network(x[:1], c[:1]), out[:1])


def test_the_constructor_is_the_configuration():
    given: dict[str, Any] = {"dims": 2, "channels": 3, "widths": [8, 16], "depth": 2, "patch": 1}
    given |= {"attention": True, "periodic": True, "embedding": 12, "context": 0, "context_channels": 0, "extra": 0}
    network = awake(UNet(**given))
    described = json.loads(json.dumps(spec.describe(network)))
    assert described["arguments"] == given
    again = spec.build(described)
    again.load_state_dict(network.state_dict())
    x, c = batch((3, 6, 5))
    assert torch.equal(again(x, c), network(x, c))


@pytest.mark.parametrize("dims", [0, 4])
def test_one_to_three_axes(dims):
    with pytest.raises(ValueError, match=f"^UNet works on 1, 2 or 3 spatial axes, got dims={dims}$"):
        UNet(dims, 1)


@pytest.mark.parametrize(
    ("name", "value"), [("channels", 0), ("widths", ()), ("widths", (8, 0)), ("depth", 0), ("patch", 0)]
)
def test_sizes_must_be_positive(name, value):
    sizes = {"channels": 1, "widths": (8,), "depth": 1, "patch": 2} | {name: value}
    with pytest.raises(ValueError) as error:
        UNet(2, **sizes, embedding=5)
    got = ", ".join(f"{k}={v}" for k, v in sizes.items())
    assert str(error.value) == f"UNet needs positive sizes, got {got}, embedding=5"
    with pytest.raises(ValueError, match=r"embedding=0$"):
        UNet(2, 1, embedding=0)


def test_options_change_the_network():
    shapes = itertools.chain.from_iterable(
        [sorted((n, tuple(p.shape)) for n, p in UNet(2, 1, **kept).named_parameters())]
        for kept in ({}, {"widths": (48,)}, {"depth": 2}, {"patch": 4}, {"attention": True}, {"embedding": 64})
    )
    assert len({tuple(s) for s in shapes}) == 6


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (UNet(1, 2, (8,), patch=1), (10,)),
        (UNet(2, 1, (8, 16, 16), depth=2), (13, 21)),
        (UNet(2, 1, (32, 32), attention=True, extra=3), (20, 20)),
        (UNet(2, 3, (8, 16), context=2), (16, 16)),
        (UNet(3, 1, (8, 16), context_channels=2, periodic=True), (9, 8, 6)),
    ],
    ids=["signals", "odd-sides", "attention", "context", "volumes"],
)
def test_it_counts_its_multiplications(network, size):
    x = torch.zeros(1, network.channels + network.extra, *size)
    contexts = [torch.zeros(1, network.context)] if network.context else []
    contexts += [torch.zeros(1, network.context_channels, *size)] if network.context_channels else []
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x, torch.zeros(1), *contexts)
    assert 2 * network.multiplications(size) == counter.get_total_flops()
