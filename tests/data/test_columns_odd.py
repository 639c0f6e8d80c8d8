"""Columns as people write them: signs around numbers, offsets, large integers, a cell that does not fit."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pytest
import torch

import scorefield
from scorefield.data import Schema
from scorefield.data.columns import Affixed, Category, Date, Number, NumberFormat, infer
from scorefield.settings import Data, Training

pandas = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
PRICES = RNG.gamma(2.0, 2000.0, 200)


def read(values, **settings):
    """The column and the values as they come back; or why it is left out."""
    frame = pandas.DataFrame({"x": values, "z": np.arange(len(values)) % 7 * 1.5})
    columns, left_out = infer(frame, Data(**settings))
    if left_out:
        return left_out[0][1]
    schema = Schema.of(frame, data=Data(**settings))
    return columns[0], schema.pack(schema.unpack(frame))["x"]


@pytest.mark.parametrize(
    ("texts", "form"),
    [
        ([f"${v:,.2f}" for v in PRICES], NumberFormat("$", "", 2, True, ".", ",")),
        ([f"{v:.0f}%" for v in PRICES / 200], NumberFormat("", "%", 0, True)),
        ([f"{v:.1f} %" for v in PRICES / 200], NumberFormat("", " %", 1, True)),
        ([f"{v:.2f} €".replace(".", ",") for v in PRICES], NumberFormat("", " €", 2, True, ",")),
        (
            [f"€ {v:,.2f}".translate(str.maketrans(",.", ".,")) for v in PRICES],
            NumberFormat("€ ", "", 2, True, ",", "."),
        ),
        ([f"{v:g} kg" for v in PRICES.round(1)], NumberFormat("", " kg", 1, False)),
        ([f"{v:g}°" for v in (PRICES - 3000).round(2)], NumberFormat("", "°", 2, False)),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else "",
)
def test_numbers_with_signs_around_them_are_numbers(texts, form):
    """Learned as numbers, written as they were; missing cells and plain numbers are read as well."""
    values = pandas.Series([*texts, None])
    column, back = read(values)
    assert isinstance(column, Affixed) and column.form == form and column.kind == "number" and column.missing
    assert column.reason.startswith("number: ")
    assert back.iloc[:-1].tolist() == texts and pandas.isna(back.iloc[-1]) and back.dtype == values.dtype
    numbers = column.encode(pandas.Series([form.number(text) for text in texts]))
    np.testing.assert_array_equal(numbers, column.encode(values)[:-1])
    with pytest.raises(ValueError, match=r"^column 'x' holds numbers such as .*, got 'about 3' in row 1: correct it$"):
        column.encode(pandas.Series([texts[0], "about 3"]))


@pytest.mark.parametrize("texts", [["A4", "A5", "B7"] * 40, ["Q1", "Q2"] * 60, ["2 doors", "4 doors"] * 60])
def test_codes_stay_categories(texts):
    column, back = read(texts)
    assert isinstance(column, Category) and back.tolist() == texts


@pytest.mark.parametrize("texts", [[f"SKU-{i:05}" for i in range(99)], [f"{i:03} kg" for i in range(99)]])
def test_codes_with_zeros_are_no_numbers(texts):
    assert read(texts).startswith("identifier or free text")


@pytest.mark.slow
def test_a_table_with_prices_is_learned():
    frame = pandas.DataFrame({"price": [f"${v:,.2f}" for v in PRICES], "share": [f"{v:.0f}%" for v in PRICES / 200]})
    model = scorefield.fit(frame, training=Training(steps=30), data=Data(bounds={"share": (0, 100)}))
    drawn = model.sample(200)
    numbers = drawn["price"].str[1:].str.replace(",", "").astype(float)
    assert drawn["price"].str.fullmatch(r"\$[\d,]+\.\d\d").all() and numbers.min() >= 0
    assert abs(np.log(numbers.median() / np.median(PRICES))) < 0.5
    assert drawn["share"].str[:-1].astype(int).between(0, 100).all()
    dear = model.condition(price="$3,000.00").sample(20)
    assert set(dear["price"]) == {"$3,000.00"} and model.condition(price=3000.0).sample(20).equals(dear)
    with pytest.raises(ValueError, match="share"):
        model.condition(share="120%")


@pytest.mark.parametrize(
    "values",
    [
        2**60 + RNG.integers(0, 1000, 200),
        np.uint64(2**64 - 1) - RNG.integers(0, 1000, 200).astype(np.uint64),
        [10**25 + i for i in range(200)],
        [str(10**25 + i) for i in range(200)],
    ],
    ids=["int64", "uint64", "Python", "text"],
)
def test_whole_numbers_that_are_not_exact_are_left_out_by_name(values):
    """They came back as other numbers, or as one constant."""
    values = pandas.Series(values)
    assert read(values).startswith("whole numbers beyond 2^53, which are not exact as numbers; keep=['x']")
    column, back = read(values, keep=("x",))
    assert isinstance(column, Category) and back.tolist() == values.tolist()
    few = values.iloc[np.arange(200) % 3]
    assert read(few.reset_index(drop=True))[1].tolist() == few.tolist()
    with pytest.raises(ValueError, match="beyond 2\\^53, which are not exact as numbers: subtract an offset"):
        read(values, numeric=("x",))


def test_large_numbers_that_are_exact_are_numbers():
    column, back = read(2**53 * RNG.integers(0, 1000, 200))
    assert isinstance(column, Number)
    column, back = read(RNG.integers(0, 1000, 200))
    assert isinstance(column, Number) and str(back.dtype) == "int64"


def test_periods_become_dates_by_a_conversion_that_works():
    periods = pandas.Series(pandas.period_range("2020-01", periods=60, freq="M"))
    assert str(read(periods)).endswith("convert it, df['x'].dt.to_timestamp()")
    assert isinstance(read(periods.dt.to_timestamp())[0], Date)


def test_dates_keep_their_offset_and_reach_the_year_1():
    texts = [f"2024-03-{1 + i % 28:02}T0{i % 9}:00:00+02:00" for i in range(100)]
    column, back = read(texts)
    assert isinstance(column, Date) and back.tolist() == texts
    mixed = [text[:-6] + f"+0{1 + i % 3}:00" for i, text in enumerate(texts)]
    assert "dates of several offsets from UTC, +01:00 and +02:00: convert them to one" in str(read(mixed))
    mixed = [text if i % 2 else text[:-6] + "Z" for i, text in enumerate(texts)]
    assert "dates of several offsets from UTC, +02:00 and Z: convert them to one" in str(read(mixed))
    days = [
        datetime.date(1, 1, 1),
        datetime.date(9999, 12, 31),
        *[datetime.date(2000, 1, 1 + i % 28) for i in range(90)],
    ]
    assert read(days)[1].tolist() == days
    texts = [f"{day.year:04}-{day.month:02}-{day.day:02}" for day in days]
    assert read(texts)[1].tolist() == texts


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            ["2024-02-31", *[f"2024-01-{1 + i % 28:02}" for i in range(199)]],
            "dates (%Y-%m-%d) but for '2024-02-31' in row 0",
        ),
        (["y", "y ", "n"] * 60, "'y' and 'y ' differ by blanks alone"),
        ([decimal.Decimal("1.25") * (i % 9) for i in range(100)], "decimals become floats"),
        (pandas.cut(pandas.Series(RNG.random(200)), 4), "Intervals that become text"),
        (np.where(RNG.random(200) < 0.3, -999, RNG.integers(0, 18, 200) + RNG.random(200)), "else 0."),
        ([b"x", b"y"] * 50, "holds values of the kind bytes"),
    ],
    ids=["date", "blanks", "decimal", "intervals", "spike", "bytes"],
)
def test_what_is_odd_is_said(values, said):
    found = read(values)
    assert said in (found if isinstance(found, str) else found[0].reason)


def test_decimals_of_pyarrow_are_floats():
    pyarrow = pytest.importorskip("pyarrow")
    plain = [decimal.Decimal("1.25") * (i % 9) for i in range(100)]
    column, back = read(pandas.Series(plain, dtype=pandas.ArrowDtype(pyarrow.decimal128(10, 2))))
    assert isinstance(column, Number) and back.tolist() == [float(v) for v in plain]


def test_zeros_have_no_sign():
    _, back = read(np.where(RNG.random(100) < 0.3, -0.0, RNG.normal(size=100)))
    assert not np.signbit(back[back == 0]).any()


HOURS = pandas.Series(pandas.to_timedelta(np.random.default_rng(2).integers(9 * 60, 17 * 60 + 1, 400), unit="min"))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_differences_of_times_have_bounds_in_seconds(unit):
    column, back = read(HOURS.astype(f"m8[{unit}]"), bounds={"x": (32400, 61200)})
    assert (back == HOURS).all() and column.line is not None and "bounds 32400 to 61200 seconds" in column.reason
    ends = column.encode(pandas.Series(pandas.to_timedelta([32400, 61200], unit="s")))
    np.testing.assert_allclose(column.bounds, ends)
    far = column.decode(np.array([ends[0] - 500, ends[0] - 1, ends[1] + 1, ends[1] + 500]))
    assert far.dt.total_seconds().tolist() == [32400, 32400, 61200, 61200]
    assert column.excluded(np.array([ends[0] - 1, *ends, ends[1] + 1, np.nan])).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert column.impossible(np.array([ends[0] - 1, *ends, ends[1] + 1])).tolist() == [True, False, False, True]
    one, _ = read(HOURS.astype(f"m8[{unit}]"), bounds={"x": (0, None)})
    assert one.bounds[1] is None and one.decode(np.array([-1e6])).iloc[0] == pandas.Timedelta(0)


def test_samples_of_differences_of_times_keep_their_bounds():
    frame = pandas.DataFrame({"time": HOURS, "y": RNG.normal(size=len(HOURS))})
    model = scorefield.fit(frame, training=Training(steps=20), data=Data(bounds={"time": (32400, 61200)}))
    seconds = model.sample(2000, seed=0, steps=8)["time"].dt.total_seconds()
    assert seconds.between(32400, 61200).all()
    beyond = frame.assign(time=pandas.Timedelta(hours=18)).head(3)
    assert torch.isneginf(model.log_prob(beyond).value).all()


def test_differences_beyond_their_bounds_are_refused():
    with pytest.raises(
        ValueError, match=r"^column 'x' has bounds 32400 to 60000 seconds, got 61200: widen the bounds$"
    ):
        read(pandas.concat([HOURS, pandas.Series([pandas.Timedelta(hours=17)])]).tolist(), bounds={"x": (32400, 60000)})


@pytest.mark.parametrize(
    ("values", "settings", "said"),
    [
        (
            pandas.date_range("2024-01-01", periods=60),
            {"bounds": {"x": (0, 1)}},
            r"bounds are .*constraints=\(\"x >= '2024",
        ),
        (
            [f"2024-01-{1 + i % 28:02}" for i in range(60)],
            {"bounds": {"x": (0, 1)}},
            "bounds are for numbers: give a constr",
        ),
        (["a", "b"] * 30, {"bounds": {"x": (0, 1)}}, "is a category, and bounds are for numbers: leave these out"),
        (["a", "b"] * 30, {"log": ("x",)}, "is a category, and log is for numbers: leave these out"),
        (HOURS, {"log": ("x",)}, "is a date, and log is for numbers: leave these out"),
        (
            [True, False] * 30,
            {"bounds": {"x": (0, 1)}, "log": ("x",)},
            "boolean, and bounds and log are for numbers: leave",
        ),
    ],
)
def test_bounds_and_logarithms_are_not_passed_over(values, settings, said):
    with pytest.raises(ValueError, match=f"^column 'x' .*{said}"):
        read(values, **settings)
