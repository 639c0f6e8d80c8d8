"""Curves of fields against explicit sums, exact spectra and exact covariances."""

import numpy as np
import pytest
import torch

from scorefield.metrics import correlation, curves, histogram, spectrum, variogram
from scorefield.rng import Samples
from scorefield.toys import Field

D = torch.float64


def fields(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=D)


@pytest.mark.parametrize("size", [(17,), (12, 9), (6, 5, 7), (1, 16)])
def test_shells_hold_each_wave_once(size):
    x = fields(3, 2, *size)
    at, power = spectrum(x)
    waves = np.meshgrid(*(np.fft.fftfreq(n) for n in size), indexing="ij")
    length = np.sqrt(sum(w**2 for w in waves))
    squared = np.abs(np.fft.fftn(x.numpy() - x.mean(tuple(range(2, x.ndim)), True).numpy(), axes=range(2, x.ndim))) ** 2
    squared /= np.prod(size)
    shell = np.round(length * max(size)).astype(int)
    for k, value in zip(at, power.unbind(2)):
        chosen = (shell == round(float(k) * max(size))) & (length <= 0.5 + 1e-9)
        assert torch.allclose(value, torch.from_numpy(squared[:, :, chosen].mean(2)), rtol=1e-10)
    assert at[0] == pytest.approx(1 / max(size)) and at[-1] <= 0.5


def test_white_noise_is_flat_and_a_window_keeps_its_power():
    for window in (False, True):
        at, power = spectrum(fields(800, 1, 16, 16), window)
        assert torch.allclose(power.mean(0), torch.ones(1, len(at), dtype=D), atol=0.1)


@pytest.mark.parametrize("shape", [(1, 64), (1, 16, 16), (1, 8, 8, 8)])
def test_spectra_and_correlations_of_a_gaussian_field_are_exact(shape):
    distribution, count = Field(shape, length=2.0), 1500
    x = distribution.sample(count, Samples(seed=0, count=count))
    exact = distribution.spectrum()
    at, power = spectrum(x)
    waves = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=D) for n in shape[1:]), indexing="ij")
    length = torch.stack(waves).square().sum(0).sqrt()
    for k, value in zip(at, power.mean(0)[0]):
        chosen = ((length * shape[-1]).round() == round(float(k) * shape[-1])) & (length <= 0.5 + 1e-9)
        assert value == pytest.approx(float(exact[0][chosen].mean()), rel=0.1)
    for periodic in (True, False):
        at, product = correlation(x, periodic)
        covariance = distribution.covariance()[0].flatten()
        along = covariance.reshape(shape[1:])[(0,) * (len(shape) - 2)]
        assert product[:, 0, 0].mean() == pytest.approx(float(along[0]), rel=0.05)
        if len(shape) == 2:
            assert torch.allclose(product.mean(0)[0], along[: len(at)], atol=0.05)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("size", [(9,), (6, 5), (4, 3, 4)])
def test_correlations_are_means_over_pairs_of_cells(size, periodic):
    x, centre = fields(2, 2, *size), torch.tensor([0.3, -0.1], dtype=D)
    at, found = correlation(x, periodic, centre)
    cells = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1).reshape(-1, len(size))
    step = np.abs(cells[:, None] - cells)
    step = np.minimum(step, np.array(size) - step) if periodic else step
    far = np.round(np.sqrt((step**2).sum(2))).astype(int)
    flat = (x - centre.reshape(-1, *[1] * len(size))).flatten(2).numpy()
    products = flat[:, :, :, None] * flat[:, :, None]
    assert at.tolist() == list(range(max(1, min(size) // 2) + 1))
    for r in range(len(at)):
        assert np.allclose(found[:, :, r], products[:, :, far == r].mean(2), atol=1e-10)


def test_the_variogram_of_a_stationary_field_is_variance_minus_covariance():
    distribution = Field((1, 16, 12), length=2.0)
    x = distribution.sample(3000, Samples(seed=0, count=3000))
    at, gamma = variogram(x)
    covariance = distribution.covariance()[0]
    assert at.tolist() == [*range(1, 9), *range(1, 7)]
    expected = torch.cat([covariance[0, 0] - covariance[1:9, 0], covariance[0, 0] - covariance[0, 1:7]])
    assert torch.allclose(gamma.mean(0)[0], expected, atol=0.04)
    assert len(variogram(fields(2, 1, 200), lags=10)[0]) == 10


def test_histograms_are_numpys():
    x = fields(5, 2, 6, 7)
    edges = torch.tensor([[-1.0, 0.0, 0.5], [-0.2, 0.2, 2.0]], dtype=D)
    found = histogram(x, edges)[1]
    for i in range(5):
        for c in range(2):
            borders = [-np.inf, *edges[c].tolist(), np.inf]
            assert np.allclose(found[i, c], np.histogram(x[i, c].numpy(), borders)[0] / 42)
    assert histogram(torch.zeros(1, 1, 4), torch.zeros(1, 1))[1].tolist() == [[[1.0, 0.0]]]


def test_it_is_the_same_in_parts(monkeypatch):
    x = fields(7, 2, 8, 8)
    whole = [spectrum(x)[1], correlation(x)[1]]
    monkeypatch.setattr(curves, "CHUNK", 300)
    assert all(torch.equal(a, b) for a, b in zip(whole, [spectrum(x)[1], correlation(x)[1]]))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"\(N, C, \*S\) with one to three axes S, got shape \(3, 4\)"):
        spectrum(torch.zeros(3, 4))
