"""The picture of noise levels: data of any shape, opaque as a file."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from scorefield.data import ArrayRows
from scorefield.noise_levels import NoiseLevels, choose_noise_levels
from scorefield.reporting import DARK, LIGHT
from scorefield.reporting.calibration import calibration_figure, write_calibration
from scorefield.units import Standardize


def cloud(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "shape", [(60, 1), (60, 2), (60, 7), (40, 2, 30), (40, 1, 8, 8), (40, 3, 8, 8), (30, 1, 5, 5, 5)]
)
def test_data_of_any_shape_are_drawn(shape):
    x = cloud(*shape)
    picture = Image.open(io.BytesIO(calibration_figure(choose_noise_levels(x), x, theme=DARK)))
    assert picture.size == (2032, 1360)
    assert len(np.unique(np.asarray(picture.convert("RGBA"))[..., 3])) > 2  # transparent


def test_integer_images_keep_their_values(tmp_path):
    """Bytes stay grey between black and white after standardization and back."""
    pixels = (cloud(40, 1, 8, 8) > 0).float() * 255
    units = Standardize((1, 8, 8), torch.tensor(127.3), torch.tensor(127.7))
    found = choose_noise_levels(units(pixels))
    path = write_calibration(tmp_path / "calibration.png", found, ArrayRows(pixels), units)
    picture = np.asarray(Image.open(path))
    assert picture.shape == (1360, 2032, 3)
    paper = tuple(int(LIGHT.paper[i : i + 2], 16) for i in (1, 3, 5))
    assert tuple(picture[2, 2]) == paper
    first = picture[700:900, 60:270].reshape(-1, 3).astype(int)
    assert (first.max(1) - first.min(1)).max() < 30 and first.min() < 4 and first.max() > 250  # of 256 colours in all


def test_levels_without_data_are_drawn():
    given = NoiseLevels(0.01, 50.0, -0.5, 1.2, reach=None, numbers=64, overlap=0.5667)
    assert calibration_figure(given, cloud(40, 1, 8, 8))[:4] == b"\x89PNG"


def test_the_picture_is_a_png(tmp_path):
    x = cloud(20, 2)
    message = r"^the picture of noise levels is a .png file, got .*calibration.pdf: name it .*calibration.png$"
    with pytest.raises(ValueError, match=message):
        write_calibration(tmp_path / "calibration.pdf", choose_noise_levels(x), ArrayRows(x), Standardize((2,)))
