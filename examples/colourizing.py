"""The colours of a photograph from its grey values: what they may have been, as draws, their mean and their deviation.

    python examples/colourizing.py [RUN] [--steps 1200] [--count 16] [--patches 8] [-o colourizing.png]

Without a run a small network learns patches of 16 x 16 points of the two photographs that come with scikit-learn, at a third of
their size, but for an upright band of each: the patches that are coloured come from there. RUN is the folder of a finished
`scorefield fit` of colour images of bytes, `(H, W, 3)`: some of those that it held out are coloured.
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

SIDE, NOISE = 16, 4.0  # of a patch; of what is measured, in grey levels
BANDS = (69, 102)  # where the columns of each photograph begin that training does not see
WIDTH = 40  # how many they are


class Coloured(NamedTuple):
    """A patch, its grey values as they were measured, and what the posterior says."""

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
    """All patches at steps of `stride`, `(N, SIDE, SIDE, 3)`."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), axis=(0, 1))[::stride, ::stride]
    return windows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)


def small(steps: int, count: int) -> tuple[Model, np.ndarray]:
    """A model of patches beside the bands, and patches from the middle of the bands, evenly from top to bottom."""
    images = photographs()
    beside = [part for image, at in zip(images, BANDS) for part in np.split(image, [at, at + WIDTH], 1)[::2]]
    seen = np.concatenate([patches(part, 2) for part in beside])
    seen = np.ascontiguousarray(np.concatenate([seen, seen[:, :, ::-1]]))
    network = scorefield.Network(patch=2, widths=(48, 96))
    model = scorefield.fit(seen, training=scorefield.Training(steps=steps), network=network)
    return model, hidden(images, count)


def hidden(images: list[np.ndarray], count: int) -> np.ndarray:
    """Patches from the middle of the bands, evenly from top to bottom: `(count, SIDE, SIDE, 3)`."""
    found = []
    for image, at, n in zip(images, BANDS, ((count + 1) // 2, count // 2)):
        left = at + (WIDTH - SIDE) // 2
        found += [image[row : row + SIDE, left : left + SIDE] for row in np.linspace(14, 114, n).astype(int)]
    return np.stack(found)


def learned(run: Path, count: int) -> tuple[Model, np.ndarray]:
    """The model of a run, and images that it held out."""
    folder = scorefield.Run(run)
    model = folder.model
    rows = split_of(folder, model)[1]
    return model, model.schema.pack(rows.take(range(count)))


def colour(model: Model, truth: np.ndarray, count: int, seed: int) -> Coloured:
    """Takes the colours of an image away, draws them again, and says how good that is."""
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
        f"{psnr(each.min()):.1f}), of grey {grey:.1f}; squared residuals over noise {agree:.2f}; {seconds:.2f} s a draw",
        flush=True,
    )
    return found


def psnr(square: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error, for levels up to 255."""
    return float(10 * np.log10(255**2 / square))


def summary(found: list[Coloured]) -> str:
    """How often the truth lies in the middle of the draws, and the errors of draws over that of their mean."""
    n, better = len(found[0].draws), sum(bool((one.errors[1] > one.errors[0]).all()) for one in found)
    rank = np.stack([((one.draws < one.truth) + 0.5 * (one.draws == one.truth)).mean(0) for one in found])
    held = np.mean((rank >= 0.1) & (rank <= 0.9), axis=(1, 2, 3))
    expected = np.mean([0.1 <= k / n <= 0.9 for k in range(n + 1)])
    ratio = sum(one.errors[1].mean() for one in found) / sum(one.errors[0] for one in found)
    return (
        f"the truth is between the tenths of the draws in {held.mean():.0%} of the values (of a patch {held.min():.0%} to "
        f"{held.max():.0%}), calibrated {expected:.0%}\n"
        f"squared error of draws over that of their mean: {ratio:.2f}, calibrated {2 * n / (n + 1):.2f}\n"
        f"the mean is nearer to the truth than every draw in {better} of {len(found)}"
    )


def draw(found: list[Coloured], path: Path, count: int = 4) -> None:
    """One column for each patch."""
    from matplotlib.figure import Figure

    count = min(count, len(found[0].draws))
    titles = ["grey, measured", "truth", "mean", "deviation x 3", *("a draw" for _ in range(count))]
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
    parser.add_argument("--steps", type=int, default=1200, help="of training, without a run")
    parser.add_argument("--count", type=int, default=16, help="draws for each")
    parser.add_argument("--patches", type=int, default=8)
    parser.add_argument("-o", "--output", type=Path, default=Path("colourizing.png"))
    options = parser.parse_args()
    if options.run is None:
        model, held_out = small(options.steps, options.patches)
    else:
        model, held_out = learned(options.run, options.patches)
    found = [colour(model, truth, options.count, seed) for seed, truth in enumerate(held_out)]
    print(summary(found))
    draw(found, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
