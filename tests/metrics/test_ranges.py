"""The test of values outside the range of real fields is exact, and finds what a clip would remove."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from scorefield.metrics import field_range_test


def fields(count: int, seed: int, channels: int = 1) -> np.ndarray:
    """Fields whose values depend strongly on each other: a common factor times noise."""
    rng = np.random.default_rng(seed)
    return rng.standard_t(3, (count, channels, 1, 1)) * rng.uniform(size=(count, channels, 6, 6))


def test_p_values_are_those_of_the_largest_of_exchangeable_values():
    real = np.zeros((20, 1, 2))
    samples = np.array([[[0.0, 1.0]]] * 3 + [[[0.0, 0.0]]] * 7)
    found = field_range_test(samples, real)[0]
    exact = hypergeom(30, 10, 3).pmf(3)  # that the three largest of thirty are among the ten samples
    assert found.labels == ("below", "above")
    np.testing.assert_allclose(found.p_values, [1.0, 2 * exact])
    np.testing.assert_allclose(found.samples, [0.0, 0.3])
    assert found.distance.note.startswith("3 of 10 samples have values above 0, the largest of 20 real ones")


def test_the_level_holds_for_dependent_values_with_heavy_tails():
    p = [
        field_range_test(fields(30, 2 * seed, 2), fields(60, 2 * seed + 1, 2))[0].distance.p_value
        for seed in range(400)
    ]
    for level in (0.05, 0.2):
        assert np.mean(np.array(p) <= level) <= level + 3 * np.sqrt(level * (1 - level) / 400)


def test_the_channel_and_the_side_are_named():
    rng = np.random.default_rng(0)
    real, samples = rng.uniform(size=(900, 2, 8, 8)), rng.uniform(size=(300, 2, 8, 8))
    samples[:40, 1] -= 0.2
    found = field_range_test(samples, real, ("pressure", "saturation"))[0]
    assert [label for label, p in zip(found.labels, found.p_values) if p < 0.01] == ["below in saturation"]
    assert "40 of 300 samples have values below" in found.distance.note and "in saturation" in found.distance.note
    same = field_range_test(*(np.stack([x.min((2, 3)), x.max((2, 3))], 2) for x in (samples, real)))[0]
    np.testing.assert_array_equal(same.p_values, found.p_values)


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"fields must be \(n, C, \*S\) and \(N, C, \*S\), got \(5, 1\) and \(5, 1\)"):
        field_range_test(np.zeros((5, 1)), np.zeros((5, 1)))
