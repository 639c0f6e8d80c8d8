"""Dates of which a part of the day or of the week is left out: it is said, learned, and compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scorefield.data import Schema
from scorefield.evaluation.tables import table_tests
from scorefield.fitting import prepare
from scorefield.metrics import range_test
from scorefield.units.cycles import on_clock

pandas = pytest.importorskip("pandas")

COUNT = 1500


def business(zone=None, count=COUNT):
    """Working days, from 9 to 17 o'clock by the clock of the zone."""
    rng = np.random.default_rng(0)
    days = rng.choice([d for d in range(364) if d % 7 < 5], count)
    times = pandas.Timestamp("2023-01-02") + pandas.to_timedelta(days, "D")
    times = times + pandas.to_timedelta(9 * 3600 + (rng.beta(2, 2, count) * 8 * 3600).astype(int), "s")
    return pandas.DataFrame({"time": times if zone is None else times.tz_localize(zone)})


def anywhere(count=COUNT):
    """As many seconds of the same year, uniform."""
    seconds = np.random.default_rng(1).integers(0, 363 * 86400, count)
    return pandas.DataFrame({"time": pandas.Timestamp("2023-01-02") + pandas.to_timedelta(seconds, "s")})


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_hours_and_weekdays_that_are_left_out_are_said(zone):
    reason = Schema.of(business(zone)).table[0].reason
    assert "; all from 09:" in reason and " to 16:" in reason
    assert reason.endswith(", none on Saturdays and Sundays")


@pytest.mark.parametrize(
    "times",
    [
        anywhere()["time"],
        pandas.date_range("2024-01-01", periods=400, freq="D"),
        *(pandas.date_range("2024-01-01", periods=400, freq=f"{hours}h") for hours in (1, 2, 3, 4, 6, 8, 12)),
        pandas.date_range("2024-01-01", periods=400, freq="D", tz="Europe/Berlin"),
        pandas.date_range("2024-01-01", periods=60, freq="W-MON"),
        pandas.date_range("2024-01-31", periods=100, freq="MS"),
        business()["time"].iloc[:12],  # too few to tell
        pandas.date_range("2024-01-01", periods=500, freq="3min"),  # of two days
        pandas.to_timedelta(np.arange(500), "min"),
    ],
)
def test_nothing_is_said_where_nothing_is_left_out(times):
    reason = Schema.of(pandas.DataFrame({"time": times})).table[0].reason
    assert "; all from" not in reason and "none on" not in reason


def test_weekdays_of_dates_without_a_time():
    table = business()
    table["time"] = table["time"].dt.strftime("%Y-%m-%d")
    column = Schema.of(table).table[0]
    assert column.reason.endswith("; none on Saturdays and Sundays")
    codes, size = column.cycles(column.encode(table["time"]))["weekday"]
    assert size == 7 and codes.tolist() == pandas.to_datetime(table["time"]).dt.day_of_week.tolist()


def test_cycles_of_missing_values_are_missing():
    table = business()
    table.loc[::5, "time"] = pandas.NaT
    column = Schema.of(table).table[0]
    for values, _ in column.cycles(column.encode(table["time"])).values():
        assert (np.isnan(values) == table["time"].isna()).all()


@pytest.mark.parametrize(("drawn", "same"), [(business(count=3000)[COUNT:], True), (anywhere(), False)])
def test_times_of_day_and_weekdays_are_compared(drawn, same):
    schema = Schema.of(business())
    column = schema.table[0]
    real, samples = column.encode(business()["time"])[:, None], column.encode(drawn["time"])[:, None]
    families = table_tests(samples, None, real, schema.table)[0]
    (family,) = [each for each in families if each.distance.name == "times of day and weekdays"]
    assert family.labels == ("time (time of day, hours)", "time (weekday)")
    assert bool((family.p_values > 0.01).all()) is same and (family.distance.p_value > 0.01) is same


def test_ranges_of_dates_are_written_as_dates():
    table = pandas.DataFrame({"day": pandas.date_range("2024-01-01", periods=60, freq="D")})
    column = Schema.of(table).table[0]
    real = column.encode(table["day"])[:, None]
    note = range_test(real + 30, real, (column,))[0].distance.note
    assert "30 above the range 2024-01-01" in note and "2024-02-29" in note


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo", "America/New_York"])
def test_weeks_begin_on_mondays_by_the_clock_of_the_zone(zone):
    """In summer, too: the clock of New York is then an hour ahead of that in winter."""
    table = business(zone)
    column = Schema.of(table).table[0]
    first, length = column.week
    clock = None if column.clock is None else torch.tensor(column.clock, dtype=torch.float64)
    part = (on_clock(column.encode(table["time"]), clock) - first) % length * 7 / length
    times = table["time"].dt.tz_localize(None)
    exact = times.dt.day_of_week + (times - times.dt.normalize()) / pandas.Timedelta("1D")
    off = np.abs(part - exact.to_numpy()) * 24
    assert bool((off < 1e-3).all()) and (clock is None) is (zone != "America/New_York")


@pytest.mark.parametrize(
    ("times", "days"),
    [
        (pandas.date_range("2024-01-03 15:00", periods=400, freq="D"), [2, 3, 4, 5, 6, 0]),
        (pandas.date_range("2024-01-03 00:20", periods=400, freq="6h"), [2, 2, 2, 2, 3, 3]),
        (pandas.date_range("1960-01-03", periods=100, freq="D"), [6, 0, 1]),
    ],
)
def test_values_of_a_lattice_are_whole_parts_of_a_week(times, days):
    table = pandas.DataFrame({"time": times})
    column = Schema.of(table).table[0]
    first, length = column.week
    assert first == int(first) and length == int(length)
    assert ((column.encode(table["time"]) - first) % length // (length / 7))[: len(days)].tolist() == days


@pytest.mark.parametrize(
    "times", [pandas.to_timedelta(np.arange(50), "D"), pandas.date_range("2024", periods=50, freq="5h")]
)
def test_what_does_not_divide_a_day_has_no_week(times):
    assert Schema.of(pandas.DataFrame({"time": times})).table[0].week is None


def test_clocks_do_not_round_down():
    from scorefield.data.columns.date import _clock

    assert [_clock(minute / 60) for minute in range(1440)] == [f"{m // 60:02}:{m % 60:02}" for m in range(1440)]


@pytest.mark.parametrize("end", ["2099-12-31", "1900-01-01", "9999-12-31"])
def test_a_date_that_stands_for_something_else_is_named(end):
    """By the column and by its units, as a date; the days of the week are those of the others."""
    rng = np.random.default_rng(0)
    days = rng.integers(0, 52, 400) * 7 + rng.integers(0, 5, 400)
    texts = np.datetime_as_string(np.datetime64("2024-01-01") + days)
    assert Schema.of(pandas.DataFrame({"day": texts})).table[0].reason.startswith("date: 2024-01-0")
    texts = np.where(np.arange(400) % 10 == 0, end, texts)
    found = prepare(pandas.DataFrame({"day": texts, "x": rng.normal(size=400)}))
    said = f"date: {end} in 10 % of rows, else {min(texts[texts > '2000'])} to {max(texts[texts < '2090'])}, whole days"
    assert found.schema.table[0].reason == f"{said}; none on Saturdays and Sundays"
    (units,) = (choice.reason for choice in found.choices if (choice.name, choice.value) == ("units", "day"))
    assert f"atoms at {end} (" in units and "whole days" in units and "steps of" not in units


def test_a_date_far_out_in_few_rows_stands_for_itself():
    dates = pandas.to_datetime("2024-01-01") + pandas.to_timedelta(np.arange(400), "D")
    dates = dates.where(np.arange(400) > 5, pandas.Timestamp("2099-12-31"))
    assert Schema.of(pandas.DataFrame({"day": dates})).table[0].reason.startswith("date: 2024-01-07 to 2099-12-31")


def test_reasons_spell_values_as_the_column_does():
    """Atoms, bounds, few values and spacings: of times, of numbers with a sign, of differences of times."""
    rng, half = np.random.default_rng(0), np.arange(600) % 2 > 0
    seconds = np.where(half, 0, 60 * rng.integers(1, 700, 600))
    table = pandas.DataFrame({"took": [f"{s // 3600}:{s // 60 % 60:02}" for s in seconds]})
    table["share"] = [f"{x:g}%" for x in np.where(half, 100.0, (100 * rng.random(600)).round(1))]
    table["wait"] = pandas.to_timedelta(np.where(half, 5, 60 * rng.integers(5, 700, 600)), "min")
    table["year"] = rng.choice([2023, 2024, 2025], 600)
    said = {choice.value: choice.reason for choice in prepare(table).choices if choice.name == "units"}
    assert "atoms at 0:00 (50 %)" in said["took"] and "whole minutes" in said["took"]
    assert "atoms at 100% (50 %)" in said["share"]
    assert "atoms at 0 days 00:05:00 (50 %)" in said["wait"]
    assert said["year"] == "learned as a category: one of 2023, 2024, 2025"
    (year,) = (column.reason for column in prepare(table).schema.table if column.name == "year")
    assert year == "number: one of 2023, 2024, 2025"
