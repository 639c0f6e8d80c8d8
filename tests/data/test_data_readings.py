"""Rows of different length: from the form of the user to numbers, and back."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import Ragged, Schema
from scorefield.data.columns.text import FORMATS
from scorefield.settings import Data

pd = pytest.importorskip("pandas")

KEYS = Data(rows="who", time="day")


def series() -> pd.DataFrame:
    days = pd.to_datetime(["2024-01-01", "2024-01-03", "2024-01-01", "2024-01-05", "2024-01-02", "2024-02-02"])
    names = ["a", "a", "b", "b", "b", "c"]
    return pd.DataFrame({"who": names, "day": days, "rate": [1.5, 2, 3, np.nan, 5, 6], "n": [1, 2, 3, 4, 5, 7]})


def sets() -> pd.DataFrame:
    return series()[["who", "rate", "n"]]


def there_and_back(x, data=None):
    schema = Schema.of(x, data=data)
    return schema.pack(schema.unpack(x, torch.float64))


def numbered(frame: pd.DataFrame, *order: str) -> pd.DataFrame:
    """A frame as samples are: rows numbered as they come, in the order of time."""
    made = frame.assign(who=pd.factorize(frame["who"])[0])
    return made.sort_values(["who", *order], kind="stable").reset_index(drop=True)


def test_series_come_back_with_their_times_and_types():
    found, expected = there_and_back(series(), Data(rows="who", time="day")), numbered(series(), "day")
    assert found["day"].tolist() == expected["day"].tolist()
    pd.testing.assert_frame_equal(found.drop(columns="day"), expected.drop(columns="day"), check_dtype=False)
    assert found["n"].dtype == np.int64


def test_channels_that_come_and_go():
    frame = series().melt(["who", "day"], ["rate", "n"], "what", "value").dropna()
    found = there_and_back(frame, Data(rows="who", time="day", channel="what"))
    expected = numbered(frame, "day", "what")
    expected = expected.sort_values(["who", "day", "what"], key=lambda c: c if c.name != "what" else c == "rate")
    found = found.sort_values(["who", "day", "what"], key=lambda c: c if c.name != "what" else c == "rate")
    assert found.astype(str).values.tolist() == expected.astype(str).values.tolist()


def test_members_of_sets_keep_what_belongs_together():
    pd.testing.assert_frame_equal(there_and_back(sets(), Data(rows="who")), numbered(sets()), check_dtype=False)


@pytest.mark.parametrize("zone", ["", "Europe/Lisbon"])
def test_times_as_text_and_in_zones(zone):
    frame = series().assign(day=series()["day"].dt.strftime("%Y-%m-%d %H:%M:%S") if not zone else series()["day"])
    if zone:
        frame["day"] = frame["day"].dt.tz_localize(zone)
    found = there_and_back(frame, Data(rows="who", time="day"))["day"]
    expected = numbered(series(), "day")["day"]
    assert (pd.to_datetime(found) if not zone else found.dt.tz_localize(None)).tolist() == expected.tolist()


@pytest.mark.parametrize("form", [form for form in FORMATS if "%d" in form])
def test_dates_in_text_have_the_format_of_their_column(form):
    days = [pd.Timestamp("2020-01-05"), pd.Timestamp("2020-02-14 13:45:10.25"), pd.Timestamp("2021-10-11 09:30:00")]
    texts = [day.strftime(form) for day in days]
    frame = pd.DataFrame(
        {"who": [0, 0, 0, 1], "day": [texts[2], texts[0], texts[1], texts[0]], "rate": [3.0, 1.0, 2.0, 4]}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema = Schema.of(frame, data=KEYS)
    found = schema.pack(schema.unpack(frame, torch.float64))
    assert found["day"].tolist() == [*texts, texts[0]]
    assert found["rate"].tolist() == [1.0, 2.0, 3.0, 4.0]  # in the order of time
    arrays = Ragged([[3.0, 1.0], [2.0, 4.0]], [np.array([texts[2], texts[0]]), np.array([texts[1], texts[0]])])
    found = there_and_back(arrays)
    assert [each.tolist() for each in found.times] == [[texts[0], texts[2]], [texts[0], texts[1]]]


def test_days_and_months_that_could_be_swapped_are_said():
    frame = series().assign(day=["05/01/2024", "04/01/2024", "05/02/2024", "03/03/2024", "01/01/2024", "02/12/2024"])
    said = "'05/01/2024' was read as 2024-01-05, by %d/%m/%Y, and all of them are dates by %m/%d/%Y, too"
    with pytest.warns(UserWarning, match=f"^column 'day': {re.escape(said)}; if that is wrong, write the dates as"):
        schema = Schema.of(frame, data=KEYS)
    assert schema.reason.endswith(said)
    table = Schema.of(frame, data=Data(columns={"day": "date"})).table[1]
    assert table.reason.endswith(said)


def test_dates_in_another_format_are_refused():
    schema = Schema.of(series().assign(day=series()["day"].dt.strftime("%d.%m.%Y")), data=KEYS)
    assert len(schema.rows(series())) == 3  # dates that are none of text are clear
    with pytest.raises(
        ValueError, match=r"^column 'day' holds dates written as %d\.%m\.%Y, got '2024-01-01': write it so"
    ):
        schema.rows(series().assign(day=series()["day"].dt.strftime("%Y-%m-%d")))
    mixed = ["2024-01-05", "04/01/2024", "05/02/2024", "03/03/2024", "01/01/2024", "02/12/2024"]
    with pytest.raises(ValueError, match="'2024-01-05' and '02/12/2024', which are not dates of one format"):
        Schema.of(series().assign(day=mixed), data=KEYS)


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_dates_are_not_numbers(zone):
    frame = series().assign(day=series()["day"].dt.tz_localize(zone))
    counted = Schema.of(frame.assign(day=[1.0, 2, 1, 4, 2, 5]), data=KEYS)
    with pytest.raises(
        ValueError, match=r"^times are numbers, and column 'day' holds dates: give numbers like those of"
    ):
        counted.rows(frame)
    with pytest.raises(ValueError, match=r"^times are dates, and column 'day' holds numbers: give dates like those of"):
        Schema.of(frame, data=KEYS).rows(frame.assign(day=frame["n"]))
    with pytest.raises(ValueError, match=r"^times are numbers, and the times hold dates: give numbers"):
        Schema.of(Ragged([[1.0], [2.0]], [[0.0], [1.0]])).rows(Ragged([[1.0]], [series()["day"].to_numpy()[:1]]))
    with pytest.raises(ValueError, match=r"^values are numbers, and column 'rate' holds Timestamp\('2024-01-01"):
        Schema.of(frame.assign(rate=frame["day"]), data=KEYS)
    with pytest.raises(ValueError, match=r"^column 'rate' holds numbers, got Timestamp\('2024-01-01"):
        Schema.of(frame, data=KEYS).rows(frame.assign(rate=frame["day"]))


@pytest.mark.parametrize("times", [True, False])
def test_arrays_of_different_lengths(times):
    values = [np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([[7.0, 8.0]])]
    stamps = [np.array([0.0, 0.5, 2.0]), np.array([1.0])] if times else None
    found = there_and_back(Ragged(values, stamps))
    assert all(np.array_equal(a, b) for a, b in zip(found.values, values))
    assert found.times is None if stamps is None else all(np.array_equal(a, b) for a, b in zip(found.times, stamps))


def test_padded_arrays_are_the_same_as_lists():
    values, times = (
        np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]),
        np.array([[0, 1, np.nan], [2, np.nan, np.nan]]),
    )
    padded, listed = Ragged(values, times), Ragged([[1.0, 2.0], [3.0]], [[0.0, 1.0], [2.0]])
    assert all(np.array_equal(a, b) for a, b in zip((*padded.values, *padded.times), (*listed.values, *listed.times)))
    assert [len(row) for row in Ragged(values).values] == [2, 1]


BAD = [
    (lambda f: f, Data(rows="whom"), r"there is no column 'whom': did you mean 'who'\?"),
    (
        lambda f: f,
        Data(time="day"),
        r"time names a column of readings: name the rows that they belong to, Data\(rows=…\)",
    ),
    (lambda f: f, Data(rows="who", time="who"), "rows, time and channel name columns of their own, got 'who', 'who'"),
    (lambda f: f[["who", "day"]], KEYS, "there are no readings: besides 'who', 'day' a column of values is needed"),
    (lambda f: f.iloc[:0], KEYS, "there are no readings at all: the frame has no rows"),
    (lambda f: f.assign(rate=np.nan, n=np.nan), KEYS, "there are no readings at all: every value is missing"),
    (lambda f: f.assign(rate=np.nan), KEYS, "column 'rate' has no readings: leave it out"),
    (
        lambda f: f.assign(rate=f["rate"].where(f["who"] != "c"))[["who", "day", "rate"]],
        KEYS,
        "who 'c' has no readings",
    ),
    (
        lambda f: f.assign(day=f["day"].iloc[0]),
        KEYS,
        "column 'day' is the same for all readings: leave time out for sets",
    ),
    (
        lambda f: f.assign(day=["x1", *"abcde"]),
        KEYS,
        "times are numbers or dates, and column 'day' holds 'x1' and 'e', which are not dates of one format that",
    ),
    (
        lambda f: f.assign(day=f["day"].where(f["n"] != 3)),
        KEYS,
        "column 'day': reading 2 has no time: give it, or leave",
    ),
    (lambda f: f.assign(day=f["n"] > 3), KEYS, "times are numbers or dates, and column 'day' holds true and false"),
    (lambda f: f.assign(who=f["who"].where(f["n"] != 3)), KEYS, "column 'who' misses the name of a row: fill it"),
    (
        lambda f: f.assign(rate=list("abcdef")),
        KEYS,
        "values are numbers, and column 'rate' holds 'a': name it as channel=",
    ),
    (lambda f: f.assign(rate=np.inf), KEYS, "column 'rate' holds inf: values are finite numbers"),
    (lambda f: f[f["who"] == "a"], KEYS, "a distribution cannot be learned from 1 row: give the readings of 2 or more"),
    (
        lambda f: f,
        Data(rows="who", channel="n"),
        "with a column of channels there is one column of values, and 'day', 'rate'",
    ),
    (lambda f: f.to_numpy(), Data(rows="who"), "rows='who' names a column of a frame, got a ndarray: pass a DataFrame"),
]


@pytest.mark.parametrize(("change", "data", "message"), BAD, ids=[message[:40] for *_, message in BAD])
def test_bad_readings_get_one_clear_line(change, data, message):
    with pytest.raises(ValueError, match=rf"^{message}") as caught:
        Schema.of(change(series()), data=data)
    assert "\n" not in str(caught.value)


def test_a_channel_is_read_once_at_a_time():
    twice = pd.concat([series(), series().iloc[[1]]])
    with pytest.raises(
        ValueError, match=r"^who 'a' has two readings of column 'rate' at the time 2024-01-03T00:00:00: keep"
    ):
        Schema.of(twice, data=KEYS).rows(twice)


def test_rows_that_the_model_does_not_know():
    schema = Schema.of(series(), data=KEYS)
    longer = pd.concat([series().assign(who="a", day=series()["day"] + pd.Timedelta(days=k)) for k in (0.1, 0.2)])
    with pytest.raises(
        ValueError, match=r"^who 'a' has 22 readings, and the model has learned up to 5: leave some out"
    ):
        schema.rows(longer)
    with pytest.raises(ValueError, match=r"^columns missing: 'n'"):
        schema.rows(series().drop(columns="n"))
    with pytest.raises(ValueError, match=r"^the model was fitted to a frame: give a frame with the same columns"):
        schema.rows(Ragged([[1.0]]))
    frame = series().melt(["who", "day"], ["rate", "n"], "what", "value")
    schema = Schema.of(frame, data=Data(rows="who", time="day", channel="what"))
    with pytest.raises(ValueError, match=r"^there is no channel 'rat': did you mean 'rate'\?"):
        schema.rows(frame.assign(what="rat"))


def test_bad_arrays_get_one_clear_line():
    with pytest.raises(
        ValueError, match=r"^every reading has one time, got \(1,\) times for \(2,\) values: give as many"
    ):
        Ragged([[1.0, 2.0]], [[0.0]])
    with pytest.raises(ValueError, match=r"^there are no rows: give the values of each row"):
        Ragged([])
    with pytest.raises(
        ValueError, match=r"^all readings have one number, or the same number of them, got rows of shapes"
    ):
        Ragged([np.zeros((2, 2)), np.zeros((2, 3))])
    with pytest.raises(ValueError, match=r"^row 0 of ragged data must be an array of numbers"):
        Ragged([["a"]])
    with pytest.raises(ValueError, match=r"give them as Ragged\(values, times\)"):
        Schema.of([[1.0, 2.0], [3.0]])


def test_gaps_of_series_without_times_are_said():
    x = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, 5.0]])
    for values in (x, list(x), x[:, :, None], x[:, :, None].repeat(2, 2)):
        with pytest.warns(UserWarning, match=r"^row 1 misses values before others, and without times .*: for series"):
            Ragged(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ragged(x[:1])
        Ragged(np.stack([x[1:], x[1:, ::-1], 1 + 0 * x[1:, :1].repeat(3, 1)], 2))  # members of which not all is known
        Ragged(x, np.tile(np.arange(3.0), (2, 1)))


def test_series_with_gaps_are_sent_to_times():
    x = np.random.default_rng(0).normal(size=(20, 1, 30))
    x[3, 0, 4] = np.nan
    with pytest.raises(
        ValueError, match=r"Ragged\(values, times\) with values \(N, T\) or \(N, T, C\) and times \(N, T\)"
    ):
        scorefield.fit(x, steps=1)
    found = Ragged(x.swapaxes(1, 2), np.tile(np.arange(30.0), (20, 1)))  # as it says
    rows = Schema.of(found).unpack(found, torch.float64).reshape(20, 3, -1)
    assert int((~rows[3, 0].isnan()).sum()) == 29 and 4.0 not in rows[3, 1] and 5.0 in rows[3, 1]
