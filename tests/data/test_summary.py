"""The summary is exact, and what would spoil training is named."""

import numpy as np
import pytest
import torch

from scorefield.data import ArrayRows, Schema, summarize
from scorefield.data.layout import Layout

pandas = pytest.importorskip("pandas")


@pytest.mark.parametrize("memory", [1, 1000, 1 << 20])
def test_moments_are_exact(memory):
    x = 1e4 + np.random.default_rng(0).normal(size=(333, 4, 5))
    s = summarize(ArrayRows(x, Layout((4, 5), "grid")), memory=memory)
    assert s.count == 333 and s.mean.shape == (1, 4, 5) and s.mean.dtype == torch.float64
    for ours, exact in zip((s.mean, s.variance, s.minimum, s.maximum), (x.mean(0), x.var(0), x.min(0), x.max(0))):
        np.testing.assert_allclose(ours[0], exact, rtol=1e-11)


@pytest.mark.parametrize("memory", [1000, 1 << 20])
def test_lattices_of_columns(memory):
    rng = np.random.default_rng(0)
    columns = [
        rng.integers(0, 9, 500),
        rng.integers(0, 9, 500) * 10 + 3,
        rng.integers(0, 9, 500) / 7,
        rng.normal(size=500),
        0.1 * rng.integers(0, 9, 500) + 0.2,
        rng.choice([0.3, 0.1 + 0.2, 0.7], 500),
    ]
    s = summarize(ArrayRows(np.stack(columns, 1)), memory=memory)
    assert s.integer.tolist() == [True, True, False, False, False, False]
    np.testing.assert_allclose(s.step, [1, 10, 1 / 7, 0, 0.1, 0], rtol=1e-9)


def test_a_lattice_must_hold_to_the_end():
    x = np.tile(np.arange(4.0), 500)[:, None]
    x[-1] = 0.5
    s = summarize(ArrayRows(x), memory=800)
    assert s.step.tolist() == [0] and s.integer.tolist() == [False]


def test_lattice_of_images():
    x = np.random.default_rng(0).integers(0, 256, (300, 8, 8)).astype(np.uint8)
    exact = summarize(ArrayRows(x, Layout((8, 8), "grid")))
    assert exact.integer.all() and (exact.step == 1).all()
    real = summarize(ArrayRows((x / 255).astype(np.float32), Layout((8, 8), "grid")), memory=20_000)
    assert not real.integer.any()
    np.testing.assert_allclose(real.step * 255, np.ones((1, 8, 8)), rtol=1e-6)
    x = (x / 255).astype(np.float32)
    x[-1, 0, 0] = 0.12345
    assert (summarize(ArrayRows(x, Layout((8, 8), "grid")), memory=20_000).step == 0).all()


def nonfinite(values, rows, columns):
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[rows, columns] = values
    return ArrayRows(x)


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [
        (
            nonfinite(np.nan, [7], [1]),
            None,
            "1 of 40 rows hold NaN in column 1 (row 7): give a table, pandas.DataFrame(x), or a file of one, whose "
            "missing values are learned; or drop them: x[numpy.isfinite(x)",
        ),
        (
            nonfinite([np.nan, np.inf], [2, 30], [0, 2]),
            ["a", "b", "c"],
            "2 of 40 rows hold NaN or infinite values in columns 'a', 'c' (rows 2, 30): drop them: df.replace(",
        ),
        (nonfinite(np.nan, range(9), [0] * 9), None, "9 of 40 rows hold NaN in column 0 (rows 0, 1, 2, 3, 4, …)"),
        (
            nonfinite(np.nan, range(40), [0] * 40),
            None,
            "give a table, pandas.DataFrame(x), or a file of one, whose missing values are learned",
        ),
    ],
)
@pytest.mark.parametrize("memory", [100, 1 << 20])
def test_nonfinite_rows_are_named(rows, names, message, memory):
    with pytest.raises(ValueError) as error:
        summarize(rows, names, memory)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_nonfinite_pixels_are_counted():
    x = np.random.default_rng(0).normal(size=(10, 4, 4))
    x[3, 1, 1:3] = -np.inf
    with pytest.raises(ValueError, match=r"1 of 10 rows hold NaN or infinite values, in 2 of 16 values \(row 3\)"):
        summarize(ArrayRows(x, Layout((4, 4), "grid")))


@pytest.mark.parametrize(
    ("places", "channels", "advice"),
    [
        (
            np.s_[3, 1, 2],
            None,
            "fit whole ones, x[numpy.isfinite(x).reshape(len(x), -1).all(1)], and take what is known",
        ),
        (np.s_[:, 1, 2], None, "these values miss in every row: fill them with one number"),
        ((range(10), [1, 2] * 5, 2), None, "fit whole ones, and take these as measurements; or say where they miss"),
        (
            np.s_[3, 1, 2],
            1,
            "series with gaps are rows of different length, scorefield.data.Ragged(values, times) with",
        ),
    ],
)
def test_gaps_of_fields_are_not_filled_with_zeros(places, channels, advice):
    """As the questions in the documentation say: only what is never there may be one number."""
    x = np.random.default_rng(0).normal(size=(10, 4, 4))
    x[places] = np.nan
    with pytest.raises(ValueError, match=r"^\d+ of 10 rows hold NaN") as error:
        summarize(ArrayRows(x, Layout((4, 4), "grid", channel_axis=channels)))
    assert advice in str(error.value) and ("zeros" in str(error.value)) != ("every row" in str(error.value))


def test_constant_columns_are_named():
    x = np.random.default_rng(0).normal(size=(10, 4))
    x[:, [1, 3]] = 2.5, -1
    with pytest.raises(ValueError, match=r"columns 1, 3 never vary \(always 2.5, -1\): drop them, numpy.delete"):
        summarize(ArrayRows(x))
    with pytest.raises(ValueError, match=r"columns 'b', 'd' never vary .* df.drop\(columns=\[…\]\)"):
        summarize(ArrayRows(x), names="abcd")


def test_constant_channels_but_not_pixels():
    x = np.random.default_rng(0).normal(size=(10, 2, 4, 4))
    x[:, :, 0, 0] = 7
    assert summarize(ArrayRows(x)).variance[0, 0, 0] == 0
    x[:, 1] = 3
    with pytest.raises(ValueError, match=r"channel 1 never varies \(always 3\): leave it out"):
        summarize(ArrayRows(x))


def test_all_the_same():
    with pytest.raises(ValueError, match="all data are the same, 1, 1 in every row: there is nothing to learn"):
        summarize(ArrayRows(np.ones((5, 2))))


@pytest.mark.parametrize(("count", "text"), [(0, "0 rows"), (1, "1 row")])
def test_too_few(count, text):
    with pytest.raises(ValueError, match=f"cannot be learned from {text}: give 2 or more"):
        summarize(ArrayRows(np.ones((count, 2))))


@pytest.mark.parametrize("memory", [4000, 1 << 20])
def test_columns_of_tables_may_be_constant_and_have_gaps(memory):
    x = np.random.default_rng(0).normal(3, 0.5, (200, 5)).round(1)
    x[:, 1] = 7
    x[np.random.default_rng(1).random(200) < 0.3, 2] = np.nan
    x[:, 3] = np.nan
    frame = pandas.DataFrame(x, columns=list("abcde"))
    schema = Schema.of(frame)
    rows = schema.rows(frame)
    with pytest.raises(ValueError, match="hold NaN"):
        summarize(rows, schema.columns, memory)
    s = summarize(rows, schema.columns, memory, table=schema.table)
    x[:, 3] = 0
    expected = np.nanmean(x, 0), np.nanvar(x, 0), np.nanmin(x, 0), np.nanmax(x, 0)
    for ours, exact in zip((s.mean, s.variance, s.minimum, s.maximum), expected):
        np.testing.assert_allclose(ours, exact, rtol=1e-11, atol=1e-13)
    assert s.count == 200
    np.testing.assert_allclose(s.step[[0, 2, 4]], 0.1)


def test_a_table_in_which_nothing_varies():
    frame = pandas.DataFrame({"a": [1, 1], "b": ["x", "x"]})
    schema = Schema.of(frame)
    with pytest.raises(ValueError, match=r"^all data are the same: there is nothing to learn"):
        summarize(schema.rows(frame), schema.columns, table=schema.table)
