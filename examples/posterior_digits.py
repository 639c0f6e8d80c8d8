"""Half a digit and a blurred digit: posterior samples, their mean and their standard deviation.

python examples/posterior_digits.py [RUN] [--count 16] [--digits 3] [-o posterior_digits.png]

If the posterior is calibrated, the mean squared error of a draw is twice that of the posterior mean (3 dB), whatever its
shape, since truth and draws then have the same distribution. The mean of n draws has a sampling error of its own, which makes
the ratio 2n / (n + 1). Single draws may be closer to the truth than the mean, for example those of the right mode where the
posterior has several.

RUN is the folder of a finished `scorefield fit` of 8-bit images, such as MNIST; its held-out digits are used. Without a run, a
small network first learns scikit-learn's digits of 8 x 8 pixels for a minute.
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
from scorefield.measurement import Blur, Mask, Measurement
from scorefield.model import Model
from scorefield.rng import Samples


class Solved(NamedTuple):
    """A problem and its posterior samples; all but the draws have the shape of an image."""

    name: str
    truth: np.ndarray
    shown: np.ndarray
    draws: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.draws.mean(0)

    @property
    def errors(self) -> tuple[float, np.ndarray]:
        """The mean squared errors of the mean, and of each draw."""
        return float(np.mean((self.mean - self.truth) ** 2)), np.mean((self.draws - self.truth) ** 2, axis=(1, 2))


def small(seconds: float = 60.0) -> tuple[Model, np.ndarray]:
    """A model of digits of 8 x 8 pixels, and held-out digits."""
    from sklearn.datasets import load_digits

    x = (load_digits().images * 15.9).astype(np.uint8)[np.random.default_rng(0).permutation(1797)]
    training = scorefield.Training(minutes=seconds / 60)
    return scorefield.fit(x[200:], training=training, network=scorefield.Network(widths=(32, 48))), x[:200]


def from_run(run: Path) -> tuple[Model, np.ndarray]:
    """The model of a run, and held-out data."""
    folder = scorefield.Run(run)
    model = folder.model
    rows = split_of(folder, model)[1]
    return model, model.schema.pack(rows.take(range(200)))


def problems(shape: tuple[int, ...]) -> list[tuple[str, object, float]]:
    """The name, the operator and the noise in grey levels of each problem."""
    keep = torch.zeros(shape, dtype=torch.bool)
    keep[: shape[0] // 2] = True
    return [("the upper half", Mask(keep), 10.0), ("blurred", Blur(shape[0] / 14), 10.0)]


def solve(model: Model, truth: np.ndarray, problem: tuple[str, object, float], count: int, seed: int) -> Solved:
    """Measures a digit, samples the posterior, and prints the errors."""
    name, operator, noise = problem
    ideal = operator(torch.from_numpy(truth[None]).double())[0]
    y = ideal + noise * Samples(seed, 0, 1, "noise").normal((1, *ideal.shape), torch.float64)[0]
    given = model.given(Measurement(operator, y, noise))
    start = time.perf_counter()
    draws = given.sample(count, seed=seed)
    seconds = (time.perf_counter() - start) / count
    agree = float(misfit(given, draws).mean())
    shown = operator.adjoint(y[None], truth.shape)[0] if isinstance(operator, Mask) else y
    found = Solved(name, truth.astype(np.float64), shown.numpy(), draws.astype(np.float64))
    mean, each = found.errors
    print(
        f"{name}: PSNR of the mean {psnr(mean):.1f} dB, of draws {psnr(each.mean()):.1f} ({psnr(each.max()):.1f} to "
        f"{psnr(each.min()):.1f}); {(each < mean).sum()} of {count} draws are closer than the mean; "
        f"mean squared misfit / noise variance {agree:.2f}; {seconds:.2f} s per draw",
        flush=True,
    )
    return found


def psnr(square: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error, for grey levels up to 255."""
    return float(10 * np.log10(255**2 / square))


def calibrated(solved: list[Solved]) -> str:
    """The mean squared error of draws relative to that of their mean, and the calibrated value."""
    pairs = np.array([(one.errors[1].mean(), one.errors[0]) for one in solved])
    n = len(solved[0].draws)
    ratio, parts = pairs[:, 0].sum() / pairs[:, 1].sum(), pairs / pairs[:, 1].sum()
    error = np.sqrt(((parts[:, 0] - ratio * parts[:, 1]) ** 2).sum())  # of problems drawn at random
    return f"squared error of draws relative to that of their mean: {ratio:.2f} ± {error:.2f}, calibrated {2 * n / (n + 1):.2f}"


def draw(solved: list[Solved], path: Path, count: int = 5) -> None:
    """One row each."""
    from matplotlib.figure import Figure

    titles = ["truth", "measured", "mean", "std", *("draw" for _ in range(count))]
    figure = Figure(figsize=(1.15 * len(titles), 1.3 * len(solved)), dpi=160, facecolor="white", layout="constrained")
    for row, one in zip(figure.subplots(len(solved), len(titles), squeeze=False), solved):
        images = [one.truth, one.shown, one.mean, 2 * one.draws.std(0), *one.draws[:count]]
        for axes, image, title in zip(row, images, titles):
            axes.imshow(255 - image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color("#d0cfc8")
            if one is solved[0]:
                axes.set_title(title, fontsize=9, color="#1f1e1b")
        row[0].set_ylabel(one.name, fontsize=9, color="#1f1e1b")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=16, help="posterior samples for each")
    parser.add_argument("--digits", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="training time, without a run")
    parser.add_argument("-o", "--output", type=Path, default=Path("posterior_digits.png"))
    options = parser.parse_args()
    model, held_out = small(options.seconds) if options.run is None else from_run(options.run)
    solved = []
    for i in range(options.digits):
        for problem in problems(held_out.shape[1:]):
            solved.append(solve(model, held_out[i], problem, options.count, seed=i))
    for name in dict.fromkeys(one.name for one in solved):
        same = [one for one in solved if one.name == name]
        better = sum(bool((one.errors[1] > one.errors[0]).all()) for one in same)
        print(f"{name}: the mean is closer to the truth than every draw in {better} of {len(same)}; {calibrated(same)}")
    draw(solved, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
