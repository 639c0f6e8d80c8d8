"""Autocorrelation and effective sample size of chains."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.mcmc import autocorrelation, effective_sample_size, effective_size
from scorefield.rng import Samples

D = torch.float64


def autoregression(rho: float, n: int, count: int) -> torch.Tensor:
    """x_k = ρ x_{k-1} + √(1 - ρ²) z_k, from its stationary distribution: `(n, count, 1)`."""
    z = Samples(0, count=count).normal((count, n), D)
    states = [z[:, 0]]
    for k in range(1, n):
        states.append(rho * states[-1] + math.sqrt(1 - rho**2) * z[:, k])
    return torch.stack(states)[..., None]


def test_definition_of_the_autocorrelation(monkeypatch):
    """Mean products, for any shape and any chunk size."""
    x = Samples(1, count=6).normal((6, 9, 2, 3), D).transpose(0, 1) + 5
    y = x - x.mean((0, 1))
    direct = torch.stack([(y[: 9 - k] * y[k:]).mean((0, 1)) for k in range(9)])
    torch.testing.assert_close(autocorrelation(x), direct / direct[0], rtol=0, atol=1e-12)
    monkeypatch.setattr(effective_size, "_MEMORY", 300)
    torch.testing.assert_close(autocorrelation(x), direct / direct[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_autocorrelation_of_an_autoregression(rho):
    """ρ_k = ρ^k, within 5 of Bartlett's standard errors, √((1 + ρ²) / (1 - ρ²) / N) at most."""
    n, count = 500, 200
    error = math.sqrt((1 + rho**2) / (1 - rho**2) / (n * count))
    found = autocorrelation(autoregression(rho, n, count))[:8, 0]
    torch.testing.assert_close(found, rho ** torch.arange(8, dtype=D), rtol=0, atol=5 * error)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_effective_sample_size_of_an_autoregression(rho):
    """N (1 - ρ) / (1 + ρ), within 5 standard errors: √(2 (2m + 1) / N) with m = 40 lags (Madras & Sokal, 1988)."""
    n, count = 1000, 400
    found = float(effective_sample_size(autoregression(rho, n, count)))
    assert found / (n * count) == pytest.approx((1 - rho) / (1 + rho), rel=5 * math.sqrt(162 / (n * count)))


def test_the_effective_sample_size_gives_the_standard_error():
    """The means of 2,000 single chains have the standard deviation √(variance / size)."""
    x = autoregression(0.8, 100, 2000)
    size = float(effective_sample_size(x)) / 2000
    assert float(x.mean(0).var()) * size == pytest.approx(1, abs=5 * math.sqrt(2 / 2000) + 0.02)


def test_chains_that_do_not_mix():
    """Half of the chains in each of two modes: the size is the number of chains, however long they are."""
    z = Samples(2, count=40).normal((40, 400), D).T[..., None]
    modes = 100.0 * (torch.arange(40) % 2)[None, :, None]
    assert float(effective_sample_size(z + modes)) == pytest.approx(40, rel=0.05)
    assert float(effective_sample_size(z)) == pytest.approx(40 * 400, rel=0.1)


def test_anticorrelated_chains_have_a_larger_but_bounded_size():
    x = torch.tensor([1.0, -1.0]).repeat(50).reshape(100, 1, 1).expand(100, 3, 1)
    assert float(effective_sample_size(x)) == pytest.approx(300 * math.log10(300))


def test_shapes_and_types():
    x = Samples(0, count=5).normal((5, 8, 2, 3)).transpose(0, 1)
    assert autocorrelation(x).shape == (8, 2, 3)
    assert effective_sample_size(x).shape == (2, 3)
    assert autocorrelation(x).dtype == effective_sample_size(x).dtype == D
    assert effective_sample_size(x[..., 0, 0]).shape == ()


def test_constant_coordinates():
    x = torch.full((10, 4, 2), 1e6)
    x[..., 1] = Samples(0, count=4).normal((4, 10)).T
    assert autocorrelation(x).isnan().any(0).tolist() == [True, False]
    assert effective_sample_size(x).isnan().tolist() == [True, False]


def test_bad_states_are_refused():
    with pytest.raises(ValueError, match=r"states of chains must have the shape \(n, B, \*D\), got \(4,\)"):
        autocorrelation(torch.zeros(4))
    with pytest.raises(ValueError, match="states of chains must be finite, got NaN or inf"):
        autocorrelation(torch.full((4, 2), math.nan))
    with pytest.raises(ValueError, match="needs at least 4 states per chain, got 3: store more of them"):
        effective_sample_size(torch.zeros(3, 2))
