"""Numbers for people, and the look that figures share."""

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
def test_numbers_are_short_and_plain(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(30.2, 2, "30"), (30.2, 1, "30"), (0.104, 1, "0.1"), (4.0, 1, "4")]
)
def test_fewer_digits_drop_no_whole_zeros(value, digits, text):
    assert number(value, digits) == text


def test_a_missing_package_is_named_with_its_mend():
    with pytest.raises(ImportError, match='a report needs nosuchpackage: pip install "nosuchpackage"'):
        require("nosuchpackage.part")


def test_pictures_are_twice_the_size_of_the_page_and_lie_on_nothing():
    figure = canvas(120, 80)
    dress(figure.add_axes((0.2, 0.2, 0.7, 0.7)), LIGHT)
    image = Image.open(io.BytesIO(png(figure)))
    assert image.size == (240, 160)
    assert image.convert("RGBA").getpixel((0, 0))[3] == 0


def test_themes_tell_real_from_drawn_by_lightness_too():
    def lightness(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16

    for theme in (LIGHT, DARK):
        assert abs(lightness(theme.real) - lightness(theme.accent)) > 10
        assert abs(lightness(theme.ink) - lightness(theme.paper)) > 70
        assert abs(lightness(theme.muted) - lightness(theme.paper)) > 40


def test_the_typeface_is_one_that_this_machine_has():
    from matplotlib.font_manager import fontManager

    assert family() in fontManager.get_font_names()
