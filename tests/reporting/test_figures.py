"""Charts of any training log and any data; labels do not overlap."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from scorefield.metrics import Neighbours, field_tests
from scorefield.reporting import (
    DARK,
    level_losses,
    neighbour_histogram,
    scatter_matrix,
    scatter_pair,
    training_curve,
)
from scorefield.reporting.base import canvas, png
from scorefield.reporting.curves import curve_chart
from scorefield.reporting.figures import _label_ends, _running_mean, chosen_columns, histograms


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def size(picture):
    return Image.open(io.BytesIO(picture)).size


@pytest.mark.parametrize(
    "log",
    [
        [{"step": 1, "loss": 1.0}],
        [{"step": 1, "loss": 0.0, "held_out": None}, {"step": 2, "loss": 0.0}],
        [{"step": s, "loss": 1000.0 / s, "held_out": 900.0 / s if s % 7 == 0 else None} for s in range(1, 2000)],
        [{"step": s, "loss": float("nan") if s == 3 else -1.0 - s} for s in range(1, 9)],
    ],
)
def test_training_curves_of_any_log(log):
    assert size(training_curve(log)) == (1360, 600) and size(training_curve(log, DARK, 350)) == (700, 500)


@pytest.mark.parametrize("zero", [1.0, 1e4])
def test_levels_may_be_unordered_and_incomplete(zero):
    levels = {
        "level": [10.0, 0.01, 0.1, 1.0],
        "loss": [zero, 0.9, 0.5, np.nan],
        "zero_loss": [zero, 1, 1, 1],
        "train_loss": None,
    }
    assert size(level_losses(levels)) == (1360, 600)
    assert size(level_losses(levels | {"train_loss": [0.5] * 4}, DARK)) == (1360, 600)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e6])
def test_neighbours_at_any_distance(scale, rng):
    near = Neighbours(scale * rng.random(50), scale * rng.random(50), 0.0, 0.0, 0.5)
    assert size(neighbour_histogram(near)) == (1360, 600)


def test_tables_of_any_width(rng):
    for features in (3, 7):
        real, drawn = rng.normal(size=(80, features)), rng.normal(size=(60, features))
        real[:, 0], drawn[:, 0] = rng.integers(0, 4, 80), rng.integers(0, 4, 60)
        real[:, 1] = drawn[:, 1] = 3.0
        assert size(scatter_matrix(real, drawn, theme=DARK))[0] >= 1700
    assert len(histograms(real[:, :1], drawn[:, :1])) == 1


NAMES = [r"$\bm{v}$", "US$_in_vs_A$", "<script>alert(1)</script>"]


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_column_names_are_drawn_literally(columns, rng):
    """Names that are not valid mathtext do not stop a chart."""
    real, drawn = rng.normal(size=(50, columns)), rng.normal(size=(50, columns))
    draw = {
        1: lambda names: histograms(real, drawn, names)[0],
        2: lambda names: scatter_pair(real, drawn, names)[0],
        3: lambda names: scatter_matrix(real, drawn, names),
    }[columns]
    assert size(draw(NAMES[:columns]))[0] > 900


def test_text_is_never_a_formula():
    figure = canvas(200, 100)
    text = figure.text(0.5, 0.5, "$x$")
    png(figure)
    assert not text.get_parse_math()


def test_the_columns_that_differ_most_are_shown(rng):
    real, drawn = rng.normal(size=(300, 9)) * np.arange(1, 10), rng.normal(size=(300, 9)) * np.arange(1, 10)
    drawn[:, [2, 7]] += 3 * np.array([3, 8])
    assert chosen_columns(real, drawn, 2) == [2, 7]
    assert chosen_columns(real[:, :2], drawn[:, :2], 2) == [0, 1]


def test_the_running_mean_keeps_constants_and_length(rng):
    assert np.allclose(_running_mean(np.full(30, 2.5), 4), 2.5)
    values = rng.normal(size=101)
    smooth = _running_mean(values, 5)
    assert len(smooth) == 101 and smooth[50] == pytest.approx(values[45:56].mean())
    assert len(_running_mean(np.zeros(0), 3)) == 0


def test_labels_at_the_ends_of_lines_do_not_overlap():
    axes = canvas(600, 300).add_axes((0.1, 0.1, 0.7, 0.8))
    axes.set_ylim(0, 1)
    _label_ends(axes, [(0.99, "first\nof two", "k"), (1.0, "second", "k"), (0.985, "third", "k"), (0.2, "low", "k")])
    renderer = axes.get_figure().canvas.get_renderer()
    boxes = sorted((text.get_window_extent(renderer) for text in axes.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
    assert boxes[-1].y1 < 600 and boxes[0].y0 == pytest.approx(0.2 * 480 + 60, abs=20)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 4, 4, 4), (2, 4, 4, 4)])
def test_names_below_a_chart_do_not_overlap(shape, rng):
    """The Minkowski functionals of volumes have four names, the others fewer."""
    x = rng.normal(size=(24, *shape))
    (curve,) = (c for c in field_tests(x[:12], x[12:], permutations=19) if c.name == "Minkowski functionals")
    figure = curve_chart.figure(curve)
    figure.canvas.draw()
    axes = figure.axes[-1]
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.get_xticklabels()]
    assert len(boxes) == len(shape) and all(left.x1 < right.x0 for left, right in pairwise(boxes))
    title = axes.xaxis.label.get_window_extent(renderer)
    assert title.y0 >= 0 and title.y1 <= min(box.y0 for box in boxes) + 1
