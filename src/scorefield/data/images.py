"""Encoded images, in a folder or in a column, as one array of pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .cache import Store
from .errors import DataError, one_line
from .optional import need

__all__ = ["Image", "read_images"]

MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "LA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "I;16B": "I;16"}
PIXELS = {"L": (1, np.uint8), "RGB": (3, np.uint8), "RGBA": (4, np.uint8), "I;16": (1, np.uint16), "F": (1, np.float32)}
ROTATED = (5, 6, 7, 8)  # orientations of a photograph that swap width and height

Image = tuple[str, Path | bytes]  # where it is, for messages; the file or its content


def read_images(
    items: Iterable[Image], count: int, resize: int | None, store: Store, options: dict[str, Any]
) -> np.ndarray:
    """The pixels, `(N, H, W)` of grey images and `(N, H, W, C)` of coloured ones.

    Arguments:
        items: The images; they are read twice, first for their sizes.
        count: How many there are.
        resize: The side to which images are brought: the shorter one by an antialiased resize, the longer by a crop.
        store: Where they go if they are too large for memory.
        options: What distinguishes them from other images of the same source.

    Raises:
        DataError: If an image is damaged, or they differ in size or colours.
    """
    if resize is not None and resize < 1:
        raise DataError(f"resize is the side of the images in pixels, at least 1, got {resize}")
    mode, (width, height) = _survey(items, resize)
    channels, dtype = PIXELS[mode]
    shape = (height, width) if channels == 1 else (height, width, channels)
    row = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if store.holds(count * row):
        images = np.empty((count, *shape), dtype)
        for i, item in enumerate(items):
            images[i] = _pixels(item, mode, resize)
        return images

    def chunks() -> Iterator[np.ndarray]:
        for item in items:
            yield _pixels(item, mode, resize)[None]

    return store.copy({**options, "resize": resize}, chunks)[0]


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
    except DataError:
        raise
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
    from PIL.Image import Resampling

    short = min(image.size)
    left, top = (image.width - short) / 2, (image.height - short) / 2
    box = (left, top, left + short, top + short)
    if image.mode == "I;16":
        from PIL import Image

        real = Image.fromarray(np.asarray(image, np.float32)).resize((side, side), Resampling.LANCZOS, box)
        return np.asarray(real).round().clip(0, 65535)
    return image.resize((side, side), Resampling.LANCZOS, box)
