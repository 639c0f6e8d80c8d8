"""Rows that miss nothing, of models of data that miss values at random: they are as the data before values went missing."""

import dataclasses
import functools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import scorefield
from scorefield import Data, Network, Training
from scorefield.evaluation import evaluate
from scorefield.measurement import Function, Measurement

ROWS = 3000
MIX = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [-0.1, 0.3, 0.7]])  # of three normal numbers: x, y and z
COVARIANCE = MIX @ MIX.T
HOW = Training(steps=400), Network(widths=(64,))
FAST = "heun(steps=12)"


def rows_of(count, seed):
    """Rows before any value went missing: three normal numbers, and a category that depends on the first."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame((rng.normal(size=(count, 3)) @ MIX.T).round(4), columns=list("xyz"))
    table["k"] = np.where(rng.random(count) < 1 / (1 + np.exp(-2 * table["x"])), "hi", "lo")
    return table


def with_gaps(table, pattern):
    """Missing at random given `x`, which never misses; or completely at random."""
    rng, x, found = np.random.default_rng(7), table["x"], table.copy()
    often = 0.75 / (1 + np.exp(-1.5 * x)) if pattern != "completely at random" else 0.4
    gone = rng.random(len(x)) < often
    other = gone & (rng.random(len(x)) < 0.5) if pattern == "monotone" else rng.random(len(x)) < 0.75 - often
    found.loc[gone, "y"], found.loc[other, "z"] = np.nan, np.nan
    return found


@functools.cache
def fitted(pattern="apart"):
    table = with_gaps(rows_of(ROWS, 0), pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scorefield.fit(table, data=Data(missing="complete"), training=HOW[0], network=HOW[1])


@pytest.mark.parametrize(
    "pattern", ["apart", *(pytest.param(p, marks=pytest.mark.slow) for p in ("monotone", "completely at random"))]
)
def test_rows_have_the_distribution_before_values_went_missing(pattern):
    whole, gaps = rows_of(ROWS, 0), with_gaps(rows_of(ROWS, 0), pattern)
    drawn = fitted(pattern).sample(2000, seed=1)
    assert not drawn.isna().any().any() and (drawn.dtypes == gaps.dtypes).all()
    error = 0.06 + 3 * (1 / 2000 + 1 / ROWS) ** 0.5  # of a short training, and three standard errors of a difference
    known = whole[["x", "y", "z"]].to_numpy()
    found = drawn[["x", "y", "z"]].to_numpy()
    sd = known.std(0)
    assert (np.abs(found.mean(0) - known.mean(0)) < error * sd).all()
    assert (np.abs(np.cov(found.T) - np.cov(known.T)) < 1.5 * error * np.outer(sd, sd)).all()
    assert abs((drawn["k"] == "hi").mean() - (whole["k"] == "hi").mean()) < 0.5 * error
    slope, at_zero = np.polyfit(drawn["x"], drawn["y"], 1)
    assert abs(slope - 0.8) < 0.1 and abs(at_zero) < 0.1
    complete = gaps.dropna()
    if pattern != "completely at random":  # rows without gaps are others, and the test would see them
        assert abs(complete["x"].mean() - known[:, 0].mean()) > 2 * error or pattern == "apart"
        assert abs(gaps["y"].mean() - known[:, 1].mean()) > error


@pytest.mark.slow
def test_samples_have_the_same_bits_whatever_is_asked_for():
    model = fitted()
    many = model.sample(600, seed=3, sampler=FAST)
    assert many.head(20).equals(model.sample(20, seed=3, sampler=FAST))
    parts = torch.cat(list(model.batches(600, 3, FAST, batch=100)))
    assert many.equals(model.schema.pack(parts))
    assert not many.equals(model.sample(600, seed=4, sampler=FAST))
    seen = model.replace(schema=dataclasses.replace(model.schema, complete=False)).sample(600, seed=3, sampler=FAST)
    assert 0.2 < seen["y"].isna().mean() < 0.6
    assert many.where(seen.notna()).equals(seen)  # values that were drawn at first stay


@pytest.mark.slow
def test_known_values_stay_and_the_rest_follows():
    model = fitted()
    drawn = model.condition(x=1.0).sample(500)
    assert (drawn["x"] == 1.0).all() and not drawn.isna().any().any()
    assert abs(drawn["y"].mean() - 0.8) < 0.15 and abs(drawn["y"].std() - 0.6) < 0.15
    several = model.condition(k=["hi", "lo"], y=[0.5, -0.5]).sample(9)
    assert several["k"].tolist() == [*["hi", "lo"] * 4, "hi"] and several["y"].tolist() == [*[0.5, -0.5] * 4, 0.5]
    assert not several.isna().any().any()
    with pytest.raises(ValueError, match=r"^column 'y' never misses in rows of this model, got .*: give a value, or"):
        model.condition(y=scorefield.missing)


@pytest.mark.slow
def test_other_ways_of_drawing_miss_nothing(tmp_path):
    model = fitted()
    model.save(tmp_path / "model.safetensors")
    again = scorefield.load(tmp_path / "model.safetensors")
    assert again.schema.complete and again.sample(50).equals(model.sample(50))
    assert not model.sample(50, sampler="heun(steps=8)", denoise=False).isna().any().any()
    assert not model.sample(50, sampler="dormandprince").isna().any().any()
    assert not any(frame.isna().any().any() for frame in model.interpolate_seeds(5, frames=3))
    *_, (_, last) = model.trajectory(9, seed=2)
    assert model.schema.pack(last).equals(model.sample(9, seed=2))
    measured = model.observe(Measurement(Function(lambda x: x[:, :1]), torch.tensor([1.0]), 0.1))
    drawn = measured.sample(60)
    assert not drawn.isna().any().any() and abs(drawn["x"].mean() - 1) < 0.1


def test_log_densities_are_those_before_values_went_missing():
    """In nats; they do not depend on the rates at which values miss, which `missing="draw"` has in them."""
    model, table = fitted(), rows_of(80, 5)
    normal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.from_numpy(COVARIANCE))
    of_k = np.log(1 / (1 + np.exp(np.where(table["k"] == "hi", -2, 2) * table["x"])))
    exact = normal.log_prob(torch.tensor(table[["x", "y", "z"]].to_numpy())) + torch.tensor(of_k.to_numpy())
    found = model.log_prob(table).value - exact
    draw = model.replace(schema=dataclasses.replace(model.schema, complete=False)).log_prob(table).value - exact
    assert abs(float(found.mean())) < 0.2 and float(draw.mean()) < -0.8
    given = model.density().conditional(table, given=["x", "k"]).value
    of_x = torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(table["x"].to_numpy()))
    assert abs(float((given - (exact - of_x - torch.tensor(of_k.to_numpy()))).mean())) < 0.2
    with pytest.raises(
        ValueError, match=r"^a marginal of columns that miss values depends on the columns that never miss"
    ):
        model.density().marginal(table[["y"]], of=["y"])


@pytest.mark.slow
def test_gaps_are_filled_and_evaluation_compares_what_was_observed():
    model, gaps = fitted(), with_gaps(rows_of(600, 9), "apart")
    for how in (None, "dormandprince", "heun(steps=8)"):
        assert not model.impute(gaps.head(40), sampler=how).isna().any().any()
    filled = model.impute(gaps)
    assert not filled.isna().any().any() and filled.where(gaps.notna()).equals(gaps)
    found = evaluate(model, gaps.head(300), gaps.tail(300).reset_index(drop=True), count=300)
    assert "values missing as in the data" in found.chosen
    assert found.table is not None and found.table.patterns is not None
    assert found.table.patterns.distance.value < 0.15 and np.isnan(found.samples).any()
    assert min(test.p_value for test in found.tests) > 1e-4


def test_a_table_without_gaps_is_learned_as_ever():
    table = rows_of(60, 0)
    one, two = (scorefield.fit(table, data=Data(missing=how), steps=2) for how in ("draw", "complete"))
    assert not two.schema.complete and one.sample(5).equals(two.sample(5))
