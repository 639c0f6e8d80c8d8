"""The generalization gap."""

import numpy as np
import pytest

from scorefield.metrics import loss_gap

LEVELS = np.array([0.1, 0.3, 1.0])


def losses(count, scale, seed):
    return np.random.default_rng(seed).chisquare(10, size=(count, 3)) / 10 * scale


def test_a_gap_is_found_at_its_levels():
    found = loss_gap(LEVELS, losses(400, [0.5, 0.8, 1.0], 0), losses(300, 1.0, 1))
    assert found.p_value == 0.001 and found.suspicious and "at levels 0.1 to 0.3" in found.verdict
    assert "overfits" in found.verdict and found.train == pytest.approx([0.5, 0.8, 1], rel=0.1)
    assert found.held_out == pytest.approx([1, 1, 1], rel=0.1) and (found.z[:2] > 3).all()


def test_equal_or_lower_held_out_losses_are_not_a_gap():
    for scale in (1.0, 1.3):
        found = loss_gap(LEVELS, losses(400, scale, 0), losses(300, 1.0, 1), permutations=199)
        assert found.p_value > 0.01 and not found.suspicious and "not larger than" in found.verdict


def test_a_gap_may_be_too_small_to_matter():
    found = loss_gap(LEVELS, losses(20000, 0.97, 0), losses(20000, 1.0, 1), permutations=199)
    assert found.p_value == 0.005 and not found.suspicious and "too small to matter" in found.verdict


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"losses must be \(N, 2\), one per level, got \(5, 3\), \(4, 2\)"):
        loss_gap(LEVELS[:2], np.zeros((5, 3)), np.zeros((4, 2)))
