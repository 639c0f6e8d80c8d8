"""Columns of tables: what each is taken for, its numbers, and the same values back."""

import datetime
import itertools
import json
import re

import numpy as np
import pytest

from scorefield import spec
from scorefield.data.columns import Category, ClockTime, Constant, Date, Number, infer
from scorefield.data.columns.text import FORMATS, formats_like, parsed_dates
from scorefield.data.text_form import TextForm
from scorefield.settings import Data

pandas = pytest.importorskip("pandas")

N = 400


def column(values, name="x", data=None, **settings):
    """The column of some values, as it comes back from a file; or why it is left out."""
    values = values if isinstance(values, pandas.Series) else pandas.Series(values)
    frame = pandas.DataFrame({name: values, "other": np.linspace(0, 1, len(values)) ** 2})
    columns, left_out = infer(frame, data or Data(**settings))
    if left_out:
        return left_out[0][1]
    again = spec.build(json.loads(json.dumps(spec.describe(columns[0]))))
    assert again == columns[0]
    return again


def back(values, **settings):
    """Values through their column."""
    values = pandas.Series(values, name="x")
    made = column(values, **settings)
    return made.decode(made.encode(values))


def rng():
    return np.random.default_rng(5)


def clock(seconds, form="{h:02}:{m:02}"):
    """Seconds as text."""
    return [
        form.format(
            h=x // 3600,
            m=x // 60 % 60,
            s=x % 60,
            minutes=x // 60,
            half=x // 3600 % 12 or 12,
            end="AP"[x > 43199],
            f=x % 997,
        )
        for x in map(int, seconds)
    ]


def kinds():
    """Columns of every kind, by name: with what they are taken for, and the start of the reason."""
    r = rng()
    gaps = r.random(N) < 0.2
    words = r.choice(["rail", "road", "sea"], N)
    days = pandas.Series(pandas.Timestamp("2024-01-01") + pandas.to_timedelta(r.integers(0, 365, N), "D"))
    return {
        "float": (r.normal(size=N), Number, "number: -"),
        "float32": (r.normal(size=N).astype("f4"), Number, "number: -"),
        "decimals": (r.normal(size=N).round(2), Number, "number: -"),
        "tenths32": (r.normal(size=N).round(1).astype("f4"), Number, "number: -"),
        "halves": (r.integers(50, 90, N) / 2, Number, "number: 25 to 44.5, steps of 0.5"),
        "whole": (r.integers(17, 91, N), Number, "number: whole, 17 to 90"),
        "negative": (r.integers(-50, 51, N), Number, "number: whole, -50 to 50"),
        "whole floats": (r.integers(17, 91, N) * 1.0, Number, "number: whole, 17 to 90"),
        "hundreds": (r.integers(1, 99, N) * 100, Number, "number: whole, 100 to 9800, steps of 100"),
        "codes": (r.choice([0, 5, 100], N), Number, "number: one of 0, 5, 100"),
        "rain": (np.where(gaps, r.gamma(1, 9, N).round(1), 0), Number, "number: 0 in 8"),
        "fractions": (r.integers(0, 256, 4 * N) / 255, Number, "number: 0 to 1, steps of 0.003922"),
        "gaps": (np.where(gaps, np.nan, r.normal(size=N)), Number, "number: -"),
        "Int64": (
            pandas.array(np.where(gaps, None, r.integers(0, 99, N)), dtype="Int64"),
            Number,
            "number: whole, 0 to",
        ),
        "Float64": (pandas.array(np.where(gaps, None, r.normal(size=N)), dtype="Float64"), Number, "number: -"),
        "UInt8": (pandas.array(r.integers(0, 255, N), dtype="UInt8"), Number, "number: whole, 0 to"),
        "text": (words, Category, "category of 3 levels"),
        "objects": (words.astype(object), Category, "category of 3 levels"),
        "text with gaps": (np.where(gaps, None, words.astype(object)), Category, "category of 3 levels, missing in "),
        "string": (pandas.array(words, dtype="string"), Category, "category of 3 levels"),
        "category": (pandas.Categorical(words), Category, "category of 3 levels"),
        "ordered": (
            pandas.Categorical(words, ["sea", "rail", "air", "road"], ordered=True),
            Category,
            "category of 3 levels, o",
        ),
        "coded": (pandas.Categorical(r.choice([3, 7], N), [7, 5, 3]), Category, "category of 2 levels"),
        "category with gaps": (
            pandas.Categorical(np.where(gaps, None, words.astype(object))),
            Category,
            "category of 3",
        ),
        "bool": (gaps, Category, "boolean of 2 levels"),
        "boolean": (
            pandas.array(np.where(r.random(N) < 0.1, None, gaps), dtype="boolean"),
            Category,
            "boolean of 2 levels, mi",
        ),
        "bools with gaps": (np.where(r.random(N) < 0.1, None, gaps), Category, "boolean of 2 levels, missing in "),
        "yes and no": (np.where(gaps, "yes", "no"), Category, "category of 2 levels"),
        "mixed levels": (np.array([1, "a", 2.5], object)[r.integers(0, 3, N)], Category, "category of 3 levels"),
        "day": (days, Date, "date: 2024-01-0"),
        "seconds": (days.astype("datetime64[s]"), Date, "date: 2024"),
        "zone": (days.dt.tz_localize("Europe/Berlin"), Date, "date: "),
        "days with gaps": (days.where(~gaps), Date, "date: 2024"),
        "hours": (days + pandas.to_timedelta(r.integers(0, 24, N), "h"), Date, "date: 2024"),
        "nanoseconds": (
            days[0].as_unit("ns")
            + pandas.to_timedelta(r.integers(0, 99, N), "D")
            + pandas.to_timedelta(r.integers(0, 999, N), "ns"),
            Date,
            "date: ",
        ),
        "lag": (pandas.to_timedelta(r.integers(0, 99, N), "min"), Date, "time difference: "),
        "day in text": (days.dt.strftime("%Y-%m-%d"), Date, "date: 2024"),
        "German": (days.dt.strftime("%d.%m.%Y"), Date, "date: 2024"),
        "American": (days.dt.strftime("%m/%d/%Y"), Date, "date: 2024"),
        "minutes in text": ((days + pandas.Timedelta("9min")).dt.strftime("%Y-%m-%d %H:%M"), Date, "date: 2024"),
        "text of days with gaps": (days.dt.strftime("%Y-%m-%d").where(~gaps), Date, "date: 2024"),
        "Python's dates": (days.dt.date, Date, "date: 2024"),
        "clock": (clock(r.integers(360, 1320, N) * 60), ClockTime, "time: 06:0"),
        "clock of one digit": (
            clock(r.integers(0, 96, N) * 900, "{h}:{m:02}"),
            ClockTime,
            "time: 0:00 to 23:45, steps of 15 m",
        ),
        "clock with gaps": (
            pandas.Series(clock(r.integers(0, 86400, N), "{h:02}:{m:02}:{s:02}")).where(~gaps),
            ClockTime,
            "time: 00:",
        ),
        "milliseconds": (clock(r.integers(0, 86400, N), "{h:02}:{m:02}:{s:02}.{f:03}"), ClockTime, "time: 00:"),
        "noon": (clock(r.integers(0, 1440, N) * 60, "{half:02}:{m:02} {end}M"), ClockTime, "time: 12:"),
        "durations": (clock(r.integers(100, 400_000, N), "{h}:{m:02}:{s:02}"), ClockTime, "duration: 0:"),
        "minutes and seconds": (clock(r.integers(10, 9999, N), "{minutes:02}:{s:02}"), ClockTime, "duration: 0"),
        "lag in text": (
            pandas.Series(pandas.to_timedelta(r.integers(-90_000, 400_000, N), "s")).map(str),
            ClockTime,
            "duration: -2 days +",
        ),
        "Python's times": (
            [datetime.time(int(h), int(m)) for h, m in r.integers(0, 24, (N, 2))],
            ClockTime,
            "time: 00:",
        ),
        "Python's durations": (
            pandas.Series([datetime.timedelta(seconds=int(s)) for s in r.integers(0, 9999, N)], dtype=object),
            ClockTime,
            "duration: 0:",
        ),
        "constant time": (np.full(N, "10:15"), Constant, "always 10:15"),
        "constant": (np.full(N, 7), Constant, "always 7"),
        "constant text": (np.full(N, "a"), Constant, "always a"),
        "constant or missing": (np.where(gaps, np.nan, 2.5), Constant, "always 2.5, or missing ("),
        "constant category": (pandas.Categorical(["b"] * N, ["a", "b"]), Constant, "always b"),
        "constant day": (days.where(days.isna(), days[0]), Constant, "always 2024"),
        "nothing": (np.full(N, np.nan), Constant, "all values are missing"),
        "no text": (np.full(N, None), Constant, "all values are missing"),
        "no category": (pandas.Categorical([None] * N, ["a"]), Constant, "all values are missing"),
    }


@pytest.mark.parametrize("name", kinds())
def test_every_kind_is_found_and_comes_back(name):
    values, kind, reason = kinds()[name]
    values = pandas.Series(values, name="x")
    made = column(values)
    assert type(made) is kind and made.reason.startswith(reason) and made.dtype == str(values.dtype)
    numbers = made.encode(values)
    assert numbers.dtype == np.float64 and numbers.shape == values.shape
    if kind is not Constant:
        assert (np.isnan(numbers) == values.isna()).all() and made.missing == values.isna().any()
    if kind in (Category,):
        assert set(numbers[~np.isnan(numbers)]) == set(range(made.size))
    exact = {"check_exact": name != "fractions"}
    expected = values.where(values.notna(), None) if values.dtype == object else values
    found = made.decode(numbers)
    found = found.where(found.notna(), None) if values.dtype == object else found
    pandas.testing.assert_series_equal(found, expected, **exact)
    assert type(column(found)) is kind


@pytest.mark.parametrize("name", kinds())
def test_any_numbers_become_values_of_the_column(name):
    """What a sampler may draw: no unseen level, no more digits, nothing off the lattice."""
    values, kind, _ = kinds()[name]
    values = pandas.Series(values, name="x")
    made = column(values)
    numbers = made.encode(values)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    drawn = made.decode(rng().uniform(low - 0.3 * (high - low) - 1, high + 0.3 * (high - low) + 1, N))
    assert str(drawn.dtype) == str(values.dtype) and len(drawn) == N
    if kind in (Category, Constant):
        assert set(drawn.dropna().map(str)) <= set(values.dropna().map(str))
    if kind is Number and made.step:
        k = (drawn.to_numpy(float) - made.origin) / made.step
        np.testing.assert_allclose(k, k.round(), atol=1e-4)
    if kind is Number and made.decimals is not None and str(values.dtype) == "float64":
        assert drawn.map(lambda v: len(repr(v).partition(".")[2].removesuffix("0"))).max() <= made.decimals
    np.testing.assert_allclose(made.encode(drawn), made.encode(made.decode(made.encode(drawn))))


def test_periods_of_dates():
    days = pandas.Series(pandas.date_range("2024-01-01", periods=60, freq="7D"))
    assert column(days).reason.endswith("whole weeks")
    assert column(days[:3]).reason.endswith("whole days")
    drawn = column(days).decode(np.array([0.4, 1.6]))
    assert drawn.tolist() == [pandas.Timestamp("2024-01-01"), pandas.Timestamp("2024-01-15")]


def test_no_format_of_a_date_is_passed_over():
    """Only formats with the punctuation of a text are tried: whatever can be parsed is among them."""
    days = [datetime.datetime(2024, 1, 2, 3, 4, 5, 678901), datetime.datetime(1999, 12, 31, 23, 59, 59)]
    texts = [day.strftime(form) for form in FORMATS for day in days]
    texts += [text.replace(" ", "  ") for text in texts] + [re.sub(r"\b0", "", text) for text in texts]
    texts += [text.replace("-", "") for text in texts] + [text[:-3] for text in texts] + [f"{text}.5" for text in texts]
    texts = sorted({*texts})
    tried = [set(formats_like([text])) for text in texts]
    for form in FORMATS:
        parsed = parsed_dates(pandas.Series(texts), form).notna()
        assert parsed.any() and all(form in tried[i] for i in np.flatnonzero(parsed))
    assert max(map(len, tried)) < len(FORMATS) / 4


def test_dates_that_no_type_holds_are_clipped():
    made = column(pandas.Series(pandas.date_range("2024-01-01", periods=60)).astype("datetime64[ns]"))
    assert made.decode(np.array([-1e9, 1e9])).dt.year.tolist() == [1677, 2262]
    text = column(pandas.Series(pandas.date_range("2024-01-01", periods=60)).dt.strftime("%Y-%m-%d"))
    assert text.decode(np.array([-1e9, 1e9])).str[:4].tolist() == ["0001", "9999"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.arange(N), "identifier: numbers the rows, 0 to 399; keep=['x'] keeps it"),
        (rng().permutation(N) + 1, "identifier: numbers the rows, 1 to 400"),
        ([f"order {i}" for i in range(N)], "identifier or free text: another value in each of 400 rows; keep="),
        ([f"order {i // 4 if i < 40 else i}" for i in range(N)], "free text: 370 values in 400 rows; keep="),
        ([f"c{i % 300}" for i in range(4 * N)], "category of 300 levels, more than 256; keep="),
        (
            ["low", *map(str, range(N))],
            "400 numbers with words among them, 'low' in row 0: make these missing, read(…, missing_words=('low',)) or "
            "--missing-words low, or keep=",
        ),
        (
            [f"{i:05d}" for i in range(N)],
            "identifier, whose digits begin with zeros, '00000' in row 0: another value in each of",
        ),
        (
            [f"{i // 2:05d}" if i < 40 else str(i) for i in range(N)],
            "identifier, whose digits begin with zeros, '00000' in row",
        ),
        ([[1], [2]] * N, "holds values of the kind list"),
    ],
)
def test_what_is_left_out_and_how_it_is_kept(values, reason):
    assert column(values).startswith(reason)
    if "keep=" in reason:
        kept = column(values, keep=("x",))
        assert kept.kind in ("number", "category")
        assert kept.decode(kept.encode(pandas.Series(values))).tolist() == list(values)


def test_identifiers_by_name():
    ids = rng().choice(10**6, N, replace=False)
    assert column(ids, "customer_id").startswith("identifier: named 'customer_id', another integer in each of 400 rows")
    assert column(ids, "income").kind == "number"
    assert column(np.arange(1800, 1800 + N), "year").kind == "number"


def test_numbers_in_text():
    made = column(["1.5", " 2 ", "?", "NA", "-", "", "3", "1e3"])
    assert (made.kind, made.missing) == ("number", True) and made.dtype == str(pandas.Series(["a"]).dtype)
    np.testing.assert_array_equal(made.encode(pandas.Series(["7", "?"])), [7, np.nan])
    assert column(["007", "010"] * 9).levels == ("007", "010")
    assert column(["1", "2", "few"] * 9).kind == "category"


TYPED = {
    "codes": (["1", "2", "9"], "category"),
    "postcodes": (["10115", "80331", "20095"], "category"),
    "codes with gaps": (["1", "2", "9", None], "category"),
    "ages": ([str(x) for x in range(18, 78)], "number"),
    "one decimal": ([f"{x / 7:.1f}" for x in range(90)], "number"),
    "decimals": ([str(x / 8) for x in range(1, 80)], "number"),
    "negative": ([str(x) for x in range(-40, 40)], "number"),
    "scientific": ([f"{1.07**x:.2e}" for x in range(-40, 60)], "number"),
    "gaps": ([*[f"{x / 8:.3f}" for x in range(80)], None, None, None], "number"),
}


@pytest.mark.parametrize("dtype", ["str", "object", "string"])
@pytest.mark.parametrize("name", TYPED)
def test_numbers_in_text_stay_text(name, dtype):
    """In tables whose columns have types; in one that was read from text they are numbers, as plain ones are there."""
    values, kind = TYPED[name]
    x = pandas.Series((values * 400)[:360], dtype=dtype).sample(frac=1, random_state=0, ignore_index=True)
    made = column(x)
    assert (made.kind, made.dtype) == (kind, str(x.dtype))
    for given in (x, x.fillna("-")):  # a word for what is missing
        found = column(given).decode(column(given).encode(given))
        assert found.dtype == x.dtype and ((found == x) | (found.isna() & x.isna())).all()
    frame = pandas.DataFrame({"x": x, "y": np.linspace(0, 1, len(x)) ** 2})
    frame.attrs.update(TextForm().attributes)
    assert infer(frame)[0][0].kind == "number" and infer(frame)[0][0].dtype in ("int64", "Int64", "float64")


def test_text_that_is_asked_to_be_numbers_stays_text():
    made = column(["1", "2", "9"] * 40, numeric=("x",))
    assert made.kind == "number" and made.decode(np.array([8.7, 1.2])).tolist() == ["9", "1"]
    assert column(["1", "2", "9"] * 40, bounds={"x": (0, 10)}).bounds == (0, 10)
    assert column([str(i) for i in range(N)]).startswith("identifier: numbers the rows, 0 to 399")


@pytest.mark.parametrize("zeros", itertools.product([True, False], repeat=2), ids=str)
@pytest.mark.parametrize("form", ["{d}/{m}/{y}", "{m}/{d}/{y} {h}:05", "{y}-{m}-{d}", "{d} Feb {y}"])
def test_dates_keep_the_zeros_in_front_of_their_numbers(form, zeros):
    """Those of days and months, of hours; what is drawn is written so, too."""
    r, widths = rng(), [2 * pad for pad in zeros]
    texts = [
        form.format(d=f"{d:0{widths[0]}}", m=f"{m:0{widths[1]}}", y=1900 + y, h=f"{d % 24:0{widths[0]}}")
        for d, m, y in zip(r.integers(1, 29, N), r.integers(1, 13, N), r.integers(30, 99, N))
    ]
    values = pandas.Series([*texts, None, "-"])
    made = column(values)
    found = made.decode(made.encode(values))
    assert isinstance(made, Date) and found[:N].tolist() == texts and found[N:].isna().all()


def test_dates_in_text_are_not_guessed():
    assert column(["01/02/2024", "03/04/2024"] * 9).kind == "category"
    assert column(["01/02/2024", "03/04/2024"] * 9, columns={"x": "date"}).text == "%d/%m/%Y"
    assert column(["2024-01-02", "soon"] * 9).kind == "category"
    with pytest.raises(ValueError, match="column 'x' holds dates of no format that is known, such as 'soon': convert"):
        column(["soon", "later"] * 9, columns={"x": "date"})


def test_what_the_user_says():
    codes = rng().integers(0, 4, N)
    assert column(codes, categorical=("x",)).levels == (0, 1, 2, 3)
    assert back(codes, categorical=("x",)).tolist() == codes.tolist()
    assert column(["1", "2"] * 9, categorical=("x",)).levels == ("1", "2")
    assert column([True, False] * 9, numeric=("x",)).kind == "number"
    assert column(codes, columns={"x": "leave out"}) == "left out, as asked for"
    own = Number("x", "float64", bounds=(0, 9))
    assert column(codes, columns={"x": own}) == own
    made = column(codes / 4, bounds={"x": (0, 1)})
    assert made.bounds == (0, 1) == made.limits and made.decode(np.array([-0.5, 2.0])).tolist() == [0, 0.75]
    assert column(codes + 1.5, log=("x",)).transform == "log"
    assert "log scale" in column(codes + 1.5, log=("x",)).reason


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([1.0, 2.0], {"bounds": {"x": (0, 1)}}, "column 'x' has bounds 0 to 1, got 2 in row 1: widen the bounds"),
        ([1.0, -2.0], {"log": ("x",)}, "log needs positive values, column 'x' has -2: give a lower bound"),
        ([1.0, np.inf], {}, r"column 'x' holds infinite values \(row 1\): df.replace"),
        ([1.0, -1e301], {}, r"column 'x' holds -1e\+301, too large to compute with \(row 1\): change its unit"),
        (["a", "2"], {"numeric": ("x",)}, "column 'x' holds numbers, got 'a' in row 0: correct it"),
        ([1.0, 2.0], {"keep": ("X",)}, "keep names 'X', which is not a column of the table: did you mean 'x'"),
        (
            ["a", "b"],
            {"bounds": {"x": (0, 1)}, "categorical": ("x",)},
            "bounds and log are for numbers, and column 'x'",
        ),
        (
            [1.0, 2.0],
            {"columns": {"x": "leave out", "other": "leave out"}},
            "every column of the table is left out: 'x'",
        ),
    ],
)
def test_settings_that_do_not_fit(values, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        column(values, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "other", "message"),
    [
        (["a", "b"], ["a", "c"], "column 'x' has the levels 'a', 'b', got 'c' in row 1"),
        ([True, False], [True, 3], "column 'x' has the levels False, True, got 3 in row 1"),
        ([7, 7], [7, 8], "column 'x' had one value in the training data, always 7; got 8 in row 1"),
        ([None, None], [None, 1], "column 'x' had no values in the training data, got 1.0 in row 1"),
        (
            ["2024-01-31", "2024-02-01"],
            ["2024-01-31", "31.1."],
            "column 'x' holds dates as %Y-%m-%d, got '31.1.' in row 1",
        ),
        ([1.0, 2.0], ["1", "x"], "column 'x' holds numbers, got 'x' in row 1"),
    ],
)
def test_other_data_hold_what_the_column_cannot(values, other, message):
    with pytest.raises(ValueError, match=message):
        column(values).encode(pandas.Series(other))


def test_samples_that_diverged():
    with pytest.raises(RuntimeError, match="1 of 2 samples are not finite and cannot be rounded to int64: the sampler"):
        column([1, 2]).decode(np.array([1.0, np.nan]))
    with pytest.raises(RuntimeError, match="are not finite: the sampler diverged"):
        column(["2024-01-31", "2024-02-01"]).decode(np.array([np.inf]))
    assert column(["a", "b", None]).decode(np.array([np.nan])).isna().all()


def test_signs_are_kept_by_reflection():
    x = np.abs(rng().normal(size=N)) + 0.01
    made = column(x)
    assert made.sign == 1 and made.sides == (0, None)
    drawn = made.decode(np.array([-0.25, 0.5, np.nan]) if made.missing else np.array([-0.25, 0.5]))
    assert drawn.tolist() == [0.25, 0.5]
    assert column(-x).sign == -1 and column(-x).decode(np.array([0.25])).tolist() == [-0.25]
    assert column(x - 0.5).sign == 0 and column(x[:20]).sign == 0
    assert made.widened(np.array([1.0])).sign == 1 and made.widened(np.array([-1.0])).sign == 0
    assert made.unreflected().sign == made.unclipped().sign == 0


def test_what_is_positive_by_declaration_is_not_rounded_to_0():
    values = rng().lognormal(-3, 1, N).round(2).clip(0.01)
    assert Number.of(pandas.Series(values), "x", "float64", transform="log").decode(
        np.array([0.001, 0.2])
    ).tolist() == [
        0.01,
        0.2,
    ]
    assert Number.of(pandas.Series(values), "x", "float64").decode(np.array([0.001]))[0] == 0


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["9:05", "10:15"], [32700, 36900]),
        (["09:05:01.5", "10:15:00.25"], [32701.5, 36900.25]),
        (["12:00 AM", "12:30 PM", "1:05 PM"], [0, 45000, 47100]),
        (["9:05a.m.", "9:06a.m."], [32700, 32760]),
        (["00:00", "24:00"], [0, 86400]),
        (["31:07:00", "0:00:09"], [112020, 9]),
        (["75:30", "05:07"], [4530, 307]),
        (["00:59.5", "01:01.0"], [59.5, 61]),
        (["1 days 02:03:04", "-1 days +23:59:59"], [93784, -1]),
        (["0 days 00:00:01.500000", "2 days 00:00:00"], [1.5, 172800]),
        (["10:15:30,5", "10:15:31,0"], [36930.5, 36931]),
    ],
)
def test_how_times_are_written(texts, seconds):
    """Times, written and read back, and text that a user gives in another form."""
    made = column(texts * 20)
    assert type(made) is ClockTime
    np.testing.assert_array_equal(made.encode(pandas.Series(texts)), seconds)
    assert made.decode(np.array(seconds, float)).tolist() == texts
    day = max(seconds) <= 86400 and texts[0] not in ("75:30", "00:59.5") and "days" not in texts[0]
    assert made.reason.startswith("time: " if day else "duration: ") and (made.bounds[1] is not None) == day


@pytest.mark.parametrize(
    "texts",
    [
        ["9:05", "09:06"],
        ["10:15", "10:75"],
        ["10:15", "10:15:00"],
        ["13:00 PM", "1:00 AM"],
        ["10:15", "x"],
        ["1:2", "2:1"],
    ],
)
def test_text_that_is_not_times_of_one_form(texts):
    assert type(column(texts * 20)) is Category


def test_times_of_day_end_before_24_hours():
    """On their lattice, and nothing beyond it can be asked for."""
    made = column([f"{h:02}:{m:02}" for h in range(24) for m in (5, 20, 35, 50)])
    assert made.bounds == (300, 86400 - 600)
    assert made.decode(np.array([-9e9, 86399, 86401, 9e9])).tolist() == ["00:05", "23:50", "23:50", "23:50"]
    asked = made.read(pandas.Series(["10:20", "10:21", "24:05", "10:20:00", datetime.time(10, 20)]))
    assert made.impossible(asked).tolist() == [False, True, True, False, False]
    with pytest.raises(ValueError, match=r"holds times of day such as 00:05, got 'noon' in row 1"):
        made.encode(pandas.Series(["10:20", "noon"]))
    lag = column(pandas.to_timedelta(np.arange(N), "min"))
    assert lag.encode(pandas.Series(["01:30:00", None]))[0] == 90


@pytest.mark.parametrize("values", [[1.5, 2, 3], [True, False], ["x", "y"], [datetime.time(1, tzinfo=datetime.UTC)]])
def test_what_is_not_a_date(values):
    with pytest.raises(
        ValueError, match=r"column 'x' holds (no dates, got .* in row 0: choose|dates of no format that is known)"
    ):
        column(pandas.Series(values * 20), columns={"x": "date"})
