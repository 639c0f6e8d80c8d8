"""Values that a model of a table is given: what a column cannot take is refused, what lies beyond the data is warned of."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import scorefield
from scorefield import Data, Training, fit
from scorefield.data import Schema, beyond, known_values, missing
from scorefield.evaluation import evaluate


def orders(count: int = 300, seed: int = 0) -> pd.DataFrame:
    """A score within declared bounds, counts, positive prices, dates, a category, and a column that is left out."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "region": rng.choice(["North", "South"], count),
            "score": rng.uniform(3, 97.3, count),
            "visits": rng.poisson(4, count) - 1,
            "price": np.exp(rng.normal(2, 0.5, count)).round(2),
            "gap": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
            "signup": pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 365, count), "D"),
            "customer_id": np.arange(count),
        }
    )


@pytest.fixture(scope="module")
def model() -> scorefield.Model:
    with pytest.warns(UserWarning, match="left out of the model: 'customer_id'"):
        return fit(orders(), training=Training(steps=20), data=Data(bounds={"score": (0, 100)}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score": 5000}, r"^column 'score' takes numbers from 0 to 100, got 5000: give such a value, as 100$"),
        ({"price": np.inf}, "^column 'price' takes numbers .*, got inf: give a finite value, or leave the column out$"),
        (
            {"score": -np.inf},
            "^column 'score' takes numbers .*, got -inf: give a finite value, or leave the column out$",
        ),
        ({"score": "hello"}, "^column 'score' holds numbers, got 'hello': give another value$"),
        ({"score": "1,234"}, "^column 'score' takes numbers from 0 to 100, got '1,234': give such a value, as 100$"),
        ({"visits": 2.5}, r"^column 'visits' takes whole numbers, got 2.5: give such a value, as [23]$"),
        ({"price": -3.0}, "takes numbers of 0 or more with 2 decimals, got -3.0: give such a value, as 0"),
        ({"price": [4.5, 7.123]}, "takes numbers of 0 or more with 2 decimals, got 7.123: give such a value, as 7.12"),
        ({"region": "Nort"}, "^column 'region' has the levels 'North', 'South', got 'Nort': give one of them$"),
        ({"signup": "2022-03-01 12:00"}, "takes dates in whole days, got '2022-03-01 12:00': give such a value"),
        (
            {"price": np.nan},
            "^column 'price' never misses in the data, got nan: give a value, or leave the column out$",
        ),
        ({"region": None}, "column 'region' never misses in the data, got None"),
        ({"score": missing}, "column 'score' never misses in the data"),
        ({"regio": "North"}, "^there is no column 'regio': did you mean 'region'[?]$"),
        (
            {"customer_id": 5},
            "^column 'customer_id' was left out when the model was fitted: identifier: numbers the rows",
        ),
        ({}, "is conditioned on columns of the data by their names, region, score, visits.*: model.condition.region=…"),
    ],
)
def test_what_a_column_cannot_take_is_refused(model, given, message):
    with pytest.raises(ValueError, match=message) as refused:
        model.condition(**given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("words", [("wahr", "falsch"), ("Yes", "No"), ("OUI", "NON"), ("sí", "no"), ("VERO", "FALSO")])
def test_bools_stand_for_words_of_other_languages(words):
    frame = pd.DataFrame({"active": [*words] * 10, "x": np.arange(20.0)})
    column = Schema.of(frame).table[0]
    assert [column.meant(value) for value in (True, False, words[0])] == [*words, words[0]]
    other = Schema.of(frame.replace({words[0]: "red"})).table[0]
    assert other.meant(True) is True  # which is then refused


def test_numbers_may_have_a_decimal_comma():
    schema = Schema.of(pd.DataFrame({"x": np.random.default_rng(0).normal(size=20), "k": ["a", "b"] * 10}))
    assert known_values(schema, {"x": ["-0,5", "0,125", "12,25", "1.5"]})[0][:, 0].tolist() == [-0.5, 0.125, 12.25, 1.5]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"score": 99.0},
            r"^score=99 lies outside of the data \(\d[.\d]* to 97.*\): what is drawn there is extrapolated$",
        ),
        ({"price": [5.0, 1000.0]}, r"price=1000 lies outside of the data"),
        ({"visits": -7, "gap": 99}, r"visits=-7 lies .*; gap=99 lies outside"),
        ({"signup": "2031-01-01"}, r"signup=2031-01-01 lies outside of the data \(2022-01-01 to 2022-12-..\)"),
    ],
)
def test_what_lies_beyond_the_data_is_warned_of_once(model, given, said):
    with pytest.warns(UserWarning, match=said) as caught:
        conditioned = model.condition(**given)
    assert len(caught) == 1 and caught[0].filename == __file__
    drawn = conditioned.sample(2)
    name, value = next(iter(given.items()))
    assert drawn[name].iloc[-1] == (pd.Timestamp(value) if name == "signup" else np.atleast_1d(value)[-1])


def test_what_the_data_hold_is_given_in_silence(model):
    table = orders()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some = model.condition({name: table[name].tolist() for name in ("score", "price", "signup", "gap")})
        both = model.condition(table[["region", "visits"]].head(3)).sample(3)  # a table of columns of the data
    assert some.conditions and both[["region", "visits"]].equals(table[["region", "visits"]].head(3))


def test_whole_numbers_that_stay_in_the_range_of_the_data():
    """Samples are clipped to it, unless bounds have room for more."""
    table = pd.DataFrame(
        {"n": np.random.default_rng(0).poisson(4, 200), "y": np.random.default_rng(1).normal(size=200)}
    )
    top = table["n"].max()
    plain = fit(table, training=Training(steps=5))
    with pytest.raises(ValueError, match=rf"takes whole numbers from 0 to {top}, got 50: .*, or fit with bounds=…"):
        plain.condition(n=50)
    wide = fit(table, training=Training(steps=5), data=Data(bounds={"n": (0, 60)}))
    with pytest.warns(UserWarning, match="n=50 lies outside of the data"):
        assert set(wide.condition(n=50).sample(3)["n"]) == {50}


def test_arrays_say_what_they_can():
    x = np.random.default_rng(0).normal([0, 5], [1, 0.1], (200, 2))
    model = fit(x, training=Training(steps=5))
    with pytest.warns(
        UserWarning, match="column 1: 9 lies far outside of the data: what is drawn there is extrapolated"
    ):
        model.condition({1: 9.0})
    counts = fit(np.random.default_rng(0).poisson(4, (200, 2)), training=Training(steps=5))
    for value, message in ((2.5, "column 0 holds whole numbers, 0 to"), (99, "got 99"), (np.nan, "never misses")):
        with pytest.raises(ValueError, match=message):
            counts.condition({0: value})
    with pytest.raises(ValueError, match=r"there is no column 5: it has 0, 1"):
        model.condition({5: 1.0})
    with pytest.raises(
        ValueError, match="row 1 has a missing value, and this model knows the joint density only: leave"
    ):
        model.log_prob(np.array([[0.0, 5.0], [0.0, np.nan]]))


def test_impossible_cells_stay_and_tell_nothing(model):
    rows = orders(6, 1).drop(columns="customer_id")
    rows = rows.astype({"score": float, "visits": float, "region": object})
    rows.loc[0, ["score", "price"]] = [5000.0, np.nan]
    rows.loc[1, ["visits", "region"]] = [2.5, None]
    rows.loc[2, ["region", "visits"]] = ["Mars", np.nan]
    with pytest.warns(
        UserWarning, match=r"values that their column cannot take: 'region' in 1 row \(it takes "
    ) as caught:
        filled = model.impute(rows)
    assert len(caught) == 1 and "'score' in 1 row (it takes numbers from 0 to 100)" in str(caught[0].message)
    assert caught[0].filename == __file__
    given = rows.notna()
    for name in rows:
        assert (filled[name][given[name]] == rows[name][given[name]]).all()
    assert filled.notna().all().all() and np.isfinite(filled.select_dtypes("number")).all().all()
    other = model.impute(rows.assign(score=rows["score"].replace(5000.0, np.nan)))
    assert filled.loc[0, "price"] == other.loc[0, "price"]  # as if the impossible score were not known


def test_tables_that_cannot_be_meant(model):
    table = orders(3)
    twice = pd.concat([table, table[["price"]]], axis=1)
    density = model.density(tolerance=0.1)
    for call in (
        model.impute,
        model.log_prob,
        model.condition,
        lambda x: density.marginal(x, of=["price"]),
        lambda x: evaluate(model, x, x),
    ):
        with pytest.raises(ValueError, match=r"^the table has several columns named 'price': rename them$"):
            call(twice)


def test_tables_without_rows(model):
    empty = orders(3).head(0)
    filled = model.impute(empty)
    pd.testing.assert_frame_equal(filled, empty)
    assert [len(each) for each in model.impute(empty, draws=2)] == [0, 0] and len(model.log_prob(empty)) == 0
    assert fit(np.random.default_rng(0).normal(size=(60, 2)), steps=2).impute(np.zeros((0, 2))).shape == (0, 2)


def test_the_range_of_the_data_is_kept_and_may_be_unknown():
    """Models that were saved before hold none: nothing is said of what lies beyond."""
    table = orders()
    schema = Schema.of(table)
    ranges = {column.name: column.range for column in schema.table}
    days = (table["signup"] - table["signup"].min()).dt.days
    assert ranges["signup"] == (0, days.max()) and ranges["region"] is None
    assert ranges["price"] == (table["price"].min(), table["price"].max())
    x, known = known_values(schema, {"price": 1e6})
    assert len(beyond(schema, x, known)) == 1
    old = replace(schema, table=tuple(replace(c, range=None) if c.name == "price" else c for c in schema.table))
    assert not beyond(old, x, known)
