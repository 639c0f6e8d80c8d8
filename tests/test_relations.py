"""Exact linear relations: planted ones are found, none is found in noise, and samples keep them to the last bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from scorefield import Training, checkpoint, fit
from scorefield.data import ArrayRows
from scorefield.data.variables import FREE, GIVEN
from scorefield.fitting import Options, prepare
from scorefield.samplers import Sampling
from scorefield.units import Equation, Related, Relation, Relations, Standardize, find_relations

D = torch.float64
NAMES = ["a", "b", "c", "d", "e"]


def found_in(x: np.ndarray, **options: object) -> Relations:
    names = options.pop("names", NAMES[: x.shape[1]])
    return find_relations(ArrayRows(np.ascontiguousarray(x)), names, **options)  # type: ignore[arg-type]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_column(r: np.random.Generator, n: int) -> np.ndarray:
    kinds = (r.normal(size=n), r.integers(0, 9, n), r.lognormal(2, 1, n).round(2), r.integers(0, 2, n))
    return np.asarray(kinds[r.integers(4)], float)


def random_table(seed: int) -> tuple[np.random.Generator, np.ndarray]:
    r = rng(seed)
    n, columns = int(r.integers(60, 2000)), int(r.integers(3, 12))
    return r, np.stack([random_column(r, n) for _ in range(columns)], 1)


def test_planted_relations_are_found():
    """200 tables of mixed columns, each with a random sum of 1 to 4 of them at a random place."""
    for seed in range(200):
        r, x = random_table(seed)
        chosen = r.choice(x.shape[1], r.integers(1, 4), replace=False)
        planted = x[:, chosen] @ r.choice([-1, 1, 2, 0.5, 100], len(chosen)) + r.choice([0, 1, 2.5])
        y = np.insert(x, r.integers(0, x.shape[1] + 1), planted, 1)
        found = find_relations(ArrayRows(y))
        assert len(found.kept) == x.shape[1], seed
        assert not found.violated(torch.from_numpy(y)).any()


def test_no_relation_in_noise():
    for seed in range(200):
        assert not find_relations(ArrayRows(random_table(seed)[1])), seed


@pytest.mark.parametrize(
    ("rows", "columns", "levels"), [(30, 40, 0), (20, 15, 2), (12, 30, 3), (400, 60, 2), (5, 3, 0)]
)
def test_no_relation_in_few_rows(rows, columns, levels):
    """Columns that fit by chance: as many as rows, or of few values."""
    for seed in range(20):
        r = rng(seed)
        x = r.integers(0, levels, (rows, columns)) if levels else r.normal(size=(rows, columns))
        x = x[:, x.min(0) < x.max(0)]  # a constant is a relation
        assert not find_relations(ArrayRows(x)).items, seed


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda a, b, c: [a, b, c, a + b + c], "d = a + b + c"),
        (lambda a, b, c: [a + b + c, a, b, c], "a = b + c + d"),  # the total, which cannot be negative, not a part
        (lambda a, b, c: [a - b, a, b, c], "a = b - c"),  # a difference may be negative
        (lambda a, b, c: [a, b, (a + b) / 2], "c = (a + b) / 2"),
        (lambda a, b, c: [a, 100 * a], "b = 100 a"),
        (lambda a, b, c: [a, 1.8 * a + 32], "b = (9 a + 160) / 5"),
        (lambda a, b, c: [a, a + 273.15], "b = a + 273.15"),
        (lambda a, b, c: [a, b, np.full_like(a, 7.0)], "c = 7"),
        (lambda a, b, c: [a, b, a], "a = c"),
        (lambda a, b, c: [a, -a, b], "b = -a"),
    ],
)
def test_relations_in_words(build, words):
    a, b, c = rng().integers(0, 50, (3, 300)).astype(float)
    assert found_in(np.stack(build(a, b, c), 1)).describe() == (words,)


def test_relations_among_relations():
    """Subtotals and a total: every dependent column is a sum of parts."""
    a, b, c = rng().integers(0, 50, (3, 300)).astype(float)
    found = found_in(np.stack([a + b, c, b, a + b + c, a], 1), names=["sub", "c", "b", "total", "a"])
    assert set(found.describe()) == {"sub = b + a", "total = c + b + a"}


def test_rounded_shares():
    """Shares with two digits that someone made sum to 1 do; those that were rounded one by one do not."""
    shares = rng().dirichlet([1, 1, 1], 500)
    assert not found_in(shares.round(2))
    some = shares[:, :2].round(2)
    exact = np.column_stack([some, (1 - some.sum(1)).round(2)])
    found = found_in(exact)
    assert found.describe() == ("c = 1 - a - b",)
    x = torch.from_numpy(exact)
    assert torch.equal(found.outward(found.inward(x)), x)  # decimals, to the last bit
    exact[321] = [0.33, 0.33, 0.33]
    assert not found_in(exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_precision_of_the_data(dtype):
    x = rng().normal(10, 3, (3000, 3)).astype(dtype)
    sums = np.column_stack([x, x.sum(1)])
    assert found_in(sums).describe() == ("d = a + b + c",)
    sums[:, 3] *= 1 + 40 * np.finfo(dtype).eps * rng(1).normal(size=3000).astype(dtype)
    assert not found_in(sums)


def test_a_relation_that_one_row_breaks():
    x = rng().integers(0, 50, (20_000, 2)).astype(float)
    x = np.column_stack([x, x.sum(1)])
    x[7777, 2] += 1  # not among the rows that are read first
    assert not found_in(x)


def test_columns_with_missing_values_are_left_out():
    x = rng().normal(size=(20_000, 2))
    x = np.column_stack([x, x.sum(1), x[:, 0]])
    x[7777, 1] = np.nan
    assert found_in(x).describe() == ("a = d",)
    assert not found_in(x, candidates=[True, True, True, False])


def test_declared_equations():
    """They need not be certain, and may have missing values; they must hold."""
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0], [np.nan, 1.0, np.nan]])
    assert not found_in(x)
    sums = Equation((1.0, 1.0, -1.0))
    assert found_in(x, declared=[sums, sums]).describe() == ("c = a + b",)
    x[1, 2] = 8
    with pytest.raises(ValueError, match=r"equation of a, b, c does not hold in row 1, where it is off by 1: correct"):
        found_in(x, declared=[sums])


def test_grey_images():
    """Grey photographs stored as RGBA: three equal channels and a constant one."""
    grey = torch.from_numpy(rng().integers(0, 256, (40, 1, 8, 8), dtype=np.uint8))
    x = torch.cat([grey, grey, grey, torch.full_like(grey, 255)], 1)
    found = find_relations(ArrayRows(x), ["red", "green", "blue", "alpha"])
    assert found.describe() == ("red = green = blue", "alpha = 255")
    units = Related(Standardize((1, 8, 8), torch.tensor(128.0), torch.tensor(70.0)), found)
    assert units.shape == (4, 8, 8)
    assert units.state_shape == (1, 8, 8)
    drawn = units.inverse(torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(drawn[:, 0], drawn[:, 1])
    assert torch.equal(drawn[:, 0], drawn[:, 2])
    assert bool((drawn[:, 3] == 255).all())
    torch.testing.assert_close(units.inverse(units(x.float())), x.float())
    assert not find_relations(ArrayRows(torch.cat([grey, grey.flip(0)], 1)))


@pytest.mark.parametrize("rare", [0.2, 3e-4])
def test_one_hot_columns_become_a_category(rare):
    """Also with a level so rare that the rows that are read first lack it."""
    n = 20_000
    codes = np.where(rng().random(n) < rare, 3, rng(1).integers(0, 3, n))
    x = np.insert(np.eye(4)[codes], 1, rng(2).normal(size=n), 1)
    found = found_in(x)
    assert found.describe() == ("one of a, c, d, e is 1 in every row: a category",)
    assert found.kept == (0, 1)
    assert found.levels == (4, 0)
    data = torch.from_numpy(x)
    inner = found.inward(data)
    assert torch.equal(inner[:, 0], torch.from_numpy(codes).double())
    assert torch.equal(found.outward(inner), data)
    noisy = found.outward(torch.tensor([[1.4, 0.0], [2.6, 0.0]], dtype=D))
    assert torch.equal(noisy[:, [0, 2, 3, 4]], torch.eye(4, dtype=D)[[1, 3]])


def test_sums_of_one_hot_columns():
    """Regions and their countries: the countries are one category, which gives the regions."""
    countries = np.eye(4)[rng().integers(0, 4, 500)]
    x = np.column_stack([countries[:, :2].sum(1), countries[:, 2:].sum(1), countries])
    found = find_relations(ArrayRows(x))
    assert found.kept == (2,)
    assert found.levels == (4,)
    assert torch.equal(found.outward(found.inward(torch.from_numpy(x))), torch.from_numpy(x))


def sums_of(inner: Sequence[float] = (20.0, 20.0), **more: object) -> Related:
    relations = Relations(3, (Relation(2, (0, 1), (1, 1)),), names=("a", "b", "total"), **more)  # type: ignore[arg-type]
    return Related(Standardize((2,), torch.tensor(inner, dtype=D), torch.tensor([9.0, 4.0], dtype=D)), relations)


def test_whole_numbers_stay_whole_and_in_their_bounds():
    units = sums_of(whole=(0, 1), low=(0, 0, 0), high=(25, None, None))
    x = units.inverse(torch.randn(5000, 2, dtype=D, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(x, x.round())
    assert torch.equal(x[:, 0] + x[:, 1], x[:, 2])
    assert float(x[:, 0].min()) == 0
    assert float(x[:, 0].max()) == 25


def test_round_trips_and_volume():
    units = sums_of()
    state = torch.randn(50, 2, dtype=D, generator=torch.Generator().manual_seed(0))
    x = units.inverse(state)
    torch.testing.assert_close(units(x), state, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(units.log_volume(x), units.inner.log_volume(x[:, :2]))
    jacobian = torch.autograd.functional.jacobian(lambda s: units.inverse(s[None])[0], state[0])
    torch.testing.assert_close(jacobian, torch.tensor([[9.0, 0.0], [0.0, 4.0], [9.0, 4.0]], dtype=D))
    off = x + torch.tensor([0.0, 0.0, 0.01], dtype=D)
    assert bool((units.log_volume(off) == -torch.inf).all())


def test_gradients_pass_where_sums_are_rounded():
    relations = Relations(3, (Relation(2, (0, 1), (1, 1), digits=1),), whole=(0,))
    inner = torch.tensor([[0.3, 0.2]], dtype=D, requires_grad=True)
    relations.outward(inner)[0, 2].backward()
    assert inner.grad is not None
    assert inner.grad.tolist() == [[1.0, 1.0]]


def test_a_sum_of_decimals_is_a_decimal():
    x = torch.tensor([[0.1, 0.2], [0.7, 0.1], [0.12345, 0.2]], dtype=D)
    sums = Relation(2, (0, 1), (1, 1), digits=1).value(x)
    assert sums[:2].tolist() == [0.3, 0.8]
    assert float(sums[2]) == 0.12345 + 0.2  # not a decimal of one digit: as it is
    assert float(Relation(2, (0, 1), (1, 1)).value(x)[0]) != 0.3


def test_dependent_columns_beyond_their_bounds():
    relations = Relations(3, (Relation(2, (0, 1), (-1, -1), 1),), low=(0, 0, 0), high=(1, 1, 1))
    x = relations.outward(torch.tensor([[0.2, 0.3], [0.7, 0.4], [0.9, 0.1]], dtype=D))
    assert relations.outside(x).tolist() == [False, True, False]


class Recorded(Standardize):
    """Keeps what it is asked about."""

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        self.place = place
        return super().forward(x, place)


def test_places_are_those_of_the_independent_columns():
    inner = Recorded((2,))
    units = Related(inner, Relations(3, (Relation(1, (0, 2), (1, 1)),)))
    place = torch.rand(4, 3)
    units(torch.zeros(4, 3), place)
    assert torch.equal(inner.place, place[:, [0, 2]])


def test_status():
    units = sums_of()
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=D)
    some = torch.tensor([[True, False, False], [True, True, True]])
    assert units.status(some, x.expand(2, 3)).tolist() == [[GIVEN, FREE], [GIVEN, GIVEN]]
    message = r"total is given, and it follows from others \(total = a \+ b\): give a, b in its place"
    with pytest.raises(ValueError, match=message):
        units.status(torch.tensor([[True, False, True]]), x)


def test_status_of_one_hot_columns():
    units = Related(Standardize((2,)), Relations(4, (), ((0, 1, 2),), names=("a", "b", "c", "d")))
    x = torch.tensor([[0.0, 1.0, 0.0, 5.0]], dtype=D)
    for known, expected in (
        ([0, 1, 0, 0], [1, 0]),
        ([1, 0, 1, 0], [1, 0]),
        ([0, 0, 0, 1], [0, 1]),
        ([1, 1, 1, 1], [1, 1]),
    ):
        assert units.status(torch.tensor([known]).bool(), x).tolist() == [expected]
    with pytest.raises(
        ValueError, match=r"the given ones of a, b, c do not say which of them is 1: give the one that is 1"
    ):
        units.status(torch.tensor([[True, False, False, False]]), x)


def test_values_that_contradict_a_relation():
    """They are named, of any of the rows; what is not known contradicts nothing."""
    units = sums_of()
    x = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]], dtype=D)
    known = torch.ones(2, 3)
    assert units.contradiction(x, known) == "total = a + b" and units.contradiction(x[:1], known[:1]) is None
    for column in range(3):
        assert units.contradiction(x, torch.arange(3).expand(2, 3) != column) is None
    groups = Related(Standardize((2,)), Relations(4, (), ((0, 1, 2),), names=("a", "b", "c", "d")))
    wrong = torch.tensor([[1.0, 1.0, 0.0, 5.0]], dtype=D)
    assert groups.contradiction(wrong, torch.ones(1, 4)) == "one of a, b, c is 1 and the others 0"
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["a", "b"])
    model = fit(table.assign(total=table.a + table.b), training=Training(steps=5))
    with pytest.raises(
        ValueError, match=r"^the values that are given contradict total = a \+ b, which holds in every row"
    ):
        model.condition(a=1.0, b=2.0, total=5.0)
    first = model.condition(a=1.0, b=2.0)
    with pytest.raises(ValueError, match=r"^the values that are given contradict"):
        first.condition(total=5.0)
    assert float(first.condition(total=3.0, a=2.0, b=1.0).sample(1)["a"].iloc[0]) == 2


@pytest.mark.parametrize(
    ("columns", "expected"),
    [((1, 0, 0, 0), (0, 0)), ((1, 1, 1, 0), (1, 0)), ((0, 0, 0, 1), (0, 1)), ((1, 1, 1, 1), (1, 1))],
)
def test_variables_of_one_hot_columns(columns, expected):
    """The category is of all columns of its group together."""
    units = Related(Standardize((2,)), Relations(4, (), ((0, 1, 2),), names=("a", "b", "c", "d")))
    assert tuple(units.variables_of(torch.tensor(columns)).long().tolist()) == expected
    assert sums_of().variables_of(torch.tensor([True, False, True])).tolist() == [True, False]


def test_units_on_disk(tmp_path):
    units = sums_of(whole=(0,), low=(0, None, None))
    checkpoint.save(units, tmp_path / "units.safetensors")
    again = checkpoint.load(tmp_path / "units.safetensors")
    assert isinstance(again, Related)
    assert again.relations == units.relations
    state = torch.randn(5, 2, dtype=D)
    assert torch.equal(again.inverse(state), units.inverse(state))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Relation(0, (1, 2), (1.0,)), "2 columns need as many coefficients, got 1"),
        (lambda: Relation(0, (1,), (1.0,), divisor=0), "divided by a positive whole number, got 0"),
        (
            lambda: Relations(3, (Relation(0, (1,), (1,)), Relation(1, (2,), (1,)))),
            r"columns \[1\] are given by a relation",
        ),
        (lambda: Relations(3, (), ((0, 1), (1, 2))), r"columns \[1\] are given by a relation"),
        (lambda: Relations(2, (Relation(2, (0,), (1,)),)), r"there are 2 columns, got relations of \[0, 2\]"),
        (
            lambda: Related(Standardize((3,)), Relations(3, (Relation(2, (0,), (1,)),))),
            "2 of 3 columns are independent, got",
        ),
        (lambda: Related(Standardize((1, 4)), Relations(3, (), ((0, 1, 2),))), "one-hot groups are of tables"),
    ],
)
def test_mistakes(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_relation_with_gaps_is_named_and_not_kept():
    """It holds in every row without gaps; samples do not keep it, which nobody said."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.gamma(2, 20, 600).round(2), "b": rng.gamma(2, 3, 600).round(2)})
    frame["sum"] = (frame["a"] + frame["b"]).round(2)
    said = [c.value for c in prepare(frame, Options()).choices if c.name == "relation" and "is kept" in c.reason]
    assert said == ["sum = a + b"]
    frame.loc[rng.random(600) < 0.06, "a"] = np.nan
    said = [c for c in prepare(frame, Options()).choices if c.name == "relation"]
    assert [c.value for c in said] == ["sum = a + b"] and "is not kept: a column misses values" in said[0].reason
    frame.loc[5, "sum"] += 1
    assert not [c for c in prepare(frame, Options()).choices if c.name == "relation"]


def test_relations_of_dates_are_not_formulas_of_periods():
    """Dates are counted in periods since the first one: end = 900 start + duration - 158 means nothing to a reader."""
    start = pd.Timestamp("2024-03-31") + pd.to_timedelta(rng().integers(0, 2000, 600) * 15, "min")
    frame = pd.DataFrame({"start": start, "duration": pd.to_timedelta(rng(1).integers(1, 500, 600), "s")})
    frame["end"] = frame["start"] + frame["duration"]
    frame["due"] = frame["start"] + pd.Timedelta("7D")
    said = [c.value for c in prepare(frame, Options()).choices if c.name == "relation"]
    assert said == ["due follows from start", "end follows from start and duration"]
    frame.loc[::20, "duration"] = pd.NaT
    said = [c.value for c in prepare(frame, Options()).choices if c.name == "relation"]
    assert sorted(said) == ["due follows from start", "end follows from start and duration"]


def composition(alpha: Sequence[float] = (2, 3, 5), digits: int | None = 3) -> pd.DataFrame:
    shares = rng().dirichlet(alpha, 600)
    table = pd.DataFrame(shares if digits is None else shares.round(digits), columns=["p1", "p2", "p3"])
    table["p3"] = 1 - table.p1 - table.p2 if digits is None else (1 - table.p1 - table.p2).round(digits)
    return table


def far_states(units: Related) -> Tensor:
    return 3 * torch.randn(4000, *units.state_shape, dtype=D, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("digits", [None, 3])
def test_parts_that_are_nowhere_negative_stay_so(digits):
    """The column that follows is redrawn where it is negative, and the others are reflected: none piles up at 0."""
    prepared = prepare(composition(digits=digits), Options())
    units, names = prepared.whole_units, prepared.schema.columns
    assert prepared.relations.describe() == ("p3 = 1 - p1 - p2",) and names == ("p1", "p2", "p3")
    x = units.inverse(far_states(units))
    outside = units.outside(x)
    assert torch.equal(outside, x[:, 2] < -1e-12) and 0.1 < float(outside.double().mean()) < 0.9
    assert bool((x[:, :2] >= 0).all()) and (digits == 3 or bool((x[:, :2] > 0).all()))  # 0.0003 is 0.000
    assert float(prepared.schema.table[2].decode(np.array([-1e-17]))[0]) == 0
    assert bool(prepared.schema.table[2].impossible(np.array([-0.1]))[0])
    rows = torch.tensor([[0.2, 0.3, 0.5], [0.7, 0.5, -0.2]], dtype=D)
    assert units.log_volume(rows).isfinite().tolist() == [True, False]


def test_an_upper_bound_of_what_follows():
    """Per cent up to 100 that crowd there, of which the sum is a half: the bounds that they would have by themselves."""
    left = np.sqrt(rng().uniform(0, 40_000, 3000)).round(1).clip(0, 199.9)
    right = np.minimum(200 - left, rng(1).uniform(0, 200, 3000)).round(1)
    table = pd.DataFrame({"left": left, "right": right, "mean": (left + right) / 2})
    relations = prepare(table, Options()).relations
    assert relations.describe() == ("mean = (left + right) / 2",)
    assert (relations.low[2], relations.high[2]) == (0, 100)
    x = relations.outward(torch.tensor([[90.0, 100.0], [150.0, 70.0]], dtype=D))
    assert relations.outside(x).tolist() == [False, True]


def test_a_total_may_lie_above_the_data_and_needs_no_check():
    parts = rng().integers(0, 80, (300, 2))
    prepared = prepare(pd.DataFrame({"a": parts[:, 0], "b": parts[:, 1], "total": parts.sum(1)}), Options())
    assert prepared.relations.low[2] == 0 and prepared.relations.high[2] is None
    assert prepared.whole_units.outside is None
    assert prepared.schema.table[2].decode(np.array([170.0]))[0] == 170


@pytest.mark.parametrize(("alpha", "words"), [((5, 3, 2), "p1 = 1 - p2 - p3"), ((1, 1, 1), "p3 = 1 - p1 - p2")])
def test_the_part_that_is_farthest_from_0_follows(alpha, words):
    assert prepare(composition(alpha), Options()).relations.describe() == (words,)


def test_known_values_that_lead_beyond_a_bound():
    """In a condition they are refused; in a table with gaps they are a mistake, and the rest is filled."""
    model = fit(composition(), training=Training(steps=5))
    with pytest.raises(ValueError, match=r"contradict p3 = 1 - p1 - p2, p3 being 0 or more, which holds"):
        model.condition(p1=0.6, p2=0.5)
    both = torch.tensor([[0.7, 0.0, 0.5], [0.7, 0.0, 0.2]], dtype=D), torch.tensor([[True, False, True]] * 2)
    assert model.standardize.contradiction(*both) == "p3 = 1 - p1 - p2, p2 being 0 or more"
    assert model.standardize.contradicting(*both).tolist() == [[True, False, True], [False] * 3]
    with pytest.raises(ValueError, match=r"column 'p3' takes numbers of 0 or more with 3 decimals, got -0.1"):
        model.condition(p3=-0.1)
    lost = np.nan
    gaps = pd.DataFrame({"p1": [0.6, 1.2, 0.2, 0.7], "p2": [0.5, lost, lost, lost], "p3": [lost, lost, lost, 0.5]})
    with pytest.warns(UserWarning, match=r"^known values contradict p3 = 1 - p1 - p2, p3 being 0 or more in 3"):
        filled = model.impute(gaps, sampler=Sampling(steps=8))
    assert filled.p1.tolist() == [0.6, 1.2, 0.2, 0.7] and filled.p2[0] == filled.p3[3] == 0.5
    assert bool((filled >= 0).all().all()) and float(filled.sum(axis=1)[2]) == pytest.approx(1)
    drawn = model.sample(500)
    assert bool((drawn >= 0).all().all()) and float((drawn.sum(axis=1) - 1).abs().max()) < 1e-12
