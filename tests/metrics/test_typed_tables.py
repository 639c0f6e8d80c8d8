"""Tables with categories and missing values, as matrices with a description per column: against exact answers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from scorefield.data.columns import Column
from scorefield.metrics import (
    PlainColumn,
    all_rows_test,
    association_test,
    cycle_test,
    missing_patterns,
    range_test,
    table_features,
    table_shapes,
    table_tests,
    table_trends,
    typed_pool,
)
from scorefield.metrics.association import corrected_cramer, correlation_ratio
from scorefield.metrics.trends import pair_similarities
from scorefield.metrics.typed import level_names, typed_columns


@dataclass(frozen=True)
class Words(Column):
    """A category of words, as the columns of a schema are."""

    levels: tuple[str, ...] = ()
    kind = "category"

    @property
    def size(self) -> int:
        return len(self.levels)

    def encode(self, values: Any) -> np.ndarray:
        return np.array([self.levels.index(value) for value in values], np.float64)

    def decode(self, numbers: np.ndarray) -> Any:
        pandas = pytest.importorskip("pandas")
        return pandas.Series([None if np.isnan(k) else self.levels[int(k)] for k in numbers], name=self.name)


COLUMNS = (
    PlainColumn("length"),
    PlainColumn("weight"),
    Words("kind", "str", True, levels=("ant", "bee", "cat")),
    PlainColumn("adult", 2, "boolean"),
)


def table(count: int, seed: int, shuffled: bool = False) -> np.ndarray:
    """Numbers and categories that depend on each other; a weight is missing more often for bees."""
    rng = np.random.default_rng(seed)
    length = rng.normal(size=count)
    kind = np.clip(np.round(1 + length + 0.5 * rng.normal(size=count)), 0, 2)
    weight = np.exp(length + 0.3 * rng.normal(size=count))
    weight[rng.random(count) < np.where(kind == 1, 0.4, 0.05)] = np.nan
    adult = (length + rng.normal(size=count) > 0).astype(np.float64)
    columns = [length, weight, kind, adult]
    return np.stack([rng.permutation(c) if shuffled else c for c in columns], 1)


def rejected(families):
    return {family.distance.name for family in families if family.distance.p_value < 0.01}


def test_the_same_distribution_is_not_rejected_and_shuffled_columns_lose_their_associations_alone():
    real = table(1500, 0)
    assert rejected(table_tests(table(500, 1), real[:500], real[500:], columns=COLUMNS)) == set()
    found = table_tests(table(500, 1, shuffled=True), real[:500], real[500:], columns=COLUMNS)
    assert rejected(found) == {"associations", "joint distributions of pairs"}
    assert found[0].labels == ("length", "weight", "kind", "adult")


def test_a_missing_share_and_what_goes_with_it_are_tested():
    real, drawn = table(800, 0), table(800, 1)
    drawn[:, 1] = np.where(np.isnan(drawn[:, 1]), np.nanmedian(drawn[:, 1]), drawn[:, 1])
    found = {family.distance.name: family for family in table_tests(drawn, real, columns=COLUMNS)}
    missing = found["missing values"]
    assert missing.distance.p_value == 0.002 and missing.labels == ("weight is missing",)
    share = pytest.approx(np.isnan(real[:, 1]).mean())
    assert missing.samples[0] == 0 and missing.real[0] == share and missing.differences[0] == share
    # The same share, independent of the kind: only the associations say so.
    drawn = table(800, 2)
    drawn[:, 1] = np.random.default_rng(0).permutation(drawn[:, 1])
    for side in (real, drawn):
        side[~np.isnan(side[:, 1]), 1] = 1.0
    assert rejected(table_tests(drawn, real, columns=COLUMNS)) == {"associations", "joint distributions of pairs"}


def test_patterns_of_missing_values():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(1000, 2))
    real[rng.random(1000) < 0.3] = np.nan  # both at once
    drawn = rng.normal(size=(1000, 2))
    drawn[rng.random((1000, 2)) < 0.3] = np.nan  # each on its own
    found = missing_patterns(drawn, real)
    assert found.patterns[:2] == ((), ("column 0", "column 1"))
    expected = 0.5 * (abs(0.49 - 0.7) + 2 * 0.21 + abs(0.09 - 0.3))
    assert found.distance.value == pytest.approx(expected, abs=0.05) and not found.distance.covered
    half = missing_patterns(real[:500], real[500:])
    assert half.distance.value <= 2 * half.distance.high
    by_columns = table_tests(drawn, real, columns=[PlainColumn("a"), PlainColumn("b")])[-1]
    assert by_columns.p_values[2] < 1e-6 < 0.01 < min(by_columns.p_values[:2])
    assert table_tests(np.zeros((9, 1)), np.zeros((9, 1)), columns=[PlainColumn("a")])[-1].distance.name == "columns"


def test_shapes_are_those_of_scipy_and_of_sdmetrics():
    x, y = table(400, 0), table(300, 1)
    x[:, 0] *= 1.5
    found = table_shapes(x, y, columns=COLUMNS)
    for i in (0, 1):
        here, there = (side[~np.isnan(side[:, i]), i] for side in (x, y))
        shape = found.columns[i]
        assert shape.distance.value == pytest.approx(stats.ks_2samp(here, there).statistic)
        assert shape.wasserstein.value == pytest.approx(stats.wasserstein_distance(here, there))
        assert shape.unseen is None and shape.kind == "number"
        assert (shape.below, shape.above) == ((here < there.min()).sum(), (here > there.max()).sum())
        assert shape.missing.samples == pytest.approx(np.isnan(x[:, i]).mean())
    shares = [np.bincount(side[:, 2].astype(int), minlength=3) / len(side) for side in (x, y)]
    assert found.columns[2].score == pytest.approx(1 - np.abs(shares[0] - shares[1]).sum() / 2)
    assert found.columns[2].wasserstein is None and found.columns[2].unseen == 0
    assert found.score.value == pytest.approx(np.mean([c.score for c in found.columns]))
    assert not found.columns[0].distance.covered and found.columns[3].distance.covered


def test_atoms_ranges_and_values_that_were_never_observed():
    rng = np.random.default_rng(0)
    real = np.stack(
        [np.where(rng.random(2000) < 0.6, 0.0, rng.gamma(2.0, size=2000)), rng.integers(0, 40, 2000) / 4], 1
    )
    drawn = np.stack([rng.gamma(2.0, size=500) - 0.1, rng.uniform(0, 10, 500)], 1)
    drawn[:7, 1] = 100.0
    rain, price = table_shapes(drawn, real[:500], real[500:]).columns
    assert rain.atom_value == 0 and rain.atom.samples == 0 and not rain.atom.covered
    assert rain.atom.low <= rain.atom.real <= rain.atom.high and rain.atom.real == pytest.approx(0.6, abs=0.05)
    assert rain.below == (drawn[:, 0] < 0).sum() and rain.least == 0 and rain.unseen is None
    assert (
        price.above == (drawn[:, 1] > 9.75).sum()
        and price.unseen >= 490
        and price.unseen_by_chance == 0
        and price.repeated.real == 1
    )
    categories = [PlainColumn("kind", 3)]
    codes = rng.integers(0, 2, (200, 1)).astype(np.float64)
    assert (
        table_shapes(np.where(codes == 1, 2.0, codes), codes, columns=categories).columns[0].unseen
        == (codes == 1).sum()
    )
    # A single value that samples pile up at is found on their side.
    assert table_shapes(np.full((50, 1), 3.0), rng.normal(size=(50, 1))).columns[0].atom_value == 3.0


def test_out_of_range_counts_are_exactly_tested():
    """Under the null the p-values of a continuous column are those of its exact discrete distribution: at most uniform."""
    p = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        p.append(range_test(rng.standard_t(2, (50, 1)), rng.standard_t(2, (100, 1)))[0].distance.p_value)
    for level in (0.05, 0.2, 0.6):
        assert np.mean(np.array(p) <= level) <= level + 3 * (level * (1 - level) / 400) ** 0.5
    exact = 1 - stats.betabinom.cdf(0, 50, 2, 99)  # P(at least one outside)
    assert np.mean(np.array(p) < 1) == pytest.approx(exact, abs=3 * (exact * (1 - exact) / 400) ** 0.5)
    rng = np.random.default_rng(0)
    tests = range_test(rng.uniform([-0.05, 0], 1, (500, 2)), rng.uniform(size=(900, 2)))[0]
    assert tests.distance.p_value < 1e-4 and tests.p_values[1] > 0.05
    assert "column 0 differs the most" in tests.distance.note
    assert range_test(np.zeros((5, 1)), np.zeros((5, 1)), [PlainColumn("k", 2)]) == ()


def test_pairs_have_the_scores_of_the_quality_report():
    """CorrelationSimilarity and ContingencySimilarity, written out with pandas."""
    pandas = pytest.importorskip("pandas")
    x, y = table(400, 0), table(300, 1, shuffled=True)
    x[:20, 2] = np.nan
    names = ["length", "weight", "kind", "adult"]
    frames = [pandas.DataFrame(side, columns=names) for side in (x, y)]
    binned = [frame.copy() for frame in frames]
    for frame in binned:
        for name in names[:2]:
            frame[name] = np.digitize(frame[name], np.histogram_bin_edges(frame[name].dropna(), 10))
    expected = []
    for first, second in itertools.combinations(names, 2):
        if (first, second) == ("length", "weight"):
            r = [frame[first].corr(frame[second]) for frame in frames]
            expected.append(1 - abs(r[0] - r[1]) / 2)
            continue
        shares = [frame.groupby([first, second], dropna=False).size() / len(frame) for frame in binned]
        expected.append(1 - shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)
    pairs = list(itertools.combinations(range(4), 2))
    assert pair_similarities(x, y, COLUMNS, pairs) == pytest.approx(expected, abs=1e-12)
    found = table_trends(x, y, columns=COLUMNS)
    assert found.score.value == pytest.approx(np.mean(expected))
    assert found.pearson[0, 0] == pytest.approx(frames[0]["length"].corr(frames[0]["weight"]))


def test_trends_have_floors_and_associations():
    real = table(1500, 0)
    same, lost = (table_trends(table(500, 1, s), real[:500], real[500:], columns=COLUMNS) for s in (False, True))
    assert (same.distances <= 2 * same.high).all() and same.score.value >= same.score.low - 0.01
    assert (lost.distances > lost.high).sum() >= 5 and lost.score.value < lost.score.low
    here, there = lost.matrix()
    assert there[0, 1] == there[1, 0] > 0.9 and abs(here[0, 1]) < 0.2 and np.isnan(here[0, 0])
    assert same.statistics[0].startswith("Spearman") and same.statistics[1].startswith("correlation ratio")
    assert same.statistics[5].startswith("Cramér's V")
    with pytest.raises(ValueError, match="at least two columns, got one: table_shapes compares single columns"):
        table_trends(real[:, :1], real[:, :1])


def test_corrections_of_associations_remove_their_bias():
    """Independent columns of many categories: V is large and its correction is about 0; dependent ones keep their value."""
    import torch

    corrected, ratios = [], []
    for seed in range(40):
        rng = torch.Generator().manual_seed(seed)
        first, second = (torch.randint(0, 12, (200,), generator=rng) for _ in range(2))
        corrected.append(corrected_cramer(first, 12, second, 12))
        ratios.append(correlation_ratio(first, 12, torch.randn(200, generator=rng)))
    assert np.mean(corrected) < 0.08 and np.mean(ratios) < 0.12  # without the correction 0.24 and 0.23
    codes = torch.arange(300) % 3
    assert corrected_cramer(codes, 3, codes, 3) == pytest.approx(1.0)
    assert correlation_ratio(codes, 3, codes.double() + 0.5) == 1.0
    assert correlation_ratio(codes, 3, torch.ones(300)) == 0.0


def test_features_of_mixed_rows():
    x = table(300, 0)
    values, names = table_features(x, x, COLUMNS)
    assert names[:3] == ("length", "weight", "weight is missing") and names[3:6] == tuple(
        f"kind is {k}" for k in ("ant", "bee", "cat")
    )
    assert bool(values.isfinite().all())
    length = np.sort(values[:, 0].numpy())
    assert length == pytest.approx(stats.norm.ppf((np.arange(300) + 0.5) / 300), abs=1e-5)
    apart = values[0, 3:6] - values[np.flatnonzero(x[:, 2] != x[0, 2])[0], 3:6]
    assert float(apart.norm()) == pytest.approx(1.0)
    # The units and single large values do not matter.
    scaled = x * [1e9, 1e-9, 1, 1]
    assert np.allclose(table_features(scaled, scaled, COLUMNS)[0], values)


def test_names_of_levels_are_those_of_the_column():
    assert level_names(COLUMNS[2], 5) == ["ant", "bee", "cat", "code 3", "code 4"]
    doubled = Words("k", "str", levels=("a", "a", "b"))
    assert level_names(doubled, 3) == ["a (0)", "a (1)", "b"]
    codes = np.array([[0.0], [1.0], [np.nan]] * 10)
    column = typed_columns([codes, codes], COLUMNS[2:3])[0]
    assert column.levels == ("ant", "bee", "missing") and column.absent[:3].tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("x", "columns", "error", "message"),
    [
        ([[1.0]], (), TypeError, r"samples must be an array or a tensor \(N, C\), got list"),
        (np.array([["a"]]), (), TypeError, "samples must hold numbers, codes for categories, got dtype"),
        (np.zeros(3), (), ValueError, r"samples must be a table \(N, C\) with rows and columns, got shape \(3,\)"),
        (np.full((3, 2), np.inf), (), ValueError, "samples contains 6 infinite values: drop these rows"),
        (np.zeros((3, 3)), (), ValueError, "the same columns, got 2 and 3 in samples"),
        (np.zeros((3, 2)), COLUMNS, ValueError, "one entry per column, got 4 for 2 columns"),
        (
            np.full((3, 2), -1.0),
            [PlainColumn("k", 2)] * 2,
            ValueError,
            "codes of the category 'k' in samples must be whole",
        ),
        (np.zeros((1, 2)), (), ValueError, "at least two samples and two held-out data, got 1 and 30"),
    ],
)
def test_mistakes(x, columns, error, message):
    with pytest.raises(error, match=message):
        table_shapes(x, np.zeros((30, 2)), columns=columns)


@pytest.mark.parametrize(("count", "rest"), [(2000, 0), (100, 0), (100, 400)])
def test_the_ranges_of_shares_hold_nine_in_ten(count, rest):
    """Between samples and rows of one distribution, however few rows there are; the share that repeats depends on the count."""
    rng, inside = np.random.default_rng(3), []
    for seed in range(60):
        x, y, z = (rng.poisson(3.0, (size, 1)) + rng.integers(0, 40, (size, 1)) / 100 for size in (count, 80, rest))
        shape = table_shapes(x, y, z if rest else None, seed=seed).columns[0]
        assert shape.repeated is not None
        inside.append((shape.atom.covered, shape.repeated.covered))
    assert (np.mean(inside, 0) > 0.65).all() and np.mean(inside) > 0.75  # 0.9, but for quantiles of 40 differences


def answers(rng: np.random.Generator, count: int, loading: float) -> np.ndarray:
    """Answers to two questions in five ordered levels, whose scores correlate, and a number that is independent of them."""
    common, own = rng.normal(size=(count, 1)), rng.normal(size=(count, 2))
    levels = np.digitize(loading * common + np.sqrt(1 - loading**2) * own, [-1, -0.3, 0.3, 1])
    return np.concatenate([levels, rng.gamma(4, 1, (count, 1))], 1).astype(float)


ANSWERS = [PlainColumn("first", 5), PlainColumn("second", 5), PlainColumn("weight")]


def test_a_weaker_association_of_ordered_levels_is_found_in_all_rows():
    """A correlation of 0.63 in place of 0.76: in the combinations of levels z is 6 on average, in single products below 5."""
    differences = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found = all_rows_test(answers(rng, 4000, 0.825), answers(rng, 2000, 0.9), columns=ANSWERS)
        assert found.distance.name == "associations, all rows" and found.labels[0] == "first and second"
        differences.append(abs(found.differences[0]))
        assert found.distance.p_value <= 0.004
    assert np.mean(differences) > 5.25


def test_the_level_of_associations_is_that_of_permutations():
    """P-values of equal distributions are at most 0.2 in 12 of 60 cases, give or take three standard errors."""
    low = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pool, typed = typed_pool(answers(rng, 150, 0.9), answers(rng, 80, 0.9), columns=ANSWERS, seed=seed)
        low += association_test(pool, typed, permutations=49).distance.p_value <= 0.2
    assert abs(low - 12) <= 3 * np.sqrt(60 * 0.2 * 0.8)


class Days(PlainColumn):
    """Numbers of days, and the weekday of each."""

    def cycles(self, numbers):
        return {"weekday": (numbers % 7, 7)}


def test_cycles_are_compared_in_tensors_and_what_is_no_table_is_refused():
    rng = np.random.default_rng(0)
    drawn, real = rng.integers(0, 364, (2, 200, 1)).astype(float)
    columns = [Days("day")]
    (expected,) = cycle_test(drawn, real, columns=columns, permutations=19)
    tensor = torch.from_numpy(drawn).requires_grad_()
    (found,) = cycle_test(tensor, torch.from_numpy(real), columns=columns, permutations=19)
    assert found.distance == expected.distance
    for test in (cycle_test, table_shapes, table_trends, typed_pool):
        with pytest.raises(TypeError, match=r"^held_out must be an array or a tensor \(N, C\), got NoneType"):
            test(drawn, None, columns=columns)
