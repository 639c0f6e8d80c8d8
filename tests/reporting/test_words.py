"""Sentences follow from the numbers."""

import numpy as np
import pytest

from scorefield.metrics import Distance, Neighbours
from scorefield.reporting import words


def near(ratio, copied=0.0, p_value=0.5):
    return Neighbours(np.full(100, ratio), np.ones(100), copied, 0.0, p_value)


def test_distances_are_counted():
    good, bad = Distance("good", 0.1, 0.1, 0.05, 0.15), Distance("bad", 0.3, 0.1, 0.05, 0.15)
    assert "no difference shows" in words.about_distances([good, good])
    assert words.about_distances([good, bad]).startswith("Not as between real data: the bad;")
    test, other = (Distance("energy distance", 0.1, 0.1, 0.05, 0.15, p_value=p) for p in (0.001, 0.4))
    told = words.about_distances([test, other, good])
    assert told.startswith(
        "1 of 2 tests tell the samples from held-out data, at 5\u00a0% for all together. The samples"
    )
    assert words.about_distances([other]).startswith("None of 1 tests tells")
    assert "more than real data differ" in words.about_distances([bad])


@pytest.mark.parametrize(
    ("neighbours", "start"),
    [
        (near(1.0), "Samples keep the distance"),
        (near(1.5), "No copies"),
        (
            near(0.1, p_value=1e-20),
            "Samples are suspiciously close to training data: the median sample lies at 0.1 times",
        ),
        (near(0.9, copied=0.4), "Samples are suspiciously close"),
        (Neighbours(np.zeros(9), np.zeros(9), 0.0, 0.0, 1.0), "Most held-out data are also found"),
        (Neighbours(np.zeros(99), np.zeros(99), 0.9, 0.0, 1.0), "Samples are suspiciously close to training data: 90"),
    ],
)
def test_copies_are_named(neighbours, start):
    assert words.about_neighbours(neighbours).startswith(start)


def test_levels_are_compared_with_predicting_nothing():
    table = {"level": [0.1, 1.0, 10.0], "loss": [1.2, 0.25, 0.5], "zero_loss": [1, 1, 1]}
    assert "at level 1, 25\xa0% of" in words.about_levels(table) and "at 1 of 3 levels" in words.about_levels(table)
    assert "every level is better" in words.about_levels(table | {"loss": [0.9, 0.25, 0.5]})
    assert "not known" in words.about_levels(table | {"zero_loss": [0, 0, 0]})


def test_training_says_when_it_was_best():
    rising = [{"step": s, "loss": 1.0, "seconds": s, "held_out": abs(s - 300) / 300 + 1} for s in range(100, 1001, 100)]
    assert words.about_training(rising).startswith(
        "1,000 steps in 17 min. Held-out loss was lowest at step 300 and has"
    )
    assert words.about_training(rising[:3]) == "300 steps in 5 min. Held-out loss was lowest at step 300."
    assert words.about_training([{"step": 5, "loss": 1.0}]) == "5 steps."
