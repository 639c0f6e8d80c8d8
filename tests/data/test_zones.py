"""Dates in zones whose clock is put forward and back: they come back exactly, and keep hours by the clock all year."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scorefield
from scorefield import spec
from scorefield.data import ArrayRows, Schema
from scorefield.data.columns import Date
from scorefield.data.columns.zones import clock_line
from scorefield.units import choose_units
from scorefield.units.cycles import on_clock

pandas = pytest.importorskip("pandas")

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Casablanca",
    "Asia/Tokyo",
)
on_each = pytest.mark.parametrize("zone", ZONES)


def column_of(times: pandas.Series) -> Date:
    return Schema.of(pandas.DataFrame({"time": times})).table[0]


def opened(zone: str, count: int = 1500, hours: bool = True) -> pandas.Series:
    """Working days of two years, from 9 to 17 o'clock by the clock, or at midnight."""
    rng = np.random.default_rng(0)
    days = pandas.Series(rng.choice(pandas.bdate_range("2023-01-02", "2024-12-27"), count))
    times = days + pandas.to_timedelta(hours * (9 * 3600 + (28800 * rng.random(count)).astype(int)), "s")
    return times.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(count, bool))


@on_each
@pytest.mark.parametrize("frequency", ["h", "30min", "6h", "D"])
def test_every_instant_comes_back_exactly(zone, frequency):
    """Also those of an hour that the clock shows twice, and missing ones."""
    times = pandas.Series(pandas.date_range("2023-01-01", "2024-12-31", freq=frequency, tz="UTC")).dt.tz_convert(zone)
    times[5] = pandas.NaT
    column = column_of(times)
    assert not column.by_clock
    again = column.decode(column.encode(times))
    pandas.testing.assert_series_equal(again, times, check_names=False)


@on_each
@pytest.mark.parametrize("start", ["00:00", "07:30"])
def test_days_by_the_clock_stay_so(zone, start):
    """Whole numbers, also far from the data, are days at that time, but where there is no such time."""
    days = pandas.Series(pandas.date_range(f"2023-01-01 {start}", "2024-12-31", freq="D"))
    times = days.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(len(days), bool))
    times[5] = pandas.NaT
    column = column_of(times)
    numbers = column.encode(times)
    pandas.testing.assert_series_equal(column.decode(numbers), times, check_names=False)
    if zone == "America/Havana" and start == "00:00":  # one midnight a year is left out there
        assert not column.by_clock
        return
    assert column.takes == "dates in whole days" and column.by_clock is (zone != "Asia/Tokyo")
    assert numbers[0] == 0 and np.isnan(numbers[5]) and (np.diff(numbers[6:]) == 1).all()
    farthest = times.astype(f"datetime64[ns, {zone}]")
    column_of(farthest).decode(np.array([-1e9, 1e9]))  # at the ends of what the type holds
    column.decode(np.array([-1e9, 1e9]))
    far = column.decode(np.arange(-3000.0, 3000.0)).dt
    assert set(far.strftime("%H:%M")) == {start}


@on_each
def test_the_line_of_a_clock_is_that_of_the_zone(zone):
    """At every hour of three years it is as in pandas, but in the hours before one that is left out, and in repeated ones."""
    hours = pandas.Series(pandas.date_range("2022-06-01", "2025-06-01", freq="30min", tz="UTC"))
    seconds = hours.astype("datetime64[s, UTC]").astype("int64").to_numpy()
    line = clock_line(zone, (int(seconds[0]), int(seconds[-1])), int(seconds[0]), 1800, 1)
    assert (line is None) is (zone == "Asia/Tokyo")
    numbers = np.arange(len(hours), dtype=float)
    shown = on_clock(numbers, None if line is None else torch.from_numpy(line))
    local = hours.dt.tz_convert(zone).dt.tz_localize(None)
    exact = ((local - local.iloc[-1]) / pandas.Timedelta("30min")).to_numpy() + numbers[-1]
    off = np.abs(shown - exact)
    changes = int((np.diff(exact) != 1).sum())
    assert (np.diff(shown) > 0).all() and off.max() <= 2 and (off > 1e-9).sum() <= 4 * changes
    assert changes == 0 or line is not None


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("hours", [True, False])
def test_hours_and_weekdays_by_the_clock_are_learned_in_summer_and_in_winter(zone, hours):
    """By normal states of the map; and values come back from their states, those of repeated hours too."""
    times = opened(zone, hours=hours)
    column = column_of(times)
    units = choose_units(ArrayRows(column.encode(times)[:, None]), (column,)).units
    states = torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = column.decode(units.inverse(states)[:, 0].numpy())
    for part in (drawn.dt.month.isin([5, 6, 7, 8, 9]), drawn.dt.month.isin([1, 2, 11, 12])):
        each = drawn[part].dt
        right = each.hour.between(9, 16) if hours else each.hour == 0
        assert (
            len(drawn[part]) > 500
            and (each.day_of_week > 4).mean() < 0.005
            and right.mean() > (0.995 if hours else 1 - 1e-9)
        )
    every = pandas.Series(pandas.date_range("2023-02-01", "2024-11-30", freq="h", tz="UTC")).dt.tz_convert(zone)
    x = torch.from_numpy(column.encode(every if hours else times))[:, None]
    assert torch.equal(units.inverse(units(x)), x)
    assert units.columns[0].clock is None or float(units.log_volume(x).exp().min()) > 0


def test_dates_without_a_zone_are_read_by_the_clock_of_the_column():
    for hours in (True, False):
        times = opened("Europe/Berlin", hours=hours)
        column = column_of(times)
        texts = pandas.Series(["2024-07-01", "2024-01-08"], dtype=object)
        plain = pandas.to_datetime(texts)
        exact = column.encode(plain.dt.tz_localize("Europe/Berlin"))
        assert column.encode(texts).tolist() == column.encode(plain).tolist() == exact.tolist()
        assert column.decode(exact).dt.strftime("%Y-%m-%d %H").tolist() == ["2024-07-01 00", "2024-01-08 00"]


def test_durations_that_pass_stay_exact():
    """Hours between two dates across a change are those of the instants; days between two dates by the clock are whole."""
    days = opened("Europe/Berlin", hours=False)
    after = np.random.default_rng(1).integers(1, 200, len(days))
    until = (days.dt.tz_localize(None) + pandas.to_timedelta(after, "D")).dt.tz_localize("Europe/Berlin")
    nights = Schema.of(pandas.DataFrame({"start": days, "end": until})).table
    assert all(column.by_clock and column.takes == "dates in whole days" for column in nights)
    origins = nights[1].line[0] - nights[0].line[0]
    assert (nights[1].encode(until) - nights[0].encode(days) + float(origins) == after).all()
    later = days + pandas.to_timedelta(after, "h")
    for other, rules in ((later, ()), (until, ("end == start + hours / 24",))):
        table = pandas.DataFrame({"start": days, "end": other})
        table["hours"] = ((other - days) / pandas.Timedelta("1h")).round().astype(int)
        columns = Schema.of(table, data=scorefield.Data(constraints=rules)).table
        lines = [column.line for column in columns[:2]]
        ends = [
            float(line[0] - lines[0][0]) + float(line[1]) * c.encode(table[c.name]) for line, c in zip(lines, columns)
        ]
        assert not any(column.by_clock for column in columns[:2]) and "whole hours" in columns[0].reason
        np.testing.assert_allclose(24 * (ends[1] - ends[0]), table["hours"], atol=1e-6)
        for column in columns[:2]:
            pandas.testing.assert_series_equal(column.decode(column.encode(table[column.name])), table[column.name])


def test_columns_of_earlier_files_are_in_utc():
    """A description that says nothing of a clock is decoded as it was."""
    old = Date("time", "datetime64[us, Europe/Berlin]", unit="s", origin=1672610400, period=3600, zone="Europe/Berlin")
    described = spec.describe(old, [])
    assert described["arguments"].pop("by_clock", False) is False
    times = spec.build(described, tensors=[]).decode(np.array([0.0, 24.0 * 120]))
    assert times.dt.strftime("%m-%d %H").tolist() == ["01-01 23", "05-02 00"]


def test_a_date_far_away_and_a_clock_go_together():
    times = opened("Europe/Berlin")
    times[::3] = pandas.Timestamp("2099-12-31", tz="Europe/Berlin")
    column = column_of(times)
    x = torch.from_numpy(column.encode(times))[:, None]
    units = choose_units(ArrayRows(x.numpy()), (column,)).units
    assert units.columns[0].clock is not None and units.columns[0].values.tolist() == [float(x.max())]
    assert torch.equal(units.inverse(units(x)), x)
    state = torch.zeros(2000, *units.state_shape, dtype=torch.float64)
    state[:, 0], state[:, 1] = torch.linspace(-2, 2, 2000), 1
    drawn = column.decode(units.inverse(state)[:, 0].numpy()).dt
    assert drawn.hour.between(9, 16).mean() > 0.995 and drawn.year.isin([2022, 2023, 2024, 2025]).all()
