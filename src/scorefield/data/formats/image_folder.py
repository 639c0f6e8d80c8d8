"""Folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..batches import array_of
from ..cache import Store
from ..errors import DataError
from ..images import Image, read_images
from ..optional import need
from ..schema import Schema
from .base import Format, Selection, lost_by_plain_arrays

__all__ = ["ImageFolder"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".gif")


class ImageFolder(Format):
    """The images in a folder and below it, in the order of their paths; samples are written as .png."""

    name, options, folder = "image folder", ("resize",), True

    @property
    def label(self) -> str:
        return "folders of images"

    def recognizes(self, path: Path) -> bool:
        return path.is_dir() or path.name.lower().endswith(SUFFIXES)

    def names(self, path: Path) -> bool:
        return not path.suffix

    def read(self, path: Path, selection: Selection, store: Store) -> np.ndarray:
        if not path.is_dir():
            raise DataError(f"{path} is one image, hence one sample: pass the folder of all images, {path.parent}")
        images = _Images(path)
        return read_images(images, len(images.files), selection.resize, store, {})

    def cannot_hold(self, schema: Schema) -> str | None:
        channels = schema.inner_shape[0] if len(schema.inner_shape) == 3 else 0
        if (schema.dtype == "uint8" and channels in (1, 3, 4)) or (schema.dtype == "uint16" and channels == 1):
            return None
        if schema.dtype in ("uint8", "uint16"):
            return f"names a folder of images, and these data have the shape {schema.shape}"
        return f"names a folder, which is for uint8 images, these data are {schema.dtype}"

    def loses(self, schema: Schema) -> str | None:
        return lost_by_plain_arrays(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        image = need("PIL.Image", "writing images")
        path.mkdir()
        digits, i = len(str(count - 1)), 0
        for batch in batches:
            pixels = array_of(batch)
            if schema.channel_axis == 0:
                pixels = np.moveaxis(pixels, 1, -1)
            if pixels.ndim == 4 and pixels.shape[-1] == 1:
                pixels = pixels[..., 0]
            for picture in pixels:
                image.fromarray(picture).save(path / f"{i:0{digits}}.png")
                i += 1


class _Images:
    """The images of a folder, each with where it is."""

    def __init__(self, path: Path) -> None:
        found = (Path(folder, name) for folder, _, names in os.walk(path, onerror=_refuse) for name in names)
        files = (p for p in found if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        self.files = sorted(p for p in files if p.is_file())
        if not self.files:
            raise DataError(f"{path} holds no images: known are {' '.join(SUFFIXES)}")

    def __iter__(self) -> Iterator[Image]:
        return ((str(p), p) for p in self.files)


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed is an error: its images must not be missing without a word."""
    raise error
