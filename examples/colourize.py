"""Colours for a grey picture: what a model of small colour patches says, given their luma.

    python examples/colourize.py [--minutes 4] [-o colourize.png]

The two photographs that come with scikit-learn (a temple and a flower) are cut into patches of 16 x 16 points; the right
quarter of each is kept back. A model learns the patches, and is given the luma of some that it has not seen: many colours agree
with it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import scorefield
from scorefield import Measurement, Training
from scorefield.measurement import Grey

SIDE = 16
NOISE = 4.0  # of the luma, in grey levels of 255


def patches(step: int, left: float, right: float) -> np.ndarray:
    """Patches of both pictures, of the part of their width between `left` and `right`: `(N, 16, 16, 3)`."""
    found = []
    for image in load_sample_images().images:
        small = np.asarray(Image.fromarray(image).resize((320, 214), Image.Resampling.BOX))
        for y in range(0, small.shape[0] - SIDE + 1, step):
            for x in range(int(left * 320), int(right * 320) - SIDE + 1, step):
                found.append(small[y : y + SIDE, x : x + SIDE])
    return np.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="of training")
    parser.add_argument("--count", type=int, default=16, help="draws for each patch")
    parser.add_argument("-o", "--output", type=Path, default=Path("colourize.png"))
    options = parser.parse_args()
    model = scorefield.fit(patches(3, 0.0, 0.75), training=Training(minutes=options.minutes))
    held_out = patches(SIDE, 0.75, 1.0)
    chosen = np.random.default_rng(1).choice(len(held_out), 8, replace=False)
    luma, rows = np.array([0.299, 0.587, 0.114]), []
    for truth in held_out[chosen].astype(float):
        grey = truth @ luma
        start = time.perf_counter()
        drawn = np.asarray(model.given(Measurement(Grey(), grey, NOISE)).sample(options.count)).astype(float)
        seconds = (time.perf_counter() - start) / options.count
        mean = drawn.mean(0)
        error, single = (np.sqrt(np.mean((x - truth) ** 2)) for x in (mean, drawn))
        left = np.sqrt(np.mean((drawn @ luma - grey) ** 2))
        print(
            f"error of the mean of draws {error:.1f} grey levels, of a draw {single:.1f}, of the grey picture "
            f"{np.sqrt(np.mean((grey[..., None] - truth) ** 2)):.1f}; luma off by {left:.1f}; {seconds:.1f} s a draw",
            flush=True,
        )
        rows.append([truth, np.repeat(grey[..., None], 3, 2), mean, *drawn[:4]])
    tiles = [np.hstack([np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=255.0) for x in row]) for row in rows]
    page = np.kron(np.hstack([np.vstack(tiles[:4]), np.vstack(tiles[4:])]).clip(0, 255), np.ones((4, 4, 1)))
    Image.fromarray(page.astype(np.uint8)).save(options.output, optimize=True)
    print(options.output)


if __name__ == "__main__":
    main()
