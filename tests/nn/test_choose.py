"""Every option has an effect and all data get a network. How large it should be is for benchmarks to say."""

from __future__ import annotations

import json
import math

import pytest
import torch

from scorefield import spec
from scorefield.nn import MLP, FourierFeatures, UNet, choose, choose_for_tables


def size(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("count", [2, 400, 10**6])
@pytest.mark.parametrize(
    "shape",
    [(1,), (2,), (40,), (300,), (1, 1), (2, 100), (3, 7), (1, 1, 1), (1, 28, 28), (3, 31, 57), (1, 5, 6, 7)],
)
def test_all_data_have_a_network(shape, count):
    network, reason = choose(shape, count)
    x, c = torch.zeros(2, *shape), torch.zeros(2)
    assert network(x, c).shape == x.shape
    inner = network.network if isinstance(network, FourierFeatures) else network
    assert isinstance(inner, MLP if len(shape) == 1 else UNet)
    assert isinstance(network, FourierFeatures) == (count >= 15_000 and len(shape) == 1 and shape[0] <= 16)
    assert ("vectors" if len(shape) == 1 else f"{len(shape) - 1}-D grids") in reason
    assert spec.describe(spec.build(json.loads(json.dumps(spec.describe(network))))) == spec.describe(network)


def test_the_reason_states_the_sizes():
    network, reason = choose((5,), 400)
    assert reason == f"vectors of 5: an MLP with {network.depth} hidden layers of width {network.width} for 400 samples"
    network, reason = choose((1, 32, 20), 400, periodic=True)
    step = network.patch * 2 ** (len(network.widths) - 1)
    coarse = f"{math.ceil(32 / step)} x {math.ceil(20 / step)}"
    text = f"2-D grids: a U-Net on patches of {network.patch} with widths {network.widths}, down to {coarse} points"
    assert reason == f"{text}, periodic"


def test_more_data_and_more_features_never_make_it_smaller():
    for shapes in ([(1,), (8,), (32,), (100,)], [(1, 8, 8), (1, 16, 16), (1, 32, 32), (1, 64, 64)]):
        sizes = [size(choose(shape, 1000)[0]) for shape in shapes]
        assert sizes == sorted(sizes)
        for shape in shapes:
            assert size(choose(shape, 100)[0]) <= size(choose(shape, 10**6)[0])


@pytest.mark.parametrize("option", [{"widths": (24,)}, {"depth": 5}])
def test_options_of_networks_for_vectors(option):
    network, reason = choose((6,), 400, **option)
    assert network.width == 24 if "widths" in option else network.depth == 5
    assert ("width 24" if "widths" in option else "5 hidden layers") in reason


@pytest.mark.parametrize(
    ("option", "value"),
    [("widths", (16, 24, 32)), ("depth", 3), ("patch", 8), ("attention", True), ("periodic", True)],
)
def test_options_of_networks_for_grids(option, value):
    network, _ = choose((2, 16, 16), 400, **{option: value})
    plain, _ = choose((2, 16, 16), 400)
    assert getattr(network, option) == value != getattr(plain, option)
    x, c = torch.zeros(1, 2, 16, 16), torch.zeros(1)
    assert network(x, c).shape == x.shape


@pytest.mark.parametrize("option", [{"patch": 2}, {"periodic": True}])
def test_options_for_grids_only(option):
    message = "^patch and periodic apply to grids, and these data are vectors: set structure='grid'$"
    with pytest.raises(ValueError, match=message):
        choose((6,), 400, **option)


def test_vectors_have_no_attention():
    advice = "leave it out, or ask for every conditional with conditionals='learn'"
    message = f"^vectors of numbers alone have no attention: {advice}$"
    with pytest.raises(ValueError, match=message):
        choose((6,), 400, attention=True)


@pytest.mark.parametrize("widths", [(8, 8), ()])
def test_one_width_for_vectors(widths):
    with pytest.raises(ValueError) as error:
        choose((6,), 400, widths)
    assert str(error.value) == f"a network for vectors has one width, got {widths}"


def test_grids_have_three_axes_at_most():
    message = r"^grids have one channel axis and 1 to 3 spatial axes, got data of shape \(1, 2, 3, 4, 5\)$"
    with pytest.raises(ValueError, match=message):
        choose((1, 2, 3, 4, 5), 400)


@pytest.mark.parametrize("shape", [(6,), (1, 16, 16)])
def test_sizes_of_zero_are_refused(shape):
    """Zero is a wrong value; it does not mean "choose for me"."""
    with pytest.raises(ValueError, match="needs positive sizes"):
        choose(shape, 400, depth=0)
    with pytest.raises(ValueError, match="needs positive sizes"):
        choose(shape, 400, widths=(0,))


def test_patches_of_zero_are_refused():
    with pytest.raises(ValueError, match=r"UNet needs positive sizes, got .* patch=0"):
        choose((1, 16, 16), 400, patch=0)


def test_tables_have_residual_networks():
    """Every option has an effect, sizes grow with the number of rows, and the reason names them."""
    sizes = [size(choose_for_tables(5, (7, 8), count)[0]) for count in (2, 400, 5_000, 10**6)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert [choose_for_tables(*form, 10**6)[0].width for form in ((10, (2, 4)), (10, (2, 5)))] == [128, 256]
    network, reason = choose_for_tables(6, (8, 6), 400, (24,), 5, context=3)
    assert (network.width, network.depth, network.context, network.extra, network.numbers) == (24, 5, 3, 16, 6)
    assert reason == "states of 20 coordinates: a residual MLP with 5 blocks of width 24 for 400 samples"
    assert network(torch.zeros(2, 36), torch.zeros(2), torch.zeros(2, 3)).shape == (2, 20)
    for attention in (False, True):
        with pytest.raises(ValueError, match=r"^a network for tables has one width, got \(8, 16\)$"):
            choose_for_tables(20, (), 400, (8, 16), attention=attention)


def test_with_attention_variables_are_tokens():
    """Every option has an effect, sizes grow with the number of rows, and the reason names them."""
    sizes = [size(choose_for_tables(5, (7, 8), count, attention=True)[0]) for count in (2, 400, 5_000, 10**6)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    network, reason = choose_for_tables(6, (8, 6), 400, (24,), 5, attention=True, context=3)
    assert (network.width, network.depth, network.context) == (24, 5, 3)
    assert reason == "8 variables: a transformer of one token each with 5 blocks of width 24 for 400 samples"
    assert network(torch.zeros(2, 36), torch.zeros(2), torch.zeros(2, 3)).shape == (2, 20)
    message = "^4 heads of attention share the width of a token, got 30: give a multiple of 4$"
    with pytest.raises(ValueError, match=message):
        choose_for_tables(6, (), 400, (30,), attention=True)
