"""Distances of mixed rows, and whether samples are closer to training rows than chance explains."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scorefield.metrics import PlainColumn, mixed_nearest, table_privacy

COLUMNS = (PlainColumn("a"), PlainColumn("b"), PlainColumn("k", 3))


def table(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=count)
    b = np.where(rng.random(count) < 0.2, np.nan, a + rng.normal(size=count))
    return np.stack([a, b, rng.integers(0, 3, count).astype(float)], 1)


def test_distances_are_those_of_gower():
    x, reference = table(30, 0), table(40, 1)
    expected = np.empty((30, 40))
    for i, row in enumerate(x):
        for j, other in enumerate(reference):
            terms = [float(row[2] != other[2])]
            for k in range(2):
                known = np.sort(reference[~np.isnan(reference[:, k]), k])
                ranks = [(np.sum(known < v) + np.sum(known <= v)) / 2 / len(known) for v in (row[k], other[k])]
                gone = np.isnan(row[k]), np.isnan(other[k])
                terms.append(float(gone[0] != gone[1]) if any(gone) else abs(ranks[0] - ranks[1]))
            expected[i, j] = np.mean(terms)
    distances, weight = mixed_nearest(x, reference, COLUMNS, reference)
    assert distances == pytest.approx(expected.min(1))
    assert np.flatnonzero(weight).tolist() == np.unique(expected.argmin(1)).tolist() and weight.sum() == pytest.approx(
        30
    )


def test_the_test_of_closeness_is_exact():
    """Samples of the same distribution: uniform p-values, also where rows of a discrete table coincide."""
    p = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rows = np.round(2 * rng.normal(size=(240, 2)))
        found = table_privacy(rows[:80], rows[80:200], rows[200:], permutations=99, seed=seed)
        p.append(found.closer.p_value)
        assert 0.2 < found.closer.value < 0.8
    assert stats.kstest(np.array(p) - np.random.default_rng(0).uniform(0, 0.01, 100), "uniform").pvalue > 0.01


def test_copies_are_found():
    train, held_out, fresh = table(1000, 0), table(300, 1), table(300, 2)
    good = table_privacy(fresh, train, held_out, columns=COLUMNS)
    assert not good.suspicious and good.copies == good.copies_held_out == 0 and good.closer.covered
    copied = table_privacy(train[:300], train, held_out, columns=COLUMNS)
    assert copied.suspicious and copied.copies == 1 and copied.copied_by_chance == 1e-4
    near = train[:300] + np.array([1e-3, 1e-3, 0])
    found = table_privacy(near, train, held_out, columns=COLUMNS)
    assert found.suspicious and found.copies == 0 and found.closer.p_value == 0.0002 and found.closer.value > 0.6
    assert np.median(found.distances) < np.median(found.held_out)


def test_coincidences_of_discrete_rows_are_not_copies():
    """Half of new rows occur in the training data, whoever draws them."""
    rng = np.random.default_rng(0)
    train, held_out, fresh = (rng.integers(0, 8, (size, 3)).astype(float) for size in (400, 200, 200))
    found = table_privacy(fresh, train, held_out)
    assert 0.3 < found.copies < 0.8 and abs(found.copies - found.copies_held_out) < 0.15 and not found.suspicious
    assert "copies among all 200 samples and 400 training rows" in found.note
    zeros = table_privacy(np.array([[-0.0, np.nan]]), np.array([[0.0, np.nan], [1.0, 2.0]]), held_out[:, :2])
    assert zeros.copies == 1
