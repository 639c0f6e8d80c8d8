"""The RefineNets of the NCSN line. Parts bear the names that they have in published checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .instance_norm import ConditionalInstanceNormPlus, InstanceNormPlus

__all__ = ["RefineNet"]


class _Stage(NamedTuple):
    """What a stage on the way down does: its name's end, its width in units of the first, dilation, halving."""

    name: str
    width: int
    dilation: int = 1
    halves: bool = False


_HALVED = _Stage("2", 2, halves=True)
_STAGES = {
    4: (_Stage("1", 1), _HALVED, _Stage("3", 2, 2), _Stage("4", 2, 4)),
    5: (_Stage("1", 1), _HALVED, _Stage("3", 2, halves=True), _Stage("4", 4, 2), _Stage("5", 4, 4)),
}
_STAGES[6] = (*_STAGES[5][:3], _Stage("31", 2, halves=True), *_STAGES[5][3:])


def _conv(ins: int, outs: int, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, 3, padding=dilation, dilation=dilation, bias=bias)


def _norm(features: int, classes: int) -> nn.Module:
    return ConditionalInstanceNormPlus(features, classes) if classes else InstanceNormPlus(features)


class _ConvPool(nn.Module):
    """A convolution, then means over squares of 2 points a side, summed as the checkpoints' code does: to the last bit."""

    def __init__(self, ins: int, outs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        even, odd = h[:, :, ::2], h[:, :, 1::2]
        return (even[..., ::2] + odd[..., ::2] + even[..., 1::2] + odd[..., 1::2]) / 4


class _Residual(nn.Module):
    """Two convolutions, each behind a norm and an ELU, beside a short cut; the second one may change the width."""

    def __init__(self, ins: int, outs: int, classes: int, dilation: int, halves: bool, opens: bool) -> None:
        super().__init__()
        self.normalize1 = _norm(ins, classes)
        self.conv1 = _conv(ins, ins, dilation)
        self.normalize2 = _norm(ins, classes)
        self.conv2 = _ConvPool(ins, outs, 3) if halves else _conv(ins, outs, dilation)
        if opens:  # the first block of a stage, also where the widths agree
            self.shortcut = _ConvPool(ins, outs, 1) if halves else _conv(ins, outs, dilation)
        self.opens = opens

    def forward(self, x: Tensor, index: Tensor | None) -> Tensor:
        h = self.conv1(F.elu(self.normalize1(x, index)))
        h = self.conv2(F.elu(self.normalize2(h, index)))
        return h + (self.shortcut(x) if self.opens else x)


class _Units(nn.Module):
    """Residual convolution units: each two convolutions behind an ELU, and behind a norm if it knows the level."""

    def __init__(self, features: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.blocks = blocks
        for i in range(1, blocks + 1):
            for j in (1, 2):
                if classes:
                    self.add_module(f"{i}_{j}_norm", _norm(features, classes))
                self.add_module(f"{i}_{j}_conv", _conv(features, features, bias=False))

    def forward(self, x: Tensor, index: Tensor | None) -> Tensor:
        parts = self._modules
        for i in range(1, self.blocks + 1):
            h = x
            for j in (1, 2):
                norm, conv = parts.get(f"{i}_{j}_norm"), parts[f"{i}_{j}_conv"]
                h = conv(F.elu(h if norm is None else norm(h, index)))  # type: ignore[misc]
            x = x + h
        return x


class _Fusion(nn.Module):
    """Maps of two scales, each convolved and brought to one size, added."""

    def __init__(self, ins: Sequence[int], features: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(n, features) for n in ins)
        self.norms = nn.ModuleList(_norm(n, classes) for n in ins) if classes else None

    def forward(self, inputs: Sequence[Tensor], size: torch.Size, index: Tensor | None) -> Tensor:
        parts = []
        for i, x in enumerate(inputs):
            h = self.convs[i](x if self.norms is None else self.norms[i](x, index))
            parts.append(h if h.shape[2:] == size else F.interpolate(h, size, mode="bilinear", align_corners=True))
        return parts[0] + parts[1]


def _maxima(x: Tensor) -> Tensor:
    """The largest value in the square of 5 points around each, `(B, C, H, W)` to the same."""
    if x.device.type != "cpu":
        return F.max_pool2d(x, 5, 1, 2)
    last = x.contiguous(memory_format=torch.channels_last)  # 30 times as fast there
    return F.max_pool2d(last, 5, 1, 2).contiguous()


class _Pools(nn.Module):
    """Chained residual pooling: looks farther at each of two stages, by maxima, or by means if it knows the level."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(features, features, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(_norm(features, classes) for _ in range(2)) if classes else None

    def forward(self, x: Tensor, index: Tensor | None) -> Tensor:
        x = path = F.elu(x)
        for i, conv in enumerate(self.convs):
            path = conv(_maxima(path) if self.norms is None else F.avg_pool2d(self.norms[i](path, index), 5, 1, 2))
            x = x + path
        return x


class _Refine(nn.Module):
    """A refining block: what one stage saw, and what coarser ones made of it."""

    def __init__(self, ins: Sequence[int], features: int, classes: int, blocks: int) -> None:
        super().__init__()
        self.adapt_convs = nn.ModuleList(_Units(n, 2, classes) for n in ins)
        if len(ins) > 1:
            self.msf = _Fusion(ins, features, classes)
        self.crp = _Pools(features, classes)
        self.output_convs = _Units(features, blocks, classes)

    def forward(self, inputs: Sequence[Tensor], index: Tensor | None) -> Tensor:
        adapted = [units(x, index) for units, x in zip(self.adapt_convs, inputs)]
        h = self.msf(adapted, inputs[0].shape[2:], index) if len(adapted) > 1 else adapted[0]
        return self.output_convs(self.crp(h, index), index)


class RefineNet(nn.Module):
    """A network F(x, c) for images: the RefineNet of NCSNv2 (Song & Ermon, 2020), or of NCSN (2019).

    With a depth of 4, 5 and 6 it is the authors' NCSNv2, NCSNv2Deeper and NCSNv2Deepest, with `classes` their NCSN: `at`
    computes what theirs do before they divide by the noise level, and `state_dict` has their names and shapes (theirs
    hold the levels, too: `scorefield.denoisers.NCSNDenoiser`). It ends as the zero function where it begins to learn.

    NCSNv2 is told of the noise by nothing but the size of the state. As F(x, c) the network therefore undoes the scaling
    of `Preconditioned`: it sees the state itself, in units of the parametrization's scale.

    Arguments:
        channels: The number of channels of an image.
        features: The number of features at full size; 2 to 4 times as many inside.
        depth: The number of stages, which halve the image 1, 2 or 3 times: its sides must divide by 2, 4 or 8.
        classes: How many noise levels the norms know, as in NCSN; 0 for none, as in NCSNv2. A network that knows them is
            asked by their indices, through `at` alone.

    Raises:
        ValueError: If there is no such network, or an image does not fit it.

    Example:
        >>> network = RefineNet(1, 8)
        >>> network(torch.zeros(2, 1, 28, 28), torch.zeros(2)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(self, channels: int, features: int = 128, depth: int = 4, classes: int = 0) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ValueError(f"RefineNet has a depth of 4, 5 or 6, got depth={depth}")
        if channels < 1 or features < 1 or classes < 0:
            got = f"channels={channels}, features={features}, classes={classes}"
            raise ValueError(f"RefineNet needs positive sizes, got {got}")
        self.channels = channels
        self.features = features
        self.depth = depth
        self.classes = classes
        self.begin_conv = _conv(channels, features)
        self.normalizer = _norm(features, classes)
        self.end_conv = _conv(features, channels)
        stages = _STAGES[depth]
        widths = [features * stage.width for stage in stages]
        for stage, ins, outs in zip(stages, (features, *widths), widths):
            changes = stage.name != "1"
            pair = (
                _Residual(ins, outs, classes, stage.dilation, stage.halves, changes),
                _Residual(outs, outs, classes, stage.dilation, False, False),
            )
            self.add_module(f"res{stage.name}", nn.ModuleList(pair))
        for name, i in self._upward():
            below = [] if i == depth - 1 else [widths[i]]  # as wide as its stage is what comes from the coarser one
            self.add_module(name, _Refine([widths[i], *below], widths[max(i - 1, 0)], classes, 3 if i == 0 else 1))
        nn.init.zeros_(self.end_conv.weight)
        nn.init.zeros_(self.end_conv.bias)  # type: ignore[arg-type]

    def _upward(self) -> list[tuple[str, int]]:
        """The refining blocks' names, and the stages that they refine, from coarse to fine."""
        names = [str(n) for n in range(1, len(_STAGES[self.depth]) + 1)]
        if self.depth == 6:  # the authors' word for what they put in between
            names = ["1", "2", "31", "3", "4", "5"]
        return [(f"refine{name}", self.depth - 1 - i) for i, name in enumerate(names)]

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts, `(B, channels, H, W)` and labels `(B,)` to `(B, channels, H, W)`."""
        if self.classes:
            raise ValueError("a RefineNet with classes knows its noise levels by their indices: use denoise.Scored")
        return self.at(x * torch.sqrt(1 + torch.exp(8 * c)).reshape(-1, 1, 1, 1))

    def check(self, shape: Sequence[int]) -> None:
        """Raises a ValueError unless the sides of images `(C, H, W)` divide as often as the network halves them."""
        unit = 2 ** sum(stage.halves for stage in _STAGES[self.depth])
        if len(shape) != 3 or any(n % unit for n in shape[1:]):
            need = f"images whose sides divide by {unit}"
            raise ValueError(f"a RefineNet of depth {self.depth} needs {need}, got {tuple(shape)}: pad or resize")

    def at(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """The function of the checkpoints: states `(B, channels, H, W)`, as they are, to `(B, channels, H, W)`.

        Arguments:
            x: States of centred images, -1 to 1 in published networks.
            index: The index of each state's noise level, of shape `(B,)`, if there are classes.
        """
        self.check(x.shape[1:])
        parts = self._modules
        h = self.begin_conv(x)
        seen = []
        for stage in _STAGES[self.depth]:
            for block in parts[f"res{stage.name}"]:  # type: ignore[union-attr]
                h = block(h, index)
            seen.append(h)
        for name, i in self._upward():
            h = parts[name]([seen[i]] if i == self.depth - 1 else [seen[i], h], index)  # type: ignore[misc]
        return self.end_conv(F.elu(self.normalizer(h, index)))
