"""Correlations along chains, and what the states of chains are worth."""

from __future__ import annotations

import math

import pytest
import torch

from scorefield.mcmc import autocorrelation, effective_sample_size, effective_size
from scorefield.rng import Samples

D = torch.float64


def autoregression(rho: float, n: int, count: int) -> torch.Tensor:
    """x_k = ρ x_{k-1} + √(1 - ρ²) z_k, from its stationary law: `(n, count, 1)`."""
    z = Samples(0, count=count).normal((count, n), D)
    states = [z[:, 0]]
    for k in range(1, n):
        states.append(rho * states[-1] + math.sqrt(1 - rho**2) * z[:, k])
    return torch.stack(states)[..., None]


def test_it_is_the_mean_of_products(monkeypatch):
    """Against the definition, for any shape, and whatever part of the chains is in memory at once."""
    x = Samples(1, count=6).normal((6, 9, 2, 3), D).transpose(0, 1) + 5
    y = x - x.mean((0, 1))
    direct = torch.stack([(y[: 9 - k] * y[k:]).mean((0, 1)) for k in range(9)])
    torch.testing.assert_close(autocorrelation(x), direct / direct[0], rtol=0, atol=1e-12)
    monkeypatch.setattr(effective_size, "_NUMBERS", 300)
    torch.testing.assert_close(autocorrelation(x), direct / direct[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_an_autoregression_forgets_geometrically(rho):
    """ρ_k = ρ^k, within 5 of Bartlett's standard errors, √((1 + ρ²) / (1 - ρ²) / N) at most."""
    n, count = 500, 200
    error = math.sqrt((1 + rho**2) / (1 - rho**2) / (n * count))
    found = autocorrelation(autoregression(rho, n, count))[:8, 0]
    torch.testing.assert_close(found, rho ** torch.arange(8, dtype=D), rtol=0, atol=5 * error)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_an_autoregression_is_worth_its_closed_form(rho):
    """N (1 - ρ) / (1 + ρ), within 5 standard errors: √(2 (2m + 1) / N) with m = 40 lags (Madras & Sokal, 1988)."""
    n, count = 1000, 400
    found = float(effective_sample_size(autoregression(rho, n, count)))
    assert found / (n * count) == pytest.approx((1 - rho) / (1 + rho), rel=5 * math.sqrt(162 / (n * count)))


def test_its_own_standard_error_is_right():
    """The means of 2,000 single chains spread as √(variance / size), which is what the size is for."""
    x = autoregression(0.8, 100, 2000)
    size = float(effective_sample_size(x)) / 2000
    assert float(x.mean(0).var()) * size == pytest.approx(1, abs=5 * math.sqrt(2 / 2000) + 0.02)


def test_chains_that_stay_apart_are_not_many_draws():
    """Half of the chains in each of two modes: as many draws as chains, however long they are."""
    z = Samples(2, count=40).normal((40, 400), D).T[..., None]
    modes = 100.0 * (torch.arange(40) % 2)[None, :, None]
    assert float(effective_sample_size(z + modes)) == pytest.approx(40, rel=0.05)
    assert float(effective_sample_size(z)) == pytest.approx(40 * 400, rel=0.1)


def test_chains_that_alternate_are_worth_more_than_their_length_but_not_everything():
    x = torch.tensor([1.0, -1.0]).repeat(50).reshape(100, 1, 1).expand(100, 3, 1)
    assert float(effective_sample_size(x)) == pytest.approx(300 * math.log10(300))


def test_shapes_and_types():
    x = Samples(0, count=5).normal((5, 8, 2, 3)).transpose(0, 1)
    assert autocorrelation(x).shape == (8, 2, 3)
    assert effective_sample_size(x).shape == (2, 3)
    assert autocorrelation(x).dtype == effective_sample_size(x).dtype == D
    assert effective_sample_size(x[..., 0, 0]).shape == ()


def test_what_does_not_vary_has_no_correlation():
    x = torch.full((10, 4, 2), 1e6)
    x[..., 1] = Samples(0, count=4).normal((4, 10)).T
    assert autocorrelation(x).isnan().any(0).tolist() == [True, False]
    assert effective_sample_size(x).isnan().tolist() == [True, False]


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"states of chains have the shape \(n, B, \*D\), got \(4,\)"):
        autocorrelation(torch.zeros(4))
    with pytest.raises(ValueError, match="states of chains must be finite: look where the chain left"):
        autocorrelation(torch.full((4, 2), math.nan))
    with pytest.raises(ValueError, match="needs 4 states of each chain or more, got 3: keep more of them"):
        effective_sample_size(torch.zeros(3, 2))
