"""The sentences of a report follow from its numbers."""

import numpy as np
import pytest

from scorefield.metrics import Distance, Neighbours
from scorefield.reporting import words


def near(ratio, copied=0.0, p_value=0.5):
    return Neighbours(np.full(100, ratio), np.ones(100), copied, 0.0, p_value, min(p_value, 1e-9 if copied else 1.0))


def test(p_value):
    return Distance("energy distance", 0.1, 0.1, 0.05, 0.15, p_value=p_value)


test.__test__ = False


def test_distances_outside_the_range_of_real_data_are_named():
    good, bad = Distance("good", 0.1, 0.1, 0.05, 0.15), Distance("bad", 0.3, 0.1, 0.05, 0.15)
    worse = Distance("worse", 0.4, 0.1, 0.05, 0.15)
    assert words.about_distances([good, good]).endswith("as close to held-out data as other real data are.")
    assert words.about_distances([good, bad]).startswith("Outside the range of real data: bad. The other distances")
    assert words.about_distances([good, bad, worse]).startswith("Outside the range of real data: bad and worse. The")
    assert "more than real data differ among themselves" in words.about_distances([bad])


def test_significant_tests_are_counted():
    good = Distance("good", 0.1, 0.1, 0.05, 0.15)
    assert words.about_distances([test(0.001), test(0.4), good]).startswith(
        "1 of these 2 tests distinguishes the samples from held-out data. "
        "The significance level is 5\u00a0% for all 2 tests together. By every distance"
    )
    assert words.about_distances([test(0.001), test(0.002)]).startswith("2 of these 2 tests distinguish the samples")
    assert words.about_distances([test(0.4), test(0.5)]).startswith("None of these 2 tests distinguishes the samples")
    assert words.about_distances([test(0.4)]) == (
        "The test does not distinguish the samples from held-out data. The significance level is 5\u00a0%."
    )


def test_the_count_agrees_with_that_of_the_whole_page():
    """p = 0.02 is significant among two tests, but not among ten: the section must not say so."""
    alone = words.about_distances([test(0.02), test(0.4)])
    among = words.about_distances([test(0.02), test(0.4)], [test(0.001)] * 2 + [test(0.5)] * 6)
    assert alone.startswith("1 of these 2") and among.startswith("None of these 2 tests distinguishes")
    assert "2 of the 8 tests in the sections below do." in among and "for all 10 tests together" in among
    assert "; the test in the next section does not." in words.about_distances([test(0.4)], [test(0.5)])


@pytest.mark.parametrize(
    ("neighbours", "start"),
    [
        (near(1.0), "No copies were found: the median distance"),
        (near(1.5), "No copies were found, but samples lie farther"),
        (
            near(0.1, p_value=1e-20),
            "Samples are suspiciously close to training data: the median distance to the nearest training example is 0.1",
        ),
        (near(0.9, copied=0.4), "Samples are suspiciously close"),
        (Neighbours(np.zeros(9), np.zeros(9), 0.0, 0.0, 1.0), "Most held-out examples also occur"),
        (
            Neighbours(np.zeros(99), np.zeros(99), 0.9, 0.0, 1.0, 1e-9),
            "Samples are suspiciously close to training data: 90",
        ),
    ],
)
def test_copies_are_reported(neighbours, start):
    assert words.about_neighbours(neighbours).startswith(start)


def test_levels_are_compared_with_the_baseline():
    table = {"level": [0.1, 1.0, 10.0], "loss": [1.2, 0.25, 0.5], "zero_loss": [1, 1, 1]}
    assert "at level 1: 25\xa0% of it. At 1 of 3 levels" in words.about_levels(table)
    assert "At every level the network is better" in words.about_levels(table | {"loss": [0.9, 0.25, 0.5]})
    assert "not known" in words.about_levels(table | {"zero_loss": [0, 0, 0]})


def test_overfitting_is_reported():
    rising = [{"step": s, "loss": 1.0, "seconds": s, "held_out": abs(s - 300) / 300 + 1} for s in range(100, 1001, 100)]
    assert words.about_training(rising) == (
        "1,000 steps in 17 min. The held-out loss was lowest at step 300 and has risen since: the network is overfitting."
    )
    assert words.about_training(rising[:3]) == "300 steps in 5 min. The held-out loss was lowest at step 300."
    assert words.about_training([{"step": 5, "loss": 1.0}]) == "5 steps."
    assert words.about_training([{"step": 1, "loss": 1.0}]) == "1 step."


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ("z = -32.4, p = 1e-05", "z = −32.4, p = 1e−05"),
        ("from -1.5 to -.5", "from −1.5 to −.5"),
        ("a 2-D grid, x-1, 5-10, run--2", "a 2-D grid, x-1, 5-10, run--2"),
    ],
)
def test_negative_numbers_have_a_minus_sign(plain, text):
    assert words.typographic(plain) == text
