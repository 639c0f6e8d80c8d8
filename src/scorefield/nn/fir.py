"""Halving and doubling of images with an antialiasing filter (Zhang, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Resample", "upfirdn"]


def upfirdn(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """Upsamples, pads, filters and downsamples: the resampling of StyleGAN2, written with plain convolutions.

    Along both axes, `up - 1` zeros follow every pixel and `pad` zeros surround all (negative numbers crop). The result is
    convolved with the kernel without further padding, and every `down`-th pixel is kept.

    Arguments:
        x: Images, of shape `(B, C, H, W)`.
        kernel: The filter, of shape `(K, K)`.
        up: The upsampling factor.
        down: The downsampling factor.
        pad: The padding before and after, on both axes.

    Returns:
        Images of shape `(B, C, (H · up + pad - K) // down + 1, …)`, with `pad` the sum of both.

    References:
        Karras et al., 2020, Analyzing and improving the image quality of StyleGAN.

    Example:
        >>> upfirdn(torch.ones(1, 1, 1, 2), torch.ones(2, 2), up=2, pad=(1, 0))
        tensor([[[[1., 1., 1., 1.],
                  [1., 1., 1., 1.]]]])
    """
    channels, size = x.shape[1], len(kernel)
    kernel = kernel.to(x).expand(channels, 1, size, size)
    if up == 1:
        padding = (pad[0], pad[1], pad[0], pad[1])
        return F.conv2d(F.pad(x, padding), kernel.flip(2, 3), stride=down, groups=channels)
    before = pad[0] - size + 1  # a transposed convolution has size - 1 zeros of padding built in
    after = pad[1] + up - size
    full = F.conv_transpose2d(x, kernel, stride=up, groups=channels)
    return F.pad(full, (before, after, before, after))[..., ::down, ::down]


class Resample(nn.Module):
    """Halves or doubles images with a filter; without one, by averaging 2 x 2 pixels or repeating each pixel.

    Arguments:
        taps: The filter along an axis, such as (1, 3, 3, 1); empty for averaging and repetition.

    Raises:
        ValueError: If the filter has a single tap, or its taps sum to 0.
    """

    kernel: Tensor

    def __init__(self, taps: Sequence[int] = ()) -> None:
        super().__init__()
        self.taps = tuple(taps)
        if len(self.taps) == 1 or (self.taps and sum(self.taps) == 0):
            raise ValueError(f"a resampling filter needs at least two taps with a sum other than 0, got {self.taps}")
        line = torch.tensor(self.taps, dtype=torch.float64)
        kernel = torch.outer(line, line) / (sum(self.taps) ** 2 if self.taps else 1)
        self.register_buffer("kernel", kernel.float(), persistent=False)

    def down(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C, H / 2, W / 2)`."""
        if not self.taps:
            return F.avg_pool2d(x, 2)
        p = len(self.taps) - 2
        return upfirdn(x, self.kernel, down=2, pad=((p + 1) // 2, p // 2))

    def up(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C, 2 H, 2 W)`."""
        if not self.taps:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        p = len(self.taps) - 2
        return upfirdn(x, 4 * self.kernel, up=2, pad=((p + 1) // 2 + 1, p // 2))

    def down_conv(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Filters and convolves (3 x 3) with stride 2, zero-padded once. Needs a filter."""
        p = len(self.taps)
        return F.conv2d(upfirdn(x, self.kernel, pad=((p + 1) // 2, p // 2)), weight, bias, stride=2)

    def up_conv(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolves (3 x 3, transposed) with stride 2 and filters, zero-padded once. Needs a filter."""
        p = len(self.taps) - 4
        x = F.conv_transpose2d(x, weight.flip(2, 3).transpose(0, 1), stride=2)
        return upfirdn(x, 4 * self.kernel, pad=((p + 1) // 2 + 1, p // 2 + 1)) + bias[:, None, None]
