"""Columns that differ little from each other keep maps under which they do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scorefield.data import ArrayRows, Schema
from scorefield.units import ColumnMap, choose_units
from scorefield.units.near_columns import straightened

ROWS = 1500


def table_of_stays(seed=0, no_end=0.0, missing=0.0):
    """Admissions over two years, and discharges days later; a part of these are not known, or stand for no end."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 730, ROWS)
    dates = pd.Timestamp("2023-01-02") + pd.to_timedelta(
        np.stack((first, first + 1 + rng.geometric(0.3, ROWS))).ravel(), "D"
    )
    table = pd.DataFrame(
        {"admission": dates[:ROWS], "age": rng.normal(50, 10, ROWS).round(), "discharge": dates[ROWS:]}
    )
    u = rng.random(ROWS)
    table.loc[u < no_end, "discharge"] = pd.Timestamp("2099-12-31")
    table.loc[u > 1 - missing, "discharge"] = pd.NaT
    return table


def units_of(table):
    schema = Schema.of(table)
    x = np.stack([c.encode(table[c.name]) for c in schema.table], 1)
    choice = choose_units(ArrayRows(x), schema.table)
    return x, choice


def is_straight(column):
    return column.base == "affine" and column.knots is None


def test_dates_a_few_days_apart_are_learned_on_straight_lines():
    x, choice = units_of(table_of_stays())
    assert [is_straight(m) for m in choice.units.columns] == [True, True, True]
    assert "as it differs little from 'discharge'" in choice.reasons[0]
    assert "as it differs little from 'admission'" in choice.reasons[2]
    admission, _, discharge = choice.units.columns
    state = (x[:, [0, 2]] - [admission.location, discharge.location]) / [admission.scale, discharge.scale]
    thin = (state[:, 1] - state[:, 0]).std()  # that of the days between, in units of the dates
    assert thin == pytest.approx((x[:, 2] - x[:, 0]).std() / x[:, 0].std(), rel=0.01)


@pytest.mark.parametrize("gaps", [{"no_end": 0.3}, {"missing": 0.3}])
def test_dates_that_are_not_known_do_not_hide_that_the_others_are_near(gaps):
    _, choice = units_of(table_of_stays(**gaps))
    assert [is_straight(choice.units.columns[c]) for c in (0, 2)] == [True, True]
    assert choice.units.columns[2].missing == ("missing" in gaps)


def test_a_date_alone_keeps_its_map():
    table = table_of_stays()
    table["discharge"] = np.random.default_rng(1).permutation(table["discharge"])
    _, choice = units_of(table)
    assert not is_straight(choice.units.columns[0]) and "differs little" not in " ".join(choice.reasons)


def test_skewed_columns_keep_their_logarithms():
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=ROWS))
    choice = choose_units(ArrayRows(np.stack((x, x * np.exp(0.01 * rng.normal(size=ROWS))), 1)))
    assert [m.base for m in choice.units.columns] == ["log", "log"]


@pytest.mark.parametrize("power", [True, False])
def test_maps_stay_where_columns_are_nearer_under_them(power):
    """A power of a number is nearer to it as a logarithm, what is added to it is not; both have edges."""
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, ROWS)
    noise = 1e-3 * rng.normal(size=ROWS)
    x = np.stack((x, x**1.5 * np.exp(noise) if power else x + 3 + noise), 1)
    centers, scales = np.log(x).mean(0).tolist(), np.log(x).std(0).tolist()
    logs = [ColumnMap(base="log", lower=0.0, location=m, scale=s) for m, s in zip(centers, scales)]
    straight = [(ColumnMap(location=float(v.mean()), scale=float(v.std())), "affine") for v in x.T]
    found = straightened(x, logs, [True, True], straight.__getitem__)
    assert found == ({} if power else {0: (*straight[0], 1), 1: (*straight[1], 0)})
