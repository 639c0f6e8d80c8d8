"""Colourization: posterior samples, mean and standard deviation of the colours of a photograph given its grey values.

    python examples/colourizing.py [RUN] [--steps 1200] [--count 16] [--patches 8] [-o colourizing.png]

Without a run, a small network learns patches of 16 x 16 pixels of the two photographs that come with scikit-learn, at a third
of their size. A vertical band of each is held out, and patches from it are colourized. RUN is the folder of a finished
`scorefield fit` of 8-bit colour images, `(H, W, 3)`: then some of its held-out images are colourized.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import scorefield
from scorefield.evaluation import split_of
from scorefield.inverse import misfit
from scorefield.measurement import Grey, Measurement
from scorefield.model import Model
from scorefield.rng import Samples

SIDE, NOISE = 16, 4.0  # the side of a patch; the noise of the measurement, in grey levels
BANDS = (69, 102)  # the first held-out column of each photograph
WIDTH = 40  # the number of held-out columns


class Coloured(NamedTuple):
    """A patch, its measured grey values, and posterior samples."""

    truth: np.ndarray
    grey: np.ndarray
    draws: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.draws.mean(0)

    @property
    def naive(self) -> np.ndarray:
        return np.repeat(self.grey[..., None], 3, -1)

    @property
    def errors(self) -> tuple[float, np.ndarray]:
        """The mean squared errors of the mean, and of each draw."""
        return float(np.mean((self.mean - self.truth) ** 2)), np.mean((self.draws - self.truth) ** 2, axis=(1, 2, 3))


def photographs() -> list[np.ndarray]:
    """A pagoda and a dahlia at a third of their size, `(142, 213, 3)`."""
    from sklearn.datasets import load_sample_images

    whole = [image[:426, :639].astype(np.float64) for image in load_sample_images().images]
    return [image.reshape(142, 3, 213, 3, 3).mean((1, 3)).round().astype(np.uint8) for image in whole]


def patches(image: np.ndarray, stride: int) -> np.ndarray:
    """All patches with a stride, `(N, SIDE, SIDE, 3)`."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), axis=(0, 1))[::stride, ::stride]
    return windows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def small(steps: int, count: int) -> tuple[Model, np.ndarray]:
    """A model of patches outside the bands, and held-out patches from the middle of the bands."""
    images = photographs()
    outside = [part for image, at in zip(images, BANDS) for part in np.split(image, [at, at + WIDTH], 1)[::2]]
    train = np.concatenate([patches(part, 2) for part in outside])
    train = np.ascontiguousarray(np.concatenate([train, train[:, :, ::-1]]))
    network = scorefield.Network(patch=2, widths=(48, 96))
    model = scorefield.fit(train, training=scorefield.Training(steps=steps), network=network)
    return model, held_out_patches(images, count)


def held_out_patches(images: list[np.ndarray], count: int) -> np.ndarray:
    """Patches from the middle of the bands, at even distances: `(count, SIDE, SIDE, 3)`."""
    found = []
    for image, at, n in zip(images, BANDS, ((count + 1) // 2, count // 2)):
        left = at + (WIDTH - SIDE) // 2
        found += [image[row : row + SIDE, left : left + SIDE] for row in np.linspace(14, 114, n).astype(int)]
    return np.stack(found)


def from_run(run: Path, count: int) -> tuple[Model, np.ndarray]:
    """The model of a run, and held-out images."""
    folder = scorefield.Run(run)
    model = folder.model
    rows = split_of(folder, model)[1]
    return model, model.schema.pack(rows.take(range(count)))


def colour(model: Model, truth: np.ndarray, count: int, seed: int) -> Coloured:
    """Removes the colours of an image, samples them from the posterior, and prints the errors."""
    operator = Grey()
    ideal = operator(torch.from_numpy(truth[None]).double())[0]
    y = ideal + NOISE * Samples(seed, 0, 1, "noise").normal((1, *ideal.shape), torch.float64)[0]
    given = model.given(Measurement(operator, y, NOISE))
    start = time.perf_counter()
    drawn = given.sample(count, seed=seed)
    seconds = (time.perf_counter() - start) / count
    found = Coloured(truth.astype(np.float64), y.numpy(), drawn.astype(np.float64))
    mean, each = found.errors
    agree, grey = float(misfit(given, drawn).mean()), psnr(np.mean((found.naive - found.truth) ** 2))
    print(
        f"PSNR of the mean {psnr(mean):.1f} dB, of draws {psnr(each.mean()):.1f} ({psnr(each.max()):.1f} to "
        f"{psnr(each.min()):.1f}), of grey {grey:.1f}; misfit / noise variance {agree:.2f}; {seconds:.2f} s per draw",
        flush=True,
    )
    return found


def psnr(square: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error, for levels up to 255."""
    return float(10 * np.log10(255**2 / square))


def summary(found: list[Coloured]) -> str:
    """The coverage of the central 80 % interval, and the errors of draws relative to that of their mean."""
    n, better = len(found[0].draws), sum(bool((one.errors[1] > one.errors[0]).all()) for one in found)
    rank = np.stack([((one.draws < one.truth) + 0.5 * (one.draws == one.truth)).mean(0) for one in found])
    held = np.mean((rank >= 0.1) & (rank <= 0.9), axis=(1, 2, 3))
    expected = np.mean([0.1 <= k / n <= 0.9 for k in range(n + 1)])
    ratio = sum(one.errors[1].mean() for one in found) / sum(one.errors[0] for one in found)
    return (
        f"the central 80 % of the draws contain the truth in {held.mean():.0%} of the values (by patch {held.min():.0%} to "
        f"{held.max():.0%}), calibrated {expected:.0%}\n"
        f"squared error of draws relative to that of their mean: {ratio:.2f}, calibrated {2 * n / (n + 1):.2f}\n"
        f"the mean is closer to the truth than every draw in {better} of {len(found)}"
    )


def draw(found: list[Coloured], path: Path, count: int = 4) -> None:
    """One column for each patch."""
    from matplotlib.figure import Figure

    count = min(count, len(found[0].draws))
    titles = ["grey, measured", "truth", "mean", "std x 3", *("a draw" for _ in range(count))]
    figure = Figure(
        figsize=(1.1 * len(found) + 0.4, 1.1 * len(titles)), dpi=110, facecolor="white", layout="constrained"
    )
    for column, one in enumerate(found):
        deviation = np.repeat(3 * np.sqrt((one.draws.var(0)).mean(-1, keepdims=True)), 3, -1)
        images = [one.naive, one.truth, one.mean, deviation, *one.draws[:count]]
        for row, (image, title) in enumerate(zip(images, titles)):
            axes = figure.add_subplot(len(titles), len(found), row * len(found) + column + 1)
            axes.imshow(image.clip(0, 255).astype(np.uint8), interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color("#d0cfc8")
            if column == 0:
                axes.set_ylabel(title, fontsize=8, color="#1f1e1b")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=1200, help="training steps, without a run")
    parser.add_argument("--count", type=int, default=16, help="posterior samples for each patch")
    parser.add_argument("--patches", type=int, default=8)
    parser.add_argument("-o", "--output", type=Path, default=Path("colourizing.png"))
    options = parser.parse_args()
    if options.run is None:
        model, held_out = small(options.steps, options.patches)
    else:
        model, held_out = from_run(options.run, options.patches)
    found = [colour(model, truth, options.count, seed) for seed, truth in enumerate(held_out)]
    print(summary(found))
    draw(found, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
