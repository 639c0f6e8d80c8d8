"""Exact functions of one column: planted ones are found, none is found by chance, and samples keep them in every row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import scorefield
from scorefield import Data, Model, Training, checkpoint, fit
from scorefield.cli import main
from scorefield.data import ArrayRows
from scorefield.data.variables import ABSENT, FREE, GIVEN
from scorefield.fitting import Options, prepare
from scorefield.units import (
    ColumnFunction,
    ColumnMap,
    ColumnUnits,
    Related,
    Relation,
    Relations,
    Standardize,
    find_functions,
)
from scorefield.units.finding_functions import simplest_between

D = torch.float64
COUNTRY = {"Paris": "FR", "Lyon": "FR", "Nice": "FR", "Madrid": "ES", "Sevilla": "ES", "Roma": "IT", "Milano": "IT"}
LABEL = {0: "none", 1: "low", 2: "middle", 3: "high"}


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed or 0)


def group(age: pd.Series) -> pd.Series:
    return pd.cut(age, [0, 25, 45, 65, 200], labels=["young", "adult", "older", "old"]).astype(str)


def table(n: int = 500, seed: int = 0) -> pd.DataFrame:
    r = rng(seed)
    frame = pd.DataFrame({"city": r.choice(list(COUNTRY), n), "age": r.normal(45, 18, n).round().clip(18, 80)})
    frame = frame.astype({"age": int}).assign(country=frame.city.map(COUNTRY), group=group(frame.age))
    frame["weekday"] = r.integers(0, 7, n)
    frame["weekend"] = frame.weekday >= 5
    frame["code"] = r.binomial(3, 0.4, n)
    frame["label"] = frame.code.map(LABEL)
    return frame.assign(income=r.gamma(3, 10, n) + frame.age)


def obeys(frame: pd.DataFrame) -> dict[str, bool]:
    return {
        "country": bool((frame.city.map(COUNTRY) == frame.country).all()),
        "group": bool((group(frame.age) == frame.group).all()),
        "weekend": bool(((frame.weekday >= 5) == frame.weekend).all()),
        "label": bool((frame.code.map(LABEL) == frame.label).all()),
    }


@pytest.fixture(scope="module")
def model() -> Model:
    return fit(table(), training=Training(steps=40))


def found_in(x: np.ndarray, sizes: list[int], known: Relations | None = None) -> set[tuple[int, int]]:
    """The source and the target of each function."""
    functions = find_functions(ArrayRows(x), sizes, [True] * len(sizes), known or Relations(len(sizes)))
    assert not any(f.violated(torch.from_numpy(x)).any() for f in functions)
    return {(f.source, f.target) for f in functions}


def codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


@pytest.mark.parametrize("n", [60, 300, 2000])
def test_planted_functions_are_found(n):
    for seed in range(20):
        r = rng(seed, n)
        city, age, day, mass = r.integers(0, 12, n), r.integers(18, 80, n), r.integers(0, 7, n), r.normal(27, 5, n)
        city = codes(city)
        label = codes(r.permutation(12)[city])
        x = [city, city // 4, age, np.digitize(age, [25, 45, 65]), day, codes(day >= 5), label]
        x += [mass, np.digitize(mass, [18.5, 25, 30])]
        sizes = [city.max() + 1, city.max() // 4 + 1, 0, 0, 0, 2, label.max() + 1, 0, 0]
        found = found_in(np.stack(x, 1).astype(float), sizes)
        expected = {(0, 1), (0, 6), (2, 3), (7, 8), (4, 5)}
        assert found >= expected - ({(2, 3), (7, 8), (4, 5)} if n == 60 else set()), seed
        assert found <= expected, seed


def independent(r: np.random.Generator, n: int) -> tuple[np.ndarray, list[int]]:
    numbers = [r.normal(size=n), r.gamma(2, 20, n).round(2), r.integers(0, 7, n), r.poisson(3, n), np.arange(n)]
    numbers += [r.permutation(n) + 1000, r.random(n) < 0.02, np.sort(r.normal(size=n)), r.normal(size=n).round(1)]
    kinds = [r.random(n) < 0.5, r.random(n) < 2 / n, r.integers(0, max(2, n // 3), n), r.zipf(1.5, n) % 200]
    kinds += [r.choice(3, n, p=[0.98, 0.01, 0.01]), r.integers(0, 30, n), np.arange(n)]
    columns = [*numbers, *map(codes, kinds)]
    sizes = [0] * len(numbers) + [int(codes(k).max()) + 1 for k in kinds]
    varies = [i for i, c in enumerate(columns) if len(set(c.tolist())) > 1]
    return np.stack([columns[i] for i in varies], 1).astype(float), [sizes[i] for i in varies]


def test_no_function_in_independent_columns():
    """Of 210 tables, for which one in a million is allowed: constants nearly, identifiers, few rows, many levels."""
    for n, tables in ((30, 80), (100, 80), (1000, 40), (9000, 10)):
        for seed in range(tables):
            assert not found_in(*independent(rng(seed, n), n)), (n, seed)


def test_no_function_that_one_row_breaks():
    """Though all of the rows that are read first have it."""
    n = 20_000
    city = rng().integers(0, 12, n)
    x = np.stack([city, city // 4, rng(1).normal(size=n)], 1)
    assert found_in(x, [12, 3, 0]) == {(0, 1)}
    x[next(i for i in range(n) if i not in np.linspace(0, n - 1, 8192).round()), 1] = 7
    assert not found_in(x, [12, 8, 0])


def test_noise_near_a_cut_is_no_step_function():
    """Labels that overlap: no unseen value of the source may be given the label of its neighbours."""
    for seed in range(50):
        z = rng(seed).normal(size=2000)
        noisy = z + 0.05 * rng(seed, 1).normal(size=2000) > 0
        assert not found_in(np.stack([z, noisy], 1).astype(float), [0, 2])
        assert found_in(np.stack([z, z > 0], 1).astype(float), [0, 2]) == {(0, 1)}


def test_whole_numbers_with_gaps_are_no_source_of_a_value_each():
    """A code that is not in the data would get the label of another; the label is a source as it stands."""
    code = rng().integers(0, 9, 500)
    x = np.stack([code * 10, rng(1).permutation(9)[code]], 1).astype(float)
    assert found_in(x, [0, 9]) == {(1, 0)}
    x[:, 0] = code
    assert found_in(x, [0, 9]) == {(1, 0)} and found_in(x, [0, 0]) == {(0, 1)}
    assert not found_in(np.stack([code * 10, rng(1).permutation(9)[code] * 7], 1).astype(float), [0, 0])


def test_months_of_dates_without_some_days():
    """A month has many cells of a date, each of many days."""
    date = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng().integers(0, 1400, 3000), "D")
    frame = pd.DataFrame(
        {"date": date, "month": date.month, "year": date.year, "day": date.day_name(), "x": rng(1).normal(size=3000)}
    )
    relations = prepare(frame, Options()).relations
    assert relations.describe() == ("month is determined by date", "year is determined by date")


def test_rows_may_have_any_order():
    x = np.stack([codes(table()[c]) for c in table()], 1).astype(float)[:, :8]
    sizes = [7, 0, 3, 4, 0, 2, 0, 4]
    found = {(0, 2), (1, 3), (4, 5), (7, 6)}
    for seed in range(20):
        assert found_in(x[rng(seed).permutation(len(x))], sizes) == found
    back = np.arange(7, -1, -1)
    assert found_in(x[:, back], [sizes[i] for i in back]) == {(7 - s, 7 - t) for s, t in found}


def test_several_sources_and_chains():
    """A source that nothing determines is preferred, and of columns that determine each other a category stays."""
    city = rng().integers(0, 24, 3000)
    state, country = city // 3, city // 12
    x = np.stack([country, 1 - country, state, city, state], 1).astype(float)
    assert found_in(x, [2, 2, 8, 24, 0]) == {(0, 1), (3, 0), (3, 2), (2, 4)}


def test_a_total_may_be_a_source_and_terms_are_no_targets():
    parts = rng().integers(0, 80, (2000, 2))
    total = parts.sum(1)
    x = np.stack([parts[:, 0], parts[:, 1], total, total > 100], 1).astype(float)
    known = Relations(4, (Relation(2, (0, 1), (1, 1)),))
    assert found_in(x, [0, 0, 0, 2], known) == {(2, 3)}
    assert not found_in(x[:, [0, 1, 2]], [0, 0, 0], Relations(3, known.items))
    frame = pd.DataFrame({"a": parts[:, 0], "b": parts[:, 1], "total": total, "large": total > 100})
    prepared = prepare(frame, Options())
    assert prepared.relations.describe() == ("total = a + b", "large is determined by total")
    units = prepared.whole_units
    rows = units.inverse(torch.randn(500, *units.state_shape, dtype=D, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(rows[:, 3], (rows[:, 2] > 100).double()) and torch.equal(rows[:, 2], rows[:, 0] + rows[:, 1])
    given = torch.tensor([[60.0, 0.0, 0.0, 1.0], [60.0, 70.0, 0.0, 0.0], [60.0, 0.0, 90.0, 1.0]], dtype=D)
    flags = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 1, 1]]).bool()
    assert units.contradiction(given[:1], flags[:1]) is None
    assert units.contradicting(given, flags).any(1).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (24.97, 25.03, 25),
        (24.9, 25.0, 25),
        (25.0, 25.1, 25.1),
        (25, 26, 26),
        (190, 210, 200),
        (-0.3, 0.2, 0),
        (-26, -25, -25),
    ],
)
def test_cuts_are_simple_decimals(low, high, expected):
    assert simplest_between(low, high) == expected


@pytest.mark.parametrize("stored", ["float64", "float32"])
@pytest.mark.parametrize("digits", [0, 1, 2, None])
@pytest.mark.parametrize("right", [False, True])
def test_a_value_at_a_cut_belongs_to_the_cell_of_the_data(stored, digits, right):
    """In float32 and in float64, whichever of the two the data have."""
    x = rng().normal(25, 4, 4000)
    x = x if digits is None else x.round(digits)
    label = np.digitize(x, [20, 25, 30.5], right=right)
    rows = np.stack([x.astype(stored).astype(float), label], 1)
    functions = find_functions(ArrayRows(rows), [0, 0], [True] * 2, Relations(2))
    assert len(functions) == 1 and len(functions[0].values) == 4
    whole = torch.from_numpy(np.unique(x))
    expected = np.digitize(np.unique(x), [20, 25, 30.5], right=right).tolist()
    for dtype in (D, torch.float32) if digits is not None else (D,):
        assert (
            functions[0].of(whole.to(dtype)).tolist() == functions[0].of(whole.to(dtype).double()).tolist() == expected
        )


def test_samples_obey_all_functions(model):
    assert model.standardize.relations.describe() == (
        "country is determined by city",
        "group is determined by age",
        "weekend is determined by weekday",
        "label and code determine each other",
    )
    assert all(obeys(model.sample(1000)).values())
    said = [c.value for c in model.about["choices"] if c.name == "relation"]
    assert said == list(model.standardize.relations.describe())


GIVEN_VALUES = (
    {"country": "ES"},
    {"city": "Nice"},
    {"group": "old", "country": "IT"},
    {"weekend": True},
    {"label": "high"},
    {"code": 2, "age": 30},
)


@pytest.mark.parametrize("values", GIVEN_VALUES, ids=str)
def test_conditions_in_both_directions(model, values):
    drawn = model.condition(**values).sample(60)
    assert all(obeys(drawn).values())
    assert all((drawn[name] == value).all() for name, value in values.items())


def test_given_values_that_contradict_a_function(model):
    for values, words in (
        ({"city": "Nice", "country": "ES"}, "country is determined by city"),
        ({"age": 20, "group": "old"}, "group is determined by age"),
        ({"code": 1, "label": "high"}, "label and code determine each other"),
    ):
        with pytest.raises(
            ValueError, match=f"^the values that are given contradict {words}, which holds in every row"
        ):
            model.condition(**values)


def test_targets_of_one_source_that_have_no_value_in_common():
    """A country and a continent, without the city; and where they leave one city, it is known."""
    functions = (
        ColumnFunction(1, 0, (0.5, 1.5, 2.5), (0, 1, 1, 2), (0, 1, 2, 3)),
        ColumnFunction(2, 0, (1.5,), (0, 1)),
    )
    relations = Relations(3, (), functions=functions, names=("city", "country", "continent"))
    x = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 2.0, 0.0]], dtype=D)
    known = torch.tensor([[False, True, True]] * 3 + [[False, True, False]])
    words = [(words, rows.nonzero()[:, 0].tolist()) for words, _, rows in relations.disagreeing(x, known) if rows.any()]
    assert words == [("country is determined by city and continent is determined by city", [0])]
    values, flags = relations.derived(x, known)
    assert flags[:, 0].tolist() == [False, True, True, True] and values[1:, 0].tolist() == [2, 1, 3]
    assert flags[3, 2] and values[3, 2] == 1


@pytest.mark.slow
def test_gaps_are_filled_by_functions(model):
    whole = table(60, seed=1)
    gaps = whole.astype({"code": float, "weekday": float}).copy()
    for k, name in enumerate(("city", "country", "label", "code", "weekday", "group")):
        gaps.loc[rng(k).random(60) < 0.4, name] = None
    filled = model.impute(gaps)
    assert all(obeys(filled).values())
    for name in gaps:
        assert (filled[name][gaps[name].notna()] == whole[name][gaps[name].notna()]).all()
    gaps.loc[0, ["city", "country"]] = ["Nice", "ES"]
    gaps.loc[0, "group"] = None
    with pytest.warns(UserWarning, match=r"^known values contradict country is determined by city in 1 row"):
        filled = model.impute(gaps)
    assert filled.loc[0, ["city", "country"]].tolist() == ["Nice", "ES"] and bool(filled.notna().all().all())


@pytest.mark.slow
def test_log_probabilities(model):
    """They are those of the columns that determine the others: no more of those that follow, and none where one does not."""
    rows = table(3, seed=2)
    density, value = model.density(), model.log_prob(rows).value
    own = ["city", "age", "weekday", "code", "income"]
    assert torch.allclose(density.marginal(rows[own], own).value, value, atol=1e-6)
    lost = rows.assign(country=["FR" if c != "FR" else "ES" for c in rows.country])
    assert bool((model.log_prob(lost).value == -torch.inf).all())
    for one, other in (("code", "label"), ("label", "code")):
        assert density.conditional(rows, [one]).value.tolist() == pytest.approx(
            density.conditional(rows, [other]).value.tolist()
        )
        assert density.marginal(rows[[one]], [one]).value.tolist() == pytest.approx(
            density.marginal(rows[[other]], [other]).value.tolist()
        )
    both = density.marginal(rows[["city"]], ["city"]).value + density.conditional(rows, ["city"]).value
    assert torch.allclose(both, value, atol=0.05)  # the chain rule, of another order


def test_a_column_that_is_one_to_one_changes_nothing():
    """The model is that of the table without it, to the bit."""
    short = {country: country.lower() for country in COUNTRY.values()}
    frame = table(300)[["country", "income"]]
    both = frame.assign(short=frame.country.map(short))
    with_it, without = (fit(each, data=Data(split="time"), training=Training(steps=20)) for each in (both, frame))
    drawn = with_it.sample(200)
    pd.testing.assert_frame_equal(drawn.drop(columns="short"), without.sample(200))
    assert (drawn.country.map(short) == drawn.short).all()
    assert torch.equal(with_it.log_prob(both[:4]).value, without.log_prob(frame[:4]).value)


def test_models_on_disk_and_latents(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    again = scorefield.load(tmp_path / "model.safetensors")
    assert again.standardize.relations == model.standardize.relations
    pd.testing.assert_frame_equal(again.sample(50), model.sample(50))
    rows = table(5, seed=3)
    decoded = model.decode(model.encode(rows))
    pd.testing.assert_frame_equal(decoded.drop(columns="income"), rows.drop(columns="income"), check_dtype=False)


def test_targets_that_are_determined_or_determine():
    data = Data(targets=("country", "city", "label", ("weekend", "weekday")))
    prepared = prepare(table(), Options(data))
    units, relations = prepared.whole_units, prepared.relations
    names = [prepared.schema.columns[c] for c in relations.kept]
    variables = {n: int(units.inner.variables_of(torch.tensor([m == n for m in names])).nonzero()[0]) for n in names}
    city, both = prepared.asked  # a country given its city, and a label given its code, are known
    assert city[variables["city"]] == FREE and city[variables["country"]] == GIVEN
    assert (
        both[variables["weekday"]] == FREE and both[variables["weekend"]] == FREE and both[variables["group"]] == ABSENT
    )
    model = fit(table(), data=data, training=Training(steps=5))
    assert set(model.condition(city="Lyon", label="low").sample(20).country) == {"FR"}


def test_functions_are_not_sought_with_plain_maps():
    assert not prepare(table(), Options(Data(maps="affine"))).relations


def test_columns_with_gaps_take_no_part():
    frame = table()
    frame.loc[3, "city"] = None
    assert "country is determined by city" not in prepare(frame, Options()).relations.describe()


def lookup() -> Related:
    """A category of four levels, a boolean that it determines, and a number that is one to one with it."""
    functions = (
        ColumnFunction(1, 0, (0.5, 1.5, 2.5), (0, 0, 1, 1), (0, 1, 2, 3)),
        ColumnFunction(2, 0, (0.5, 1.5, 2.5), (5, 3, 9, 7), (0, 1, 2, 3)),
    )
    relations = Relations(3, (), functions=functions, names=("kind", "flag", "code"))
    return Related(ColumnUnits((ColumnMap(levels=4), ColumnMap(levels=2))), relations)


def test_units():
    units = lookup()
    assert units.relations.kept == (0, 1) and units.state_shape == (6,)
    state = torch.randn(200, 6, dtype=D, generator=torch.Generator().manual_seed(0))
    x = units.inverse(state)
    assert torch.equal(x[:, 1], (x[:, 0] >= 2).double()) and not units.outside(x).any()
    assert torch.equal(units.inverse(units(x)), x)
    for column in (1, 2):
        wrong = x.clone()
        wrong[:, column] = torch.where(x[:, column] == 0, 1.0, 0.0)
        assert bool(units.outside(wrong).all()) and bool((units.log_volume(wrong) == -torch.inf).all())
    assert units.smooth.tolist() == [False, False, False]
    lost = x.clone()
    lost[:, 0] = torch.nan
    assert torch.equal(units(lost), units(x))  # the code says it


@pytest.mark.parametrize(
    ("known", "expected"),
    [((1, 0, 0), (GIVEN, ABSENT)), ((0, 1, 0), (FREE, GIVEN)), ((0, 0, 1), (GIVEN, ABSENT)), ((0, 0, 0), (FREE, FREE))],
)
def test_status(known, expected):
    units, x = lookup(), torch.tensor([[2.0, 1.0, 9.0]], dtype=D)
    flags = torch.tensor([known]).bool()
    assert tuple(units.status(flags, x)[0].tolist()) == expected
    drawn = torch.tensor([[0.0, 0.0, 5.0]], dtype=D)
    found = units.with_known(drawn, x, flags)
    assert torch.equal(found[flags], x[flags])
    assert bool(units.outside(found)) == (known == (0, 1, 0))


def test_on_disk(tmp_path):
    units = lookup()
    checkpoint.save(units, tmp_path / "units.safetensors")
    again = checkpoint.load(tmp_path / "units.safetensors")
    assert isinstance(again, Related) and again.relations == units.relations


def pair(target: int = 1, source: int = 0) -> ColumnFunction:
    return ColumnFunction(target, source, (0.5,), (0, 1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ColumnFunction(1, 0, (0.5,), (1,)), "1 cuts make 2 cells, .* got 1 values and 0 points"),
        (lambda: ColumnFunction(1, 0, (0.5, 0.5), (0, 1, 2)), "cuts between cells must increase"),
        (lambda: Relations(3, functions=(pair(2, 1), pair(1, 0))), "column 2 cannot be a function of column 1"),
        (lambda: Relations(2, functions=(pair(1, 0), pair(1, 0))), "column 1 cannot be a function of column 0"),
        (lambda: Relations(3, (Relation(2, (1,), (1,)),), functions=(pair(),)), "column 1 cannot be a function"),
        (lambda: Relations(2, functions=(pair(2, 0),)), r"2 columns, got a function of \[0, 2\]"),
        (lambda: Related(Standardize((2,)), Relations(2, functions=(pair(),))), "need units of numbers and categories"),
    ],
)
def test_mistakes(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_on_the_command_line(tmp_path, capsys):
    """A file in, a file out: the relations are said, kept, and given values are."""
    source, drawn = tmp_path / "x.csv", tmp_path / "drawn.csv"
    table(300).to_csv(source, index=False)
    run = str(tmp_path / "run")
    assert main(["fit", str(source), "-o", run, "--steps", "20"]) == 0
    assert "relation: country is determined by city" in capsys.readouterr().err
    assert main(["info", run]) == 0
    assert "label and code determine each other" in capsys.readouterr().out
    assert main(["sample", run, "-n", "30", "--given", "country=IT", "-o", str(drawn)]) == 0
    found = pd.read_csv(drawn)
    assert all(obeys(found).values()) and set(found.country) == {"IT"}
