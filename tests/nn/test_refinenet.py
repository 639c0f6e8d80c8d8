"""The RefineNets: names, shapes and numbers are those of the published code."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scorefield
from scorefield import spec
from scorefield.denoisers import Preconditioned, ScorePrediction
from scorefield.nn.instance_norm import ConditionalInstanceNormPlus, InstanceNormPlus
from scorefield.nn.refinenet import RefineNet
from scorefield.settings import Training

# The names and shapes of NCSNv2 (ermongroup/ncsnv2), of F features and C channels, less the buffer `sigmas`.
PUBLISHED = """
begin_conv.weight F C 3 3
begin_conv.bias F
end_conv.weight C F 3 3
end_conv.bias C
{normalizer,res1.{0,1}.normalize{1,2},res2.0.normalize{1,2}}.{alpha,beta,gamma} F
{res2.1,res{3,4}.{0,1}}.normalize{1,2}.{alpha,beta,gamma} 2F
{res1.{0,1}.conv{1,2},res2.0.conv1}.weight F F 3 3
{res1.{0,1}.conv{1,2},res2.0.conv1}.bias F
res2.0.conv2.conv.weight 2F F 3 3
res2.0.shortcut.conv.weight 2F F 1 1
res2.0.{conv2,shortcut}.conv.bias 2F
{{res2.1,res{3,4}.{0,1}}.conv{1,2},res{3,4}.0.shortcut}.weight 2F 2F 3 3
{{res2.1,res{3,4}.{0,1}}.conv{1,2},res{3,4}.0.shortcut}.bias 2F
refine{1,2,3}.adapt_convs.0.{1,2}_{1,2}_conv.weight 2F 2F 3 3
refine{2,3}.adapt_convs.1.{1,2}_{1,2}_conv.weight 2F 2F 3 3
refine{1,2}.{output_convs.1_{1,2}_conv,crp.convs.{0,1}}.weight 2F 2F 3 3
refine2.msf.convs.{0,1}.weight 2F 2F 3 3
refine2.msf.convs.{0,1}.bias 2F
refine3.msf.convs.{0,1}.weight F 2F 3 3
{refine3.output_convs.1_{1,2},refine4.{adapt_convs.{0,1}.{1,2},output_convs.{1,2,3}}_{1,2}}_conv.weight F F 3 3
{refine{3,4}.crp,refine4.msf}.convs.{0,1}.weight F F 3 3
refine{3,4}.msf.convs.{0,1}.bias F
"""
# depth, classes: tensors and parameters at 128 features and 3 channels
COUNTS = {
    (4, 0): (153, 29_694_083),
    (5, 0): (191, 83_445_379),
    (6, 0): (229, 94_132_611),
    (4, 10): (173, 30_117_635),
    (5, 10): (217, 84_183_811),
}
# The scores of the authors' code for `numbers`, 2 channels, 4 features, levels 2, 0.3 and 0.05: every 101st of `batch`.
SCORES = {
    (4, 0): (1.3227213042, 0.4755407886, 0.2709743518, 0.1885613003, 24.3243000635, 98.0492060776),
    (5, 0): (1.3103650666, 0.9157715250, 0.3359832281, 32.8221587844, 9.9606464768, 53.4430703137),
    (6, 0): (1.3677497313, 0.7051161703, 0.3411289486, 29.0456217463, 16.0394752590, 37.1550448381),
    (4, 3): (2.5233559142, 0.7520908937, 1.0866611573, 1.3078290269, 1.0585349842, 2.5036522743),
    (5, 3): (2.4480139564, 0.8453405173, 0.7180422610, 0.9955655923, -0.1780306707, 1.8445157470),
}
SIGMAS = torch.tensor([2.0, 0.3, 0.05], dtype=torch.float64)


def braces(text: str) -> list[str]:
    """Expands `a{b,c}` to ab and ac, as a shell does."""
    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        return [text]
    return [one for part in found[1].split(",") for one in braces(text[: found.start()] + part + text[found.end() :])]


def published(features: int, channels: int) -> dict[str, tuple[int, ...]]:
    sizes = {"F": features, "2F": 2 * features, "C": channels}
    rows = [line.split() for line in PUBLISHED.split("\n") if line]
    return {name: tuple(sizes.get(n) or int(n) for n in shape) for names, *shape in rows for name in braces(names)}


def numbers(network: nn.Module, sigmas: bool) -> dict[str, Tensor]:
    """Reproducible weights: sines along each tensor, in the order of the published names."""
    state = network.state_dict()
    names = sorted([*state, "sigmas"] if sigmas else state)
    filled = {}
    for name, value in state.items():
        place = names.index(name)
        along = torch.arange(value.numel(), dtype=torch.float64)
        wave = torch.sin((0.7 + 0.013 * place) * along + place).reshape(value.shape)
        flat = value.ndim == 1 or "embed" in name
        filled[name] = 1 + 0.3 * wave if flat else 1.5 * wave / value[0].numel() ** 0.5
    return filled


def batch() -> Tensor:
    wave = torch.sin(0.9 * torch.arange(2 * 2 * 16 * 8, dtype=torch.float64)).reshape(2, 2, 16, 8)
    return 0.5 + 0.5 * wave * torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)


def awake(network: RefineNet) -> RefineNet:
    """The same network with a last layer that is not 0."""
    with torch.no_grad():
        network.end_conv.weight.normal_(generator=torch.Generator().manual_seed(1))
    return network


@pytest.mark.parametrize(("features", "channels"), [(128, 3), (8, 1)])
def test_names_and_shapes_are_those_of_the_checkpoints(features, channels):
    with torch.device("meta"):
        state = RefineNet(channels, features).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published(features, channels)


@pytest.mark.parametrize(("depth", "classes"), COUNTS)
def test_numbers_of_parameters(depth, classes):
    with torch.device("meta"):
        network = RefineNet(3, 128, depth, classes)
    assert (len(network.state_dict()), sum(p.numel() for p in network.parameters())) == COUNTS[depth, classes]


@pytest.mark.parametrize(("depth", "classes"), SCORES)
def test_scores_are_those_of_the_published_code(depth, classes):
    network = RefineNet(2, 4, depth, classes).double()
    network.load_state_dict(numbers(network, sigmas=classes == 0))
    index = torch.tensor([0, 2])
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        found = network.to(dtype).at((2 * batch() - 1).to(dtype), index)
        if classes == 0:
            found = found / SIGMAS[index].to(dtype).reshape(2, 1, 1, 1)
        found = found.detach()
        error = found.flatten()[::101] - torch.tensor(SCORES[depth, classes], dtype=dtype)
        assert float(error.abs().max()) < tolerance * float(found.abs().max())


def test_images_of_28_points_and_others():
    x = torch.rand(2, 1, 28, 28)
    for depth in (4, 5):
        assert RefineNet(1, 4, depth).at(x).shape == x.shape
    assert RefineNet(1, 4, 6).at(x[..., :16, :8]).shape == (2, 1, 16, 8)
    assert RefineNet(1, 4).at(x[..., :2, :6]).shape == (2, 1, 2, 6)
    with pytest.raises(
        ValueError, match=r"depth 6 needs images with sides that are multiples of 8, got shape \(1, 28, 28\)"
    ):
        RefineNet(1, 4, 6).at(x)
    with pytest.raises(ValueError, match=r"needs images with sides that are multiples of 2, got shape \(5,\)"):
        RefineNet(1, 4).at(torch.zeros(3, 5))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="RefineNet has a depth of 4, 5 or 6, got depth=3"):
        RefineNet(1, depth=3)
    with pytest.raises(ValueError, match="needs positive sizes, got channels=0, features=8, classes=0"):
        RefineNet(0, 8)
    network = RefineNet(1, 4, classes=3)
    with pytest.raises(ValueError, match=r"takes indices of levels: wrap it in denoisers\.NCSNDenoiser"):
        network(torch.zeros(1, 1, 8, 8), torch.zeros(1))


def test_input_is_the_unscaled_state():
    """The network undoes the scaling of Preconditioned: D = x + σ h(x / scale) for every σ."""
    network, scale = awake(RefineNet(2, 4)).double(), 0.7
    level = torch.tensor([1e-3, 0.7, 80.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * (1 + level)
    denoised = Preconditioned(network, ScorePrediction(scale))(x, level)
    torch.testing.assert_close(denoised, x + level * network.at(x / scale), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(network.at(x[1:2]), network.at(x)[1:2], rtol=1e-9, atol=1e-9)  # independent of the batch


@pytest.mark.parametrize("points", [(5, 7), (1, 1)])
def test_instance_norm_is_that_of_the_code(points):
    """γ ((x - μ) / s + α (μ - m) / v) + β by loops; in the paper γ does not multiply the second term."""
    generator = torch.Generator().manual_seed(0)
    norm = InstanceNormPlus(3).double()
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.randn(3, generator=generator))
    x = 2 + torch.randn(2, 3, *points, dtype=torch.float64, generator=generator)
    found = norm(x)
    for b in range(2):
        means = np.array([x[b, k].mean().item() for k in range(3)])
        v = np.sqrt(means.var(ddof=1) + 1e-5)
        for k in range(3):
            first = (x[b, k] - means[k]) / np.sqrt(x[b, k].var(correction=0).item() + 1e-5)
            second = (means[k] - means.mean()) / v
            gamma, alpha, beta = (getattr(norm, name)[k].item() for name in ("gamma", "alpha", "beta"))
            torch.testing.assert_close(found[b, k].detach(), gamma * (first + alpha * second) + beta)
            assert not torch.allclose(found[b, k], gamma * first + alpha * second + beta)


def test_conditional_instance_norm_takes_the_factors_of_each_level():
    norm, plain = ConditionalInstanceNormPlus(3, 4), InstanceNormPlus(3)
    x, index = torch.randn(2, 3, 4, 4), torch.tensor([3, 1])
    with torch.no_grad():
        norm.embed.weight.normal_()
        for i in range(2):
            for p, part in zip((plain.gamma, plain.alpha, plain.beta), norm.embed.weight[index[i]].chunk(3)):
                p.copy_(part)
            assert torch.equal(norm(x, index)[i], plain(x)[i])


def test_a_single_map():
    """The unbiased variance of a single number is undefined; the published code gives NaN."""
    x = torch.randn(2, 1, 4, 4)
    norm = InstanceNormPlus(1)
    expected = norm.gamma * torch.nn.functional.instance_norm(x) + norm.beta
    torch.testing.assert_close(norm(x), expected)
    assert bool(torch.isfinite(ConditionalInstanceNormPlus(1, 2)(x, torch.tensor([0, 1]))).all())
    assert bool(torch.isfinite(awake(RefineNet(1, 1)).at(x)).all())
    assert norm(x.bfloat16()).dtype == torch.bfloat16


def test_a_small_network_is_trained_saved_and_sampled(tmp_path):
    assert spec.build(spec.describe(RefineNet(2, 4, 5))).depth == 5
    bright = np.random.default_rng(0).random((40, 1, 1))
    x = (200 * bright * np.linspace(0, 1, 6)).repeat(6, 1).astype(np.uint8)
    network = RefineNet(1, 4)
    assert not bool(network(torch.randn(2, 1, 6, 6), torch.zeros(2)).any())  # at initialization
    losses = []
    training = Training(steps=16, batch=16, evaluations=1, precision="float32", warmup=2)
    model = scorefield.fit(x, network=network, training=training, watch=lambda p: losses.append(float(p.loss)))
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    model.save(tmp_path / "model.safetensors")
    drawn = scorefield.load(tmp_path / "model.safetensors").sample(2, steps=3)
    assert drawn.shape == (2, 6, 6)
    assert np.array_equal(drawn, model.sample(2, steps=3))
