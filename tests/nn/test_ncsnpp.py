from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scorefield import spec
from scorefield.nn.ncsnpp import NCSNpp
from scorefield.nn.ncsnpp_parts import Block, positions, scaled

SMALL: dict[str, Any] = {"size": 16, "width": 8, "multipliers": (1, 2), "depth": 1, "attention": (8,)}
LEVEL = {**SMALL, "embedding": "level", "centered": False, "scale_by_sigma": True}
TIME = {**SMALL, "embedding": "time"}
DDPMPP = {**TIME, "taps": (), "progressive_input": "none"}
SKIPS = {"progressive": "output_skip", "progressive_input": "input_skip"}

# What the authors' code (score_sde_pytorch, with the CPU path of its upfirdn2d) gives for `numbers` below: mean, mean square,
# and the outputs of the second image at four places.
PUBLISHED: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "NCSN++ cont.": (LEVEL, (0.984997, 8.468323, 0.2579823, 0.05417909, 0.1380249, -0.06528757)),
    "NCSN++ on indices": (
        {**LEVEL, "embedding": "time"},
        (0.537578, 7.267332, 3.963058, 3.701984, -0.9490653, -1.782069),
    ),
    "NCSN++ on VP": (TIME, (0.1586952, 0.2350471, 0.611889, 0.4050756, 0.0126068, -0.2894241)),
    "DDPM++": (DDPMPP, (-0.1921793, 0.0486576, -0.09720227, -0.3177179, -0.2866639, -0.2612414)),
    "church, one channel": (
        {**LEVEL, **SKIPS, "channels": 1, "multipliers": (1, 1, 2), "depth": 2},
        (6.884334, 94.49655, 0.196198, 0.4341082, 0.456277, 0.1377222),
    ),
    "side by side": (
        {**LEVEL, **SKIPS, "combine": "cat"},
        (2.811595, 41.49525, 0.09521483, 0.1119341, 0.1040968, -0.08738951),
    ),
    "residual ends": (
        {**LEVEL, "taps": (), "progressive": "residual"},
        (1.385209, 6.372184, 0.06708053, 0.1390274, 0.1441517, 0.05758975),
    ),
    "blocks of DDPM": (
        {**TIME, "block": "ddpm", "rescale": False, "progressive_input": "none"},
        (0.7614087, 2.195854, 1.059642, 2.513675, 2.175931, -1.332795),
    ),
    "DDPM": (
        {**DDPMPP, "block": "ddpm", "rescale": False, "width": 128, "multipliers": (1, 1)},
        (0.05018692, 0.6048019, -1.351788, -0.8996698, -0.8458232, 0.07676454),
    ),
}


def uniform(count: int, seed: int) -> np.ndarray:
    """Numbers in [-1, 1) that do not depend on the version of any library."""
    scattered = np.sin(np.arange(1, count + 1) * 12.9898 + seed * 78.233) * 43758.5453
    return 2 * (scattered - np.floor(scattered)) - 1


def numbers(network: nn.Module) -> nn.Module:
    """Fills every tensor with its own numbers, scaled so that activations neither vanish nor explode."""
    state = {k: v for k, v in network.state_dict().items() if k != "sigmas"}
    for seed, (key, value) in enumerate(state.items()):
        drawn = torch.from_numpy(uniform(value.numel(), seed)).reshape(value.shape).float()
        fan = value[0].numel() if value.ndim > 1 else 1
        norms = "GroupNorm" in key and key.endswith("weight")
        state[key] = 1 + 0.3 * drawn if norms else 16 * drawn if key.endswith(".0.W") else drawn * (2 / fan) ** 0.5
    network.load_state_dict(state, strict=False)
    return network.eval()


def question(network: NCSNpp, channels: int = 3) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(uniform(2 * channels * network.size**2, 1000)).float()
    labels = {"waves": (-0.7, 1.3), "level": (0.2, 7.0), "time": (12.0, 700.0)}[network.embedding]
    return x.reshape(2, channels, network.size, network.size), torch.tensor(labels)


def summary(out: Tensor) -> list[float]:
    picked = out[1].flatten()[[0, 37, 101, -1]]
    return [float(out.double().mean()), float(out.double().square().mean()), *picked.tolist()]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_outputs_of_the_published_code(name):
    arguments, expected = PUBLISHED[name]
    network = numbers(NCSNpp(**arguments))
    with torch.no_grad():
        out = network(*question(network, network.channels))
    np.testing.assert_allclose(summary(out), expected, rtol=1e-5, atol=1e-5 * float(out.abs().max()))


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in network.state_dict().items()}


def on_paper(**arguments: Any) -> NCSNpp:
    with torch.device("meta"):
        return NCSNpp(**arguments)


# The published configurations: tensors, numbers to train, numbers in all.
FULL: dict[str, tuple[dict[str, Any], int, int, int]] = {
    "NCSN++ cont.": ({"embedding": "level"}, 572, 62_758_787, 62_758_915),
    "NCSN++ cont. deep": ({"embedding": "level", "depth": 8}, 964, 107_586_947, 107_587_075),
    "NCSN++": ({"embedding": "time"}, 571, 62_693_251, 62_693_251),
    "DDPM++": ({"embedding": "time", "taps": (), "progressive_input": "none"}, 565, 61_804_419, 61_804_419),
    "DDPM++ deep": (
        {"embedding": "time", "taps": (), "progressive_input": "none", "depth": 8},
        *(957, 106_632_579, 106_632_579),
    ),
    "church, 256": (
        {"embedding": "level", "size": 256, "multipliers": (1, 1, 2, 2, 2, 2, 2), "depth": 2, **SKIPS},
        *(646, 65_574_421, 65_574_549),
    ),
    "FFHQ, 1024": (
        {
            "embedding": "level",
            "width": 16,
            "multipliers": (1, 2, 4, 8, 16, 32, 32, 32),
            "depth": 1,
            **SKIPS,
            "size": 1024,
        },
        *(554, 105_785_880, 105_785_896),
    ),
}


@pytest.mark.parametrize("name", FULL)
def test_the_numbers_of_the_published_configurations(name):
    arguments, tensors, trained, count = FULL[name]
    network = on_paper(**arguments)
    assert len(network.state_dict()) == tensors
    assert sum(p.numel() for p in network.parameters()) == trained
    assert sum(v.numel() for k, v in network.state_dict().items() if k != "sigmas") == count


def test_names_and_shapes_of_the_published_checkpoint():
    """NCSN++ cont. on CIFAR-10: each kind of layer once, and the order of averaged weights."""
    state = shapes(on_paper(embedding="level"))
    expected = {
        "sigmas": (1000,),
        "all_modules.0.W": (128,),
        "all_modules.1.weight": (512, 256),
        "all_modules.1.bias": (512,),
        "all_modules.2.weight": (512, 512),
        "all_modules.3.weight": (128, 3, 3, 3),
        "all_modules.4.GroupNorm_0.weight": (128,),
        "all_modules.4.Conv_0.weight": (128, 128, 3, 3),
        "all_modules.4.Dense_0.weight": (128, 512),
        "all_modules.4.Conv_1.weight": (128, 128, 3, 3),
        "all_modules.8.Conv_2.weight": (128, 128, 1, 1),
        "all_modules.9.Conv2d_0.weight": (128, 3, 3, 3),
        "all_modules.10.Conv_2.weight": (256, 128, 1, 1),
        "all_modules.11.NIN_3.W": (256, 256),
        "all_modules.11.NIN_3.b": (256,),
        "all_modules.58.weight": (3, 128, 3, 3),
        "all_modules.58.bias": (3,),
    }
    assert {k: state[k] for k in expected} == expected
    parameters = [k for k, _ in on_paper(embedding="level").named_parameters()]
    assert parameters[:2] == ["all_modules.1.weight", "all_modules.1.bias"]
    block = ["GroupNorm_0", "Conv_0", "Dense_0", "GroupNorm_1", "Conv_1", "Conv_2"]
    named = [f"all_modules.8.{part}.{kind}" for part in block for kind in ("weight", "bias")]
    at = parameters.index(named[0])
    assert parameters[at : at + 12] == named


def test_names_of_ddpm():
    state = shapes(on_paper(embedding="time", taps=(), progressive_input="none", block="ddpm", rescale=False, depth=2))
    assert len(state) == 309
    assert state["all_modules.5.Conv_0.weight"] == (128, 128, 3, 3)
    assert "all_modules.5.Conv_1.weight" not in state
    assert state["all_modules.6.NIN_0.W"] == (128, 256)


def test_levels_from_the_highest_down():
    sigmas = NCSNpp(**SMALL, sigma_min=0.01, sigma_max=50.0, levels=232).sigmas
    assert sigmas.shape == (232,)
    torch.testing.assert_close(sigmas[[0, -1]], torch.tensor([50.0, 0.01]))
    ratios = sigmas[:-1] / sigmas[1:]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 1.037559), rtol=1e-5, atol=0)


def everything() -> Iterator[dict[str, Any]]:
    yield from (SMALL, LEVEL, TIME, DDPMPP)
    for entry in ("none", "input_skip", "residual"):
        for exit_ in ("none", "output_skip", "residual"):
            for taps in ((), (1, 3, 3, 1)):
                yield {**SMALL, "progressive": exit_, "progressive_input": entry, "taps": taps}
    yield {**SMALL, **SKIPS, "combine": "cat"}
    yield {**SMALL, "block": "ddpm", "rescale": False}
    yield {**SMALL, "block": "ddpm", "rescale": False, "taps": ()}
    yield {**SMALL, "multipliers": (2,), "attention": ()}


@pytest.mark.parametrize("arguments", list(everything()), ids=str)
def test_every_option_makes_a_network(arguments):
    """The shape is kept, every parameter matters, and samples of a batch are independent."""
    network = numbers(NCSNpp(**arguments))
    x, c = question(network)
    out = network(x, c)
    assert out.shape == x.shape
    torch.testing.assert_close(network(x[:1], c[:1]), out[:1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(network(x, c + 1), out)
    out.square().mean().backward()
    still = [k for k, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert [k for k in still if "NIN_1.b" not in k] == []  # a shift of all keys shifts no weight of attention


@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_one_channel_and_other_sizes(size):
    network = numbers(NCSNpp(channels=1, **SMALL))
    assert network(torch.zeros(3, 1, *size), torch.zeros(3)).shape == (3, 1, *size)


def test_initial_output_is_small():
    """The last convolution of every path, and of the network, is almost 0 at initialization."""
    torch.manual_seed(0)
    network = NCSNpp(**SMALL)
    with torch.no_grad():
        assert 0 < float(network(*question(network)).abs().max()) < 1e-3
    block = next(m for m in network.modules() if isinstance(m, Block))
    assert float(block.Conv_1.weight.detach().abs().max()) < 1e-5 < float(block.Conv_0.weight.detach().abs().max())


def test_variance_of_initial_weights():
    torch.manual_seed(0)
    for shape, fan in (((64, 32, 3, 3), 48 * 9), ((64, 128), 96)):
        weight = torch.empty(shape)
        scaled(weight, 0.5)
        assert float(weight.abs().max()) <= (1.5 / fan) ** 0.5
        assert float(weight.var()) == pytest.approx(0.5 / fan, rel=0.05)


def test_positions():
    embedded = positions(torch.tensor([0.0, 999.0]), 8)
    angles = 999.0 * 10_000.0 ** (-np.arange(4) / 3)
    np.testing.assert_allclose(embedded[1], [*np.sin(angles), *np.cos(angles)], atol=1e-4)
    assert embedded[0].tolist() == [0.0] * 4 + [1.0] * 4


def test_dropout_only_in_training():
    network = numbers(NCSNpp(**SMALL, dropout=0.5))
    x, c = question(network)
    assert torch.equal(network(x, c), network(x, c))
    network.train()
    assert not torch.equal(network(x, c), network(x, c))


def test_the_constructor_is_the_configuration():
    given = {**LEVEL, **SKIPS, "combine": "cat", "taps": (1, 2, 1), "dropout": 0.2, "sigma_max": 90.0, "levels": 7}
    network = numbers(NCSNpp(**given, channels=2, waves=3.0, rescale=False, last=0.1, sigma_min=0.1))
    again = spec.build(json.loads(json.dumps(spec.describe(network))))
    again.load_state_dict(network.state_dict())
    x, c = question(network, 2)
    assert torch.equal(again.eval()(x, c), network(x, c))


@pytest.mark.parametrize("option", ["embedding", "block", "progressive", "progressive_input", "combine"])
def test_choices(option):
    with pytest.raises(ValueError, match=f"^{option} must be one of [a-z_, ]+, got 'other'$"):
        NCSNpp(**{**SMALL, option: "other"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"width": 6},
            "NCSNpp needs positive sizes and a width that is a multiple of 4, got channels=3, size=16, width=6",
        ),
        ({"multipliers": ()}, "NCSNpp needs positive sizes and a width that is a multiple of 4"),
        ({"depth": 0}, r"NCSNpp needs positive sizes .* depth=0, levels=1000$"),
        ({"sigma_min": 60.0}, "NCSNpp needs 0 < sigma_min < sigma_max, got sigma_min=60, sigma_max=50$"),
        ({"scale_by_sigma": True}, "scale_by_sigma needs labels that are levels: set embedding='level', or 'time'"),
        ({"width": 132}, "group normalization needs features that are a multiple of 32 groups, got 132$"),
    ],
)
def test_sizes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NCSNpp(**{**SMALL, **arguments})


def test_sides_that_cannot_be_halved():
    network = NCSNpp(**{**SMALL, "multipliers": (1, 1, 1)})
    message = (
        "^3 scales need sides that are multiples of 4, got images of 28 x 30: pad or crop them, or use fewer multip"
    )
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(1, 3, 28, 30), torch.zeros(1))
