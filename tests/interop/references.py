"""The published networks, written anew as functions of their weights: what imports are compared with.

A function asks `Weights` for each tensor by its name in checkpoints; the first call makes the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Function] = {
    "elu": lambda x: torch.where(x > 0, x, torch.expm1(x)),
    "relu": lambda x: x * (x > 0),
    "lrelu": lambda x: torch.where(x > 0, x, 0.2 * x),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


class Weights:
    """Random tensors by name, made when they are first asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.state: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, name: str, *shape: int, around: float = 0.0) -> Tensor:
        if name not in self.state:
            size = 0.2 if len(shape) == 1 else 1.3 / math.sqrt(math.prod(shape[1:]))
            self.state[name] = around + size * torch.randn(shape, generator=self.generator)
        return self.state[name]

    def conv(self, name: str, x: Tensor, outs: int, size: int = 3, dilation: int = 1, bias: bool = True) -> Tensor:
        weight = self(f"{name}.weight", outs, x.shape[1], size, size)
        shift = self(f"{name}.bias", outs) if bias else None
        return F.conv2d(x, weight, shift, padding=dilation * (size // 2), dilation=dilation)

    def linear(self, name: str, x: Tensor, outs: int) -> Tensor:
        return x @ self(f"{name}.weight", outs, x.shape[1]).T + self(f"{name}.bias", outs)

    def group_norm(self, name: str, x: Tensor, groups: int, epsilon: float) -> Tensor:
        parts = x.reshape(len(x), groups, -1)
        mean, variance = parts.mean(2, keepdim=True), parts.var(2, correction=0, keepdim=True)
        x = ((parts - mean) / torch.sqrt(variance + epsilon)).reshape(x.shape)
        weight, bias = (
            self(f"{name}.{kind}", x.shape[1], around=one) for kind, one in (("weight", 1.0), ("bias", 0.0))
        )
        return x * weight[:, None, None] + bias[:, None, None]


def mean_of_four(x: Tensor) -> Tensor:
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


# -- NCSNv2 --------------------------------------------------------------------------------------------------------


def _norm(w: Weights, name: str, x: Tensor) -> Tensor:
    """InstanceNorm++ as published: γ (instance norm + α times the standardized means of the maps) + β."""
    alpha, gamma, beta = (
        w(f"{name}.{part}", x.shape[1], around=float(part != "beta")) for part in ("alpha", "gamma", "beta")
    )
    mean = x.mean((2, 3))
    apart = (mean - mean.mean(1, keepdim=True)) / torch.sqrt(mean.var(1, keepdim=True) + 1e-5)
    inner = (x - mean[..., None, None]) / torch.sqrt(x.var((2, 3), correction=0, keepdim=True) + 1e-5)
    return gamma[:, None, None] * (inner + (alpha * apart)[..., None, None]) + beta[:, None, None]


def _residual(
    w: Weights, name: str, x: Tensor, outs: int, act: Function, dilation: int = 1, down: bool = False
) -> Tensor:
    h = w.conv(f"{name}.conv1", act(_norm(w, f"{name}.normalize1", x)), x.shape[1] if down else outs, 3, dilation)
    h = act(_norm(w, f"{name}.normalize2", h))
    if down and dilation == 1:
        h = mean_of_four(w.conv(f"{name}.conv2.conv", h, outs))
        return h + mean_of_four(w.conv(f"{name}.shortcut.conv", x, outs, 1))
    h = w.conv(f"{name}.conv2", h, outs, 3, dilation)
    return h + (w.conv(f"{name}.shortcut", x, outs, 3, dilation) if down else x)


def _units(w: Weights, name: str, x: Tensor, count: int, act: Function) -> Tensor:
    for i in range(1, count + 1):
        h = x
        for j in (1, 2):
            h = w.conv(f"{name}.{i}_{j}_conv", act(h), x.shape[1], bias=False)
        x = x + h
    return x


def _refine(w: Weights, name: str, inputs: Sequence[Tensor], outs: int, act: Function, last: bool) -> Tensor:
    parts = [_units(w, f"{name}.adapt_convs.{i}", x, 2, act) for i, x in enumerate(inputs)]
    h = parts[0]
    if len(parts) > 1:
        sizes = [w.conv(f"{name}.msf.convs.{i}", part, outs) for i, part in enumerate(parts)]
        shape = inputs[0].shape[2:]
        h = sum(F.interpolate(part, shape, mode="bilinear", align_corners=True) for part in sizes)
    h = path = act(h)
    for i in range(2):
        path = w.conv(f"{name}.crp.convs.{i}", F.max_pool2d(path, 5, 1, 2), outs, bias=False)
        h = h + path
    return _units(w, f"{name}.output_convs", h, 3 if last else 1, act)


def ncsnv2(w: Weights, x: Tensor, activation: str, features: int = 4) -> Tensor:
    """The network of NCSNv2 for images of 32 x 32: the score of images x in [0, 1] times the noise level."""
    act, f = ACTIVATIONS[activation], features
    h = w.conv("begin_conv", 2 * x - 1, f)
    layers = []
    for stage, outs, dilation, down in (
        (1, f, 1, False),
        (2, 2 * f, 1, True),
        (3, 2 * f, 2, True),
        (4, 2 * f, 4, True),
    ):
        h = _residual(w, f"res{stage}.0", h, outs, act, dilation, down)
        h = _residual(w, f"res{stage}.1", h, outs, act, dilation)
        layers.append(h)
    h = _refine(w, "refine1", [layers[3]], 2 * f, act, False)
    h = _refine(w, "refine2", [layers[2], h], 2 * f, act, False)
    h = _refine(w, "refine3", [layers[1], h], f, act, False)
    h = _refine(w, "refine4", [layers[0], h], f, act, True)
    return w.conv("end_conv", act(_norm(w, "normalizer", h)), x.shape[1])


# -- DDPM as in Score SDE ------------------------------------------------------------------------------------------


def ddpm(w: Weights, x: Tensor, label: Tensor, activation: str, groups: int | None = 32, width: int = 64) -> Tensor:
    """The network `ddpm` on images of 32 x 32 in [-1, 1], with scales of `width` and twice that, one block at each.

    It has `groups` groups in each norm; None stands for groups of 4 features, at most 32 of them, as in NCSN++.
    """
    act, number = ACTIVATIONS[activation], iter(range(100))

    def name(part: str = "") -> str:
        return f"all_modules.{next(number)}{part}"

    def norm(title: str, h: Tensor) -> Tensor:
        return w.group_norm(title, h, groups or min(h.shape[1] // 4, 32), 1e-6)

    def mix(title: str, h: Tensor, outs: int) -> Tensor:
        return (
            torch.einsum("bihw,io->bohw", h, w(f"{title}.W", h.shape[1], outs)) + w(f"{title}.b", outs)[:, None, None]
        )

    def block(h: Tensor, outs: int) -> Tensor:
        title = name()
        u = w.conv(f"{title}.Conv_0", act(norm(f"{title}.GroupNorm_0", h)), outs)
        u = u + w.linear(f"{title}.Dense_0", act(time), outs)[..., None, None]
        u = w.conv(f"{title}.Conv_1", act(norm(f"{title}.GroupNorm_1", u)), outs)
        return u + (h if h.shape[1] == outs else mix(f"{title}.NIN_0", h, outs))

    def attend(h: Tensor) -> Tensor:
        title, features = name(), h.shape[1]
        u = norm(f"{title}.GroupNorm_0", h)
        q, k, v = (mix(f"{title}.NIN_{i}", u, features).flatten(2) for i in range(3))
        weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(features), 2)
        return h + mix(f"{title}.NIN_3", torch.einsum("bij,bcj->bci", weights, v).reshape(h.shape), features)

    rates = torch.exp(-math.log(10_000) * torch.arange(width // 2) / (width // 2 - 1))
    angles = label[:, None].float() * rates
    time = w.linear(name(), torch.cat((angles.sin(), angles.cos()), 1), 4 * width)
    time = w.linear(name(), act(time), 4 * width)
    first = w.conv(name(), x, width)
    fine = block(first, width)
    title = name(".Conv_0")
    halved = F.conv2d(
        F.pad(fine, (0, 1, 0, 1)), w(f"{title}.weight", width, width, 3, 3), w(f"{title}.bias", width), stride=2
    )
    coarse = attend(block(halved, 2 * width))
    h = block(attend(block(coarse, 2 * width)), 2 * width)
    for shortcut in (coarse, halved):
        h = block(torch.cat((h, shortcut), 1), 2 * width)
    h = attend(h)
    h = w.conv(name(".Conv_0"), F.interpolate(h, scale_factor=2.0, mode="nearest"), 2 * width)
    for shortcut in (fine, first):
        h = block(torch.cat((h, shortcut), 1), width)
    h = act(norm(name(), h))
    return w.conv(name(), h, x.shape[1])


# -- the tutorial --------------------------------------------------------------------------------------------------


def tutorial(w: Weights, x: Tensor, time: Tensor, base: float = 25.0) -> Tensor:
    """The U-Net of the tutorial, which returns the score of digits x in [0, 1] at times in (0, 1)."""
    act = ACTIVATIONS["silu"]
    angles = time[:, None] * w("embed.0.W", 128) * 2 * math.pi
    embedded = act(w.linear("embed.1", torch.cat((angles.sin(), angles.cos()), 1), 256))

    def shifted(h: Tensor, number: int, norm: str, groups: int) -> Tensor:
        h = h + w.linear(f"dense{number}.dense", embedded, h.shape[1])[..., None, None]
        return act(w.group_norm(norm, h, groups, 1e-5))

    skips, h = [], x
    for i, outs in enumerate((32, 64, 128, 256), 1):
        h = F.conv2d(h, w(f"conv{i}.weight", outs, h.shape[1], 3, 3), stride=1 if i == 1 else 2)
        h = shifted(h, i, f"gnorm{i}", 4 if i == 1 else 32)
        skips.append(h)
    h = skips.pop()
    for i, outs, padding in ((4, 128, 0), (3, 64, 1), (2, 32, 1)):
        kernel = w(f"tconv{i}.weight", h.shape[1], outs, 3, 3)
        h = F.conv_transpose2d(h, kernel, stride=2, output_padding=padding)
        h = shifted(h, 9 - i, f"tgnorm{i}", 32)
        h = torch.cat((h, skips.pop()), 1)
    h = F.conv_transpose2d(h, w("tconv1.weight", h.shape[1], x.shape[1], 3, 3), w("tconv1.bias", x.shape[1]))
    std = torch.sqrt((base ** (2 * time) - 1) / (2 * math.log(base)))
    return h / std[:, None, None, None]
