import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from scorefield import fit
from scorefield.data import Schema
from scorefield.denoisers import Gaussian, Mixture
from scorefield.likelihood import self_check
from scorefield.model import Model
from scorefield.processes import EDM, VE
from scorefield.rng import Samples
from scorefield.samplers import Sampling
from scorefield.settings import Data, Training
from scorefield.toys import Field
from scorefield.units import Standardize

D = torch.float64


def model_of(x: Any, exact: Mixture, mean: Tensor, std: Tensor) -> Model:
    """A model of data mean + std u, for u of a known distribution."""
    return Model(
        Schema.of(x), Standardize((len(mean),), mean, std), exact, exact.moments(), Sampling(process=VE(0.01, 300.0))
    )


@pytest.fixture(scope="module")
def exact() -> Mixture:
    means = torch.tensor([[-1.0, 0.5, 0.0], [1.0, 0.0, 0.3]], dtype=D)
    roots = 0.5 * torch.eye(3, dtype=D) + 0.2 * torch.ones(3, 3, dtype=D).tril()
    return Mixture(
        means, torch.stack([roots @ roots.T, 0.25 * torch.eye(3, dtype=D)]), torch.tensor([0.4, 0.6], dtype=D)
    )


MEAN, STD = torch.tensor([10.0, -3.0, 0.0], dtype=D), torch.tensor([4.0, 0.1, 2.0], dtype=D)


@pytest.fixture(scope="module")
def frame(exact) -> pd.DataFrame:
    x = MEAN + STD * exact.sample(60, Samples(0, count=60))
    return pd.DataFrame(x.numpy(), columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def model(exact, frame) -> Model:
    return model_of(frame, exact, MEAN, STD)


def inner(exact: Mixture, keep: list[int]) -> Mixture:
    return Mixture(exact.means[:, keep], exact.covariances[:, keep][:, :, keep], exact.weights)


def test_marginals_and_conditionals_are_exact(exact, model, frame):
    """By column name, in any order, in the units of the data."""
    u = (torch.from_numpy(frame.to_numpy(copy=True)) - MEAN) / STD
    density, keep = model.density(tolerance=1e-4), [2, 0]
    known = inner(exact, keep).log_prob(u[:4, keep], 0.01) - STD[keep].log().sum()
    found = density.marginal(frame[:4], of=["c", "a"])
    assert float((found.value - known).abs().max()) < 1e-3 and bool(((found.value - known).abs() <= found.error).all())
    torch.testing.assert_close(density.marginal(frame[["c", "a"]].to_numpy()[:4], of=["c", "a"]).value, found.value)
    rest = density.conditional(frame[:4], given=["c", "a"])
    whole = exact.log_prob(u[:4], 0.01) - STD.log().sum()
    assert float((rest.value - (whole - known)).abs().max()) < 1e-3


def test_bounds_and_p_values(exact, model, frame):
    u = (torch.from_numpy(frame.to_numpy(copy=True)) - MEAN) / STD
    known = exact.log_prob(u, 0.01) - STD.log().sum()
    found = model.density(seed=1).bound(frame, draws=16)
    assert abs(float((found.value - known).mean())) < 5 * float((found.value - known).std()) / math.sqrt(60)
    far = frame[:2] + 1000
    assert float(model.density(tolerance=1e-3).typicality(far, frame).max()) == pytest.approx(2 / 61)


def test_results_do_not_depend_on_the_batch_size(model, frame):
    for call in (lambda d: d.bound(frame[:5], 4).value, lambda d: d.log_prob(frame[:5]).value):
        torch.testing.assert_close(call(model.density(batch=3)), call(model.density()), rtol=0, atol=1e-8)
    table = frame.round(1)
    few, many = (
        model.density(batch=b, tolerance=1e-3).bits_per_dim(table[:5], 2, step=[0.1, 0.0, 0.1]) for b in (3, 20)
    )
    torch.testing.assert_close(few.value, many.value, rtol=0, atol=1e-8)


def test_bits_per_dim_of_integers_are_exact():
    """A wide Gaussian rounded to integers: the density hardly changes within a cell."""
    exact = Gaussian(torch.zeros(2, dtype=D), torch.eye(2, dtype=D))
    units = Standardize((2,), torch.tensor([50.0, 7.0]).double(), torch.tensor([30.0, 200.0]).double())
    x = units.inverse(exact.sample(40, Samples(0, count=40))).round().long().numpy()
    model = Model(Schema.of(x), units, exact, exact, Sampling(process=EDM(0.002, 300.0)))
    found = model.density().bits_per_dim(x, draws=3)
    known = exact.log_prob(units(torch.from_numpy(x).double())) + units.log_det
    torch.testing.assert_close(found.value, -known / (2 * math.log(2)), rtol=0, atol=0.02)
    assert float(found.standard_error.max()) < 0.05
    moved = in_tenths(model, units, x)
    torch.testing.assert_close(moved.value, found.value, rtol=0, atol=1e-9)


def in_tenths(model: Model, units: Standardize, x: np.ndarray):
    """The same data in units of a tenth, with cells of a tenth: the bits per dimension do not change."""
    tenth = Standardize((2,), units.mean / 10, units.std / 10)
    other = Model(Schema.of(x / 10), tenth, model.denoiser, model.moments, model.sampling)
    return other.density().bits_per_dim(x / 10, draws=3, step=0.1)


@pytest.mark.parametrize("extrapolate", [False, True])
def test_the_self_check_is_within_its_errors(model, frame, extrapolate):
    x = torch.from_numpy(frame.to_numpy(copy=True))
    found, true = self_check(model.density(extrapolate=extrapolate).inner, x, count=40)
    off = (found.value - true).abs()
    assert float(off.max()) < 1e-3 and float((off <= found.error).double().mean()) > 0.9


def test_the_self_check_works_on_fields():
    field = Field((1, 4, 4), length=2.0)
    x = 5 * field.sample(30, Samples(0, count=30))
    moments = Gaussian(torch.zeros(1, 4, 4, dtype=D), torch.ones(1, 4, 4, dtype=D))
    model = Model(
        Schema.of(x[:, 0].numpy()),
        Standardize((1, 4, 4), None, torch.tensor(5.0)),
        moments,
        moments,
        Sampling(process=EDM()),
    )
    found, true = self_check(model.density(probes=8, tolerance=1e-3).inner, x, count=30)
    off = (found.value - true).abs()
    assert bool((found.standard_error > 0).all()) and float((off <= 2 * found.error).double().mean()) > 0.8
    with pytest.raises(
        ValueError, match="the self-check needs 8 rows or more of 4096 coordinates at most, got 5 of 16"
    ):
        self_check(model.density().inner, x[:5])


def test_refitting_in_other_units_changes_the_log_density_by_the_log_volume():
    """With the same seed, to 1e-6, though every value of the data differs."""
    x = np.random.default_rng(0).normal(size=(300, 2))
    a, b = np.array([25.4, 0.1]), np.array([1.0, -2.0])
    plain, scaled = (fit(data, training=Training(steps=20)) for data in (x, x * a + b))
    change = scaled.log_prob(x[:20] * a + b).value - plain.log_prob(x[:20]).value
    torch.testing.assert_close(change, torch.full((20,), -np.log(a).sum(), dtype=D), rtol=0, atol=1e-6)


def test_a_learned_log_density_is_above_its_bound():
    """On average; and the reported errors cover the true ones at nearly all points."""
    x = np.random.default_rng(0).normal(size=(400, 2))
    x[:, 1] += x[:, 0] ** 2
    model = fit(x, training=Training(steps=300), data=Data(maps="affine"))  # a network alone
    below = model.density().bound(x, 32).value - model.log_prob(x, tolerance=1e-3).value
    assert float(below.mean()) < -2 * float(below.std()) / 20
    found, tight = (model.log_prob(x[:100], tolerance=t) for t in (1e-5, 1e-7))
    assert float(((found.value - tight.value).abs() <= found.solver_error).double().mean()) > 0.9


def test_wrong_features_are_refused(model, frame):
    density = model.density()
    with pytest.raises(ValueError, match="there is no feature 'd': the features are a, b, c"):
        density.marginal(frame, of=["d"])
    with pytest.raises(ValueError, match=r"2 features need an array \(N, 2\), got \(60, 3\)"):
        density.marginal(frame.to_numpy(), of=["a", "b"])
    with pytest.raises(ValueError, match="the table has no column 'b': it has a"):
        density.marginal(frame[["a"]], of=["a", "b"])
    images = Schema.of(np.zeros((9, 20, 20)))
    with pytest.raises(ValueError, match="need the features of vectors, but these data are"):
        type(density)(images, density.inner).marginal(frame, of=[0])
