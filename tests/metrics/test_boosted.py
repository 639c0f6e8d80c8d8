"""The test with boosted trees: blind to nothing that a product of marginals hides, and of the level that it claims."""

from __future__ import annotations

import numpy as np
import pytest

from scorefield.metrics import PlainColumn, boosted_test, detectability, table_utility

COLUMNS = (PlainColumn("a"), PlainColumn("b"), PlainColumn("k", 3))


def table(count: int, seed: int, shuffled: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=count)
    b = np.round(a**2 + 0.5 * rng.normal(size=count), 1)
    b[rng.random(count) < 0.1] = np.nan
    k = np.clip(np.round(1 + a), 0, 2)
    return np.stack([rng.permutation(c) if shuffled else c for c in (a, b, k)], 1)


def logistic(x: np.ndarray, y: np.ndarray) -> float:
    """The AUC of logistic regression on means and indicators, the test that SDMetrics calls detection."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    rows = np.concatenate([x, y])
    rows = np.column_stack([rows[:, 0], np.nan_to_num(rows[:, 1], nan=1.0), rows[:, 2:] == [0.0, 1.0, 2.0]])
    label = np.repeat([0, 1], [len(x), len(y)])
    return cross_val_score(LogisticRegression(), rows, label, scoring="roc_auc", cv=3).mean()


def test_a_product_of_marginals_is_found_where_a_linear_classifier_is_blind():
    drawn, real = table(600, 0, shuffled=True), table(600, 1)
    found = boosted_test(drawn, real, columns=COLUMNS)
    assert found.value > 0.85 and found.p_value < 1e-10 and not found.covered
    assert abs(logistic(drawn, real) - 0.5) < 0.05
    assert f"1 − detectability {1 - detectability(found.value):.3g}" in found.note
    assert found.counts == (600, 600) and found.floor == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_its_level_is_five_percent(repeats):
    """Also with few rows; the mean AUC has the standard error that is given."""
    found = [boosted_test(table(40, s), table(60, s + 10**6), columns=COLUMNS, seed=s) for s in range(repeats)]
    scaled = np.array([(d.value - 0.5) / ((d.high - 0.5) / 1.645) for d in found])
    assert np.mean(np.array([d.p_value for d in found]) <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5
    assert scaled.std() == pytest.approx(1, abs=4 / (2 * repeats) ** 0.5)
    assert abs(scaled.mean()) < 4 / repeats**0.5


@pytest.mark.slow
def test_spikes_rounding_and_missing_values_are_found():
    real = table(600, 1)
    for change in ("rounding", "missing", "unseen"):
        drawn = table(600, 0)
        if change == "rounding":
            drawn[:, 1] += np.random.default_rng(0).uniform(-0.05, 0.05, 600)
        elif change == "missing":
            drawn[:, 1] = np.nan_to_num(drawn[:, 1], nan=0.0)
        else:
            drawn[:, 2] = np.where(drawn[:, 2] == 2, 3, drawn[:, 2])
        assert boosted_test(drawn, real, columns=COLUMNS).p_value < 1e-3, change


def test_many_categories_and_constant_columns():
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 1000, size=(300, 1)).astype(float) for _ in range(2)]
    assert boosted_test(*codes, columns=[PlainColumn("k", 1000)]).p_value > 0.01
    found = boosted_test(np.ones((20, 2)), np.ones((20, 2)))
    assert found.value == 0.5 and found.p_value == 0.5
    with pytest.raises(ValueError, match="at least one row per fold on each side, got 3 for 5 folds"):
        boosted_test(np.ones((3, 2)), np.ones((20, 2)))


@pytest.mark.slow
def test_utility_of_samples():
    train, test = table(600, 0), table(400, 1)
    good, lost = (table_utility(table(600, 2, s), train, test, columns=COLUMNS) for s in (False, True))
    assert good.target == "k" and good.statistic == "accuracy" and not good.worse
    assert good.samples == pytest.approx(good.real, abs=0.05) and good.real > 0.95 > good.constant
    assert lost.worse and lost.samples < lost.constant + 0.05 and lost.interval[1] < 0
    assert good.counts == (600, 400)
    number = table_utility(table(600, 2), train, test, columns=COLUMNS, target="a")
    assert number.statistic == "R²" and number.errors[0] == pytest.approx(number.errors[1], rel=0.2)
    assert number.constant == pytest.approx(0, abs=0.02)
    binary = [PlainColumn("a"), PlainColumn("b"), PlainColumn("k", 2)]
    two = [np.where(np.isnan(x), x, np.minimum(x, [9e9, 9e9, 1])) for x in (train, test)]
    found = table_utility(two[0], two[0], two[1], columns=binary)
    assert found.statistic == "AUC" and found.real > 0.95 and found.constant == 0.5


def test_utility_without_a_target_or_of_a_wrong_one():
    x = table(100, 0)
    assert table_utility(x, x, x) is None
    assert table_utility(x, x, x[:5], columns=COLUMNS) is None
    assert table_utility(np.where(x == 2, 1, np.where(x == 0, 1, x)), x, x, columns=COLUMNS) is None
    with pytest.raises(ValueError, match="there is no column 'z' to predict: choose from a, b, k"):
        table_utility(x, x, x, columns=COLUMNS, target="z")
    with pytest.raises(ValueError, match="there is no column 3 to predict: there are 3"):
        table_utility(x, x, x, target=3)
    with pytest.raises(ValueError, match="'column 0' is the only column: a prediction needs others"):
        table_utility(x[:, :1], x[:, :1], x[:, :1], target=0)
