"""Regression in closed form, against the functions that data come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield.nn import SmoothRegression
from scorefield.rng import torch_seeded


def fitted(x: np.ndarray, c: np.ndarray, waves: int = 128) -> tuple[SmoothRegression, torch.Tensor]:
    with torch_seeded(0):
        regression = SmoothRegression(c.shape[1], x.shape[1], waves).double()
    return regression, regression.fit(torch.from_numpy(x), torch.from_numpy(c))


def test_smooth_functions_are_found_within_their_noise():
    """x = (e^c, sin 2c) + noise of 0.1 and 0.01: the error is that of some tens of coefficients, and the noise is measured."""
    rng, noise = np.random.default_rng(0), np.array([0.1, 0.01])
    c = rng.normal(size=(4000, 1))
    exact = np.concatenate([np.exp(c), np.sin(2 * c)], 1)
    regression, covariance = fitted(exact + noise * rng.normal(size=exact.shape), c)
    error = (regression(torch.from_numpy(c)).numpy() - exact).std(0)
    assert np.all(error < noise * np.sqrt(50 / 4000))
    assert np.allclose(covariance.diagonal().sqrt().numpy(), noise, rtol=4 / np.sqrt(2 * 4000))
    assert abs(float(covariance[0, 1])) < 4 * noise.prod() / np.sqrt(4000)


@pytest.mark.parametrize("waves", [0, 128])
def test_what_is_linear_stays_linear(waves):
    """Noise alone has no features: the coefficients are those of least squares."""
    rng = np.random.default_rng(1)
    c = rng.normal(size=(3000, 3))
    x = c @ rng.normal(size=(3, 2)) + 2 + rng.normal(size=(3000, 2))
    regression, _ = fitted(x, c, waves)
    assert not regression.bends
    exact = np.linalg.lstsq(np.c_[c, np.ones(3000)], x, rcond=None)[0]
    assert np.allclose(regression(torch.from_numpy(c)).numpy(), np.c_[c, np.ones(3000)] @ exact, atol=1e-8)


def test_an_output_that_bends_does_not_bend_the_others():
    rng = np.random.default_rng(2)
    c = rng.normal(size=(3000, 1))
    x = np.concatenate([np.cos(3 * c), rng.normal(size=(3000, 1))], 1)
    regression, _ = fitted(x, c)
    assert bool((regression.weights[:, 0] != 0).all()) and bool((regression.weights[:, 1] == 0).all())


def test_few_rows_are_described_by_what_they_determine():
    rng = np.random.default_rng(3)
    for count in (2, 3, 5, 100):
        regression, covariance = fitted(rng.normal(size=(count, 2)), rng.normal(size=(count, 2)))
        assert not regression.bends and bool(torch.isfinite(covariance).all())
