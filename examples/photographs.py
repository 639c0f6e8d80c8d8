"""Patches of the two photographs that come with scikit-learn, at a third of their size.

Colourization imports it; it has no command line.
"""

import numpy as np
from sklearn.datasets import load_sample_images

SIDE = 16  # of a patch, in pixels
BANDS, WIDTH = (69, 102), 40  # the first held-out column of each photograph, and the number of such columns


def photographs() -> list[np.ndarray]:
    """A pagoda and a dahlia, `(142, 213, 3)`, 8-bit."""
    whole = [image[:426, :639].astype(np.float64) for image in load_sample_images().images]
    return [image.reshape(142, 3, 213, 3, 3).mean((1, 3)).round().astype(np.uint8) for image in whole]


def training_patches() -> np.ndarray:
    """Every other patch outside of the held-out bands, and its mirror image, `(N, SIDE, SIDE, 3)`."""
    found = []
    for image, at in zip(photographs(), BANDS):
        for part in np.split(image, [at, at + WIDTH], 1)[::2]:
            windows = np.lib.stride_tricks.sliding_window_view(part, (SIDE, SIDE), axis=(0, 1))[::2, ::2]
            found.append(windows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    together = np.concatenate(found)
    return np.ascontiguousarray(np.concatenate([together, together[:, :, ::-1]]))


def held_out_patches(count: int) -> np.ndarray:
    """Patches from the middle of the bands, at even distances, `(count, SIDE, SIDE, 3)`."""
    found = []
    for image, at, n in zip(photographs(), BANDS, ((count + 1) // 2, count // 2)):
        left = at + (WIDTH - SIDE) // 2
        found += [image[row : row + SIDE, left : left + SIDE] for row in np.linspace(14, 114, n).astype(int)]
    return np.stack(found)
