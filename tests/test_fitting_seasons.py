"""Cycles of a year over many years of dates, which samples lose: said."""

import warnings

import numpy as np
import pandas as pd
import pytest

import scorefield
from scorefield.data.schema import Schema
from scorefield.fitting.seasons import lost_seasons

RNG = np.random.default_rng(0)


def said(table: pd.DataFrame) -> str:
    schema = Schema.of(table)
    return lost_seasons(schema.rows(table), schema.table, 0)


def days(years: int, freq: str = "D", count: int = 3000) -> pd.DatetimeIndex:
    every = pd.date_range("2011-03-01", f"{2011 + years}-03-01", freq=freq)
    return every[RNG.integers(0, len(every), count)]


def waves(day: pd.DatetimeIndex) -> np.ndarray:
    return np.cos(2 * np.pi * (day.day_of_year.to_numpy() - 200) / 365.25)


@pytest.mark.parametrize("freq", ["D", "W", "h"])
def test_columns_that_follow_the_time_of_the_year_are_named(freq):
    day = days(10, freq)
    wet = np.where(RNG.random(len(day)) < 0.4 + 0.25 * waves(day), "wet", "dry")
    temp = 7 + 9 * waves(day) + RNG.normal(0, 4, len(day))
    level = RNG.normal(size=len(day)) + 0.5 * (day.year.to_numpy() - 2011)  # rises
    table = pd.DataFrame({"day": day, "temp": temp, "wet": wet, "level": level, "other": RNG.normal(size=len(day))})
    found = said(table)
    assert found.startswith("'temp' (7") and "'wet' (" in found and "of 'day', which extends over 10 years" in found
    assert "level" not in found and "other" not in found
    assert said(table.assign(day=days(3, freq))) == said(table.drop(columns="day")) == ""


def test_a_date_that_stands_for_something_else_makes_no_years():
    day = days(3).to_series(index=range(3000))
    temp = 7 + 9 * waves(pd.DatetimeIndex(day)) + RNG.normal(0, 4, len(day))
    day[::400] = pd.Timestamp("2099-12-31")
    assert said(pd.DataFrame({"day": day, "temp": temp})) == ""


def test_values_that_drift_are_seldom_taken_for_a_cycle():
    """Of 300 random walks of 10 years (2,500 of the days), 9 were, and none of 300 tables of independent values."""
    day = pd.date_range("2011-01-01", periods=3650)
    walks = [RNG.normal(size=3650).cumsum() for _ in range(40)]
    assert sum(bool(said(pd.DataFrame({"day": day, "x": walk}))) for walk in walks) <= 5


def test_fit_says_so():
    day = days(10, count=500)
    table = pd.DataFrame({"day": day, "temp": 7 + 9 * waves(day) + RNG.normal(0, 4, len(day))})
    with pytest.warns(UserWarning, match="the year and the day of the year as two columns"):
        scorefield.fit(table, training=scorefield.Training(steps=1), progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = pd.DataFrame({"year": day.year, "day": day.day_of_year, "temp": table.temp})
        scorefield.fit(table, training=scorefield.Training(steps=1), progress=False)
