"""Numbers as text, and the style that figures share."""

import io
import math

import pytest
from PIL import Image

from scorefield.reporting.base import DARK, LIGHT, canvas, dress, family, number, png, require


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (0.000123, "0.000123"),
        (0.05, "0.05"),
        (0.9999, "1"),
        (99.96, "100"),
        (-2.5, "−2.5"),
        (1234.5, "1,234"),
        (3e12, "3e12"),
        (-1.25e-7, "−1.25e−7"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(30.2, 2, "30"), (30.2, 1, "30"), (0.104, 1, "0.1"), (4.0, 1, "4")]
)
def test_fewer_digits_keep_the_zeros_of_integers(value, digits, text):
    assert number(value, digits) == text


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    with pytest.raises(ImportError, match='a report needs nosuchpackage: pip install "nosuchpackage"'):
        require("nosuchpackage.part")


def test_pictures_are_transparent_and_twice_the_size_of_the_page():
    figure = canvas(120, 80)
    dress(figure.add_axes((0.2, 0.2, 0.7, 0.7)), LIGHT)
    image = Image.open(io.BytesIO(png(figure)))
    assert image.size == (240, 160)
    assert image.convert("RGBA").getpixel((0, 0))[3] == 0


def test_real_and_drawn_differ_in_lightness():
    def lightness(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16

    for theme in (LIGHT, DARK):
        assert abs(lightness(theme.real) - lightness(theme.accent)) > 10
        assert abs(lightness(theme.ink) - lightness(theme.paper)) > 70
        assert abs(lightness(theme.muted) - lightness(theme.paper)) > 40


def test_the_font_family_is_installed():
    from matplotlib.font_manager import fontManager

    assert family() in fontManager.get_font_names()
