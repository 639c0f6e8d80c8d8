"""Measurements and their noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield import spec
from scorefield.measurement import Blur, CorrelatedNoise, Function, Linear, Mask, Measurement, PoissonNoise, WhiteNoise
from scorefield.rng import Samples

D = torch.float64
EYE = Linear(torch.eye(3))


def test_noise_is_what_its_numbers_say():
    y = [1.0, 2.0, 3.0]
    assert Measurement(EYE, y, 0.5).noise == WhiteNoise(0.5) or Measurement(EYE, y, 0.5).noise.std == 0.5
    assert isinstance(Measurement(EYE, y, np.array([0.1, 0.2, 0.3])).noise, WhiteNoise)
    assert isinstance(Measurement(EYE, y, np.eye(3)).noise, CorrelatedNoise)
    square = Measurement(Blur(), np.ones((3, 3)), np.ones((3, 3)))
    assert isinstance(square.noise, WhiteNoise)  # of the shape of y: no covariance


@pytest.mark.parametrize(
    "noise, distribution",
    [
        (WhiteNoise(0.5), lambda a: stats.norm(a, 0.5)),
        (WhiteNoise(torch.tensor([0.5, 1.0, 2.0])), lambda a: stats.norm(a, [0.5, 1.0, 2.0])),
        (PoissonNoise(2.0), lambda a: stats.poisson(2 * a)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_distributions_are_those_of_scipy(noise, distribution):
    a = torch.tensor([[1.0, 2.0, 30.0], [0.2, 0.5, 7.0]], dtype=D)
    y = torch.tensor([[0.0, 3.0, 55.0], [1.0, 1.0, 12.0]], dtype=D)
    known = distribution(a.numpy())
    height = known.logpmf if isinstance(noise, PoissonNoise) else known.logpdf
    np.testing.assert_allclose(noise.log_prob(y, a), height(y.numpy()).sum(1), rtol=1e-12)
    drawn = noise.draw(a[0].expand(4000, 3), Samples(0, 0, 4000)).numpy()
    error = np.sqrt(known.var()[0] / 4000)
    assert (np.abs(drawn.mean(0) - known.mean()[0]) < 4 * error).all()
    assert (np.abs(drawn.var(0) / known.var()[0] - 1) < 0.15).all()
    mean = noise.mean(a)
    np.testing.assert_allclose(noise.whiten(y - mean, mean), (y.numpy() - known.mean()) / known.std(), rtol=1e-12)


def test_correlated_noise_is_white_once_whitened():
    root = torch.tensor([[1.0, 0.0], [0.5, 0.2]], dtype=D)
    noise, a = CorrelatedNoise(root @ root.T), torch.zeros(5000, 2, dtype=D)
    drawn = noise.draw(a, Samples(0, 0, 5000))
    torch.testing.assert_close(drawn.T.cov(), root @ root.T, rtol=0.08, atol=0.02)
    torch.testing.assert_close(noise.whiten(drawn, a).T.cov(), torch.eye(2, dtype=D), rtol=0.05, atol=0.05)
    known = stats.multivariate_normal([0, 0], (root @ root.T).numpy())
    np.testing.assert_allclose(noise.log_prob(drawn[:9], a[:9]), known.logpdf(drawn[:9].numpy()), rtol=1e-10)


def test_what_is_plain_is_described():
    tensors: list[torch.Tensor] = []
    one = Measurement(Mask(torch.tensor([True, False, True])), [1.0, 2.0], np.eye(2))
    again = spec.build(spec.describe(one, tensors), tensors=tensors)
    assert torch.equal(again.y, one.y) and torch.equal(again.noise.covariance, one.noise.covariance)
    assert torch.equal(again.operator.keep, one.operator.keep)
    with pytest.raises(TypeError, match="cannot be described"):
        spec.describe(Measurement(Function(torch.sin), [1.0], 0.1), [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Measurement(EYE, [1.0, np.nan, 2.0], 0.1), "1 of 3 measured numbers are not finite: leave those out"),
        (lambda: Measurement(EYE, [], 0.1), "y is empty"),
        (lambda: Measurement(EYE, [1.0, 2.0, 3.0], 0.0), "must be positive and finite, got 0"),
        (lambda: Measurement(EYE, [1.0, 2.0, 3.0], [0.1, 0.2]), "one for each of the 3 measured ones"),
        (lambda: Measurement(EYE, [1.0, 2.0, 3.0], -np.eye(3)), "a covariance of noise must be symmetric"),
        (lambda: Measurement(EYE, [1.0, 2.0], CorrelatedNoise(np.eye(3))), r"needs the shape \(2, 2\)"),
        (lambda: Measurement(EYE, [1.5, 2.0, 3.0], PoissonNoise()), "whole numbers from 0 on"),
        (lambda: PoissonNoise(0.0), "gain > 0"),
        (lambda: Mask([0, 2]), r"got other numbers: of the indices i of n components, np.isin"),
        (lambda: Mask(np.array([2, 0, 0])), "Mask needs True where a component is measured"),
        (lambda: Measurement(EYE, [1.0, 2.0], 0.1).check((3,)), r"Linear makes \(3,\) of a data point of shape \(3,\)"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_operator_is_an_operator():
    with pytest.raises(TypeError, match=r"got ndarray: wrap it in measurement.Linear"):
        Measurement(np.eye(3), [1.0], 0.1)
    with pytest.raises(TypeError, match=r"got function: wrap it in measurement.Function"):
        Measurement(lambda x: x, [1.0], 0.1)
