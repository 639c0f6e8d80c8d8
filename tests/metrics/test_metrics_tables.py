"""Typed columns, one by one and in pairs, against scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.metrics import association_test, column_test, joint_test, table_pool, table_tests
from scorefield.metrics.association import chi_square, cramer, spearman
from scorefield.metrics.columns import TableColumn, stacked_columns


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def draw(n, rng):
    a = rng.normal(size=n)
    return {
        "length": a,
        "weight": a + rng.normal(size=n),
        "count": rng.poisson(2, size=n),
        "kind": rng.choice(list("xyz"), size=n, p=[0.5, 0.3, 0.2]),
        "flag": a > 0.3,
    }


def test_columns_have_types(rng):
    pandas = pytest.importorskip("pandas")
    first, second = draw(50, rng), draw(40, rng)
    for tables in ((first, second), (pandas.DataFrame(first), pandas.DataFrame(second))):
        columns = stacked_columns(tables)
        assert [c.levels for c in columns] == [None, None, None, ("x", "y", "z"), ("False", "True")]
        assert columns[0].values[50:].tolist() == list(second["length"])
    coded = pandas.DataFrame({"c": pandas.Categorical([1, 2] * 10)})
    assert stacked_columns([coded, coded])[0].levels == ("1", "2")
    array = np.column_stack([first["length"], first["count"]])
    assert [c.levels is None for c in stacked_columns([array, array], categorical=[False, True])] == [True, False]
    assert [c.name for c in stacked_columns([array, array], names=["a", "b"])] == ["a", "b"]
    missing = {"k": np.array(["x", None] * 10, dtype=object)}
    assert stacked_columns([missing, missing])[0].levels == ("None", "x")


def test_rare_categories_are_merged():
    words = np.array(["often"] * 40 + [f"once {i}" for i in range(8)])
    column = stacked_columns([{"w": words}, {"w": words}])[0]
    assert column.levels == ("often", "rare categories") and column.values.tolist() == ([0] * 40 + [1] * 8) * 2


def test_chi_square_and_strengths_are_scipys(rng):
    codes, side = rng.integers(0, 4, size=300), rng.random(300) < 0.4
    table = np.array([np.bincount(codes[side], minlength=4), np.bincount(codes[~side], minlength=4)])
    weights = torch.from_numpy(np.stack([side, ~side])).float()
    distance, p = chi_square(torch.from_numpy(codes), 5, weights[:1], weights[1:])
    assert p[0] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-5)
    assert distance[0] == pytest.approx(
        np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).sum() / 2, abs=1e-6
    )
    x, y = torch.from_numpy(np.round(rng.normal(size=200), 1)), torch.from_numpy(rng.normal(size=200))
    assert spearman(x, x + y) == pytest.approx(stats.spearmanr(x, x + y).statistic, abs=1e-12)
    other = (codes + rng.integers(0, 2, size=300)) % 4
    both = np.zeros((4, 4), int)
    np.add.at(both, (codes, other), 1)
    found = cramer(torch.from_numpy(codes), 4, torch.from_numpy(other), 4, slice(None))
    assert found == pytest.approx(stats.contingency.association(both), rel=1e-9)
    assert (
        spearman(torch.ones(5), torch.ones(5))
        == 0
        == cramer(torch.zeros(5).long(), 1, torch.zeros(5).long(), 1, slice(None))
    )


def test_columns_agree_with_scipy(rng):
    x, y = draw(300, rng), draw(200, rng)
    pool, columns = table_pool(x, y)
    found = column_test(pool, columns, 19)
    assert found.labels == ("length", "weight", "count", "kind", "flag")
    for i, name in enumerate(found.labels[:3]):
        expected = stats.ks_2samp(x[name], y[name], method="asymp")
        assert found.differences[i] == pytest.approx(expected.statistic, abs=1e-6)
    kinds = [np.unique(t["kind"], return_counts=True)[1] for t in (x, y)]
    expected = min(1, 5 * stats.chi2_contingency(kinds).pvalue)
    assert found.p_values[3] == pytest.approx(expected, rel=1e-4)
    assert found.samples[0] == pytest.approx(x["length"].mean()) and found.real[4] == max(
        y["flag"].mean(), 1 - y["flag"].mean()
    )


@pytest.mark.parametrize(
    ("column", "change", "label"),
    [
        ("weight", lambda v, rng: v * 1.4, "weight"),
        ("kind", lambda v, rng: np.where(rng.random(len(v)) < 0.2, "x", v), "kind"),
        ("count", lambda v, rng: v + (rng.random(len(v)) < 0.3), "count"),
    ],
)
def test_a_column_that_differs_is_named(column, change, label, rng):
    x, y = draw(1500, rng), draw(1500, rng)
    x[column] = change(x[column], rng)
    found = column_test(*table_pool(x, y), 99)
    assert found.distance.p_value == 0.01 and found.labels[int(found.p_values.argmin())] == label
    assert f", {label} differs the most (" in found.distance.note


def test_lost_dependence_is_found_for_all_types(rng):
    y, more = draw(1000, rng), draw(1000, rng)
    for name, pair in (("weight", "length and weight"), ("flag", "length and flag")):
        x = draw(1000, rng)
        x[name] = rng.permutation(x[name])
        for test in (association_test, joint_test):
            found = test(*table_pool(x, y, more), 99)
            assert found.distance.p_value == 0.01 and pair in found.distance.note and not found.distance.covered
            strength = found.labels.index(pair)
            assert abs(found.samples[strength]) < 0.15 < 0.3 < abs(found.real[strength])


@pytest.mark.parametrize("levels", (2, 3, 6))
def test_columns_that_do_not_vary_are_associated_with_nothing(rng, levels):
    a, b = ({"x": rng.normal(size=300), "site": rng.choice(list("ABCDEF")[:levels], 300)} for _ in range(2))
    plain = association_test(*table_pool(a, b, categorical=[False, True]), 99)
    for value in ("DE", 7.0, np.nan):
        still = {"country": np.full(300, value)}
        categorical = [False, True, value == "DE"]
        found = association_test(*table_pool({**a, **still}, {**b, **still}, categorical=categorical), 99)
        assert np.array_equal(found.differences, [*plain.differences, 0, 0]) and found.distance.p_value > 0.01
    coded, levels = torch.zeros(600, dtype=torch.int64), ("no", "yes")  # of which one level is not among these rows
    pool, columns = table_pool(a, b, categorical=[False, True])
    found = association_test(pool, [*columns, TableColumn("smokes", coded, levels)], 99)
    assert np.array_equal(found.differences, [*plain.differences, 0, 0])


def test_dependence_without_correlation_is_found_by_joint_distributions(rng):
    a, b = rng.normal(size=(2, 800))
    real = {"a": a, "b": a**2 + 0.3 * b}
    drawn = {"a": rng.normal(size=800), "b": rng.permutation(real["b"])}
    columns, associations, joint = table_tests(drawn, real, permutations=99)
    assert joint.distance.p_value == 0.01 and joint.samples[0] < 0.15 < 0.3 < joint.real[0]
    assert columns.distance.p_value > 0.01 and associations.distance.p_value > 0.01


def test_of_many_columns_some_pairs_are_tested(rng, monkeypatch):
    from scorefield.metrics import tables

    monkeypatch.setattr(tables, "PAIRS", 5)
    monkeypatch.setattr(tables, "JOINT", 3)
    x = rng.normal(size=(2, 60, 6))
    found = table_tests(x[0], x[1], permutations=9)
    assert [len(f.labels) for f in found] == [6, 5, 3]
    assert len(table_tests(x[0, :, :1], x[1, :, :1], permutations=9)) == 1


def test_bad_arguments_are_refused(rng):
    with pytest.raises(TypeError, match=r"a table must be a DataFrame, a mapping or an array .* got list"):
        table_tests([1.0], [2.0])
    with pytest.raises(ValueError, match=r"the same columns, got \['a'\] and \['b'\]"):
        stacked_columns([{"a": [1.0]}, {"b": [1.0]}])
    with pytest.raises(ValueError, match="column 'a' contains 1 infinite values: drop these rows"):
        stacked_columns([{"a": [1.0, np.inf]}, {"a": [1.0]}])
    with pytest.raises(ValueError, match="column 'b' must be one-dimensional and as long as"):
        stacked_columns([{"a": [1.0, 2.0], "b": [1.0]}, {"a": [1.0], "b": [1.0]}])
    with pytest.raises(ValueError, match="one entry per column, got 1 for 2 columns"):
        stacked_columns([np.zeros((3, 2)), np.zeros((3, 2))], categorical=[True])
    with pytest.raises(ValueError, match="names needs one entry per column, got 1 for 2"):
        stacked_columns([np.zeros((3, 2)), np.zeros((3, 2))], names=["a"])
    with pytest.raises(ValueError, match=r"two axes, \(N, F\), got shape \(3, 2, 2\)"):
        stacked_columns([np.zeros((3, 2, 2))] * 2)
    with pytest.raises(ValueError, match="at least two samples and two held-out data, got 1 and 5"):
        table_tests(np.zeros((1, 2)), np.zeros((5, 2)))
