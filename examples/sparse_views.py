"""Sparse projections and sparse frequencies of a random field whose posterior is known exactly.

python examples/sparse_views.py [--size 24] [--count 32] [-o sparse_views.png]

The prior is a Gaussian field, so that the posterior is Gaussian too: posterior samples by moment matching are compared with its
mean and standard deviation. The problems are computed tomography with 8 views, and undersampled frequencies, as in magnetic
resonance imaging.
"""

import time

import torch
from arguments import arguments
from panels import table
from torch import Tensor

from scorefield.denoisers import Gaussian
from scorefield.diffusion import Diffusion
from scorefield.measurement import Fourier, Measurement, Radon
from scorefield.posterior import MomentMatching, Posterior, exact_posterior
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import ExponentialAdams, Sampling, sample

TITLES = ["truth", "exact mean", "mean of draws", "exact std", "std of draws", "draw", "draw"]


def field(size: int, length: float) -> Gaussian:
    """Smooth fields of unit variance, `(size, size)`, with a squared exponential covariance and 1 % white noise."""
    places = torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64),) * 2)
    covariance = torch.exp(-(torch.cdist(places, places) ** 2) / (2 * length**2))
    eye = torch.eye(size**2, dtype=torch.float64)
    return Gaussian(torch.zeros(size, size, dtype=torch.float64), 0.99 * covariance + 0.01 * eye)


def some_frequencies(size: int) -> Tensor:
    """The lowest frequencies and a quarter of the others; one of each conjugate pair."""
    wave = torch.fft.fftfreq(size, 1 / size)
    low = (wave[:, None].abs() < size / 8) & (wave.abs() < size / 8)
    some = torch.rand(size, size, generator=torch.Generator().manual_seed(0)) < 0.25
    half = (wave > 0) | ((wave == 0) & (wave[:, None] >= 0))
    return (low | some) & half


def drawn_from(prior: Gaussian, measurement: Measurement, count: int) -> Tensor:
    """Posterior samples by moment matching and a solver of third order in 32 steps, `(count, size, size)`."""
    posterior = Posterior(prior, measurement, MomentMatching(iterations=60, tolerance=1e-4))
    diffusion, sampling = Diffusion(EDM(0.01, 50.0), posterior, prior), Sampling(ExponentialAdams(3), 32)
    return sample(diffusion, (count, *prior.mean.shape), sampling, Samples(9, 0, count))


def main() -> None:
    parser = arguments(__doc__, "sparse_views.png")
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--count", type=int, default=32)
    options = parser.parse_args()
    prior, count, rows = field(options.size, options.size / 8), options.count, []
    scanners = {"8 views": (Radon(8), 0.5), "frequencies": (Fourier(some_frequencies(options.size)), 0.1)}
    for name, (operator, noise) in scanners.items():
        truth = prior.sample(1, Samples(7, 0, 1))
        ideal = operator(truth)
        noisy = ideal + noise * Samples(8, 0, 1).normal(ideal.shape, torch.float64)
        measurement, truth, start = Measurement(operator, noisy[0], noise), truth[0], time.process_time()
        drawn = drawn_from(prior, measurement, count)
        seconds, found = (time.process_time() - start) / count, drawn.mean(0)
        exact = exact_posterior(prior, measurement).distribution
        mean, std = exact.mean, exact.covariance.diagonal().sqrt().reshape(truth.shape)
        error, off, far = (float(x.square().mean().sqrt()) for x in (mean - truth, found - truth, (found - mean) / std))
        print(
            f"{name}: error of the exact mean {error:.3f} of 1, of the mean of draws {off:.3f}; {seconds:.2f} s a draw"
        )
        print(f"  mean: {count * far**2:.2f} times the expected squared error of {count} exact draws", end="; ")
        print(f"{float((drawn.var(0) / std**2).mean()):.3f} of the variance", flush=True)
        rows.append((name, [truth, mean, found, 3 * std, 3 * drawn.std(0), drawn[0], drawn[1]]))
    table(rows, TITLES, options.output, (10.5, 3.4), (-2.5, 2.5))


if __name__ == "__main__":
    main()
