"""Layers of NCSN++ and DDPM++. They have the names that they have in published checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .activations import Activated
from .fir import Resample

__all__ = ["Attention", "Block", "BlockStyle", "Combine", "LevelEmbedding", "Resize"]
__all__ += ["conv", "dense", "norm", "positions", "residual_sum", "scaled", "set_groups"]


def scaled(weight: Tensor, scale: float = 1.0) -> None:
    """Draws uniform weights `(outs, ins, …)` of variance 2 · scale / (ins + outs), as in DDPM; a scale of 0 means 1e-10."""
    fan = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:]) / 2
    bound = math.sqrt(3 * (scale or 1e-10) / fan)
    nn.init.uniform_(weight, -bound, bound)


def conv(ins: int, outs: int, size: int = 3, scale: float = 1.0, halves: bool = False) -> nn.Conv2d:
    """A convolution; one that halves expects a row and a column of zeros appended to the image."""
    layer = nn.Conv2d(ins, outs, size, stride=2 if halves else 1, padding=0 if halves else size // 2)
    scaled(layer.weight.data, scale)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def dense(ins: int, outs: int) -> nn.Linear:
    """A linear layer."""
    layer = nn.Linear(ins, outs)
    scaled(layer.weight.data)
    nn.init.zeros_(layer.bias)
    return layer


def norm(features: int, groups: int = 0) -> nn.GroupNorm:
    """Group normalization with so many groups, which must divide the features; 0 for groups of 4, but at most 32 of them."""
    groups = groups or min(features // 4, 32)
    if groups < 1 or features % groups:
        need = f"features that are a multiple of {max(groups, 1)} groups"
        raise ValueError(f"group normalization needs {need}, got {features}")
    return nn.GroupNorm(groups, features, eps=1e-6)


def set_groups(network: nn.Module, groups: int) -> None:
    """Gives all group normalizations of a network so many groups, as `norm` does."""
    for part in network.modules():
        if isinstance(part, nn.GroupNorm):
            part.num_groups = norm(part.num_channels, groups).num_groups


def positions(c: Tensor, width: int) -> Tensor:
    """Sines and cosines of a label at frequencies from 1 down to 1/10000: `(B,)` to `(B, width)` (Vaswani et al., 2017)."""
    half = width // 2
    steps = torch.arange(half, dtype=c.dtype, device=c.device)
    angles = c[:, None] * torch.exp(steps * -(math.log(10_000) / (half - 1)))
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class LevelEmbedding(nn.Module):
    """Sines and cosines of a label at fixed random frequencies: `(B,)` to `(B, 2 · width)` (Tancik et al., 2020)."""

    W: Tensor

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("W", torch.randn(width).mul_(scale))

    def forward(self, c: Tensor) -> Tensor:
        angles = c[:, None] * self.W * 2 * math.pi
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class _PixelLinear(nn.Module):
    """A linear map of the features of each pixel."""

    def __init__(self, ins: int, outs: int, scale: float = 0.1) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(ins, outs))
        self.b = nn.Parameter(torch.zeros(outs))
        scaled(self.W.data, scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.W.T[:, :, None, None], self.b)


def residual_sum(x: Tensor, h: Tensor, rescale: bool) -> Tensor:
    """The sum of two paths, divided by √2 if `rescale`."""
    return (x + h) / math.sqrt(2) if rescale else x + h


class Attention(nn.Module):
    """Single-head self-attention over all positions."""

    def __init__(self, features: int, rescale: bool, scale: float, groups: int = 0) -> None:
        super().__init__()
        self.rescale = rescale
        self.GroupNorm_0 = norm(features, groups)
        self.NIN_0 = _PixelLinear(features, features)
        self.NIN_1 = _PixelLinear(features, features)
        self.NIN_2 = _PixelLinear(features, features)
        self.NIN_3 = _PixelLinear(features, features, scale)

    def forward(self, x: Tensor) -> Tensor:
        h = self.GroupNorm_0(x)
        query, key, value = (linear(h).flatten(2).mT[:, None] for linear in (self.NIN_0, self.NIN_1, self.NIN_2))
        h = F.scaled_dot_product_attention(query, key, value)[:, 0].mT.reshape(x.shape)
        return residual_sum(x, self.NIN_3(h), self.rescale)


@dataclass(frozen=True)
class BlockStyle:
    """What all residual blocks of a network have in common.

    Arguments:
        kind: "biggan" or "ddpm", which differ in the skip connection only.
        taps: The resampling filter.
        rescale: Whether the sum with the skip connection is divided by √2.
        dropout: The fraction of the features that training drops.
        scale: The initial variance of the last convolution, relative to the usual one.
        groups: The number of groups of the norms; 0 for groups of 4 features, but at most 32 of them.
    """

    kind: Literal["biggan", "ddpm"]
    taps: tuple[int, ...]
    rescale: bool
    dropout: float
    scale: float
    groups: int = 0


class Block(Activated):
    """A residual block: norm, activation and convolution, twice; the noise label shifts the features in between."""

    activate = staticmethod(F.silu)

    def __init__(
        self, ins: int, outs: int, embedding: int, style: BlockStyle, resize: Literal["up", "down"] | None = None
    ) -> None:
        super().__init__()
        self.resize = resize
        self.rescale = style.rescale
        self.resample = Resample(style.taps)
        self.GroupNorm_0 = norm(ins, style.groups)
        self.Conv_0 = conv(ins, outs)
        self.Dense_0 = dense(embedding, outs)
        self.GroupNorm_1 = norm(outs, style.groups)
        self.Dropout_0 = nn.Dropout(style.dropout)
        self.Conv_1 = conv(outs, outs, scale=style.scale)
        if style.kind == "biggan" and (ins != outs or resize):
            self.Conv_2 = conv(ins, outs, 1)
        if style.kind == "ddpm" and ins != outs:
            self.NIN_0 = _PixelLinear(ins, outs)
        self.kind = style.kind
        self.changes = ins != outs or resize is not None

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = self.activate(self.GroupNorm_0(x))
        if self.resize:
            change = self.resample.up if self.resize == "up" else self.resample.down
            h, x = change(h), change(x)
        h = self.Conv_0(h) + self.Dense_0(label)[:, :, None, None]
        h = self.Conv_1(self.Dropout_0(self.activate(self.GroupNorm_1(h))))
        if self.changes:
            x = self.Conv_2(x) if self.kind == "biggan" else self.NIN_0(x)
        return residual_sum(x, h, self.rescale)


class _FilteredConv(nn.Module):
    """A 3 x 3 convolution that doubles or halves images with a filter."""

    def __init__(self, ins: int, outs: int, resize: Literal["up", "down"], taps: Sequence[int]) -> None:
        super().__init__()
        self.resize = resize
        self.resample = Resample(taps)
        self.weight = nn.Parameter(torch.empty(outs, ins, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outs))
        scaled(self.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        change = self.resample.up_conv if self.resize == "up" else self.resample.down_conv
        return change(x, self.weight, self.bias)


class Resize(nn.Module):
    """Doubles ("up") or halves ("down") images with a 3 x 3 convolution, and a filter if there are taps."""

    def __init__(self, ins: int, outs: int, resize: Literal["up", "down"], taps: Sequence[int]) -> None:
        super().__init__()
        self.resize = resize
        self.taps = tuple(taps)
        if taps:
            self.Conv2d_0 = _FilteredConv(ins, outs, resize, taps)
        else:
            self.Conv_0 = conv(ins, outs, halves=resize == "down")

    def forward(self, x: Tensor) -> Tensor:
        if self.taps:
            h = self.Conv2d_0(x)
        elif self.resize == "up":
            h = self.Conv_0(F.interpolate(x, scale_factor=2, mode="nearest"))
        else:
            h = self.Conv_0(F.pad(x, (0, 1, 0, 1)))
        return cast(Tensor, h)


class Combine(nn.Module):
    """Combines features with the downsampled image: by a sum, or by concatenation."""

    def __init__(self, ins: int, outs: int, method: Literal["sum", "cat"]) -> None:
        super().__init__()
        self.method = method
        self.Conv_0 = conv(ins, outs, 1)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        x = self.Conv_0(x)
        return torch.cat((x, h), dim=1) if self.method == "cat" else x + h
