"""Operators: the dot-product test, what they do, and what they refuse."""

from __future__ import annotations

import ast
import math
import re

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from scorefield.measurement import (
    Blur,
    Compose,
    Downsample,
    Fourier,
    Function,
    Grey,
    Linear,
    LinearOperator,
    Mask,
    Measurement,
    Radon,
    Simulator,
)

D = torch.float64


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


CASES = [
    (Mask(seeded(5, 6) > 0), (5, 6)),
    (Mask(torch.tensor([True, False, True])), (4, 3)),  # broadcast
    (Linear(seeded(4, 6)), (2, 3)),
    (Blur(1.3), (7, 9)),
    (Blur(2.0, boundary="periodic"), (3, 7, 9)),
    (Blur(4.0, axes=(-1,)), (5,)),  # a kernel longer than the axis
    (Blur(kernel=seeded(3, 5)), (2, 7, 9)),
    (Blur(0.8, axes=(0, 1, 2)), (4, 5, 6)),
    (Downsample(2), (3, 4, 6)),
    (Downsample(3, axes=(0,)), (6, 2)),
    (Grey(), (4, 5, 3)),
    (Grey(0), (3, 4, 5)),
    (Radon(5), (2, 8, 8)),
    (Radon((0.0, 33.0)), (9, 9)),
    (Fourier(seeded(6, 5) > 0), (6, 5)),
    (Fourier(axes=(0,)), (6, 2)),
]


@pytest.mark.parametrize(("operator", "shape"), CASES, ids=lambda value: type(value).__name__)
def test_linear_operators_pass_the_dot_product_test(operator: LinearOperator, shape):
    x, z = seeded(3, *shape), seeded(3, *shape, seed=1)
    y = operator(x)
    v = seeded(*y.shape, seed=2)
    left, right = (y * v).flatten(1).sum(1), (x * operator.adjoint(v, shape)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(operator(2 * x - z), 2 * operator(x) - operator(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(operator(x[1:2])[0], y[1], rtol=1e-12, atol=1e-12)
    assert operator(x.float()).dtype == torch.float32


@pytest.mark.parametrize("boundary, mode", [("reflect", "reflect"), ("periodic", "wrap")])
def test_blurs_are_those_of_scipy(boundary, mode):
    x = np.random.default_rng(0).normal(size=(9, 7))
    found = Blur(1.4, boundary=boundary)(torch.from_numpy(x)[None])[0].numpy()
    reach = math.ceil(4 * 1.4)
    np.testing.assert_allclose(found, ndimage.gaussian_filter(x, 1.4, mode=mode, radius=reach), atol=1e-12)
    kernel = np.random.default_rng(1).normal(size=(3, 5))
    found = Blur(kernel=kernel, boundary=boundary)(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_allclose(found, ndimage.convolve(x, kernel, mode=mode), atol=1e-12)


def test_projections_keep_the_mass_and_know_right_angles():
    x = torch.zeros(1, 16, 16, dtype=D)
    x[0, 4:12, 5:10] = seeded(8, 5).abs()
    found = Radon((0.0, 90.0, 180.0, 45.0))(x)[0]
    torch.testing.assert_close(found[0], x[0].sum(0), atol=1e-6, rtol=1e-6)
    assert float((found[1] - x[0].sum(1)).abs().max().minimum((found[1] - x[0].sum(1).flip(0)).abs().max())) < 1e-6
    torch.testing.assert_close(found[2], x[0].sum(0).flip(0), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.sum(1), x.sum().expand(4), rtol=0.05, atol=0)  # what is rough loses some


def test_frequencies_keep_lengths():
    x = seeded(2, 6, 4)
    torch.testing.assert_close(Fourier()(x).square().sum((1, 2)), x.square().sum((1, 2)))


def test_a_function_may_be_any():
    assert not Function(torch.sin).linear
    torch.testing.assert_close(Function(torch.sin)(seeded(2, 3)), seeded(2, 3).sin())
    assert Compose((Blur(1.0), Downsample(2))).linear and not Compose((Blur(1.0), Function(torch.exp))).linear


def test_a_simulator_has_the_derivatives_that_it_is_given():
    def run(x):
        return np.sin(x) * x[:, :1]

    def pull(x, v):
        out = v * np.cos(x) * x[:, :1]
        out[:, 0] += (v * np.sin(x)).sum(1)
        return out

    def push(x, u):
        return u * np.cos(x) * x[:, :1] + np.sin(x) * u[:, :1]

    box, f = Simulator(run, pull, push), lambda x: torch.sin(x) * x[:, :1]
    x, v, u = seeded(3, 4).requires_grad_(), seeded(3, 4, seed=1), seeded(3, 4, seed=2)
    for operator in (box, Simulator(run, pull), Function(f)):  # without `push`, by a pull for each number
        probe = torch.zeros(3, 4, dtype=D, requires_grad=True)
        pulled = torch.autograd.grad(operator(x), x, v)[0]
        pushed = torch.autograd.grad(torch.autograd.grad(operator(x), x, probe, create_graph=True)[0], probe, u)[0]
        torch.testing.assert_close(pulled, torch.from_numpy(pull(x.detach().numpy(), v.numpy())))
        torch.testing.assert_close(pushed, torch.from_numpy(push(x.detach().numpy(), u.numpy())))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(torch.tensor([0.5, 1.0])), "needs True where a component is measured"),
        (lambda: Mask(torch.tensor([False])), "keeps nothing"),
        (lambda: Mask(torch.ones(3))(seeded(2, 4)), r"the shape \(3,\), and a data point has the shape \(4,\)"),
        (lambda: Linear(seeded(4)), r"shape \(m, n\), got shape \(4,\)"),
        (lambda: Linear(seeded(2, 5))(seeded(2, 4)), "has 5 columns, and a data point of shape"),
        (lambda: Blur(0.0), "width > 0, got width=0"),
        (lambda: Blur(boundary="zero"), "the boundary of Blur"),
        (lambda: Blur(axes=()), "1 to 3 axes"),
        (lambda: Blur(kernel=seeded(2, 3)), "an odd number of points"),
        (lambda: Blur()(seeded(2, 5)), r"works along axis -2, and a data point of shape \(5,\) has 1 axes"),
        (lambda: Downsample(0), "factor >= 1"),
        (lambda: Downsample(2)(seeded(1, 4, 5)), "needs axes that it divides, got 5 points"),
        (lambda: Grey()(seeded(1, 4, 5)), "weights for 3 channels, and axis -1 of a data point has 5"),
        (lambda: Radon(0), "one angle or more"),
        (lambda: Radon()(seeded(1, 4, 5)), "projects square images, got 4 x 5"),
        (lambda: Fourier(torch.zeros(4)), "keeps nothing: at least one frequency must be measured"),
        (lambda: Fourier(np.array([0, 3])), "Fourier needs True .* the indices i of n frequencies, np.isin"),
        (lambda: Fourier(torch.ones(4, 4))(seeded(1, 4, 5)), r"of shape \(4, 4\), and the image is \(4, 5\)"),
        (lambda: Function(lambda x: 3.0)(seeded(1, 2)), r"got float for B = 1"),
        (lambda: Function(lambda x: x.sum())(seeded(1, 2)), r"got the shape \(\) for B = 1"),
        (lambda: Compose(()), "at least one operator"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


LAYOUTS = {  # the shape of a data point, and its spatial axes
    "images": ((8, 8), (0, 1)),
    "channels first": ((3, 8, 8), (1, 2)),
    "channels last": ((8, 8, 3), (0, 1)),
    "volumes": ((8, 8, 8), (0, 1, 2)),
    "signals": ((8,), (0,)),
    "signals with channels": ((8, 2), (0,)),
}
ALONG = (Blur, Downsample, Radon, Fourier)


@pytest.mark.parametrize("kind", ALONG)
@pytest.mark.parametrize("data", LAYOUTS)
def test_spatial_axes_are_asked_for_where_they_are_not_the_last_two(kind, data):
    shape, spatial = LAYOUTS[data]
    if spatial == (len(shape) - 2, len(shape) - 1):
        y = kind()(torch.ones(1, *shape))[0]
        Measurement(kind(), y, 0.1).check(shape, spatial)
        return
    written = "(0,)" if spatial == (0,) else str(spatial)
    for operator in (kind(), Compose((kind(axes=spatial[-2:]), kind())) if kind in (Blur, Downsample) else kind()):
        with pytest.raises(ValueError, match=r"acts along the last two axes .* of these data are ") as error:
            Measurement(operator, np.ones(shape), 0.1).check(shape, spatial)
        said = str(error.value)
        assert f"are {written}: " in said and "\n" not in said
    advised = re.findall(r"axes=(\([\d, ]+\))", said)
    assert bool(advised) == (kind is not Radon or len(spatial) > 1) and ("needs two spatial axes" in said) != bool(
        advised
    )
    assert kind is Radon or advised[0] == written
    for axes in map(ast.literal_eval, advised):
        operator = kind(axes=axes)
        Measurement(operator, operator(torch.ones(1, *shape))[0], 0.1).check(shape, spatial)


def test_spatial_axes_are_followed_through_operators():
    """Grey takes the last axis away, so that the last two are the spatial ones behind it."""
    shape, spatial = LAYOUTS["channels last"]
    grey = Compose((Grey(), Blur(1.0), Downsample(2)))
    Measurement(grey, grey(torch.ones(1, *shape))[0], 0.1).check(shape, spatial)
    with pytest.raises(ValueError, match=r"Blur acts .* of these data are \(0, 1\): give axes=\(0, 1\)"):
        Measurement(Compose((Blur(1.0), Grey())), np.ones((8, 8)), 0.1).check(shape, spatial)
    behind = Compose((Function(lambda x: x), Blur(1.0)))  # which may give anything
    Measurement(behind, np.ones(shape), 0.1).check(shape, spatial)
