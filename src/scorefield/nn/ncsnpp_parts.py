"""What NCSN++ and DDPM++ are made of. Parts bear the names that they have in published checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .fir import Resample

__all__ = ["Attention", "Block", "Combine", "LevelEmbedding", "Resize", "conv", "dense", "norm", "positions", "scaled"]


def scaled(weight: Tensor, scale: float = 1.0) -> None:
    """Draws uniform weights `(outs, ins, …)` of the variance 2 · scale / (ins + outs), as DDPM begins; 0 means 1e-10."""
    fan = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:]) / 2
    bound = math.sqrt(3 * (scale or 1e-10) / fan)
    nn.init.uniform_(weight, -bound, bound)


def conv(ins: int, outs: int, size: int = 3, scale: float = 1.0, halves: bool = False) -> nn.Conv2d:
    """A convolution; one that halves expects a row and a column of zeros at the ends."""
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


def norm(features: int) -> nn.GroupNorm:
    """Groups of 4 features, or 32 groups if that would be more."""
    groups = min(features // 4, 32)
    if groups < 1 or features % groups:
        raise ValueError(f"groups of features are normalized: {features} features do not divide into {max(groups, 1)}")
    return nn.GroupNorm(groups, features, eps=1e-6)


def positions(c: Tensor, width: int) -> Tensor:
    """Sines and cosines of a label at frequencies from 1 down to 1/10000: `(B,)` to `(B, width)` (Vaswani et al., 2017)."""
    half = width // 2
    steps = torch.arange(half, dtype=c.dtype, device=c.device)
    angles = c[:, None] * torch.exp(steps * -(math.log(10_000) / (half - 1)))
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class LevelEmbedding(nn.Module):
    """Sines and cosines of a label at random frequencies, drawn once: `(B,)` to `(B, 2 · width)` (Tancik et al., 2020)."""

    W: Tensor

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("W", torch.randn(width).mul_(scale))

    def forward(self, c: Tensor) -> Tensor:
        angles = c[:, None] * self.W * 2 * math.pi
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class _Mix(nn.Module):
    """A linear map of the features at each point."""

    def __init__(self, ins: int, outs: int, scale: float = 0.1) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(ins, outs))
        self.b = nn.Parameter(torch.zeros(outs))
        scaled(self.W.data, scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.W.T[:, :, None, None], self.b)


def _join(x: Tensor, h: Tensor, rescale: bool) -> Tensor:
    """The sum of two paths, of the variance of one if `rescale`."""
    return (x + h) / math.sqrt(2) if rescale else x + h


class Attention(nn.Module):
    """Every position attends to all others, with a single head."""

    def __init__(self, features: int, rescale: bool, scale: float) -> None:
        super().__init__()
        self.rescale = rescale
        self.GroupNorm_0 = norm(features)
        self.NIN_0 = _Mix(features, features)
        self.NIN_1 = _Mix(features, features)
        self.NIN_2 = _Mix(features, features)
        self.NIN_3 = _Mix(features, features, scale)

    def forward(self, x: Tensor) -> Tensor:
        h = self.GroupNorm_0(x)
        query, key, value = (mix(h).flatten(2).mT[:, None] for mix in (self.NIN_0, self.NIN_1, self.NIN_2))
        h = F.scaled_dot_product_attention(query, key, value)[:, 0].mT.reshape(x.shape)
        return _join(x, self.NIN_3(h), self.rescale)


class Block(nn.Module):
    """Two convolutions, each behind a norm and a SiLU, beside a short cut; the label shifts the features in between.

    Arguments:
        ins: The number of features that enter.
        outs: The number that leave.
        embedding: The width of the label's embedding.
        kind: "biggan" or "ddpm", which differ in the short cut alone.
        resize: Whether the image is doubled or halved on the way ("biggan").
        taps: The filter for that.
        rescale: Whether the sum with the short cut is divided by √2.
        dropout: The part of the features that training drops.
        scale: The variance that the last convolution begins with, relative to the usual.
    """

    def __init__(
        self,
        ins: int,
        outs: int,
        embedding: int,
        kind: Literal["biggan", "ddpm"],
        resize: Literal["up", "down"] | None,
        taps: Sequence[int],
        rescale: bool,
        dropout: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.resize = resize
        self.rescale = rescale
        self.resample = Resample(taps)
        self.GroupNorm_0 = norm(ins)
        self.Conv_0 = conv(ins, outs)
        self.Dense_0 = dense(embedding, outs)
        self.GroupNorm_1 = norm(outs)
        self.Dropout_0 = nn.Dropout(dropout)
        self.Conv_1 = conv(outs, outs, scale=scale)
        if kind == "biggan" and (ins != outs or resize):
            self.Conv_2 = conv(ins, outs, 1)
        if kind == "ddpm" and ins != outs:
            self.NIN_0 = _Mix(ins, outs)
        self.kind = kind
        self.changes = ins != outs or resize is not None

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = F.silu(self.GroupNorm_0(x))
        if self.resize:
            change = self.resample.up if self.resize == "up" else self.resample.down
            h, x = change(h), change(x)
        h = self.Conv_0(h) + self.Dense_0(label)[:, :, None, None]
        h = self.Conv_1(self.Dropout_0(F.silu(self.GroupNorm_1(h))))
        if self.changes:
            x = self.Conv_2(x) if self.kind == "biggan" else self.NIN_0(x)
        return _join(x, h, self.rescale)


class _Filtered(nn.Module):
    """A 3 x 3 convolution that doubles or halves images through a filter."""

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
    """Doubles or halves images, with a 3 x 3 convolution.

    Arguments:
        ins: The number of features that enter.
        outs: The number that leave.
        resize: "up" or "down".
        taps: The filter, if any.
    """

    def __init__(self, ins: int, outs: int, resize: Literal["up", "down"], taps: Sequence[int]) -> None:
        super().__init__()
        self.resize = resize
        self.taps = tuple(taps)
        if taps:
            self.Conv2d_0 = _Filtered(ins, outs, resize, taps)
        else:
            self.Conv_0 = conv(ins, outs, halves=resize == "down")

    def forward(self, x: Tensor) -> Tensor:
        if self.taps:
            return self.Conv2d_0(x)
        if self.resize == "up":
            return self.Conv_0(F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.Conv_0(F.pad(x, (0, 1, 0, 1)))


class Combine(nn.Module):
    """Brings the image itself, made smaller, to the features: their sum, or side by side."""

    def __init__(self, ins: int, outs: int, method: Literal["sum", "cat"]) -> None:
        super().__init__()
        self.method = method
        self.Conv_0 = conv(ins, outs, 1)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        x = self.Conv_0(x)
        return torch.cat((x, h), dim=1) if self.method == "cat" else x + h
