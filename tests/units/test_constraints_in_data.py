"""Columns that lie in one order in all rows are found, and others are not."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield import fit
from scorefield.cli.entry import main
from scorefield.data import Schema
from scorefield.fitting import Options, prepare
from scorefield.settings import Data
from scorefield.units.constraints_in_data import ordered_columns

pandas = pytest.importorskip("pandas")


def orders(table):
    schema = Schema.of(table)
    x = np.stack([column.encode(table[column.name]) for column in schema.table], 1)
    return {schema.table[c].name: found for c, found in ordered_columns(x, schema.table).items()}


def stays(count, seed=0):
    """Days of admission over a year and of discharge, one to nine days later, or 2099-12-31."""
    rng = np.random.default_rng(seed)
    begin = pandas.Timestamp("2024-01-01") + pandas.to_timedelta(rng.integers(0, 365, count), "D")
    end = begin + pandas.to_timedelta(rng.integers(1, 10, count), "D")
    end = end.where(rng.random(count) > 0.15, pandas.Timestamp("2099-12-31"))
    return pandas.DataFrame({"begin of stay": begin, "end": end, "cost": rng.gamma(2, 500, count)})


def test_dates_whose_first_days_differ_are_compared():
    assert orders(stays(400)) == {"end": ["`begin of stay` < end"]}
    assert orders(stays(400)[["end", "begin of stay"]].iloc[:80]) == {}  # too few rows
    wrong = stays(400)
    wrong.loc[300, "end"] = wrong.loc[300, "begin of stay"] - pandas.Timedelta("1D")
    assert orders(wrong) == {}


def test_what_follows_from_others_is_left_out_and_missing_values_are_passed_over():
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=(300, 3)), 1)
    table = pandas.DataFrame(x, columns=["low", "middle", "high"])
    assert orders(table) == {"middle": ["low < middle"], "high": ["middle < high"]}
    table.loc[::7, "middle"] = np.nan
    table["high"] = np.maximum(table["low"], table["high"].round(1))
    found = orders(table)
    assert found["middle"] == ["low < middle"] and found["high"] in (["low <= high"], ["middle < high"])


def test_no_order_among_independent_columns_or_ranges_that_lie_apart():
    """Of 200 tables of 10 independent columns none; nor of ages and years, which are never near each other."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        x = rng.normal(size=(150, 10)) * rng.uniform(0.5, 2, 10) + rng.normal(size=10)
        assert not orders(pandas.DataFrame(x, columns=list("abcdefghij")))
    assert not orders(pandas.DataFrame({"age": rng.integers(18, 90, 300), "year": rng.integers(1990, 2024, 300)}))


def found(table, **wishes):
    choices = prepare(table, Options(Data(**wishes))).choices
    return [choice.value for choice in choices if choice.name == "constraint"]


def test_what_is_declared_or_broken_by_one_row_or_refused_is_not_said():
    """Each of 400 rows is asked, those that are held out too; complete samples cannot keep to what is missing."""
    table = stays(400)
    assert found(table) == ["`begin of stay` < end"]
    assert found(table, constraints=("end > `begin of stay`",)) == []
    for row in range(0, 400, 100):
        wrong = table.copy()
        wrong.loc[row, "end"] = wrong.loc[row, "begin of stay"] - pandas.Timedelta("1D")
        assert found(wrong) == []
    table["letter"] = np.where(table["end"].dt.year == 2099, None, table["cost"].round(1))
    table["letter"] = table["letter"].astype(float)
    table["left"] = table["letter"].notna()
    assert found(table) == ["missing(letter) == (left == False)", "`begin of stay` < end"]
    assert found(table, missing="complete") == ["`begin of stay` < end"]


def test_the_command_line_says_how_to_declare_what_it_found(tmp_path, capsys):
    stays(300).to_csv(tmp_path / "t.csv", index=False)
    assert main(["fit", str(tmp_path / "t.csv"), "-o", str(tmp_path / "run"), "--steps", "2"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "constraint: `begin of stay` < end (holds in every row)" in lines
    (advice,) = (line for line in lines if line.endswith("--constraints '`begin of stay` < end'"))
    assert advice.startswith("samples may break a constraint that is not declared")


def test_fit_says_the_constraint_and_samples_keep_to_it():
    table = stays(300)
    (said,) = (choice for choice in prepare(table).choices if choice.name == "constraint")
    assert said.value == "`begin of stay` < end" and "holds in every row" in said.reason
    kept = fit(table, steps=20, data=Data(constraints=("`begin of stay` < end",))).sample(200)
    assert (kept["begin of stay"] < kept["end"]).all()
