"""Two small image networks for teaching: plain code, minutes of training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .activations import MORE, activation as activation_of
from .ncsnpp_parts import LevelEmbedding
from .renamed import load_under_old_names

__all__ = ["SigmaUNet", "TutorialUNet"]


class _Dense(nn.Module):
    """A shift for each feature map, computed from the time embedding: `(B, width)` to `(B, maps, 1, 1)`."""

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, maps)

    def forward(self, embedding: Tensor) -> Tensor:
        shift: Tensor = self.dense(embedding)
        return shift[:, :, None, None]


def _norm(groups: int, maps: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(groups, maps), maps)


class TutorialUNet(nn.Module):
    """The network of the tutorial on score-based models by Song (2021): a time-dependent U-Net F(x, t).

    The encoder halves the image three times by convolutions without padding; the decoder restores it by transposed
    convolutions and takes the feature maps of the same size from the encoder. Every convolution is followed by a shift that
    depends on the time, a norm and an activation. The layers have the tutorial's names, so that its checkpoints can be loaded.

    Arguments:
        channels: The number of channels of an image; the tutorial's digits have 1.
        widths: The number of feature maps at each of the four scales.
        embedding: The width of the time embedding.
        scale: The standard deviation of its random frequencies.
        base: If given, t is the time of the process with g(t) = base^t and the output is divided by σ(t), which makes it a
            score; the tutorial uses 25. Otherwise t is any noise label, and a parametrization says what F predicts.
        activation: The activation function, "silu" as in the tutorial, "relu", "lrelu", "elu", "tanh", or
            "erf", which is ½ (1 + erf x).

    Raises:
        ValueError: If a size is not positive, there are not four widths, or there is no such activation; if images have a
            side below 25.

    Example:
        >>> network = TutorialUNet(widths=(4, 8, 8, 8), embedding=8)
        >>> network(torch.zeros(2, 1, 28, 28), torch.rand(2)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        channels: int = 1,
        widths: Sequence[int] = (32, 64, 128, 256),
        embedding: int = 256,
        scale: float = 30.0,
        base: float | None = None,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if len(widths) != 4 or min(channels, embedding // 2, *widths) < 1 or (base is not None and base <= 1):
            got = f"channels={channels}, widths={tuple(widths)}, embedding={embedding}, base={base}"
            raise ValueError(f"TutorialUNet needs positive sizes, four widths, and a base above 1 or None; got {got}")
        self.channels = channels
        self.widths = tuple(widths)
        self.embedding, self.scale, self.base = embedding, scale, base
        self.activation, self._activate = activation, activation_of(activation, MORE)
        a, b, c, d = self.widths
        self.embed = nn.Sequential(LevelEmbedding(embedding // 2, scale), nn.Linear(embedding // 2 * 2, embedding))

        self.conv1 = nn.Conv2d(channels, a, 3, bias=False)
        self.dense1 = _Dense(embedding, a)
        self.gnorm1 = _norm(4, a)
        self.conv2 = nn.Conv2d(a, b, 3, stride=2, bias=False)
        self.dense2 = _Dense(embedding, b)
        self.gnorm2 = _norm(32, b)
        self.conv3 = nn.Conv2d(b, c, 3, stride=2, bias=False)
        self.dense3 = _Dense(embedding, c)
        self.gnorm3 = _norm(32, c)
        self.conv4 = nn.Conv2d(c, d, 3, stride=2, bias=False)
        self.dense4 = _Dense(embedding, d)
        self.gnorm4 = _norm(32, d)

        self.tconv4 = nn.ConvTranspose2d(d, c, 3, stride=2, bias=False)
        self.dense5 = _Dense(embedding, c)
        self.tgnorm4 = _norm(32, c)
        self.tconv3 = nn.ConvTranspose2d(2 * c, b, 3, stride=2, bias=False)
        self.dense6 = _Dense(embedding, b)
        self.tgnorm3 = _norm(32, b)
        self.tconv2 = nn.ConvTranspose2d(2 * b, a, 3, stride=2, bias=False)
        self.dense7 = _Dense(embedding, a)
        self.tgnorm2 = _norm(32, a)
        self.tconv1 = nn.ConvTranspose2d(2 * a, channels, 3)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predicts: images `(B, channels, H, W)` and times `(B,)` to `(B, channels, H, W)`.

        Raises:
            ValueError: If a side is shorter than 25 pixels.
        """
        if min(x.shape[2:]) < 25:
            sides = " x ".join(map(str, x.shape[2:]))
            raise ValueError(f"TutorialUNet needs images with sides of at least 25 pixels, got {sides}: pad them")
        time = self._activate(self.embed(t))
        h1 = self._activate(self.gnorm1(self.conv1(x) + self.dense1(time)))
        h2 = self._activate(self.gnorm2(self.conv2(h1) + self.dense2(time)))
        h3 = self._activate(self.gnorm3(self.conv3(h2) + self.dense3(time)))
        h4 = self._activate(self.gnorm4(self.conv4(h3) + self.dense4(time)))
        h = self.tconv4(h4, output_size=h3.shape[2:])
        h = self._activate(self.tgnorm4(h + self.dense5(time)))
        h = self.tconv3(torch.cat((h, h3), dim=1), output_size=h2.shape[2:])
        h = self._activate(self.tgnorm3(h + self.dense6(time)))
        h = self.tconv2(torch.cat((h, h2), dim=1), output_size=h1.shape[2:])
        h = self._activate(self.tgnorm2(h + self.dense7(time)))
        h = self.tconv1(torch.cat((h, h1), dim=1))
        if self.base is not None:  # σ(t) = √((base^2t - 1) / (2 ln base))
            rate = 2 * math.log(self.base)
            h = h / torch.sqrt(torch.expm1(rate * t) / rate).reshape(-1, 1, 1, 1)
        prediction: Tensor = h
        return prediction


class SigmaUNet(nn.Module):
    """A small U-Net F(x, c) that receives the noise label as one more image channel of constant value.

    Images are halved twice. There are no normalization layers: they would remove the constant channel again.

    Arguments:
        channels: The number of channels of an image.
        width: The number of feature maps at the finest scale; twice as many at the coarser ones.

    Raises:
        ValueError: If a size is not positive, or images have a side below 4.

    Example:
        >>> network = SigmaUNet(channels=1, width=8)
        >>> network(torch.zeros(2, 1, 28, 28), torch.rand(2)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(self, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        if min(channels, width) < 1:
            raise ValueError(f"SigmaUNet needs positive sizes, got channels={channels}, width={width}")
        self.channels, self.width = channels, width
        self.input = nn.Conv2d(channels + 1, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.Conv2d(4 * width, width, 3, padding=1)
        self.refine = nn.Conv2d(2 * width, width, 3, padding=1)
        self.output = nn.Conv2d(width, channels, 3, padding=1)
        load_under_old_names(self, {"enter": "input", "leave": "output"})

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Predicts: images `(B, channels, H, W)` and noise labels `(B,)` to `(B, channels, H, W)`.

        Raises:
            ValueError: If a side is shorter than 4 pixels.
        """
        if min(x.shape[2:]) < 4:
            sides = " x ".join(map(str, x.shape[2:]))
            raise ValueError(f"SigmaUNet needs images with sides of at least 4 pixels, got {sides}: pad them")
        noise = c.reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        fine = F.silu(self.input(torch.cat((x, noise), dim=1)))
        half = F.silu(self.down(F.avg_pool2d(fine, 2)))
        h = F.silu(self.middle(F.avg_pool2d(half, 2)))
        h = F.interpolate(h, size=half.shape[2:])
        h = F.silu(self.up(torch.cat((h, half), dim=1)))
        h = F.interpolate(h, size=fine.shape[2:])
        h = F.silu(self.refine(torch.cat((h, fine), dim=1)))
        prediction: Tensor = self.output(h)
        return prediction
