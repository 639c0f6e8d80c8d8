"""Declared constraints: what they say, what they refuse, and that samples keep them."""

from __future__ import annotations

import datetime
import functools
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

import scorefield
from scorefield.constraints import Constraint, Rules, check_rows, draw_valid
from scorefield.data import ArrayRows, Schema
from scorefield.data.columns import infer
from scorefield.fitting.related import declared
from scorefield.rng import Samples
from scorefield.settings import Data
from scorefield.units import find_relations
from scorefield.units.constraints_in_data import skipped_where

NAN = float("nan")

TABLE = pd.DataFrame(
    {
        "a": [1, 2, 3, 4],
        "b": [4.0, 2.0, NAN, 0.5],
        "mode": pd.Categorical(["sea", "air", None, "sea"]),
        "start": pd.to_datetime(["2024-01-31", "2024-02-01", "2023-12-31", None]),
        "end": pd.to_datetime(["2024-02-29", "2024-01-01", "2024-12-31", "2024-05-01"]),
        "body mass": pd.array([1, 2, None, 4], dtype="Int64"),
        "ok": [True, False, True, True],
        "day": [datetime.date(2024, 1, 1), None, datetime.date(2025, 1, 1), datetime.date(2026, 1, 1)],
        7: ["x", "y", "x", "z"],
    }
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a < b", [1, 0, 1, 0]),  # a missing value violates nothing
        ("a ≤ b", [1, 1, 1, 0]),
        ("not a <= b", [0, 0, 1, 1]),
        ("a != b", [1, 0, 1, 1]),
        ("0 < a < 3", [1, 1, 0, 0]),
        ("2 * a - 1 >= b / 2 + 1", [0, 1, 1, 1]),
        ("-a < -1", [0, 1, 1, 1]),
        ("a > 3 or b > 3", [1, 0, 1, 1]),
        ("a > 2 and b > 3", [0, 0, 1, 0]),
        ("a < 2 and b > 3", [1, 0, 0, 0]),  # false, whatever the missing value is
        ("mode == 'sea'", [1, 0, 1, 1]),
        ('mode != "sea"', [0, 1, 1, 0]),
        ("mode in ('air', 'rail')", [0, 1, 1, 0]),
        ("a not in (1, 4)", [0, 1, 1, 0]),
        ("if mode == 'sea' then b > 1", [1, 1, 1, 0]),
        ("if mode == 'air' then a > 2", [1, 0, 1, 1]),
        ("start <= end", [1, 0, 1, 1]),
        ("start > '2024-01-31'", [0, 1, 0, 1]),
        ("end - start <= 30", [1, 1, 0, 1]),
        ("start + 29 == end", [1, 0, 0, 1]),
        ("day >= '2025-01-01'", [0, 1, 1, 1]),
        ("`body mass` >= 2", [0, 1, 1, 1]),
        ("ok", [1, 0, 1, 1]),
        ("if not ok then a == 2", [1, 1, 1, 1]),
        ("`7` == 'x'", [1, 0, 1, 0]),
        ("unique(`7`)", [1, 1, 0, 1]),
        ("unique(`7`, a)", [1, 1, 1, 1]),
        ("unique(mode)", [1, 1, 1, 0]),
        ("1 < 2", [1, 1, 1, 1]),
    ],
)
def test_what_constraints_say(text, holds):
    assert Constraint(text).holds(TABLE).tolist() == [bool(h) for h in holds]


def test_columns_of_a_constraint():
    assert Constraint("if `body mass` > a then mode in ('b', 'c') or a < z").columns == ("body mass", "a", "mode", "z")
    assert Constraint("unique(b, a)").columns == ("b", "a")
    assert Constraint("unique(b, a)").unique
    assert str(Constraint("a < b")) == "a < b"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_compared_to_their_rounding(dtype):
    x = np.random.default_rng(0).normal(10, 3, (5000, 3)).astype(dtype)
    table = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "total": x.sum(1)}
    assert Constraint("a + b + c == total").holds(table).all()
    assert Constraint("total - c - b <= a").holds(table).all()
    assert not Constraint("total - c - b < a").holds(table).any()
    table["total"] = table["total"] * dtype(1 + 100 * np.finfo(dtype).eps)
    assert not Constraint("a + b + c == total").holds(table).any()


def test_whole_numbers_are_compared_exactly():
    big = np.array([2**52, 2**52])
    assert Constraint("a == b").holds({"a": big, "b": big + np.array([0, 1])}).tolist() == [True, False]
    times = np.array(["2024-01-31T00:00:00.000001"], "datetime64[us]")
    assert not Constraint("t <= '2024-01-31'").holds({"t": times}).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = b", "write == for equality"),
        ("a <", "cannot be read: write comparisons of columns"),
        ("body mass > 0", "names that are not a word in backticks"),
        ("a.b > 0", "has a name with a dot"),
        ("exit() > 0", "has a call"),
        ("a > 0 if b else c", "has a part that is not allowed"),
        ("a ** 2 > 0", "has a part that is not allowed"),
        ("a[0] > 0", "has a part that is not allowed"),
        ("(lambda: 1) == 1", "has a part that is not allowed"),
        ("a > 1j", "has a part that is not allowed"),
        ("a + b", r"is not true or false: compare it"),
        ("unique(a + b)", "is not one that is known"),
        ("unique()", "is not one that is known"),
        ("same(a, b)", "is not one that is known"),
        ("unique('a')", "is not one that is known"),
    ],
)
def test_texts_that_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Constraint(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mod == 'sea'", "names the column 'mod', which is not there: did you mean 'mode'"),
        ("zzz > 0", "which is not there: there are a, b, mode, start, end"),
        ("mode < 'sea'", "orders texts"),
        ("mode == 1", "compares texts with numbers"),
        ("mode + 1 == 1", "calculates with texts"),
        ("start > 2024", "compares dates with numbers"),
        ("start > 'soon'", "compares dates with soon: write 2024-01-31"),
        ("start * 2 > start", "calculates with dates"),
        ("a in b", "in needs values in brackets"),
    ],
)
def test_comparisons_that_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Constraint(text).holds(TABLE)


def test_arrays_need_names():
    with pytest.raises(ValueError, match=r"an array of shape \(2, 3\) with 1 names: pass a DataFrame"):
        Constraint("a > 0").holds(np.zeros((2, 3)), ["a"])


def test_the_check_of_the_data():
    check_rows([Constraint("a > 0"), Constraint("unique(a)")], TABLE)
    with pytest.raises(ValueError, match=r'"start <= end" is violated in 1 of 4 rows \(row 1\): correct the data'):
        check_rows([Constraint("a > 0"), Constraint("start <= end")], TABLE)
    with pytest.raises(ValueError, match=r"in 100 of 100 rows \(rows 0, 1, 2, …\)"):
        check_rows([Constraint("a > 0")], {"a": np.zeros(100)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b == total", [((1, 1, -1), 0)]),
        ("2 * (a - b) / 4 + 1 == -total * 3 - 2", [((0.5, -0.5, 3), -3)]),
        ("a == b == total", [((1, -1, 0), 0), ((0, 1, -1), 0)]),
        ("a == 1 and b == total", [((1, 0, 0), 1), ((0, 1, -1), 0)]),
        ("a * b == total", []),
        ("a <= b", []),
        ("a == b or a == total", []),
        ("a == elsewhere", []),
        ("a == 'x'", []),
        ("if a == b then a == total", []),
        ("unique(a)", []),
        ("a == a", []),
        ("1 / a == b", []),
    ],
)
def test_equations(text, expected):
    found = Constraint(text).equations(["a", "b", "total"])
    assert [(e.coefficients, e.offset) for e in found] == expected


def test_declared_equations_become_relations():
    """With so few rows nothing is certain: what is declared holds."""
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
    names = ["a", "b", "total"]
    declared = Constraint("total == a + b").equations(names)
    found = find_relations(ArrayRows(x), names, declared=declared)
    assert found.describe() == ("total = a + b",)
    assert not find_relations(ArrayRows(x), names)


NAMES = ["a", "b"]


def array(x):
    return x.numpy()


def normal(numbers, rng):
    return rng.normal((len(numbers), 2), torch.float64)


def drawn(texts, count=400, seed=0, start=0, draw=normal, rules=None, **more):
    rules = rules or Rules([Constraint(text) for text in texts], array, NAMES)
    return draw_valid(draw, rules, Samples(seed, start, count, "sample"), **more)


def test_draws_have_the_conditional_distribution():
    """Normal numbers given a < b: E[b - a] = 2/√π, the sum is not affected; the acceptance rate is 1/2."""
    count = 20_000
    found = drawn(["a < b"], count)
    gap, total = found.x[:, 1] - found.x[:, 0], found.x.sum(1)
    assert bool((gap > 0).all())
    spread = (2 - 4 / np.pi) ** 0.5
    assert abs(float(gap.mean()) - 2 / np.pi**0.5) < 4 * spread / count**0.5
    assert abs(float(total.mean())) < 4 * (2 / count) ** 0.5
    assert abs(float(total.var()) - 2) < 4 * (8 / count) ** 0.5
    assert abs(found.acceptance - 0.5) < 4 * (0.125 / count) ** 0.5


def test_the_first_attempt_is_the_draw_without_rules():
    plain = normal(torch.arange(400), Samples(0, 0, 400, "sample"))
    found = drawn(["a < b"])
    valid = plain[:, 0] < plain[:, 1]
    assert torch.equal(found.x[valid], plain[valid])
    loose = drawn(["a < 100"])
    assert torch.equal(loose.x, plain)
    assert loose.draws == 400


@pytest.mark.parametrize("texts", [["a < b"], ["a > 1.5"], ["a < b", "b > 1"]])
def test_a_sample_depends_on_its_number_alone(texts):
    whole = drawn(texts)
    parts = [drawn(texts, stop - start, start=start) for start, stop in pairwise([0, 1, 7, 150, 400])]
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
    assert sum(part.draws for part in parts) == whole.draws
    assert not torch.equal(drawn(texts, seed=1).x, whole.x)


def test_numbers_of_samples_reach_the_draw():
    """A conditional model needs them: sample i has context i."""

    def shifted(numbers, rng):
        return normal(numbers, rng) + numbers[:, None]

    found = drawn(["a - b < 0"], 50, start=100, draw=shifted)
    assert float((found.x.mean(1) - torch.arange(100, 150)).abs().max()) < 4


def rounded(numbers, rng):
    return (3 * normal(numbers, rng)).round()


def test_unique_draws():
    texts = ["unique(a, b)", "a <= b"]
    rules = Rules([Constraint(text) for text in texts], array, NAMES)
    whole = drawn(texts, 120, draw=rounded).x
    assert len(set(map(tuple, whole.tolist()))) == 120
    assert bool((whole[:, 0] <= whole[:, 1]).all())
    steps = list(pairwise([0, 1, 7, 50, 120]))
    parts = [drawn(texts, stop - start, start=start, draw=rounded, rules=rules).x for start, stop in steps]
    assert torch.equal(torch.cat(parts), whole)  # whatever the batches are


def test_two_unique_constraints():
    found = drawn(["unique(a)", "unique(b)"], 8, draw=rounded).x
    assert len(set(found[:, 0].tolist())) == len(set(found[:, 1].tolist())) == 8


def test_states_that_are_impossible_for_another_reason():
    rules = Rules([], array, NAMES, outside=lambda x: x[:, 0] < 0)
    assert bool((drawn([], rules=rules).x[:, 0] >= 0).all())
    assert not Rules([], array)


def test_acceptance_rates_that_are_too_low():
    message = r'of 2,\d+ draws satisfy the constraints \(0.\d+%; 1.00% are needed\); "a > 3" is violated in \d+%: train'
    with pytest.raises(RuntimeError, match=message):
        drawn(["a > 3", "b < 9"])
    with pytest.raises(RuntimeError, match=r'"a > 99" is violated in 100%: check what is given, train longer'):
        drawn(["a > 99"])
    assert drawn(["a > 3"], 3, least=1e-4, attempts=20_000).acceptance < 0.01


def test_more_unique_samples_than_there_are_values():
    def signs(numbers, rng):
        return normal(numbers, rng).sign()

    with pytest.raises(
        RuntimeError, match=r"1 samples are without one, too few distinct values for unique\(a, b\): draw"
    ):
        drawn(["unique(a, b)"], 5, draw=signs)


def test_shapes_of_the_source():
    def wrong(numbers, rng):
        return rng.normal((len(numbers) + (len(numbers) < 400), 2))

    with pytest.raises(ValueError, match=r"this source has \d+ draws, got shape \(\d+, 2\)"):
        drawn(["a < b"], draw=wrong)


DAYS = ["2024-01-31", "2024-02-01", "2023-12-31", "-", "2024-05-01"]


@functools.cache
def as_text(form):
    """The same rows as text, as files have them, by the form of their dates: what they were taken for, and the table."""
    days = pd.to_datetime(pd.Series([None if day == "-" else day for day in DAYS * 4]))
    texts = days.dt.strftime(form).fillna("-")
    price = pd.Series([3, 1200.5, 21, 22, 0] * 4).map(lambda v: f"{v:,.2f} €".translate(str.maketrans(",.", ".,")))
    table = pd.DataFrame(
        {
            "start": texts,
            "end": days.shift(-1).dt.strftime("%d.%m.%Y").fillna("-"),
            "price": price,
            "limit": [f"{k} %" for k in range(100, 120)],
            "note": [f"row {k}" for k in range(20)],
            "paid": pd.Series(["TRUE", "false", None, "True", "FALSE"] * 4),
        }
    )
    columns, _ = infer(table.assign(paid=[True, False, None, True, False] * 4))
    return columns, table


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S+02:00", "%d %b %Y"])
@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("start <= end", [1, 0, 1, 1, 0]),
        ("end - start < 2", [1, 1, 1, 1, 1]),
        ("start >= '2024-01-31T00:00'", [1, 1, 0, 1, 1]),
        ("start in ('2024-01-31', '2023-12-31')", [1, 0, 1, 1, 0]),
        ("end != '01.02.2024'", [0, 1, 1, 1, 1]),
        ("price <= limit", [1, 0, 1, 1, 1]),
        ("price < '22,00 €'", [1, 0, 1, 0, 1]),
        ("unique(start)", [1, 1, 1, 1, 1]),
        ("paid", [1, 0, 1, 1, 0]),
        ("paid == 'TRUE'", [1, 0, 1, 1, 0]),
    ],
)
def test_text_is_read_as_its_column(form, text, holds):
    """As files have them: dates and numbers in forms of their own; in the data, and in what samples are written as."""
    columns, table = as_text(form)
    zoned = form.endswith("00")
    if zoned and "end" in text and "start" in text:
        with pytest.raises(ValueError, match="compares times that have a time zone with times that have none"):
            Constraint(text).holds(table, columns=columns)
        return
    assert Constraint(text).holds(table, columns=columns)[:5].tolist() == [bool(h) for h in holds]
    kept = next(c for c in columns if c.name == Constraint(text).columns[0])
    again = table.assign(**{str(kept.name): kept.decode(kept.encode(table[kept.name]))})
    assert Constraint(text).holds(again, columns=columns)[:5].tolist() == [bool(h) for h in holds]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("note != 'x'", "'note', which is left out of the model: keep it, or leave the constraint out"),
        ("start > 'soon'", "compares dates with soon: write 2024-01-31"),
        ("price > 'much'", r"compares 'price' with the text much: the column takes .*written as '1,00 €'"),
    ],
)
def test_text_that_the_column_does_not_hold(text, message):
    columns, table = as_text("%Y-%m-%d")
    with pytest.raises(ValueError, match=message):
        Constraint(text).holds(table, columns=columns)


def test_instants_are_compared():
    """Clocks of different zones, also across the hours that a clock repeats or leaves out."""
    utc = pd.Series(pd.date_range("2024-03-30", "2024-11-01", freq="13h", tz="UTC"))
    for zone in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"):
        local = utc.dt.tz_convert(zone)
        table = pd.DataFrame({"start": local, "end": utc + pd.Timedelta("1min"), "same": utc.dt.tz_convert("UTC")})
        columns, _ = infer(table)
        objects = {name: table[name].astype(object).to_numpy() for name in table}
        for each, known in ((table, ()), (table, columns), (objects, ())):
            for text in ("start < end", "start == same", "end - start == 1 / 1440", "start + 1 > end"):
                assert Constraint(text).holds(each, columns=known).all(), (zone, text)
            assert not Constraint("start >= end").holds(each, columns=known).any()
    berlin = pd.DataFrame(
        {"t": pd.Series(pd.to_datetime(["2024-07-01", "2024-07-02"])).dt.tz_localize("Europe/Berlin")}
    )
    assert Constraint("t <= '2024-07-01'").holds(berlin).tolist() == [True, False]  # of the clock of the column
    assert Constraint("t <= '2024-06-30T22:00Z'").holds(berlin).tolist() == [True, False]
    naive = berlin.assign(s=berlin["t"].dt.tz_localize(None))
    for text in ("s <= t", "t - s < 3", "s < '2024-07-01T00:00Z'"):
        with pytest.raises(
            ValueError, match="compares times that have a time zone with times that have none: give both"
        ):
            Constraint(text).holds(naive)


def test_declared_equations_of_dates_and_texts():
    """Encoded dates count from the first one, of each column another."""
    r = np.random.default_rng(0)
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(r.integers(0, 9, 40) * 2, "D")
    end = start + pd.to_timedelta(r.integers(1, 9, 40) * 2 + 0.5, "D")
    table = pd.DataFrame({"start": start, "end": end, "day": (end + pd.Timedelta("36h")).strftime("%d.%m.%Y")})
    table["share"] = [f"{x:.1f} %" for x in (end - start) / pd.Timedelta("1D")]
    schema = Schema.of(table, data=Data(constraints=("day == end + 1.5", "end - start == share"), keep=("share",)))
    found = declared(schema)
    x = schema.unpack(table, torch.float64).numpy()
    assert len(found) == 2 and [column.kind for column in schema.table] == ["date", "date", "date", "number"]
    for equation in found:
        np.testing.assert_allclose(x @ equation.coefficients, equation.offset, atol=1e-9)


@pytest.mark.parametrize("form", ["%H:%M", "%I:%M %p", "%H:%M:%S", "objects"])
def test_times_of_day_and_durations(form):
    r = np.random.default_rng(0)
    day = pd.Series(pd.to_datetime("2024-01-01") + pd.to_timedelta(r.integers(0, 99, 80), "D"))
    start = day + pd.to_timedelta(r.integers(0, 900, 80), "min")
    end = start + pd.to_timedelta(r.integers(1, 500, 80), "min")
    clock = (lambda t: t.dt.time) if form == "objects" else (lambda t: t.dt.strftime(form))
    table = pd.DataFrame({"day": day, "a": clock(start), "b": clock(end), "end": end, "lag": (end - start).map(str)})
    columns, _ = infer(table)
    for text in ("a < b", "b - a == lag", "day + b == end", "lag <= '8:20:00'", "lag < 0.5"):
        assert Constraint(text).holds(table, columns=columns).all(), text
    early = Constraint("a <= '06:30'").holds(table, columns=columns)
    np.testing.assert_array_equal(early, (start - day) <= pd.Timedelta("6h30min"))
    assert 0 < early.sum() < 80 and not Constraint("a > b or a == lag").holds(table, columns=columns).all()
    if form == "objects":
        assert Constraint("a < b").holds(table).all() and not Constraint("b <= a").holds(table).any()


@pytest.mark.parametrize(
    ("rule", "exact"),
    [
        ("missing(c) == (s == 'b')", [True, True, True, False]),  # of an unknown s nothing is violated
        ("if s == 'b' then missing(`c`)", [True, True, True, True]),
        ("not missing(d)", [True, False, True, True]),
        ("missing(c) and missing(d)", [False, True, False, False]),
        ("c > 0 or missing(c)", [True, True, True, True]),
    ],
)
def test_missing_values_can_be_asked_for(rule, exact):
    table = pd.DataFrame({"s": ["a", "b", None, "a"], "c": [1.0, np.nan, np.nan, np.nan], "d": ["x", None, "y", "z"]})
    assert Constraint(rule).holds(table).tolist() == exact
    assert set(Constraint(rule).missing) <= {"c", "d"} and Constraint(rule).missing


@pytest.mark.parametrize(
    "rule", ["missing(c, d)", "missing('c')", "missing()", "~c == 1", "missing(c) + 1", "missing(c.d)"]
)
def test_what_missing_cannot_be_asked_of_is_refused(rule):
    with pytest.raises(ValueError, match="the constraint"):
        Constraint(rule)


def test_questions_that_are_skipped_stay_so():
    """A number that only smokers have: samples keep to it, and gaps of others are not filled; it is said how, by `fit`."""
    rng, count = np.random.default_rng(0), 600
    smoker = rng.choice(["yes", "no", "before"], count, p=[0.3, 0.5, 0.2])
    amount = np.where(smoker == "yes", rng.poisson(12, count), np.nan)
    table = pd.DataFrame({"smoker": smoker, "a day": amount, "age": rng.normal(50, 10, count)})
    rule = "missing(`a day`) == (smoker != 'yes')"
    (said,) = skipped_where(
        np.stack([c.encode(table[c.name]) for c in Schema.of(table).table], 1), Schema.of(table).table
    ).values()
    assert said == rule
    model = scorefield.fit(table, steps=60, data=Data(constraints=(rule,)))
    drawn = model.sample(300, seed=0)
    assert (drawn["a day"].isna() == (drawn["smoker"] != "yes")).all()
    asked = table.head(100).assign(**{"a day": np.nan})
    asked.loc[::7, "smoker"] = None
    filled = model.impute(asked)
    assert (filled["a day"].isna() == (filled["smoker"] != "yes")).all() and not filled["smoker"].isna().any()
    assert filled["smoker"][::7].nunique() > 1


def test_complete_samples_do_not_keep_to_missing_values():
    table = pd.DataFrame({"smoker": [True, False] * 30, "a": np.where(np.arange(60) % 2, np.nan, np.arange(60))})
    data = Data(missing="complete", constraints=("missing(a) == (smoker == False)",))
    with pytest.raises(
        ValueError, match=r"samples are complete, and the constraint .* asks for missing values: leave it out"
    ):
        scorefield.fit(table, steps=1, data=data)


def test_columns_that_miss_values_otherwise_are_not_skipped():
    """One exception is enough; and so is chance, or a column that has as many values as rows."""
    rng, count = np.random.default_rng(0), 600
    smoker = rng.random(count) < 0.4
    table = pd.DataFrame(
        {"smoker": smoker, "number": np.arange(count), "a": np.where(smoker, rng.normal(size=count), np.nan)}
    )
    table.loc[np.flatnonzero(smoker)[0], "a"] = np.nan
    columns = Schema.of(table).table
    x = np.stack([c.encode(table[c.name]) for c in columns], 1)
    assert skipped_where(x, columns) == {}
    assert skipped_where(x[:30], columns) == {}
