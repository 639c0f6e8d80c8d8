"""Pixels of pictures agree with the values of the data."""

import io

import numpy as np
import pytest
from PIL import Image

from scorefield.reporting import DARK, sample_grid
from scorefield.reporting.base import LIGHT
from scorefield.reporting.grids import FIELD, GAP, banded, grid_style, mosaic, tiles


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def opened(data):
    return Image.open(io.BytesIO(data))


def test_the_kind_of_a_picture_follows_from_the_values(rng):
    grey = rng.integers(0, 256, (5, 1, 8, 8)).astype(np.uint8)
    assert grid_style(grey).kind == "grey"
    assert grid_style(np.repeat(grey, 3, 1)).kind == "colour"
    assert grid_style(grey / 255).kind == "grey"
    assert grid_style(np.repeat(grey, 2, 1)).kind == "field"
    assert grid_style(grey / 255 - 0.5).kind == "field"
    assert grid_style(grey / 1000).kind == "field"
    assert grid_style(grey[:, 0]).kind == "field"


def test_limits_are_per_channel_and_never_empty(rng):
    fields = rng.normal(size=(50, 3, 8, 8)) * np.array([1.0, 100.0, 0.0]).reshape(1, 3, 1, 1) + 5
    style = grid_style(fields)
    width = style.high - style.low
    assert width[1] == pytest.approx(100 * width[0], rel=0.3) and width[2] == 1


def test_the_colours_of_fields_increase_in_lightness():
    lightness = FIELD @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()


def test_grey_pixels_are_the_values_and_gaps_are_transparent(rng):
    data = rng.integers(0, 256, (40, 1, 28, 28)).astype(np.uint8)
    data[0, 0, 0, :2] = 0, 255
    held_out, drawn = sample_grid(data, data[::-1])
    for picture, shown in ((held_out, data), (drawn, data[::-1])):
        image = np.asarray(opened(picture).convert("LA"), dtype=int)
        scale = round(900 / (6 * 28))
        for place in (0, 7, 35):
            top, left = (28 * scale + 3 * scale) * (place // 6), (28 * scale + 3 * scale) * (place % 6)
            tile = image[top : top + 28 * scale : scale, left : left + 28 * scale : scale]
            assert np.abs(tile[..., 0] - shown[place, 0]).max() <= 1 and (tile[..., 1] == 255).all()
        assert (image[:, 28 * scale : 31 * scale, 1] == 0).all()


def test_colour_pixels_are_the_values(rng):
    data = rng.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8)
    image = opened(sample_grid(data, data)[0])
    scale = round(900 / (4 * 32))
    assert image.mode == "RGBA"
    assert (np.asarray(image)[: 32 * scale : scale, : 32 * scale : scale, :3] == np.moveaxis(data[0], 0, -1)).all()


def test_channels_are_side_by_side_and_volumes_show_central_slices(rng):
    fields = rng.normal(size=(3, 6, 5, 7))
    assert [len(group) for group in tiles(fields, grid_style(fields))] == [4, 4, 4]
    volume = rng.normal(size=(2, 1, 4, 5, 6))
    style = grid_style(volume)
    first, second, third = tiles(volume, style)[0]
    scaled = np.clip((volume[0, 0] - style.low[0]) / (style.high[0] - style.low[0]), 0, 1)
    assert (first == scaled[2]).all() and (second == scaled[:, 2]).all() and (third == scaled[:, :, 3]).all()
    page = mosaic([[first, second, third]], 1, 2)
    assert page.shape == (10, 2 * (6 + 6 + 5) + 2) and (page[8:, 14:26] == GAP).all()


def test_data_of_any_shape_give_two_pictures(rng):
    for shape in ((9, 1, 5, 90), (2, 3, 64, 64), (7, 1, 6, 6, 6), (3, 2, 50), (5, 1, 300, 300)):
        data = rng.normal(size=shape)
        pair = sample_grid(data, data[:2])
        assert [opened(picture).width > 100 for picture in pair] == [True, True]


def test_fields_are_the_same_in_every_theme_and_lines_are_not(rng):
    fields, signals = rng.normal(size=(3, 1, 8, 8)), rng.normal(size=(3, 1, 40))
    assert sample_grid(fields, fields, LIGHT) == sample_grid(fields, fields, DARK)
    assert sample_grid(signals, signals, LIGHT) != sample_grid(signals, signals, DARK)


def test_channels_of_a_signal_stay_in_their_bands(rng):
    signals = rng.normal(size=(20, 3, 50)) * np.array([1.0, 50.0, 0.1]).reshape(1, 3, 1)
    style = grid_style(signals)
    for channel in range(3):
        line = banded(signals[0], style, channel)
        assert 2 - channel <= line.min() and line.max() <= 3 - channel + 0.03
        order = np.argsort(signals[0, channel])
        assert (np.diff(line[order]) >= 0).all()
