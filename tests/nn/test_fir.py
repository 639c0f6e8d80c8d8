from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scorefield.nn.fir import Resample, upfirdn


def by_the_definition(x: np.ndarray, kernel: np.ndarray, up: int, down: int, pad: tuple[int, int]) -> np.ndarray:
    """One image, pixel by pixel: insert zeros, pad (or crop), convolve, keep every `down`-th pixel."""
    h, w = x.shape
    wide = np.zeros((h * up, w * up))
    wide[::up, ::up] = x
    wide = np.pad(wide, [(max(pad[0], 0), max(pad[1], 0))] * 2)
    begin, end = max(-pad[0], 0), max(-pad[1], 0)
    wide = wide[begin : wide.shape[0] - end, begin : wide.shape[1] - end]
    k = len(kernel)
    out = np.zeros((wide.shape[0] - k + 1, wide.shape[1] - k + 1))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for a in range(k):
                for b in range(k):
                    out[i, j] += kernel[a, b] * wide[i + k - 1 - a, j + k - 1 - b]
    return out[::down, ::down]


@pytest.mark.parametrize("pad", [(0, 0), (2, 1), (1, 2), (3, 0), (-1, 2), (2, -1)])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("taps", [2, 3, 4])
def test_by_the_definition(taps, up, down, pad):
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(taps, taps)), rng.normal(size=(2, 3, 5, 6))
    out = upfirdn(torch.from_numpy(x), torch.from_numpy(kernel), up, down, pad)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(out[i, j], by_the_definition(x[i, j], kernel, up, down, pad), atol=1e-12)


def test_known_values():
    """A single pixel becomes the filter; away from the edges a ramp stays a ramp and a constant keeps its value."""
    resample = Resample((1, 3, 3, 1))
    point = torch.zeros(1, 1, 3, 3)
    point[0, 0, 1, 1] = 16.0
    line = torch.tensor([0.0, 1.0, 3.0, 3.0, 1.0, 0.0])
    assert torch.equal(resample.up(point)[0, 0], torch.outer(line, line))
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    torch.testing.assert_close(resample.up(ramp)[0, 0, 8, 2:-2], torch.arange(0.75, 6.5, 0.5))
    torch.testing.assert_close(resample.down(ramp)[0, 0, 1, 1:-1], torch.tensor([2.5, 4.5]))
    ones = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(resample.up(ones)[0, 0, 1:-1, 1:-1], torch.ones(14, 14))
    torch.testing.assert_close(resample.down(ones)[0, 0, 1:-1, 1:-1], torch.ones(2, 2))


def test_without_a_filter():
    resample = Resample()
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert resample.down(x).flatten().tolist() == [1.5]
    assert resample.up(x)[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("taps", [(1, 1), (1, 2, 1), (1, 3, 3, 1), (1, 2, 3, 2, 1)])
def test_with_a_convolution(taps):
    """Away from the edges it equals filtering then convolving, or doubling then convolving."""
    resample = Resample(taps).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 12, 12, generator=generator).double()
    weight, bias = torch.randn(4, 3, 3, 3, generator=generator).double(), torch.randn(4, generator=generator).double()
    inner = slice(4, -4)
    up = F.conv2d(resample.up(x), weight, bias, padding=1)
    assert resample.up_conv(x, weight, bias).shape == up.shape == (2, 4, 24, 24)
    torch.testing.assert_close(resample.up_conv(x, weight, bias)[..., inner, inner], up[..., inner, inner])
    out = resample.down_conv(x, weight, bias)
    assert out.shape == (2, 4, 6, 6)
    p = len(taps)
    blurred = upfirdn(x, resample.kernel, pad=((p + 1) // 2, p // 2))
    torch.testing.assert_close(out, F.conv2d(blurred, weight, bias)[..., ::2, ::2])


def test_kernels_are_not_saved():
    assert not Resample((1, 3, 3, 1)).state_dict()
    assert float(Resample((1, 3, 3, 1)).kernel.sum()) == 1.0


@pytest.mark.parametrize("taps", [(1,), (1, -1)])
def test_bad_filters_are_refused(taps):
    with pytest.raises(
        ValueError, match=r"^a resampling filter needs at least two taps with a sum other than 0, got \("
    ):
        Resample(taps)
