"""Measurements of columns of a table that may miss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import scorefield
from scorefield.measurement import Mask, Measurement
from scorefield.posterior import DAPS


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    z = rng.normal(size=600)
    table = pd.DataFrame({"w": z + 0.5 * rng.normal(size=600), "z": np.where(rng.random(600) < 0.5, np.nan, z)})
    return scorefield.fit(table, training=scorefield.Training(steps=2))


def missing(model, measurement, method=None, count=24):
    """How often z misses, by a few steps."""
    return model.observe(measurement, method).sample(count, steps=3)["z"].isna().mean()


def test_a_measured_number_is_there(model):
    z, w = Measurement(Mask([0, 1]), [1.0], 0.1), Measurement(Mask([1, 0]), [1.0], 0.1)
    assert missing(model, z) == 0
    assert missing(model.condition(w=1.0), z) == 0
    assert missing(model, z, DAPS(moves=2, newton=1), 4) == 0
    assert missing(model.observe(w), z, count=8) == 0
    assert 0.2 < missing(model, w, count=60) < 0.8  # where it was not measured


def test_what_is_known_to_miss_cannot_be_measured(model):
    with pytest.raises(
        ValueError, match=r"^column 1 of the data was measured with noise, and is known to miss: condition"
    ):
        model.condition(z=scorefield.missing).observe(Measurement(Mask([0, 1]), [1.0], 0.1)).sample(2)
