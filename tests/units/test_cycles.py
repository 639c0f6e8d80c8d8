"""Dates whose days or weeks are not alike: what is found, what is learned, and what is not found in even ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import ArrayRows, Schema
from scorefield.units import ColumnMap, choose_units
from scorefield.units.cycles import Cycles, on_cycle
from scorefield.units.fit_cycle import _possible, fit_cycle
from scorefield.units.wishes import Wishes

pandas = pytest.importorskip("pandas")

HOURS = (3.0, 168.0)  # a week begins at 3


def even(count, seed, days=364):
    """Hours, all equally probable."""
    return np.random.default_rng(seed).integers(0, 24 * days, count).astype(float)


def uneven(count, seed, probabilities, days=364):
    """Hours of weeks, whose probabilities are `(7, 24)`."""
    rng, p = np.random.default_rng(seed), np.asarray(probabilities, float).reshape(-1)
    return HOURS[0] + 168.0 * rng.integers(0, days // 7, count) + rng.choice(168, count, p=p / p.sum())


OPEN = np.zeros((7, 24))
OPEN[:5, 9:17] = 1
MARKET = OPEN.copy()  # in the morning of Saturdays, too
MARKET[5, 7:12] = 3


@pytest.mark.parametrize("count", [40, 400, 4000])
def test_even_times_have_no_cycle(count):
    """One in a thousand at most; so have bursts of values in the same hour, and single times at which all happens."""
    assert not any(fit_cycle(even(count, seed), HOURS) for seed in range(30))
    bursts = [np.repeat(even(count // 20, seed), 20) for seed in range(30)]
    assert not any(fit_cycle(each, HOURS) for each in bursts)


@pytest.mark.parametrize(("p", "said"), [(OPEN, "weekdays as"), (MARKET, "times of day of each weekday")])
def test_shares_of_hours_are_those_of_the_data(p, said):
    """By the length of the part of the new line, for the 168 hours of a week; rare hours keep something."""
    count = 3000
    cycle, words = fit_cycle(uneven(count, 1, p), HOURS)
    assert words.startswith(said)
    hours = HOURS[0] + np.arange(169) - 0.5
    shares = np.diff(on_cycle(hours, cycle)) / 168
    exact = p.reshape(-1) / p.sum()
    errors = np.sqrt(exact * (1 - exact) / count)
    assert (np.abs(shares - exact) < 4 * errors + 2e-3 * (exact == 0)).all()
    assert shares.sum() == pytest.approx(1, abs=1e-12) and shares.min() > 0
    assert shares[exact == 0].sum() < 0.02  # on Saturdays also in the afternoon, as on other days


@pytest.mark.parametrize("parameter", [1 / 7, 0.5])
def test_parts_that_hold_nothing_may_be_impossible(parameter):
    """By Bayes' theorem from prior odds of 1, with the probability of n values elsewhere by Polya's urn."""
    prior = np.full(7, parameter)
    for count in (1, 10, 1000):
        drawn = np.arange(count)
        empty = np.prod((6 * parameter + drawn) / (7 * parameter + drawn))
        counts = np.array([count, 0, 0, 0, 0, 0, 0.0])
        assert _possible(counts, prior) == pytest.approx([1.0] + 6 * [empty / (1 + empty)], rel=1e-9)


def test_days_without_a_date_get_out_of_the_way_as_data_grow_and_rare_ones_stay():
    """Days of the week, of 3,000 dates none on weekends: less than one in 10,000 is; of a weekday in 500, one in 500 is."""
    weekend = []
    for count in (100, 3000):
        days = np.repeat(np.arange(5.0), count // 5) + 7 * (np.arange(count) % 52)
        cycle, _ = fit_cycle(days, (0.0, 7.0))
        weekend.append(np.diff(on_cycle(np.array([4.5, 6.5]), cycle))[0] / 7)
        log_slope = Cycles([ColumnMap(cycle=torch.from_numpy(cycle.numpy()))])(torch.tensor([[5.0], [2.0]]).double())[1]
        assert -10 < float(log_slope[0] - log_slope[1]) < -3  # rare, and not impossible: its log-density is finite
    assert weekend[1] < 1e-4 and 20 * weekend[1] < weekend[0] < 0.01
    days[:6] = 5 + 7 * np.arange(6)
    cycle, _ = fit_cycle(days, (0.0, 7.0))
    assert np.diff(on_cycle(np.array([4.5, 5.5]), cycle))[0] / 7 == pytest.approx(0.002, rel=0.1)


def test_weekdays_alone_have_seven_parts_and_hours_alone_one_day():
    days = np.array([d for d in range(728) if d % 7 < 5], float)
    cycle, words = fit_cycle(days, (0.0, 7.0))
    assert words == "weekdays as often as in the data" and cycle.shape == (2, 8)
    assert on_cycle(np.zeros(1), cycle)[0] == pytest.approx(0, abs=1e-12)
    daily = uneven(1000, 0, np.tile(OPEN[0], (7, 1)))
    cycle, words = fit_cycle(daily, HOURS)
    assert words == "times of day as often as in the data, in 24 parts" and cycle.shape == (2, 25)


def test_weekdays_with_hours_of_their_own_are_seen_as_often_as_they_should():
    """Sixty samples of 600 times: the mornings of Saturdays are seen in all, and in none where they are as the others."""
    alike = OPEN * np.array([1, 1, 1, 1, 1, 0, 0])[:, None]
    for p, wanted in ((MARKET, True), (alike, False)):
        assert all(("each weekday" in fit_cycle(uneven(600, seed, p), HOURS)[1]) is wanted for seed in range(30))


def test_cycles_are_continuous_and_invert_each_other():
    cycle, _ = fit_cycle(uneven(2000, 3, MARKET), HOURS)
    cycles = Cycles([ColumnMap(cycle=cycle)])
    x = torch.linspace(-3000, 3000, 20001, dtype=torch.float64)[:, None]
    line, _ = cycles(x)
    torch.testing.assert_close(cycles.inverse(line), x, rtol=0, atol=1e-6)
    assert bool((line.diff(dim=0) > 0).all())
    hours = torch.arange(-500, 500, dtype=torch.float64)[:, None]  # each is the middle of a part
    rise = cycles(hours + 0.5)[0] - cycles(hours - 0.5)[0]
    torch.testing.assert_close(cycles(hours)[1].exp(), rise, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(cycles(x + 168)[0], line + 168, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "cycle",
    [
        torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.5, 1.0]]),
        torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.5, 1.0]]),
        torch.zeros(2, 1),
        torch.tensor([[0.0, float("nan")], [0.0, 1.0]]),
    ],
)
def test_cycles_that_do_not_fit_are_refused(cycle):
    with pytest.raises(ValueError, match="cycle"):
        ColumnMap(cycle=cycle)


@pytest.mark.parametrize("form", [pytest.param("%Y-%m-%d", marks=pytest.mark.slow), None])
def test_samples_keep_to_the_days_and_hours_of_the_data(form):
    """Working days from 9 to 17 o'clock: shares of weekdays within four standard errors, nothing at night."""
    rng, count = np.random.default_rng(0), 1500
    times = pandas.Timestamp("2023-01-02") + pandas.to_timedelta(uneven(count, 0, OPEN) - HOURS[0], "h")
    times = times + pandas.to_timedelta(rng.integers(0, 3600, count), "s")
    table = pandas.DataFrame({"time": times if form is None else times.strftime(form), "x": rng.normal(size=count)})
    model = scorefield.fit(table, steps=200)
    drawn = pandas.to_datetime(model.sample(2000, seed=0)["time"]).dt
    shares = np.bincount(drawn.day_of_week, minlength=7) / 2000
    real = np.bincount(times.day_of_week, minlength=7) / count
    assert shares[5:].sum() < 0.005 and np.abs(shares - real)[:5].max() < 4 * np.sqrt(0.16 * (1 / 2000 + 1 / count))
    if form is None:
        assert float(((drawn.hour < 9) | (drawn.hour >= 17)).mean()) < 0.005


def working_days(count=1500, seed=0, clock=False):
    """Working days of two years, from 9 to 17 o'clock with a clock."""
    rng = np.random.default_rng(seed)
    days = pandas.Series(rng.choice(pandas.bdate_range("2023-01-02", "2024-12-27"), count)).astype("datetime64[s]")
    return days + pandas.to_timedelta(clock * (9 * 3600 + 28800 * rng.random(count)).astype(int), "s")


LAST = np.datetime64("2099-12-31", "s")
SPECIAL = {"last": [LAST], "first": [np.datetime64("1900-01-01", "s")], "among": [np.datetime64("2023-11-17", "s")]}
SPECIAL["ends"] = [np.datetime64("0001-01-01", "s"), LAST, np.datetime64("9999-12-31", "s")]
SPECIAL["all"] = [each for part in ("first", "among", "last") for each in SPECIAL[part]]


@pytest.mark.parametrize("clock", [False, True])
@pytest.mark.parametrize("special", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_dates_that_many_rows_share_are_atoms_next_to_a_cycle(special, share, clock):
    """The others keep their weekdays, hours and distribution: by normal states of the map, and categories of the data."""
    count = 2000
    dates, which = working_days(count, clock=clock), np.random.default_rng(1).random(count)
    for k, each in enumerate(special):
        dates[(which * len(special) / share).astype(int) == k] = each
    column = Schema.of(pandas.DataFrame({"day": dates})).table[0]
    x = torch.from_numpy(column.encode(dates)[:, None])
    units = choose_units(ArrayRows(x.numpy()), (column,)).units
    atoms = column.encode(pandas.Series(special))
    assert units.columns[0].values.tolist() == sorted(atoms.tolist()) and units.columns[0].separate
    place = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = units(x, place.clamp(1e-3, 1 - 1e-3))
    assert torch.equal(units.inverse(state), x)
    state[:, :1] = torch.randn(count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = column.decode(units.inverse(state)[:, 0].numpy())
    for each in special:
        assert int((drawn == each).sum()) == int((dates == each).sum())
    real, made = (each[~each.isin(special)] for each in (dates, drawn))
    assert (made.dt.day_of_week > 4).mean() < 0.005 and (not clock or made.dt.hour.between(9, 16).mean() > 0.995)
    outside = (made < real.min()) | (made > real.max())
    assert outside.mean() < 0.03 and (made - real.max()).max() < pandas.Timedelta("90D") > (real.min() - made).max()
    ends = np.sort(real.astype("int64").to_numpy()), np.sort(made.astype("int64").to_numpy())
    both = np.concatenate(ends)
    below = [np.searchsorted(each, both, "right") / len(each) for each in ends]
    assert np.abs(below[0] - below[1]).max() < 1.95 * np.sqrt(2 / len(real))  # exceeded once in a thousand
    assert units.columns[0].fine is clock


def test_days_that_come_every_week_are_no_atoms():
    """Mondays with 25 rows each, and a day among them with 300: it alone is an atom, and the Mondays are a weekday."""
    rng = np.random.default_rng(0)
    days = pandas.Series(pandas.Timestamp("2023-01-02") + pandas.to_timedelta(7 * rng.integers(0, 100, 2500), "D"))
    days[:200] = pandas.Timestamp("2023-01-02") + pandas.to_timedelta(rng.integers(0, 700, 200), "D")
    found = []
    for shared in (0, 300):
        days[200 : 200 + shared] = pandas.Timestamp("2024-03-05")
        column = Schema.of(pandas.DataFrame({"day": days})).table[0]
        units = choose_units(ArrayRows(column.encode(days)[:, None]), (column,)).units
        found.append(column.decode(units.columns[0].values.numpy()).astype(str).tolist())
        exact = float((days[days != "2024-03-05"].dt.day_of_week == 0).mean())
        assert abs(weekday_shares(days)[0] - exact) < 0.04
    assert found == [[], ["2024-03-05"]]


def test_days_and_weeks_are_not_learned_where_another_map_is_asked_for():
    column = Schema.of(pandas.DataFrame({"day": working_days()})).table[0]
    rows = ArrayRows(column.encode(working_days())[:, None])
    with pytest.warns(UserWarning, match="'day' are not learned, as another map was asked for"):
        assert choose_units(rows, (column,), wishes=Wishes(transform="quantile")).units.columns[0].cycle is None


def test_samples_have_a_date_without_meaning_as_often_as_the_data():
    """Of contracts, of which 30 % have no end; the others end on working days."""
    days, count = working_days(), 4000
    endless = np.random.default_rng(1).random(len(days)) < 0.3
    days[endless] = LAST
    table = pandas.DataFrame(
        {"end": days.dt.strftime("%Y-%m-%d"), "x": np.random.default_rng(2).normal(size=len(days))}
    )
    drawn = pandas.to_datetime(scorefield.fit(table, steps=200).sample(count, seed=0)["end"])
    share, rest = endless.mean(), drawn[drawn != LAST]
    assert abs(float((drawn == LAST).mean()) - share) < 4 * np.sqrt(share * (1 - share) * (1 / count + 1 / len(days)))
    assert (rest.dt.day_of_week > 4).mean() < 0.005 and rest.max() < pandas.Timestamp("2025-06-01")


def test_times_in_nanoseconds_have_cycles():
    rng = np.random.default_rng(0)
    days = pandas.Series(rng.choice(pandas.bdate_range("2019-01-01", "2019-06-30"), 1000)).astype("datetime64[ns]")
    assert (
        weekday_shares(days + pandas.to_timedelta(((9 + 8 * rng.random(1000)) * 3.6e12).astype("int64"), "ns"))[
            5:
        ].sum()
        < 0.005
    )


def weekday_shares(days):
    """The shares of weekdays of normal states of the map that is chosen for dates, of those that are no atoms."""
    column = Schema.of(pandas.DataFrame({"day": days})).table[0]
    x = column.encode(days)[:, None]
    units = choose_units(ArrayRows(x), (column,)).units
    states = torch.zeros(4000, *units.state_shape, dtype=torch.float64)
    states[:, :1] = torch.randn(4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drawn = column.decode(units.inverse(states)[:, 0].numpy())
    return np.bincount(drawn.dt.day_of_week, minlength=7) / 4000


def test_weekdays_that_are_alike_say_nothing_of_the_others():
    """Five weekdays from 8 to 18 o'clock and a short weekend: its hours are its own."""
    p = np.zeros((7, 24))
    p[:5, 8:18], p[5:, 10:13] = 1, 1.5
    for count in (1500, 6000):
        cycle, _ = fit_cycle(uneven(count, 0, p), HOURS)
        shares = (np.diff(on_cycle(HOURS[0] + np.arange(169) - 0.5, cycle)) / 168).reshape(7, 24)
        assert shares[5:, 10:13].sum() / shares[5:].sum() > 0.95
        assert abs(shares[5:].sum() - 9 / 59) < 4 * np.sqrt(9 / 59 * 50 / 59 / count)
