"""Few projections and few frequencies of a random field, where the posterior is known exactly.

python examples/sparse_views.py [--size 24] [--count 32] [-o sparse_views.png]

The prior is a Gaussian field in closed form, so that the posterior is one: the draws of moment matching are compared with its
mean and its deviation. Computed tomography with 8 views, and some of the frequencies, as in magnetic resonance imaging.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.measurement import Fourier, LinearOperator, Measurement, Radon
from scorefield.posterior import ExactPosterior, MomentMatching, Posterior, exact_posterior
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import ExponentialAdams, Sampling, sample


def field(size: int, length: float) -> Gaussian:
    """Smooth fields of unit variance, `(size, size)`, with a squared exponential covariance and a little roughness."""
    places = torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64),) * 2)
    covariance = torch.exp(-(torch.cdist(places, places) ** 2) / (2 * length**2))
    eye = torch.eye(size**2, dtype=torch.float64)
    return Gaussian(torch.zeros(size, size, dtype=torch.float64), 0.99 * covariance + 0.01 * eye)


def some_frequencies(size: int) -> Tensor:
    """The lowest frequencies, and some of the others; one of each conjugate pair."""
    wave = torch.fft.fftfreq(size, 1 / size)
    low = (wave[:, None].abs() < size / 8) & (wave.abs() < size / 8)
    some = torch.rand(size, size, generator=torch.Generator().manual_seed(0)) < 0.25
    half = (wave > 0) | ((wave == 0) & (wave[:, None] >= 0))
    return (low | some) & half


def solve(
    law: Gaussian, operator: LinearOperator, noise: float, count: int
) -> tuple[Tensor, ExactPosterior, Tensor, float]:
    """A field, its exact posterior given what is measured of it, draws, and the seconds that one took."""
    truth = law.sample(1, Samples(7, 0, 1))
    ideal = operator(truth)
    seen = Measurement(operator, (ideal + noise * Samples(8, 0, 1).normal(ideal.shape, torch.float64))[0], noise)
    posterior = Posterior(law, seen, MomentMatching(iterations=60, tolerance=1e-4))
    start = time.perf_counter()
    shape = (count, *truth.shape[1:])
    drawn = sample(
        Diffusion(EDM(0.01, 50.0), posterior, law), shape, Sampling(ExponentialAdams(3), 32), Samples(9, 0, count)
    )
    return truth[0], exact_posterior(law, seen), drawn, (time.perf_counter() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("-o", "--output", type=Path, default=Path("sparse_views.png"))
    options = parser.parse_args()
    law, rows = field(options.size, options.size / 8), []
    for name, operator, noise in (
        ("8 views", Radon(8), 0.5),
        ("frequencies", Fourier(some_frequencies(options.size)), 0.1),
    ):
        truth, exact, drawn, seconds = solve(law, operator, noise, options.count)
        mean, std = exact.distribution.mean, exact.distribution.covariance.diagonal().sqrt().reshape(truth.shape)
        apart = float((((drawn.mean(0) - mean) / std) ** 2).mean() * options.count)
        width = float((drawn.var(0) / std**2).mean())
        print(
            f"{name}: error of the exact mean {float((mean - truth).square().mean().sqrt()):.3f} of 1, of the draws' mean "
            f"{float((drawn.mean(0) - truth).square().mean().sqrt()):.3f}; against the exact posterior: {apart:.2f} times the "
            f"chance of {options.count} draws in the mean, {width:.3f} of the variance; {seconds:.2f} s a draw",
            flush=True,
        )
        rows.append((name, [truth, mean, drawn.mean(0), 3 * std, 3 * drawn.std(0), drawn[0], drawn[1]]))
    draw(rows, options.output)
    print(options.output)


def draw(rows: list[tuple[str, list[Tensor]]], path: Path) -> None:
    """One row each."""
    from matplotlib.figure import Figure

    titles = ["truth", "exact mean", "mean of draws", "exact deviation", "their deviation", "draw", "draw"]
    figure = Figure(figsize=(1.5 * len(titles), 1.7 * len(rows)), dpi=140, facecolor="white", layout="constrained")
    for line, (name, images) in zip(figure.subplots(len(rows), len(titles), squeeze=False), rows):
        for axes, image, title in zip(line, images, titles):
            axes.imshow(image.numpy(), cmap="gray", vmin=-2.5, vmax=2.5, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(title, fontsize=9, color="#1f1e1b")
        line[0].set_ylabel(name, fontsize=9, color="#1f1e1b")
    figure.savefig(path)


if __name__ == "__main__":
    main()
