from __future__ import annotations

import math

import pytest
import torch

from scorefield.units import Standardize

D = torch.float64


@pytest.mark.parametrize(
    ("shape", "mean", "std"),
    [
        ((), torch.tensor(3.0, dtype=D), torch.tensor(0.5, dtype=D)),
        ((2,), torch.tensor([100.0, -20.0], dtype=D), torch.tensor([7.0, 2.0], dtype=D)),
        ((3, 4, 5), torch.tensor([1.0, 2.0, 3.0], dtype=D).reshape(3, 1, 1), torch.tensor(2.0, dtype=D)),
        ((3, 4), None, None),
    ],
)
def test_inverse_and_log_determinant(shape, mean, std):
    """The log-determinant is that of the Jacobian by autograd."""
    units = Standardize(shape, mean, std)
    x = torch.randn((6, *shape), dtype=D, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(units.inverse(units(x)), x, rtol=1e-12, atol=1e-12)
    n = x[0].numel()
    jacobian = torch.autograd.functional.jacobian(lambda y: units(y.reshape(1, *shape)).reshape(-1), x[0].reshape(-1))
    assert jacobian.shape == (n, n)
    assert units.log_det == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), rel=1e-12, abs=1e-12)


def test_standardized_data():
    x = torch.tensor([[1.0, 10.0], [3.0, 30.0]], dtype=D)
    y = Standardize((2,), x.mean(0), x.std(0))(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(2, dtype=D))
    torch.testing.assert_close(y.std(0), torch.ones(2, dtype=D))


def test_densities_transform_with_the_log_determinant():
    units = Standardize((), torch.tensor(3.0, dtype=D), torch.tensor(0.5, dtype=D))
    x = torch.tensor([2.0, 3.7], dtype=D)
    inner = torch.distributions.Normal(torch.tensor(0.0, dtype=D), torch.tensor(1.0, dtype=D))
    outer = torch.distributions.Normal(torch.tensor(3.0, dtype=D), torch.tensor(0.5, dtype=D))
    torch.testing.assert_close(inner.log_prob(units(x)) + units.log_det, outer.log_prob(x))


def test_the_type_of_the_data_is_kept():
    units = Standardize((2,), torch.zeros(2, dtype=D), torch.ones(2, dtype=D))
    assert units(torch.zeros(1, 2)).dtype == units.inverse(torch.zeros(1, 2)).dtype == torch.float32
    assert units(torch.zeros(1, 2, dtype=D)).dtype == D


@pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 2)])
@pytest.mark.parametrize("name", ["mean", "std"])
def test_shapes_that_do_not_broadcast(shape, name):
    with pytest.raises(ValueError, match=rf"{name} of shape \({shape[0]},.* does not broadcast against \(2,\)"):
        Standardize((2,), **{name: torch.ones(shape)})


@pytest.mark.parametrize("std", [0.0, -1.0, math.inf, math.nan])
def test_standard_deviations_must_be_positive(std):
    with pytest.raises(ValueError, match=r"standard deviations must be positive and finite, got \[1.0, "):
        Standardize((2,), std=torch.tensor([1.0, std]))
