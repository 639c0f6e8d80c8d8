"""Undersampled magnetic resonance and sparse-view tomography of phantoms, with maps of the error and their calibration.

python examples/medical_imaging.py [--phantoms 3000] [--steps 800] [--truths 12] [-o medical_imaging.png]

A phantom is a head of ellipses in the manner of Shepp and Logan (1974), with random shapes, places and grey values, and grain
of 0.02. One model learns them, and serves both scanners without further training: 6 of the 13 lines of frequencies, as in
magnetic resonance, and projections at 8 angles, as in computed tomography. Of 19 draws from each posterior, those of rank 1 and
19 enclose a calibrated 90 % interval exactly, those of rank 5 and 15 one of 50 %. The best linear reconstruction is by the mean
and the covariance of the phantoms.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from panels import draw
from phantoms import SIDE, phantoms

import scorefield
from scorefield.denoisers import Gaussian
from scorefield.measurement import Fourier, Measurement, Radon
from scorefield.posterior import exact_posterior
from scorefield.rng import Samples

DRAWS = 19  # from each posterior
LINES = [0, 1, 2, 4, 6, 9]  # of frequencies 0 to 12; those below 0 are their conjugates


def calibration(truths: np.ndarray, draws: np.ndarray) -> str:
    """The errors of means of draws `(N, DRAWS, …)` of truths `(N, …)`, and whether the draws predict them."""
    rank, error = (draws < truths[:, None]).sum(1), (draws.mean(1) - truths) ** 2
    predicted = (1 + 1 / DRAWS) * draws.var(1, ddof=1)  # of the mean of so many draws
    half, most = ((rank >= k) & (rank <= DRAWS - k) for k in (5, 1))
    groups = np.array_split(np.argsort(predicted, axis=None), 5)
    means = [" ".join(f"{x.flat[group].mean() ** 0.5:.3f}" for group in groups) for x in (predicted, error)]
    return (
        f"error {error.mean() ** 0.5:.3f}, predicted {predicted.mean() ** 0.5:.3f}; the truth is in {half.mean():.1%} of the "
        f"50 % intervals and {most.mean():.1%} of the 90 % intervals; by groups of pixels {means[1]}, predicted {means[0]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=3000, help="phantoms to train on")
    parser.add_argument("--steps", type=int, default=800, help="training steps")
    parser.add_argument("--truths", type=int, default=12, help="phantoms to reconstruct, at least 4")
    parser.add_argument("-o", "--output", type=Path, default=Path("medical_imaging.png"))
    options = parser.parse_args()
    train, truths, panels = phantoms(options.phantoms, 0), phantoms(options.truths, 1), {}
    small = scorefield.Network(widths=(16, 32, 48))
    model = scorefield.fit(train, network=small, training=scorefield.Training(steps=options.steps, batch=32))
    flat = torch.from_numpy(train).double().flatten(1)
    linear = Gaussian(flat.mean(0).reshape(SIDE, SIDE), flat.T.cov())
    lines = torch.isin(torch.arange(SIDE), torch.tensor(LINES)).repeat(SIDE, 1).T.clone()
    lines[0, SIDE // 2 + 1 :] = False
    for name, operator, noise in (("MR", Fourier(lines), 0.05), ("CT", Radon(8), 0.1)):
        draws, best, start = [], [], time.process_time()
        for i, truth in enumerate(torch.from_numpy(truths).double()):
            ideal = operator(truth[None])[0]
            noisy = ideal + noise * Samples(2, i, 1, name).normal((1, *ideal.shape), torch.float64)[0]
            measurement = Measurement(operator, noisy, noise)
            draws.append(model.observe(measurement).sample(DRAWS, seed=i))
            best.append(exact_posterior(linear, measurement).distribution.mean.reshape(SIDE, SIDE))
        seconds = (time.process_time() - start) / options.truths / DRAWS
        found, best = np.stack(draws), np.stack(best)
        print(f"{name}: {calibration(truths, found)}; {seconds:.2f} CPU seconds a draw")
        print(f"{name}: error of the best linear reconstruction {np.square(best - truths).mean() ** 0.5:.3f}")
        mean, std = found.mean(1), found.std(1, ddof=1)
        shown = {"truth": truths, "best linear": best, "mean of the draws": mean, "a draw": found[:, 0]}
        shown |= {"its error, x 5": 5 * abs(mean - truths), "predicted, x 5": 5 * std}
        panels |= {f"{name}: {what}": x for what, x in shown.items()}
    draw(panels, options.output, (2, 2), (12, 4.4), across=6, colours="gray")
    print(options.output)


if __name__ == "__main__":
    main()
