"""The RefineNets of NCSN and NCSNv2. Layers have the names that they have in published checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .activations import Activated
from .instance_norm import ConditionalInstanceNormPlus, InstanceNormPlus

__all__ = ["RefineNet"]


class _Stage(NamedTuple):
    """A stage of the encoder: the end of its name, its width relative to the first, its dilation, whether it halves."""

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
    """A convolution and 2 x 2 average pooling, summed in the order of the authors' code: equal to the last bit."""

    def __init__(self, ins: int, outs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, outs, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv(x)
        upper, lower = h[:, :, ::2], h[:, :, 1::2]
        return (upper[..., ::2] + lower[..., ::2] + upper[..., 1::2] + lower[..., 1::2]) / 4


class _Residual(Activated):
    """A residual block: norm, activation and convolution, twice. The second convolution may change the width."""

    def __init__(self, ins: int, outs: int, classes: int, dilation: int, halves: bool, first: bool) -> None:
        super().__init__()
        self.normalize1 = _norm(ins, classes)
        self.conv1 = _conv(ins, ins, dilation)
        self.normalize2 = _norm(ins, classes)
        self.conv2 = _ConvPool(ins, outs, 3) if halves else _conv(ins, outs, dilation)
        if first:  # in its stage; also where the widths agree
            self.shortcut = _ConvPool(ins, outs, 1) if halves else _conv(ins, outs, dilation)
        self.first = first

    def forward(self, x: Tensor, index: Tensor | None) -> Tensor:
        h = self.conv1(self.activate(self.normalize1(x, index)))
        h = self.conv2(self.activate(self.normalize2(h, index)))
        residual: Tensor = h + (self.shortcut(x) if self.first else x)
        return residual


class _Units(Activated):
    """Residual convolution units: activation and convolution, twice, with norms if they depend on the level."""

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
                h = conv(self.activate(h if norm is None else norm(h, index)))  # type: ignore[misc]
            x = x + h
        return x


class _Fusion(nn.Module):
    """The sum of feature maps of two scales, each convolved and resized to the finer one."""

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
    """Max pooling over 5 x 5 pixels with stride 1: `(B, C, H, W)` to the same shape."""
    if x.device.type != "cpu":
        return F.max_pool2d(x, 5, 1, 2)
    last = x.contiguous(memory_format=torch.channels_last)  # 30 times as fast on a CPU
    return F.max_pool2d(last, 5, 1, 2).contiguous()


class _Pools(Activated):
    """Chained residual pooling in two stages: max pooling, or average pooling with norms that depend on the level."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(features, features, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(_norm(features, classes) for _ in range(2)) if classes else None

    def forward(self, x: Tensor, index: Tensor | None) -> Tensor:
        x = path = self.activate(x)
        for i, conv in enumerate(self.convs):
            path = conv(_maxima(path) if self.norms is None else F.avg_pool2d(self.norms[i](path, index), 5, 1, 2))
            x = x + path
        return x


class _Refine(nn.Module):
    """A refinement block: combines the features of one encoder stage with the output of the coarser block."""

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
        refined: Tensor = self.output_convs(self.crp(h, index), index)
        return refined


class RefineNet(Activated):
    """A network F(x, c) for images: the RefineNet of NCSNv2 (Song & Ermon, 2020), or of NCSN (2019).

    With a depth of 4, 5 or 6 it is the authors' NCSNv2, NCSNv2Deeper or NCSNv2Deepest; with `classes` it is their NCSN. `at`
    computes what their networks do before they divide by the noise level, and `state_dict` has their names and shapes (they
    also store the levels, see `scorefield.denoisers.NCSNDenoiser`). The output is 0 at initialization.

    NCSNv2 has no noise label: it infers the level from the magnitude of the state. As F(x, c) the network therefore undoes
    the scaling of `Preconditioned` and takes the state itself, in units of the parametrization's scale.

    Arguments:
        channels: The number of channels of an image.
        features: The number of features at full resolution; 2 to 4 times as many at the coarser scales.
        depth: The number of stages. They halve the image 1, 2 or 3 times: its sides must be multiples of 2, 4 or 8.
        classes: The number of noise levels that have norms of their own, as in NCSN; 0 for none, as in NCSNv2. A network with
            classes is evaluated at indices of levels, by `at` only.
        activation: "elu" as in published networks, or what their configuration calls "relu", "lrelu" or "swish" ("silu").

    Raises:
        ValueError: If the depth or the activation is unknown, a size is not positive, or an image does not fit.

    Example:
        >>> network = RefineNet(1, 8)
        >>> network(torch.zeros(2, 1, 28, 28), torch.zeros(2)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self, channels: int, features: int = 128, depth: int = 4, classes: int = 0, activation: str = "elu"
    ) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ValueError(f"RefineNet has a depth of 4, 5 or 6, got depth={depth}")
        if channels < 1 or features < 1 or classes < 0:
            got = f"channels={channels}, features={features}, classes={classes}"
            raise ValueError(f"RefineNet needs positive sizes, got {got}")
        self.channels, self.features, self.depth, self.classes = channels, features, depth, classes
        self.activation = activation
        self.begin_conv = _conv(channels, features)
        self.normalizer = _norm(features, classes)
        self.end_conv = _conv(features, channels)
        stages = _STAGES[depth]
        widths = [features * stage.width for stage in stages]
        for stage, ins, outs in zip(stages, (features, *widths), widths):
            first = stage.name != "1"
            one = _Residual(ins, outs, classes, stage.dilation, stage.halves, first)
            two = _Residual(outs, outs, classes, stage.dilation, halves=False, first=False)
            self.add_module(f"res{stage.name}", nn.ModuleList((one, two)))
        for name, i in self._decoder():
            below = [] if i == depth - 1 else [widths[i]]  # the coarser block has the width of this stage
            self.add_module(name, _Refine([widths[i], *below], widths[max(i - 1, 0)], classes, 3 if i == 0 else 1))
        Activated.choose(self, activation)
        nn.init.zeros_(self.end_conv.weight)
        nn.init.zeros_(self.end_conv.bias)  # type: ignore[arg-type]

    def _decoder(self) -> list[tuple[str, int]]:
        """The names of the refinement blocks and the stages that they refine, from coarse to fine."""
        # "31" is the authors' name for the block in between
        names = ("1", "2", "31", "3", "4", "5") if self.depth == 6 else ("1", "2", "3", "4", "5")[: self.depth]
        return [(f"refine{name}", self.depth - 1 - i) for i, name in enumerate(names)]

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts: images `(B, channels, H, W)` and noise labels `(B,)` to `(B, channels, H, W)`.

        Raises:
            ValueError: If the network has classes, or an image does not fit.
        """
        if self.classes:
            raise ValueError("a RefineNet with classes takes indices of levels: wrap it in denoisers.NCSNDenoiser")
        return self.at(x * torch.sqrt(1 + torch.exp(8 * c)).reshape(-1, 1, 1, 1))

    def check(self, shape: Sequence[int]) -> None:
        """Checks that images of shape `(C, H, W)` can be halved as often as the network does.

        Raises:
            ValueError: If a side is not a multiple of 2, 4 or 8, for a depth of 4, 5 or 6.
        """
        unit = 2 ** sum(stage.halves for stage in _STAGES[self.depth])
        if len(shape) != 3 or any(n % unit for n in shape[1:]):
            need = f"images with sides that are multiples of {unit}"
            raise ValueError(f"a RefineNet of depth {self.depth} needs {need}, got shape {tuple(shape)}: pad or resize")

    def at(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """The function of the published checkpoints: unscaled states `(B, channels, H, W)` to `(B, channels, H, W)`.

        Arguments:
            x: States of centred images; images are in [-1, 1] in published networks.
            index: The index of the noise level of each state, of shape `(B,)`, if the network has classes.

        Raises:
            ValueError: If an image does not fit.
        """
        self.check(x.shape[1:])
        parts = self._modules
        h = self.begin_conv(x)
        features = []
        for stage in _STAGES[self.depth]:
            for block in parts[f"res{stage.name}"]:  # type: ignore[union-attr]
                h = block(h, index)
            features.append(h)
        for name, i in self._decoder():
            h = parts[name]([features[i]] if i == self.depth - 1 else [features[i], h], index)  # type: ignore[misc]
        prediction: Tensor = self.end_conv(self.activate(self.normalizer(h, index)))
        return prediction
