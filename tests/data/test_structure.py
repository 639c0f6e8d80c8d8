"""Which axes are space and which are channels."""

import numpy as np
import pytest

from scorefield.data import Schema

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "structure", "axis"),
    [
        ((9,), "vector", None),
        ((9, 5), "vector", None),
        ((9, 3, 100), "grid", 0),
        ((9, 100, 2), "grid", 1),
        ((9, 50, 7), "grid", 1),  # 50 times of 7 channels
        ((9, 12, 60), "grid", 0),
        ((9, 24, 7), "grid", None),
        ((9, 100, 20), "grid", None),
        ((9, 8, 8), "grid", None),
        ((9, 4, 8), "grid", None),
        ((9, 28, 28), "grid", None),
        ((9, 32, 32, 3), "grid", 2),
        ((9, 3, 32, 32), "grid", 0),
        ((9, 3, 32, 3), "grid", 2),
        ((9, 8, 32, 32), "grid", 0),
        ((9, 8, 16, 16), "grid", 0),
        ((9, 16, 16, 16), "grid", None),
        ((9, 8, 9, 10), "grid", None),  # nearly equal sides are a volume
        ((9, 5, 7, 9), "grid", None),
        ((9, 32, 32, 32), "grid", None),
        ((9, 2, 8, 8, 8), "grid", 0),
        ((9, 8, 8, 8, 2), "grid", 3),
    ],
)
def test_from_the_shape(shape, structure, axis):
    schema = Schema.of(np.zeros(shape))
    assert (schema.structure, schema.channel_axis) == (structure, axis)
    assert schema.reason
    assert ("--channels none" in schema.reason) == (axis is not None)


SMOOTH = np.cumsum(RNG.normal(size=(100, 100)), 1)
BLURRED = np.apply_along_axis(np.convolve, 1, RNG.normal(size=(200, 24, 24)), np.ones(9), "same")
IMAGES = np.apply_along_axis(np.convolve, 2, BLURRED, np.ones(9), "same").reshape(200, -1)


@pytest.mark.parametrize(
    ("x", "structure", "reason"),
    [
        (SMOOTH, "grid", "signals of length 100: neighbouring columns correlate by 0.9"),
        (SMOOTH[:, RNG.permutation(100)], "vector", "neighbouring columns correlate by 0."),
        (RNG.normal(size=(100, 100)), "vector", "vectors: neighbouring columns correlate by"),
        (RNG.normal(size=(100, 1)) + 0.3 * RNG.normal(size=(100, 100)), "vector", "columns far apart by 0.9"),
        (SMOOTH[:, :63], "vector", "63 columns"),
        (SMOOTH[:9], "vector", "9 rows are too few to tell whether the 100 columns are ordered"),
        (IMAGES, "vector", "may be flattened images: x.reshape(-1, 24, 24) would be the better shape"),
        (np.where(RNG.random((100, 1)) < 2, np.nan, SMOOTH), "vector", "correlate by 0.00"),
    ],
)
def test_tables_that_are_signals(x, structure, reason):
    schema = Schema.of(x)
    assert schema.structure == structure
    assert reason in schema.reason


def test_what_the_user_says_wins():
    x = np.zeros((9, 6, 7))
    assert Schema.of(x, "vector").inner_shape == (42,)
    assert Schema.of(x, channels="first").inner_shape == (6, 7)
    assert Schema.of(x, channels="last").inner_shape == (7, 6)
    assert Schema.of(np.zeros((9, 3, 100)), channels="none").inner_shape == (1, 3, 100)
    assert Schema.of(np.zeros((9, 10)), "grid").inner_shape == (1, 10)
    assert Schema.of(np.zeros((9, 2, 2, 2, 2, 2)), "vector").inner_shape == (32,)
    assert "asked for" in Schema.of(x, channels="first").reason


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((9, 5), {"structure": "image"}, 'structure must be "auto", "vector" or "grid", got \'image\''),
        ((9, 5), {"channels": "middle"}, 'channels must be "auto", "first", "last" or "none", got \'middle\''),
        ((9, 5, 5), {"structure": "vector", "channels": "first"}, "a vector has no channels, got channels='first'"),
        ((9, 5), {"channels": "first"}, "a grid needs 1 to 3 spatial axes, an example of shape (5,) has 0"),
        ((9,), {"structure": "grid"}, "has 0"),
        ((9, 2, 2, 2, 2, 2), {}, 'has 4: reshape the data or set structure="vector"'),
    ],
)
def test_contradictions(shape, arguments, message):
    with pytest.raises(ValueError) as error:
        Schema.of(np.zeros(shape), **arguments)
    assert message in str(error.value)
