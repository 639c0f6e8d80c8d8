"""What a user of a notebook finds: what a fit chose and measured, plots with their axes, the words of the command line."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest
import torch
from matplotlib import pyplot

import scorefield
from scorefield.measurement import Blur, Compose, Downsample, Mask, Measurement
from scorefield.plotting import plot_rows

TINY = {"network": scorefield.Network(widths=(16,), depth=1), "device": "cpu"}


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(0).normal([10, -5], [1, 2], size=(300, 2))


def test_a_fit_keeps_what_it_chose_and_measured_without_a_run(data):
    model = scorefield.fit(data, steps=80, **TINY)
    names = [name for name, _, _ in model.choices]
    assert {"network", "process", "objective", "batch", "sampling"} <= set(names)
    assert all(value and reason for _, value, reason in model.choices)
    steps, losses = zip(*model.history)
    assert list(steps) == sorted(steps) and steps[-1] <= 80 and all(0 < loss < 3 for loss in losses)
    assert model.with_sampling("heun(steps=4)").history == model.history


def test_a_run_keeps_the_same(data, tmp_path):
    model = scorefield.fit(data, tmp_path / "run", steps=80, **TINY)
    again = scorefield.Run(tmp_path / "run").model
    assert again.choices == model.choices and again.history == model.history
    loaded = scorefield.load(tmp_path / "run" / "model.safetensors")
    assert loaded.choices == () and loaded.history == ()


@pytest.mark.slow
def test_a_model_reports_its_run(data, tmp_path):
    model = scorefield.fit(data, tmp_path / "run", steps=60, **TINY)
    assert model.report(data, count=80) == tmp_path / "run" / "report.html"
    with pytest.raises(ValueError, match="comes from none: fit"):
        scorefield.fit(data, steps=5, **TINY).report()
    with pytest.raises(ValueError, match="conditioned: report"):
        model.observe(Measurement("mask", [1.0, np.nan], 0.1)).report(data)


def test_columns_are_plotted_by_name(data):
    frame = pytest.importorskip("pandas").DataFrame({"load": data[:, 0], "depth": data[:, 1], "both": data.sum(1) ** 2})
    model = scorefield.fit(frame, steps=20, **TINY)
    axes = model.plot(frame, count=100)
    assert [axis.get_xlabel() for axis in axes] == ["load", "depth", "both"]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["data", "samples"]


def test_the_histogram_is_that_of_the_rows():
    x = np.random.default_rng(0).normal(size=(5000, 3))
    axis = plot_rows(x, x + 3)[1]
    grey = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in axis.patches if hasattr(bar, "get_height")]
    mean = sum((left + width / 2) * height * width for left, width, height in grey)
    assert sum(width * height for _, width, height in grey) == pytest.approx(1, abs=1e-6)
    assert mean == pytest.approx(3, abs=0.1)


KINDS = [((20, 2), 1, 0), ((20, 30), 12, 0), ((20, 2, 50), 2, 0)]
KINDS += [((20, 1, 8, 8), 16, 16), ((20, 3, 8, 8), 16, 16), ((20, 1, 4, 6, 8), 16, 16)]


@pytest.mark.parametrize("shape, count, images", KINDS)
def test_axes_by_kind_of_data(shape, count, images):
    axes = plot_rows(np.random.default_rng(0).normal(size=shape), np.zeros(shape))
    assert len(axes) == count and sum(len(axis.images) for axis in axes) == images
    if len(shape) == 5:
        assert axes[0].images[0].get_array().shape == (6, 8)
    if shape[1] == 3 and images:
        assert axes[0].images[0].get_array().shape == (8, 8, 3)


def test_axes_of_ones_own():
    _, mine = pyplot.subplots(1, 3)
    assert list(plot_rows(np.ones((5, 3)), axes=mine)) == list(mine)
    with pytest.raises(ValueError, match="needs 3 axes, got 1"):
        plot_rows(np.ones((5, 3)), axes=mine[0])


def test_measurements_by_the_words_of_the_command_line():
    y = np.array([1.0, np.nan, 2.0])
    given = Measurement("mask", y, 0.1)
    same = Measurement(Mask(np.array([True, False, True])), [1.0, 2.0], 0.1)
    x = torch.randn(2, 3, dtype=torch.float64)
    assert torch.equal(given.y, same.y) and torch.equal(given.operator(x), same.operator(x))
    pictures = torch.randn(2, 8, 8, dtype=torch.float64)
    chain = Measurement("blur(width=2) | downsample(factor=2)", np.zeros((4, 4)), "poisson(gain=2)")
    other = Compose((Blur(width=2), Downsample(factor=2)))
    assert torch.equal(chain.operator(pictures), other(pictures)) and chain.noise.gain == 2
    with pytest.raises(ValueError, match="'nonsense'"):
        Measurement("nonsense", y, 0.1)


def test_fit_and_sample_take_the_words_of_the_command_line(data):
    model = scorefield.fit(data, minutes=0.02, process="vp", sampler="heun", **TINY)
    assert model.sample(4, sampler="heun").shape == (4, 2)
    found = model.observe(Measurement("mask", [10.0, np.nan], 0.5), method="momentmatching")
    assert found.sample(3, sampler="ddim(steps=8)").shape == (3, 2)
