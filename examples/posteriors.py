"""Posterior samples of one image and what their errors say.

Other examples import it; it has no command line.

If a posterior is calibrated, truth and draws have the same distribution, so that the mean squared error of a draw is twice
that of the posterior mean (3 dB), whatever its shape. The mean of n draws has a sampling error of its own, which makes the
ratio 2n / (n + 1). Single draws may be closer to the truth than the mean, as those of the right mode of several.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import scorefield
from scorefield import Model
from scorefield.evaluation import split_of
from scorefield.inverse import misfit
from scorefield.measurement import Measurement, Operator
from scorefield.rng import Samples


class Solved(NamedTuple):
    """A problem and its posterior samples, which have one axis more than the truth."""

    truth: np.ndarray
    measured: np.ndarray
    draws: np.ndarray

    @property
    def errors(self) -> tuple[float, np.ndarray]:
        """The mean squared errors of the mean, and of each draw."""
        axes = tuple(range(1, self.draws.ndim))
        return float(np.mean((self.draws.mean(0) - self.truth) ** 2)), np.mean((self.draws - self.truth) ** 2, axes)


def from_run(run: Path, count: int) -> tuple[Model, np.ndarray]:
    """The model of a run, and some of its held-out data."""
    folder = scorefield.Run(run)
    model = folder.model
    return model, model.schema.pack(split_of(folder, model)[1].take(range(count)))


def psnr(square: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error, for 8-bit values."""
    return float(10 * np.log10(255**2 / square))


def solve(model: Model, truth: np.ndarray, operator: Operator, noise: float, count: int, seed: int) -> Solved:
    """Measures an image by an operator, samples the posterior, and prints the errors."""
    ideal = operator(torch.from_numpy(truth[None]).double())[0]
    y = ideal + noise * Samples(seed, 0, 1, "noise").normal((1, *ideal.shape), torch.float64)[0]
    given, start = model.observe(Measurement(operator, y, noise)), time.process_time()
    draws = given.sample(count, seed=seed)
    seconds = (time.process_time() - start) / count
    found = Solved(truth.astype(np.float64), y.numpy(), draws.astype(np.float64))
    mean, each = found.errors
    agree, closer = float(misfit(given, draws).mean()), (each < mean).sum()
    print(f"PSNR of the mean {psnr(mean):.1f} dB, of draws {psnr(each.mean()):.1f}", end=" ")
    print(
        f"({psnr(each.max()):.1f} to {psnr(each.min()):.1f}); {closer} of {count} draws are closer than the mean",
        end="; ",
    )
    print(f"misfit / noise variance {agree:.2f}; {seconds:.2f} CPU seconds per draw", flush=True)
    return found


def calibrated(solved: list[Solved]) -> str:
    """How often the mean is closest, and the squared error of draws relative to that of their mean, with its error."""
    mean, each = (np.array(x) for x in zip(*((one.errors[0], one.errors[1].mean()) for one in solved)))
    ratio, n = each.sum() / mean.sum(), len(solved[0].draws)
    error = np.sqrt(((each - ratio * mean) ** 2).sum()) / mean.sum()  # of problems drawn at random
    better = sum(bool((one.errors[1] > one.errors[0]).all()) for one in solved)
    return (
        f"the mean is closer to the truth than every draw in {better} of {len(solved)}; squared error of draws relative to "
        f"that of their mean: {ratio:.2f} ± {error:.2f}, calibrated {2 * n / (n + 1):.2f}"
    )
