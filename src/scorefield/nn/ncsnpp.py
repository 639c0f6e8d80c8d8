"""NCSN++ and DDPM++, the networks of Song et al. (2021), as one network with options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from . import ncsnpp_parts as layers
from .activations import Activated
from .fir import Resample

__all__ = ["NCSNpp"]

_CHOICES = {
    "embedding": ("waves", "level", "time"),
    "block": ("biggan", "ddpm"),
    "progressive": ("none", "output_skip", "residual"),
    "progressive_input": ("none", "input_skip", "residual"),
    "combine": ("sum", "cat"),
}


class NCSNpp(Activated):
    """A U-Net F(x, c) for images (Song et al., 2021, Appendix H), with layers named as in the authors' checkpoints.

    By default it is NCSN++ for CIFAR-10 as it is trained here: F(x, c) for any noise label c, on standardized data. The
    published networks take levels or times as labels (`embedding`), images in [0, 1] (`centered=False`), and may divide their
    output by the level (`scale_by_sigma`); DDPM++ has no filter and no progressive input.

    Arguments:
        channels: The number of channels of an image.
        size: The side of the images it is designed for. It takes all images that can be halved between its scales.
        width: The number of features at the finest scale, a multiple of 4.
        multipliers: The features at each scale, from fine to coarse, in units of `width`; images are halved in between.
        depth: The number of blocks per scale in the encoder; the decoder has one more.
        attention: The sides at which positions attend to each other, in addition to the coarsest scale.
        embedding: What a label is: any number, embedded at random frequencies ("waves"); a noise level σ > 0, whose logarithm
            is embedded at random frequencies ("level"; "fourier" in the paper); or a time from 0 to 999 or an index of a
            level, embedded at fixed frequencies ("time"; "positional" in the paper).
        waves: The standard deviation of the random frequencies.
        block: The kind of the residual blocks: "biggan" (which also resize images) or "ddpm".
        taps: The resampling filter, such as (1, 3, 3, 1); empty for averaging and repetition.
        rescale: Whether sums of two paths are divided by √2.
        progressive: Whether the output is built up over the scales: "none", "output_skip" (sums of images) or "residual".
        progressive_input: Whether the downsampled image is an input of each scale: "none", "input_skip" or "residual".
        combine: How "input_skip" combines it with the features: "sum" or "cat".
        dropout: The fraction of the features that training drops.
        last: The initial variance of the last convolution of each path, relative to the usual one; 0 for 1e-10.
        centered: Whether the images are centred; if not, they are mapped from [0, 1] to [-1, 1].
        scale_by_sigma: Whether the output is divided by the level that the label stands for.
        sigma_min: The lowest level, for `scale_by_sigma` with indices.
        sigma_max: The highest level, which has the index 0.
        levels: The number of levels, in geometric progression.
        activation: "silu" as in published networks ("swish" in their configurations), "elu", "relu" or "lrelu".
        groups: The number of groups of each norm; 0 for groups of 4 features, but at most 32 of them. The authors' network
            `ddpm` has 32 at any width.

    Raises:
        ValueError: If the value of an option is unknown, or sizes do not fit.

    Example:
        >>> network = NCSNpp(channels=1, size=8, width=8, multipliers=(1, 2), depth=1, attention=(4,))
        >>> network(torch.zeros(2, 1, 8, 8), torch.zeros(2)).shape
        torch.Size([2, 1, 8, 8])
    """

    sigmas: Tensor

    def __init__(
        self,
        channels: int = 3,
        size: int = 32,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        depth: int = 4,
        attention: Sequence[int] = (16,),
        embedding: Literal["waves", "level", "time"] = "waves",
        waves: float = 16.0,
        block: Literal["biggan", "ddpm"] = "biggan",
        taps: Sequence[int] = (1, 3, 3, 1),
        rescale: bool = True,
        progressive: Literal["none", "output_skip", "residual"] = "none",
        progressive_input: Literal["none", "input_skip", "residual"] = "residual",
        combine: Literal["sum", "cat"] = "sum",
        dropout: float = 0.1,
        last: float = 0.0,
        centered: bool = True,
        scale_by_sigma: bool = False,
        sigma_min: float = 0.01,
        sigma_max: float = 50.0,
        levels: int = 1000,
        activation: str = "silu",
        groups: int = 0,
    ) -> None:
        super().__init__()
        self.channels, self.size, self.width = channels, size, width
        self.multipliers = tuple(multipliers)
        self.depth = depth
        self.attention = tuple(attention)
        self.embedding, self.waves, self.block = embedding, waves, block
        self.taps = tuple(taps)
        self.rescale, self.progressive, self.progressive_input = rescale, progressive, progressive_input
        self.combine, self.dropout, self.last, self.centered = combine, dropout, last, centered
        self.scale_by_sigma, self.sigma_min, self.sigma_max = scale_by_sigma, sigma_min, sigma_max
        self.levels, self.activation, self.groups = levels, activation, groups
        self._check()
        self.all_modules = nn.ModuleList(self._parts())
        self.resample = Resample(self.taps)
        Activated.choose(self, activation)
        fall = (sigma_min / sigma_max) ** (1 / max(levels - 1, 1))
        self.register_buffer("sigmas", torch.tensor([sigma_max * fall**i for i in range(levels)]))

    def _check(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        sizes = (self.channels, self.size, self.width, self.depth, self.levels, *self.multipliers)
        if not self.multipliers or min(sizes) < 1 or self.width % 4:
            got = f"channels={self.channels}, size={self.size}, width={self.width}, multipliers={self.multipliers}"
            got += f", depth={self.depth}, levels={self.levels}"
            raise ValueError(f"NCSNpp needs positive sizes and a width that is a multiple of 4, got {got}")
        if not 0 < self.sigma_min < self.sigma_max:
            got = f"sigma_min={self.sigma_min:g}, sigma_max={self.sigma_max:g}"
            raise ValueError(f"NCSNpp needs 0 < sigma_min < sigma_max, got {got}")
        if self.scale_by_sigma and self.embedding == "waves":
            advice = "set embedding='level', or 'time' with indices"
            raise ValueError(f"scale_by_sigma needs labels that are levels: {advice}")

    def _block(self, ins: int, outs: int, resize: Literal["up", "down"] | None = None) -> nn.Module:
        if resize and self.block == "ddpm":
            return layers.Resize(ins, outs, resize, self.taps)
        style = layers.BlockStyle(self.block, self.taps, self.rescale, self.dropout, self.last, self.groups)
        return layers.Block(ins, outs, 4 * self.width, style, resize)

    def _attends(self, scale: int) -> bool:
        return self.size // 2**scale in self.attention

    def _parts(self) -> Iterator[nn.Module]:
        """All layers in the order of their use, by which they are numbered in checkpoints."""
        embedded = self.width if self.embedding == "time" else 2 * self.width
        if self.embedding != "time":
            yield layers.LevelEmbedding(self.width, self.waves)
        yield layers.dense(embedded, 4 * self.width)
        yield layers.dense(4 * self.width, 4 * self.width)
        yield layers.conv(self.channels, self.width)
        shortcuts = [self.width]
        yield from self._parts_down(shortcuts)
        bottom = shortcuts[-1]
        yield self._block(bottom, bottom)
        yield layers.Attention(bottom, self.rescale, self.last, self.groups)
        yield self._block(bottom, bottom)
        yield from self._parts_up(bottom, shortcuts)

    def _parts_down(self, shortcuts: list[int]) -> Iterator[nn.Module]:
        features, image = self.width, self.channels
        for scale, multiplier in enumerate(self.multipliers):
            for _ in range(self.depth):
                yield self._block(features, features := multiplier * self.width)
                if self._attends(scale):
                    yield layers.Attention(features, self.rescale, self.last, self.groups)
                shortcuts.append(features)
            if scale == len(self.multipliers) - 1:
                return
            yield self._block(features, features, "down")
            if self.progressive_input == "input_skip":
                yield layers.Combine(self.channels, features, self.combine)
                features *= 2 if self.combine == "cat" else 1
            if self.progressive_input == "residual":
                yield layers.Resize(image, image := features, "down", self.taps)
            shortcuts.append(features)

    def _parts_up(self, features: int, shortcuts: list[int]) -> Iterator[nn.Module]:
        image = 0
        for scale, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(self.depth + 1):
                yield self._block(features + shortcuts.pop(), features := multiplier * self.width)
            if self._attends(scale):
                yield layers.Attention(features, self.rescale, self.last, self.groups)
            if self.progressive == "output_skip":
                yield layers.norm(features, self.groups)
                yield layers.conv(features, self.channels, scale=self.last)
            if self.progressive == "residual":
                if image:
                    yield layers.Resize(image, features, "up", self.taps)
                else:
                    yield layers.norm(features, self.groups)
                    yield layers.conv(features, features)
                image = features
            if scale > 0:
                yield self._block(features, features, "up")
        if self.progressive != "output_skip":
            yield layers.norm(features, self.groups)
            yield layers.conv(features, self.channels, scale=self.last)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts: images `(B, channels, H, W)` and noise labels `(B,)` to `(B, channels, H, W)`.

        Raises:
            ValueError: If an image cannot be halved between all scales.
        """
        halvings = 2 ** (len(self.multipliers) - 1)
        if any(n % halvings for n in x.shape[2:]):
            sides, need = " x ".join(map(str, x.shape[2:])), f"sides that are multiples of {halvings}"
            got = f"got images of {sides}: pad or crop them, or use fewer multipliers"
            raise ValueError(f"{len(self.multipliers)} scales need {need}, {got}")
        parts = iter(self.all_modules)
        label = self._label(c.to(x.dtype), parts)
        x = x if self.centered else 2 * x - 1
        shortcuts = self._down(x, label, parts)
        h = next(parts)(shortcuts[-1], label)
        h = next(parts)(h)
        h = self._up(next(parts)(h, label), label, shortcuts, parts)
        if not self.scale_by_sigma:
            return h
        level = self.sigmas[c.long()] if self.embedding == "time" else c
        return h / level.to(x.dtype).reshape(-1, 1, 1, 1)

    def _label(self, c: Tensor, parts: Iterator[nn.Module]) -> Tensor:
        """The embedding of the labels, `(B,)` to `(B, 4 · width)`."""
        if self.embedding == "time":
            embedded = layers.positions(c, self.width)
        else:
            embedded = next(parts)(c.log() if self.embedding == "level" else c)
        h = self.activate(next(parts)(embedded))
        return self.activate(next(parts)(h))

    def _resized(self, h: Tensor, label: Tensor, part: nn.Module) -> Tensor:
        return cast(Tensor, part(h, label) if self.block == "biggan" else part(h))

    def _down(self, x: Tensor, label: Tensor, parts: Iterator[nn.Module]) -> list[Tensor]:
        """The features that the decoder takes from the encoder."""
        image = x
        h = next(parts)(x)
        shortcuts = [h]
        for scale in range(len(self.multipliers)):
            for _ in range(self.depth):
                h = next(parts)(h, label)
                h = next(parts)(h) if self._attends(scale) else h
                shortcuts.append(h)
            if scale == len(self.multipliers) - 1:
                break
            h = self._resized(h, label, next(parts))
            if self.progressive_input == "input_skip":
                image = self.resample.down(image)
                h = next(parts)(image, h)
            if self.progressive_input == "residual":
                h = image = layers.residual_sum(next(parts)(image), h, self.rescale)
            shortcuts.append(h)
        return shortcuts

    def _up(self, h: Tensor, label: Tensor, shortcuts: list[Tensor], parts: Iterator[nn.Module]) -> Tensor:
        image: Tensor | None = None
        for scale in reversed(range(len(self.multipliers))):
            for _ in range(self.depth + 1):
                h = next(parts)(torch.cat((h, shortcuts.pop()), dim=1), label)
            h = next(parts)(h) if self._attends(scale) else h
            if self.progressive == "output_skip":
                update = self._image(h, parts)
                image = update if image is None else self.resample.up(image) + update
            if self.progressive == "residual":
                if image is None:
                    image = self._image(h, parts)
                else:
                    h = image = layers.residual_sum(next(parts)(image), h, self.rescale)
            if scale > 0:
                h = self._resized(h, label, next(parts))
        return cast(Tensor, image) if self.progressive == "output_skip" else self._image(h, parts)

    def _image(self, h: Tensor, parts: Iterator[Any]) -> Tensor:
        h = next(parts)(h)
        return cast(Tensor, next(parts)(self.activate(h)))
