"""Where no sample can lie the log-density is -inf: beyond bounds, and off the lattice; nowhere in the data of the fit."""

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.data import Schema, rows_and_excluded
from scorefield.fitting import Options, plan, prepare, train
from scorefield.settings import Data, Training

N = 300
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "w": RNG.gamma(2, 3, N),
        "k": RNG.poisson(3, N),
        "tenths": (RNG.integers(0, 40, N) * 0.1).round(1),
        "x": RNG.normal(size=N),
    }
)


def fitted(x, **data):
    options = Options(training=Training(steps=5), device="cpu", data=Data(**data))
    return train(plan(prepare(x, options), options)).model


@pytest.fixture(scope="module")
def model():
    return fitted(TABLE)


def rows(**values):
    count = max(len(each) for each in values.values())
    usual = {"w": [5.0] * count, "k": [3] * count, "tenths": [0.1 * 3] * count, "x": [0.0] * count}
    return pd.DataFrame(usual | values)


EXCLUDED = [{"w": [-1.0, 0.5]}, {"k": [-2, 4]}, {"k": [2.5, 1]}, {"tenths": [0.25, 0.1 * 3]}]


@pytest.mark.parametrize("values", EXCLUDED, ids=str)
def test_values_that_no_sample_can_have(model, values):
    x, (name,) = rows(**values), values
    density = model.density(tolerance=0.1)
    for found in (density.log_prob(x), density.marginal(x[[name]], of=[name])):
        assert found.value[0] == -torch.inf and found.error[0] == 0 and bool(found.value[1].isfinite())
    with pytest.raises(ValueError, match=rf"row 0 is given values of probability 0 \({name}\): leave it out"):
        density.conditional(x, given=[name])
    assert density.log_prob(x[:1]).value.tolist() == [-np.inf]


def test_a_count_beyond_those_of_the_data_counts_as_the_largest_of_them(model):
    most = int(TABLE["k"].max())
    found = model.density(tolerance=0.1).marginal(pd.DataFrame({"k": [most, most + 1, 500]}), of=["k"]).value
    torch.testing.assert_close(found, found[:1].expand(3), atol=0.02, rtol=0)  # means over the same places in a cell


def test_conditionals_and_bounds(model):
    x, density = rows(w=[-1.0, 0.5]), model.density(tolerance=0.1)
    for found in (density.conditional(x, given=["x"]).value, density.bound(x, draws=4).value):
        assert found[0] == -torch.inf and bool(found[1].isfinite())


def test_all_that_was_fitted_has_a_density(model):
    assert not bool(rows_and_excluded(model.schema, TABLE)[1].any())
    for dtype in (np.float32, np.float16):
        x = pd.DataFrame({"a": (RNG.integers(0, 40, N) * 0.1).astype(dtype), "b": RNG.gamma(1, 1, N).astype(dtype)})
        assert not bool(rows_and_excluded(Schema.of(x), x)[1].any())
    for seed in range(3):  # a held-out row beyond the bounds that the training rows show: the bound is not kept
        x = np.concatenate([RNG.uniform(size=(200, 1)), [[1.2]]])
        schema = prepare(pd.DataFrame(x, columns=["u"]), Options(seed=seed)).schema
        assert not bool(rows_and_excluded(schema, x)[1].any())


def test_declared_bounds_of_arrays():
    x = np.stack([RNG.beta(2, 2, N), RNG.normal(size=N)], 1)
    found = fitted(x, bounds={0: (0, 1)}).log_prob(np.array([[0.5, 0.0], [1.2, 0.0], [-0.1, 0.0]]), tolerance=0.1)
    assert found.value[1:].tolist() == [-np.inf, -np.inf] and bool(found.value[0].isfinite())
    fields = np.exp(RNG.normal(size=(40, 1, 4, 4)) * 2)
    schema = prepare(fields, Options(data=Data(channels="first", log=(0,)))).schema
    beyond = np.where(np.arange(16).reshape(4, 4) == 5, -1.0, fields[:2])
    assert rows_and_excluded(schema, np.concatenate([fields[:1], beyond]))[1].tolist() == [False, True, True]


@pytest.mark.parametrize(
    "form",
    [np.asarray, pytest.param(lambda x: pd.DataFrame(x, columns=["a", "b"]), marks=pytest.mark.slow)],
    ids=["array", "table"],
)
@pytest.mark.parametrize(
    ("draw", "low", "high"),
    [
        (lambda n: RNG.exponential(size=(n, 2)), 0, np.inf),
        (lambda n: RNG.uniform(size=(n, 2)), 0, 1),
        (lambda n: RNG.negative_binomial(1, 0.001, (n, 2)), 0, np.inf),
    ],
    ids=["exponential", "uniform", "counts"],
)
def test_bounds_that_data_show_are_kept(draw, low, high, form):
    """By arrays as by tables, however little was learned; and nothing heaps up at a bound."""
    x = draw(2 * N)
    model = fitted(form(x))
    new = np.asarray(model.sample(1500, seed=1))
    assert new.min() >= low and new.max() <= high
    assert (new == low).mean() < (x == low).mean() + 0.01 and (new == high).mean() < 0.01
    found = model.log_prob(form(np.array([[low - 1, x[0, 1]], x[0]])), tolerance=0.1).value
    assert found[0] == -np.inf and bool(found[1].isfinite())


def test_whole_numbers_of_arrays():
    schema = Schema.of(RNG.poisson(30, (N, 2)))
    x = np.array([[3, 3], [2.5, 3], [-2, 3], [500, 3]])
    assert rows_and_excluded(schema, x)[1].tolist() == [False, True, True, False]
    images = RNG.integers(0, 256, (9, 8, 8)).astype(np.uint8)
    assert rows_and_excluded(Schema.of(images), np.stack([images[0], images[1] + 0.5]))[1].tolist() == [False, True]
