"""Encoded images, in a folder or elsewhere, as one array of pixels; and samples as a folder of images."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...progress import report
from ..cache import Store
from ..errors import DataError, one_line
from ..optional import need
from ..schema import Schema
from .base import Format, Selection, array_of

__all__ = ["Image", "ImageFolder", "read_images"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".gif")
MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "LA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "I;16B": "I;16"}
PIXELS = {"L": (1, np.uint8), "RGB": (3, np.uint8), "RGBA": (4, np.uint8), "I;16": (1, np.uint16), "F": (1, np.float32)}
ROTATED = (5, 6, 7, 8)  # orientations of a photograph that swap width and height

Image = tuple[str, Path | bytes]  # where it is, for messages; the file or its content


class ImageFolder(Format):
    """The images in a folder and below it, in the order of their paths; samples are written as .png."""

    name, options, folder, keeps = "image folder", ("resize",), True, ()
    position = 100

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
        files = _image_files(path)
        return read_images(lambda: ((str(p), p) for p in files), len(files), selection.resize, store, {})

    def cannot_hold(self, schema: Schema) -> str | None:
        channels = schema.inner_shape[0] if len(schema.inner_shape) == 3 else 0
        if (schema.dtype == "uint8" and channels in (1, 3, 4)) or (schema.dtype == "uint16" and channels == 1):
            return None
        if schema.dtype in ("uint8", "uint16"):
            return f"names a folder of images, and these data have the shape {schema.shape}"
        return f"names a folder, which is for uint8 images, these data are {schema.dtype}"

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


def _image_files(path: Path) -> list[Path]:
    """The images in a folder and below it; one that cannot be listed is an error, not a folder without images."""

    def refuse(error: OSError) -> None:
        raise error

    found = (Path(folder, name) for folder, _, names in os.walk(path, onerror=refuse) for name in names)
    images = (p for p in found if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    files = sorted(p for p in images if p.is_file())
    if not files:
        raise DataError(f"{path} holds no images: known are {' '.join(SUFFIXES)}")
    return files


def read_images(
    items: Callable[[], Iterable[Image]], count: int, resize: int | None, store: Store, options: dict[str, Any]
) -> np.ndarray:
    """The pixels of `count` images, `(N, H, W)` or, in colour, `(N, H, W, C)`; `options` tell them apart in the store."""
    if resize is not None and resize < 1:
        raise DataError(f"resize is the side of the images in pixels, at least 1, got {resize}")
    mode, (width, height) = _survey(items(), resize)
    channels, dtype = PIXELS[mode]
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = (_pixels(item, mode, resize) for item in items())
    if not store.holds(count * math.prod(shape) * np.dtype(dtype).itemsize):
        return store.copy({**options, "resize": resize}, (image[None] for image in pixels))[0]
    images = np.empty((count, *shape), dtype)
    for i, image in enumerate(pixels):
        images[i] = image
        report((i + 1) / count, "reading images")
    return images


def _survey(items: Iterable[Image], resize: int | None) -> tuple[str, tuple[int, int]]:
    """The colour mode and the size that hold all images; only their headers are read."""
    sizes: dict[tuple[int, int], str] = {}
    modes: dict[str, str] = {}
    for where, source in items:
        with _open(where, source) as image:
            pages, turned = getattr(image, "n_frames", 1), image.getexif().get(0x0112) in ROTATED
            mode = "RGBA" if image.mode == "P" and "transparency" in image.info else MODES.get(image.mode, image.mode)
            sizes.setdefault(image.size[::-1] if turned else image.size, where)
            modes.setdefault(mode, where)
        if pages > 1:
            raise DataError(f"{where} holds {pages} pages: save them as one array, .npy")
    unknown = [m for m in modes if m not in PIXELS]
    if unknown:
        raise DataError(f"{modes[unknown[0]]} has pixels of the mode {unknown[0]}: known are {', '.join(PIXELS)}")
    if len(modes) > 1 and set(modes) != {"L", "RGB"}:
        (a, first), (b, second) = list(modes.items())[:2]
        raise DataError(f"images differ in their colours: {first} is {a}, {second} is {b}: convert them to one mode")
    if resize is None and len(sizes) > 1:
        (one, first), (two, second) = list(sizes.items())[:2]
        raise DataError(
            f"images differ in size: {first} is {one[0]} x {one[1]}, {second} is {two[0]} x {two[1]}: "
            f"bring them to one, resize={min(map(min, sizes))}"
        )
    size = next(iter(sizes)) if resize is None else (resize, resize)
    return ("RGB" if len(modes) > 1 else next(iter(modes))), size


@contextmanager
def _open(where: str, source: Path | bytes) -> Iterator[Any]:
    """The image, read as far as it is used; errors of the decoder say which one is damaged."""
    image = need("PIL.Image", "reading images")
    try:
        with image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
            yield opened
    except image.DecompressionBombError as error:
        raise DataError(
            f"{where} has more pixels than Pillow opens ({one_line(error)}): make it smaller, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS"
        ) from None
    except Exception as error:  # decoders raise nearly everything: OSError, SyntaxError, struct.error, IndexError, …
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and (error.errno or 0) > 0):
            raise
        why = "not an image" if isinstance(error, image.UnidentifiedImageError) else one_line(error)
        raise DataError(f"{where} is damaged ({why}): remove or replace it") from None


def _pixels(item: Image, mode: str, resize: int | None) -> np.ndarray:
    ops = need("PIL.ImageOps", "reading images")
    with _open(*item) as image:
        upright = ops.exif_transpose(image)
        pixels = upright if upright.mode == mode else upright.convert(mode)
        return np.asarray(pixels if resize is None else _resize(pixels, resize), PIXELS[mode][1])


def _resize(image: Any, side: int) -> Any:
    """The square in the middle of the image, `side` pixels wide."""
    from PIL import Image, ImageOps

    if image.mode != "I;16":
        return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
    real = Image.fromarray(np.asarray(image, np.float32))
    return np.asarray(ImageOps.fit(real, (side, side), Image.Resampling.LANCZOS)).round().clip(0, 65535)
