"""A U-Net for signals, fields, images and volumes of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .embed import FourierEmbedding
from .renamed import load_under_old_names

__all__ = ["UNet"]

_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _conv(dims: int, ins: int, outs: int, size: int, periodic: bool) -> nn.Module:
    mode: Literal["circular", "zeros"] = "circular" if periodic and size > 1 else "zeros"
    return _CONV[dims](ins, outs, size, padding=size // 2, padding_mode=mode)


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalization with several channels per group: a single one would be constant on a grid of one point."""
    return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0 and (channels > g or g == 1)), channels)


def _zero(layer: nn.Module) -> nn.Module:
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer


def _multiplications(module: nn.Module, points: int) -> int:
    """Those of the layers of a module, convolutions at so many points each."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)]
    return sum(layer.weight.numel() * (1 if isinstance(layer, nn.Linear) else points) for layer in layers)


class _Block(nn.Module):
    """x + conv(SiLU(a(c) · norm(conv(SiLU(norm x))) + b(c)))."""

    def __init__(self, dims: int, ins: int, outs: int, embedding: int, periodic: bool) -> None:
        super().__init__()
        self.norm1 = _norm(ins)
        self.conv1 = _conv(dims, ins, outs, 3, periodic)
        self.modulate = nn.Linear(embedding, 2 * outs)
        self.norm2 = _norm(outs)
        self.conv2 = _zero(_conv(dims, outs, outs, 3, periodic))
        with torch.no_grad():  # the noise label has no effect at initialization: scales of 1, shifts of 0
            self.modulate.weight.zero_()
            self.modulate.bias.copy_(torch.cat((torch.ones(outs), torch.zeros(outs))))
        self.skip = nn.Identity() if ins == outs else _conv(dims, ins, outs, 1, periodic)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        scale, shift = self.modulate(label).reshape(len(label), -1, *(1,) * (x.ndim - 2)).chunk(2, dim=1)
        out: Tensor = self.skip(x) + self.conv2(F.silu(torch.addcmul(shift, h, scale)))
        return out


class _Attention(nn.Module):
    """Self-attention over all positions, with heads of about 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = _norm(channels)
        self.input = nn.Conv1d(channels, 3 * channels, 1)
        self.output = _zero(nn.Conv1d(channels, channels, 1))
        load_under_old_names(self, {"enter": "input", "leave": "output"})

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.input(self.norm(x).flatten(2))
        query, key, value = projected.reshape(len(x), 3, self.heads, -1, projected.shape[2]).mT.unbind(1)
        h = F.scaled_dot_product_attention(query, key, value)
        attended: Tensor = self.output(h.mT.flatten(1, 2))
        return x + attended.reshape(x.shape)


class UNet(nn.Module):
    """A U-Net F(x, c): an encoder and a decoder with skip connections (Ronneberger et al., 2015).

    Patches of `patch` points a side are first folded into channels, so that most of the work is done on a coarser grid.
    Grids of any size are accepted: they are padded where a size does not divide, and cropped again in the decoder.

    Arguments:
        dims: The number of spatial axes: 1, 2 or 3.
        channels: The number of channels of a sample.
        widths: The number of features at each scale, from fine to coarse; the grid is halved between scales.
        depth: The number of blocks per scale in the encoder; the decoder has one more.
        patch: The side of the patches.
        attention: Whether positions attend to each other at the coarsest scale.
        periodic: Whether the last point of an axis is a neighbour of the first.
        embedding: The width of the embedding of the noise label.
        context: The number of context values, whose embedding is added to that of the noise label; 0 for none.
        context_channels: The number of context channels, on the grid of the sample; 0 for none.
        extra: The number of further channels of x that have no output, such as `FourierFeatures`; 0 for none.

    Raises:
        ValueError: If there are not 1 to 3 spatial axes, a size is not positive, or both kinds of context are asked for.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        widths: Sequence[int] = (48, 96),
        depth: int = 1,
        patch: int = 2,
        attention: bool = False,
        periodic: bool = False,
        embedding: int = 128,
        context: int = 0,
        context_channels: int = 0,
        extra: int = 0,
    ) -> None:
        super().__init__()
        self.dims, self.channels = dims, channels
        self.widths = tuple(widths)
        self.depth, self.patch, self.attention, self.periodic = depth, patch, attention, periodic
        self.embedding, self.context, self.context_channels = embedding, context, context_channels
        self.extra = extra
        self._check()
        self._build()
        load_under_old_names(self, {"enter": "input", "leave": "output", "given": "embed_context"})

    def _check(self) -> None:
        if self.dims not in _CONV:
            raise ValueError(f"UNet works on 1, 2 or 3 spatial axes, got dims={self.dims}")
        context, context_channels = self.context, self.context_channels
        if context and context_channels:
            got = f"{context=} and {context_channels=}"
            raise ValueError(f"UNet takes values or channels as context, not both: got {got}")
        sizes = (self.channels, self.depth, self.patch, self.embedding, *self.widths)
        if not self.widths or min(*sizes, context + 1, context_channels + 1, self.extra + 1) < 1:
            got = f"channels={self.channels}, widths={self.widths}, depth={self.depth}, patch={self.patch}"
            got += f", embedding={self.embedding}"
            got += f", {context=}, {context_channels=}" if context or context_channels else ""
            raise ValueError(f"UNet needs positive sizes, got {got}")

    def _build(self) -> None:
        """Makes the layers."""
        dims, widths, embedding, periodic = self.dims, self.widths, self.embedding, self.periodic
        top, bottom, folded = widths[0], widths[-1], self.patch**self.dims

        def block(ins: int, outs: int) -> _Block:
            return _Block(dims, ins, outs, embedding, periodic)

        self.label = nn.Sequential(
            FourierEmbedding(16), nn.Linear(32, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        ins = self.channels + self.context_channels + self.extra
        self.input = _conv(dims, ins * folded, top, 3, periodic)
        if self.context:
            self.embed_context = nn.Sequential(
                nn.Linear(self.context, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
            )
        self.down = nn.ModuleList(nn.ModuleList(block(w, w) for _ in range(self.depth)) for w in widths)
        self.coarsen = nn.ModuleList(_CONV[dims](a, b, 2, stride=2) for a, b in pairwise(widths))
        self.middle = block(bottom, bottom)
        self.attend = _Attention(bottom) if self.attention else nn.Identity()
        self.up = nn.ModuleList(
            nn.ModuleList(block(2 * w if i < self.depth else w, w) for i in range(self.depth + 1)) for w in widths
        )
        self.refine = nn.ModuleList(_TRANSPOSED[dims](b, a, 2, stride=2) for a, b in pairwise(widths))
        self.norm = _norm(top)
        self.output = _zero(_conv(dims, top, self.channels * folded, 3, periodic))

    @property
    def shares_label(self) -> bool:
        """Whether it takes one noise label, `(1,)`, for all states."""
        return type(self).forward is UNet.forward

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts: states `(B, channels, *S)` and noise labels `(B,)` to `(B, channels, *S)`.

        Arguments:
            x: States, of shape `(B, channels + extra, *S)`.
            c: Noise labels, of shape `(B,)`, or one for all states, `(1,)`.
            context: Context values `(B, context)`, or context channels `(B, context_channels, *S)`, if the network has them.

        Raises:
            ValueError: If the network has a context and none is passed.
        """
        label = self.label(c)
        size = x.shape[2:]
        if (self.context or self.context_channels) and context is None:
            raise ValueError("this network needs a context and got none: pass context")
        if self.context:
            label = label + self.embed_context(context)
        if self.context_channels and context is not None:
            x = torch.cat((x, context), dim=1)
        h = self.input(self._fold(self._pad(x, self.patch)))
        skips: list[Tensor] = []
        for i, blocks in enumerate(self.down):
            if i > 0:
                h = self.coarsen[i - 1](self._pad(h, 2))
            for block in blocks.children():
                h = block(h, label)
                skips.append(h)
        h = self.attend(self.middle(h, label))
        for i in reversed(range(len(self.widths))):
            if i < len(self.refine):
                h = self._crop(self.refine[i](h), skips[-1].shape[2:])
            for j, block in enumerate(self.up[i].children()):
                h = block(torch.cat((h, skips.pop()), dim=1) if j < self.depth else h, label)
        return self._crop(self._unfold(self.output(F.silu(self.norm(h)))), size)

    def multiplications(self, size: Sequence[int]) -> int:
        """How many multiplications the layers make of one state on a grid of some size.

        Arguments:
            size: The numbers of points along the axes.

        Example:
            >>> UNet(1, 1, (8,), patch=1).multiplications((10,))
            47712
        """
        grids = [tuple(-(-n // self.patch) for n in size)]
        for _ in self.widths[1:]:
            grids.append(tuple(-(-n // 2) for n in grids[-1]))
        points = [math.prod(grid) for grid in grids]
        attention = 2 * points[-1] ** 2 * self.widths[-1] if self.attention else 0
        once = [self.label, *([self.embed_context] if self.context else [])]
        at = [(self.input, points[0]), (self.output, points[0]), *((module, 1) for module in once)]
        at += [(self.middle, points[-1]), (self.attend, points[-1])]
        at += [pair for blocks in (self.down, self.up) for pair in zip(blocks, points)]
        at += [pair for layers in (self.coarsen, self.refine) for pair in zip(layers, points[1:])]
        return attention + sum(_multiplications(module, count) for module, count in at)

    def _pad(self, x: Tensor, factor: int) -> Tensor:
        """Pads each spatial axis to a multiple of `factor`: periodically, or with its last value."""
        for axis, size in enumerate(x.shape[2:], start=2):
            if size % factor:
                index = torch.arange(size + -size % factor, device=x.device)
                index = index % size if self.periodic else index.clamp_max(size - 1)
                x = x.index_select(axis, index)
        return x

    @staticmethod
    def _crop(x: Tensor, size: Sequence[int]) -> Tensor:
        for axis, n in enumerate(size, start=2):
            x = x.narrow(axis, 0, n) if x.shape[axis] != n else x
        return x

    def _fold(self, x: Tensor) -> Tensor:
        """Patches into channels: `(B, C, *S)` to `(B, C · patch^dims, *S / patch)`."""
        if self.patch == 1:
            return x
        x = x.reshape(*x.shape[:2], *(n for size in x.shape[2:] for n in (size // self.patch, self.patch)))
        inner = tuple(range(3, 3 + 2 * self.dims, 2))
        outer = tuple(range(2, 2 + 2 * self.dims, 2))
        return x.permute(0, 1, *inner, *outer).flatten(1, 1 + self.dims)

    def _unfold(self, x: Tensor) -> Tensor:
        """The inverse of `_fold`."""
        if self.patch == 1:
            return x
        size = [self.patch * n for n in x.shape[2:]]
        x = x.reshape(len(x), self.channels, *(self.patch,) * self.dims, *x.shape[2:])
        order = [axis for i in range(self.dims) for axis in (2 + self.dims + i, 2 + i)]
        return x.permute(0, 1, *order).reshape(len(x), self.channels, *size)
