"""Draws real images (left) next to as many samples of a run (right): the picture in the README.

make demo
python examples/picture.py demo/digits.npy demo/run docs/digits.png
"""

import sys

import numpy as np
from PIL import Image

import scorefield


def mosaic(images: np.ndarray, columns: int = 12, scale: int = 5) -> np.ndarray:
    """Images `(N, H, W)` in a grid with thin gaps, dark on light."""
    top = float(images.max())
    tiles = [np.pad(255 * (1 - image / top), 1, constant_values=255.0) for image in images.astype(float)]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.kron(np.vstack(rows), np.ones((scale, scale)))


data, run, picture = sys.argv[1:4]
real = np.load(data)[:72]
drawn = np.minimum(scorefield.load(run).sample(len(real), seed=0), real.max())
gap = np.full((mosaic(real).shape[0], 40), 255.0)
page = np.hstack([mosaic(real), gap, mosaic(drawn)])
Image.fromarray(page.astype(np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(
    picture, optimize=True
)
print(picture)
