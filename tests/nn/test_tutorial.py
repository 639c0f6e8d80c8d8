from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from scorefield import spec
from scorefield.denoisers import Preconditioned
from scorefield.nn.tutorial import SigmaUNet, TutorialUNet
from scorefield.objectives import DenoisingScoreMatching, LogNormal
from scorefield.processes import TutorialVE
from scorefield.rng import Samples

# What the notebook's code gives for `numbers` below: mean, mean square, and the second image at three places.
PUBLISHED = (-4.94986, 51.35946, -0.2759551, -1.058775, -0.1482026)
SMALL = {"widths": (8, 16, 16, 32), "embedding": 16}


def uniform(count: int, seed: int) -> np.ndarray:
    """Numbers in [-1, 1) that do not depend on the version of any library."""
    scattered = np.sin(np.arange(1, count + 1) * 12.9898 + seed * 78.233) * 43758.5453
    return 2 * (scattered - np.floor(scattered)) - 1


def numbers(network: nn.Module) -> nn.Module:
    state = network.state_dict()
    for seed, (key, value) in enumerate(state.items()):
        drawn = torch.from_numpy(uniform(value.numel(), seed)).reshape(value.shape).float()
        fan = value[0].numel() if value.ndim > 1 else 1
        norms = "norm" in key and key.endswith("weight")
        state[key] = 1 + 0.3 * drawn if norms else 30 * drawn if key.endswith("W") else drawn * (2 / fan) ** 0.5
    network.load_state_dict(state)
    return network


def test_network_of_the_tutorial():
    """Names, shapes and outputs are those of the notebook's code with these weights."""
    network = numbers(TutorialUNet(base=25.0))
    state = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert len(state) == 40
    assert sum(p.numel() for p in network.parameters()) == 1_115_297
    expected = {
        "embed.0.W": (128,),
        "embed.1.weight": (256, 256),
        "conv1.weight": (32, 1, 3, 3),
        "dense1.dense.weight": (32, 256),
        "gnorm1.bias": (32,),
        "conv4.weight": (256, 128, 3, 3),
        "tconv4.weight": (256, 128, 3, 3),
        "tconv3.weight": (256, 64, 3, 3),
        "dense7.dense.bias": (32,),
        "tgnorm2.weight": (32,),
        "tconv1.weight": (64, 1, 3, 3),
        "tconv1.bias": (1,),
    }
    assert {k: state[k] for k in expected} == expected
    assert [network.gnorm1.num_groups, network.gnorm2.num_groups, network.tgnorm2.num_groups] == [4, 32, 32]
    x = torch.from_numpy(uniform(2 * 28 * 28, 1000)).float().reshape(2, 1, 28, 28)
    with torch.no_grad():
        out = network(x, torch.tensor([0.2, 0.9]))
    found = [
        float(out.double().mean()),
        float(out.double().square().mean()),
        *out[1, 0, [0, 9, 27], [0, 13, 27]].tolist(),
    ]
    np.testing.assert_allclose(found, PUBLISHED, rtol=1e-5, atol=1e-5 * float(out.abs().max()))


@pytest.mark.parametrize("make", [lambda c: TutorialUNet(c, **SMALL), lambda c: SigmaUNet(c, 8)])
def test_images_of_any_size(make):
    """The shape is kept; the state, the label and every parameter matter; samples of a batch are independent."""
    for channels, size in ((1, (28, 28)), (3, (25, 32)), (2, (31, 26))):
        network = make(channels)
        generator = torch.Generator().manual_seed(0)
        x, c = torch.randn(3, channels, *size, generator=generator), torch.tensor([-0.5, 0.3, 0.9])
        out = network(x, c)
        assert out.shape == x.shape
        torch.testing.assert_close(network(x[:1], c[:1]), out[:1], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(network(x, c + 0.1), out)
        out.square().sum().backward()
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())


def test_with_a_base_the_output_is_a_score():
    network, plain = TutorialUNet(**SMALL, base=25.0), TutorialUNet(**SMALL)
    plain.load_state_dict(network.state_dict())
    x, t = torch.randn(2, 1, 25, 25, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 1.0])
    sigma = TutorialVE(25.0, start=1e-9).sigma(t.double()).float()
    torch.testing.assert_close(network(x, t) * sigma.reshape(-1, 1, 1, 1), plain(x, t))
    assert float(sigma[1]) == pytest.approx(math.sqrt(624 / (2 * math.log(25))))


@pytest.mark.parametrize("make", [lambda: TutorialUNet(**SMALL), lambda: SigmaUNet(1, 8)])
def test_they_learn(make):
    """Denoising score matching on bright or dark bars: the loss falls well below that of predicting 0."""
    torch.manual_seed(0)
    denoiser, objective = Preconditioned(make()), DenoisingScoreMatching(LogNormal(0.0, 1.0))
    optimizer = torch.optim.Adam(denoiser.parameters(), 5e-3)
    losses = []
    for step in range(30):
        rng = Samples(step, 0, 8)
        bright = torch.randn(8, 1, 1, 1, generator=torch.Generator().manual_seed(step)).sign()
        loss = objective(denoiser, bright.expand(8, 1, 25, 25), rng).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-8:]) / 8 < 0.75


@pytest.mark.parametrize("network", [TutorialUNet(2, **SMALL, scale=3.0, base=9.0), SigmaUNet(2, 4)])
def test_the_constructor_is_the_configuration(network):
    again = spec.build(json.loads(json.dumps(spec.describe(network))))
    again.load_state_dict(network.state_dict())
    x, c = torch.ones(1, 2, 26, 26), torch.full((1,), 0.5)
    assert torch.equal(again(x, c), network(x, c))


@pytest.mark.parametrize(
    ("name", "function"),
    [("silu", nn.functional.silu), ("tanh", torch.tanh), ("erf", lambda x: torch.special.ndtr(x * 2**0.5))],
)
def test_activations_of_the_network(name, function):
    """It follows the norms of the encoder and of the decoder, and is a part of the configuration."""
    network = TutorialUNet(**SMALL, activation=name)
    seen = []
    for norm in ("gnorm1", "gnorm4", "tgnorm2"):
        getattr(network, norm).register_forward_hook(lambda module, inputs, output: seen.append(output))
    for layer in ("conv2", "tconv4", "tconv1"):
        getattr(network, layer).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 0.9]))
    for before, after in zip(seen[::2], seen[1::2]):
        assert torch.allclose(function(before), after[:, : before.shape[1]], atol=1e-6)
    assert len(seen) == 6 and spec.build(spec.describe(network)).activation == name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TutorialUNet(activation="cosine"),
            "activation must be one of elu, relu, lrelu, silu, tanh, erf, got 'cosine'$",
        ),
        (
            lambda: TutorialUNet(widths=(8, 8, 8)),
            "TutorialUNet needs positive sizes, four widths, and a base above 1 or None",
        ),
        (lambda: TutorialUNet(embedding=1), r"TutorialUNet needs positive sizes, .* embedding=1, base=None$"),
        (lambda: TutorialUNet(base=0.5), r"TutorialUNet needs positive sizes, .* base=0.5$"),
        (lambda: SigmaUNet(0), "SigmaUNet needs positive sizes, got channels=0, width=32$"),
        (
            lambda: TutorialUNet(**SMALL)(torch.zeros(1, 1, 24, 30), torch.zeros(1)),
            "TutorialUNet needs images with sides of at least 25 pixels, got 24 x 30: pad them$",
        ),
        (
            lambda: SigmaUNet(1, 4)(torch.zeros(1, 1, 3, 8), torch.zeros(1)),
            "SigmaUNet needs images with sides of at least 4 pixels, got 3 x 8: pad them$",
        ),
    ],
)
def test_sizes_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
