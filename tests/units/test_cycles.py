"""Dates whose days or weeks are not alike: what is found, what is learned, and what is not found in even ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import ArrayRows, Schema
from scorefield.units import ColumnMap, choose_units
from scorefield.units.cycles import Cycles, on_cycle
from scorefield.units.fit_cycle import fit_cycle

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


@pytest.mark.parametrize("form", ["%Y-%m-%d", None])
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


def test_few_popular_dates_are_smoothed_over_and_others_leave_no_cycle():
    """Of 1,500 business days, 30 are the same one: no sample lies on a weekend. With 150 at a date far away it is said."""
    rng = np.random.default_rng(0)
    days = pandas.Series(rng.choice(pandas.bdate_range("2019-01-01", "2019-12-30"), 1500))
    days[:30] = pandas.Timestamp("2019-11-29")
    shares = weekday_shares(days)
    assert shares[5:].sum() < 0.005
    days[:150] = pandas.Timestamp("2099-12-31")
    with pytest.warns(UserWarning, match="'day' are not learned next to dates that many rows share"):
        weekday_shares(days)


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
    """The shares of weekdays of normal states of the map that is chosen for dates."""
    column = Schema.of(pandas.DataFrame({"day": days})).table[0]
    x = column.encode(days)[:, None]
    units = choose_units(ArrayRows(x), (column,)).units
    states = torch.randn(4000, *units.state_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
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
