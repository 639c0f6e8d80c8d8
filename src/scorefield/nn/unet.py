"""A network for signals, fields, images and volumes of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .embed import FourierEmbedding

__all__ = ["UNet"]

_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _conv(dims: int, ins: int, outs: int, size: int, periodic: bool) -> nn.Module:
    mode: Literal["circular", "zeros"] = "circular" if periodic and size > 1 else "zeros"
    return _CONV[dims](ins, outs, size, padding=size // 2, padding_mode=mode)


def _norm(channels: int) -> nn.GroupNorm:
    """Groups of several channels: one alone has nothing to be compared with where the grid is a single point."""
    return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0 and (channels > g or g == 1)), channels)


def _zero(layer: nn.Module) -> nn.Module:
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer


def _layers(modules: nn.Module) -> Iterator[nn.Module]:
    return modules.children()


class _Block(nn.Module):
    """x + conv(SiLU(a(c) · norm(conv(SiLU(norm x))) + b(c)))."""

    def __init__(self, dims: int, ins: int, outs: int, embedding: int, periodic: bool) -> None:
        super().__init__()
        self.norm1 = _norm(ins)
        self.conv1 = _conv(dims, ins, outs, 3, periodic)
        self.modulate = nn.Linear(embedding, 2 * outs)
        self.norm2 = _norm(outs)
        self.conv2 = _zero(_conv(dims, outs, outs, 3, periodic))
        with torch.no_grad():  # the label says nothing at first: scales of one, shifts of zero
            self.modulate.weight.zero_()
            self.modulate.bias.copy_(torch.cat((torch.ones(outs), torch.zeros(outs))))
        self.skip = nn.Identity() if ins == outs else _conv(dims, ins, outs, 1, periodic)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        scale, shift = self.modulate(label).reshape(len(x), -1, *(1,) * (x.ndim - 2)).chunk(2, dim=1)
        return self.skip(x) + self.conv2(F.silu(torch.addcmul(shift, h, scale)))


class _Attention(nn.Module):
    """Self-attention over all positions, with heads of 32 channels or so."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32)
        self.norm = _norm(channels)
        self.enter = nn.Conv1d(channels, 3 * channels, 1)
        self.leave = _zero(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.enter(self.norm(x).flatten(2)).unflatten(1, (3, self.heads, -1)).mT
        h = F.scaled_dot_product_attention(*parts.unbind(1))
        return x + self.leave(h.mT.flatten(1, 2)).reshape(x.shape)


class UNet(nn.Module):
    """A convolutional network F(x, c) with short cuts between its way down and its way up (Ronneberger et al., 2015).

    Patches of `patch` points a side are gathered into channels first: most of the work is done on a grid that much
    coarser. Sizes that do not divide are padded by what they lack at each scale and cropped on the way up.

    Arguments:
        dims: The number of spatial axes: 1, 2 or 3.
        channels: The number of channels of a datum.
        widths: The number of features at each scale, from fine to coarse; the grid is halved between scales.
        depth: The number of blocks at each scale on the way down; one more on the way up.
        patch: The side of the patches.
        attention: Whether positions attend to each other at the coarsest scale.
        periodic: Whether the last point of an axis is a neighbour of the first.
        embedding: The width of the label's embedding.
        context: How many numbers are given beside a datum; they join the label. 0 for none.
        beside: How many channels are given beside a datum, on its own grid; 0 for none.
        more: How many channels x has besides, which are seen and not answered for (`Waves`); 0 for none.
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
        beside: int = 0,
        more: int = 0,
    ) -> None:
        super().__init__()
        if dims not in _CONV:
            raise ValueError(f"UNet works on 1, 2 or 3 spatial axes, got dims={dims}")
        sizes = (channels, depth, patch, embedding, *widths, context + 1, beside + 1, more + 1)
        if context and beside:
            raise ValueError(f"a UNet is given numbers or channels, got context={context} and beside={beside}: choose")
        if not widths or min(sizes) < 1:
            got = f"channels={channels}, widths={tuple(widths)}, depth={depth}, patch={patch}, embedding={embedding}"
            got += f", context={context}, beside={beside}" if context or beside else ""
            raise ValueError(f"UNet needs positive sizes, got {got}")
        self.dims = dims
        self.channels = channels
        self.widths = tuple(widths)
        self.depth = depth
        self.patch = patch
        self.attention = attention
        self.periodic = periodic
        self.embedding = embedding
        self.context = context
        self.beside = beside
        self.more = more
        self.label = nn.Sequential(
            FourierEmbedding(16), nn.Linear(32, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )

        def block(ins: int, outs: int) -> _Block:
            return _Block(dims, ins, outs, embedding, periodic)

        top, bottom = self.widths[0], self.widths[-1]
        gathered = channels * patch**dims
        self.enter = _conv(dims, gathered + (beside + more) * patch**dims, top, 3, periodic)
        if context:
            self.given = nn.Sequential(nn.Linear(context, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.down = nn.ModuleList(nn.ModuleList(block(w, w) for _ in range(depth)) for w in self.widths)
        self.coarsen = nn.ModuleList(_CONV[dims](a, b, 2, stride=2) for a, b in zip(self.widths, self.widths[1:]))
        self.middle = block(bottom, bottom)
        self.attend = _Attention(bottom) if attention else nn.Identity()
        self.up = nn.ModuleList(
            nn.ModuleList(block(2 * w if i < depth else w, w) for i in range(depth + 1)) for w in self.widths
        )
        self.refine = nn.ModuleList(_TRANSPOSED[dims](b, a, 2, stride=2) for a, b in zip(self.widths, self.widths[1:]))
        self.norm = _norm(top)
        self.leave = _zero(_conv(dims, top, gathered, 3, periodic))

    def forward(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """Predicts, `(B, channels, *S)`, labels `(B,)` and what is given, `(B, context)` or `(B, beside, *S)`, to
        `(B, channels, *S)`."""
        label = self.label(c)
        size = x.shape[2:]
        if (self.context or self.beside) and context is None:
            raise ValueError("this network needs what is given beside the data, got nothing: pass context")
        if self.context:
            label = label + self.given(context)
        if self.beside and context is not None:
            x = torch.cat((x, context), dim=1)
        h = self.enter(self._gather(self._pad(x, self.patch)))
        shortcuts: list[Tensor] = []
        for i, blocks in enumerate(self.down):
            if i > 0:
                h = self.coarsen[i - 1](self._pad(h, 2))
            for block in _layers(blocks):
                h = block(h, label)
                shortcuts.append(h)
        h = self.attend(self.middle(h, label))
        for i in reversed(range(len(self.widths))):
            if i < len(self.refine):
                h = self._crop(self.refine[i](h), shortcuts[-1].shape[2:])
            for j, block in enumerate(_layers(self.up[i])):
                h = block(torch.cat((h, shortcuts.pop()), dim=1) if j < self.depth else h, label)
        return self._crop(self._scatter(self.leave(F.silu(self.norm(h)))), size)

    def _pad(self, x: Tensor, factor: int) -> Tensor:
        """Lengthens each spatial axis to a multiple of `factor`, with its own other end or its last value."""
        lacks = [-n % factor for n in x.shape[2:]]
        if not any(lacks):
            return x
        for axis, lack in enumerate(lacks, start=2):
            if lack:
                index = torch.arange(x.shape[axis] + lack, device=x.device)
                index = index % x.shape[axis] if self.periodic else index.clamp_max(x.shape[axis] - 1)
                x = x.index_select(axis, index)
        return x

    @staticmethod
    def _crop(x: Tensor, size: Sequence[int]) -> Tensor:
        for axis, n in enumerate(size, start=2):
            x = x.narrow(axis, 0, n) if x.shape[axis] != n else x
        return x

    def _gather(self, x: Tensor) -> Tensor:
        """Patches into channels: `(B, C, *S)` to `(B, C · patch^dims, *S / patch)`."""
        if self.patch == 1:
            return x
        for axis in range(2, 2 + 2 * self.dims, 2):
            x = x.unflatten(axis, (-1, self.patch))
        inner = tuple(range(3, 3 + 2 * self.dims, 2))
        outer = tuple(range(2, 2 + 2 * self.dims, 2))
        return x.permute(0, 1, *inner, *outer).flatten(1, 1 + self.dims)

    def _scatter(self, x: Tensor) -> Tensor:
        """The inverse of `_gather`."""
        if self.patch == 1:
            return x
        x = x.unflatten(1, (self.channels, *(self.patch,) * self.dims))
        order = [axis for i in range(self.dims) for axis in (2 + self.dims + i, 2 + i)]
        x = x.permute(0, 1, *order)
        for axis in range(2, 2 + self.dims):
            x = x.flatten(axis, axis + 1)
        return x
