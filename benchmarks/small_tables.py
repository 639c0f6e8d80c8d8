"""Small tables with all defaults: how far learned densities are from the truth, in nats.

    python benchmarks/small_tables.py [--seeds 4] [--only moons banana] [--rows 400]

For each distribution: the Kullback-Leibler divergence from the truth, the mean over 1,000 new examples and over seeds of its
log-density minus that of a model, with the standard error over seeds; for the same rows, of

- the network alone, which is the model without its baseline,
- the baseline alone, a mixture of Gaussians chosen by cross-validation,
- the model, which averages both,
- a mixture of Gaussians of scikit-learn's with full covariances, whose number of components BIC chooses from 1 to 20;

and the weight of the network, and the CPU seconds of the fit. For tables of scikit-learn, whose truth is not known: the mean
negative log-density of a fifth of the rows that the fit does not see.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn import datasets
from sklearn.mixture import GaussianMixture
from torch import Tensor

import scorefield
from scorefield.denoisers import Blended, Mixture
from scorefield.model import Model
from scorefield.rng import Samples
from scorefield.toys import Checkerboard, Donut, Helix, Toy, two_modes, two_moons

NEW = 1000
Case = tuple[Callable[[int, Samples], Tensor], Callable[[Tensor], Tensor]]


def random_mixture(size: int, components: int, seed: int, spread: float) -> Case:
    """Random means, covariances and weights; the root mean square distance of the means from 0 is about 1.4 `spread`."""
    rng = np.random.default_rng(seed)
    means = torch.tensor(rng.normal(size=(components, size)) * spread * math.sqrt(2 / size))
    roots = torch.tensor(rng.normal(size=(components, size, size))) / math.sqrt(size)
    weights = torch.tensor(rng.dirichlet(np.full(components, 4.0)))
    mixture = Mixture(means, roots @ roots.mT + 0.15 * torch.eye(size, dtype=torch.float64), weights)
    return mixture.sample, mixture.log_prob


def of_toy(toy: Toy) -> Case:
    return lambda count, rng: toy.sample(count, rng).double(), toy.log_prob


def normal(x: Tensor, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    deviation = torch.as_tensor(deviation, dtype=x.dtype)
    return -(((x - mean) / deviation) ** 2) / 2 - torch.log(deviation) - math.log(2 * math.pi) / 2


def banana() -> Case:
    """y = x² + 0.3 noise with a standard normal x."""

    def draw(count: int, rng: Samples) -> Tensor:
        z = rng.normal((count, 2), torch.float64)
        return torch.stack([z[:, 0], z[:, 0] ** 2 + 0.3 * z[:, 1]], 1)

    return draw, lambda x: normal(x[:, 0], 0.0, 1.0) + normal(x[:, 1], x[:, 0] ** 2, 0.3)


def funnel(size: int) -> Case:
    """Neal's funnel: v ~ N(0, 3²), the others N(0, exp(v))."""

    def draw(count: int, rng: Samples) -> Tensor:
        z = rng.normal((count, size), torch.float64)
        return torch.cat([3 * z[:, :1], torch.exp(1.5 * z[:, :1]) * z[:, 1:]], 1)

    def log_prob(x: Tensor) -> Tensor:
        width = torch.exp(x[:, :1] / 2).expand(-1, size - 1)
        return normal(x[:, 0], 0.0, 3.0) + normal(x[:, 1:], 0.0, width).sum(1)

    return draw, log_prob


def student(size: int, freedom: int) -> Case:
    def draw(count: int, rng: Samples) -> Tensor:
        square = rng.child("chi").normal((count, freedom), torch.float64).square().mean(1, keepdim=True)
        return rng.normal((count, size), torch.float64) / square.sqrt()

    half = (freedom + size) / 2
    constant = math.lgamma(half) - math.lgamma(freedom / 2) - size / 2 * math.log(freedom * math.pi)
    return draw, lambda x: constant - half * torch.log1p(x.square().sum(1) / freedom)


def six_decades() -> Case:
    """The logarithms of two correlated log-normal columns that span six decades."""
    mixing = torch.tensor([[2.2, 1.0], [0.0, 1.6]], dtype=torch.float64)
    mixture = Mixture(
        torch.zeros(1, 2, dtype=torch.float64), (mixing.T @ mixing)[None], torch.ones(1, dtype=torch.float64)
    )
    return mixture.sample, mixture.log_prob


def thin(correlation: float) -> Case:
    """Two columns that are nearly equal."""
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
    mixture = Mixture(torch.zeros(1, 2, dtype=torch.float64), covariance[None], torch.ones(1, dtype=torch.float64))
    return mixture.sample, mixture.log_prob


CASES: dict[str, Case] = {
    "logarithms of six decades": six_decades(),
    "two modes": of_toy(two_modes()),
    "four Gaussians, 2-D": random_mixture(2, 4, 1, 2.5),
    "four Gaussians, 8-D": random_mixture(8, 4, 0, 2.5),
    "five close Gaussians, 8-D": random_mixture(8, 5, 3, 1.5),
    "ten Gaussians, 8-D": random_mixture(8, 10, 5, 4.0),
    "moons": of_toy(two_moons(0.1)),
    "checkerboard": of_toy(Checkerboard()),
    "donut": of_toy(Donut()),
    "helix, 2 turns": of_toy(Helix(length=12.0)),
    "helix, 4 turns": of_toy(Helix(length=25.0)),
    "helix, 16 turns": of_toy(Helix()),
    "banana": banana(),
    "funnel, 2-D": funnel(2),
    "funnel, 10-D": funnel(10),
    "Student t, 5-D": student(5, 4),
    "correlation 0.9999": thin(0.9999),
}
TABLES = {"iris": datasets.load_iris, "wine": datasets.load_wine}


def by_bic(x: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Log-densities by the mixture that BIC chooses, which is fitted to standardized data."""
    mean, deviation = x.mean(0), x.std(0)
    z = (x - mean) / deviation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not all converge
        fits = [
            GaussianMixture(k, n_init=2, reg_covar=1e-4, random_state=0).fit(z)
            for k in range(1, min(20, len(z) // 5) + 1)
        ]
    best = min(fits, key=lambda fit: fit.bic(z))
    found: np.ndarray = best.score_samples((new - mean) / deviation) - np.log(deviation).sum()
    return found


def compared(x: Tensor, new: Tensor, truth: Tensor, seed: int) -> list[float]:
    """How far the network alone, the baseline, the model and the mixture by BIC are from the truth; the weight, CPU seconds."""
    start = time.process_time()
    model = scorefield.fit(x.numpy(), seed=seed)
    seconds = time.process_time() - start
    blend = model.denoiser
    if not isinstance(blend, Blended):
        raise SystemExit(f"fitted to {tuple(x.shape)}, the model has no baseline")
    rest = (model.schema, model.standardize, model.moments, model.sampling)
    found = []
    for denoiser in (blend.learned, blend.baseline, blend):
        part = Model(*rest[:2], denoiser, *rest[2:])
        found.append(float((truth - part.log_prob(new.numpy(), tolerance=1e-3).value).mean()))
    return [*found, float(truth.mean()) - float(by_bic(x.numpy(), new.numpy()).mean()), blend.share, seconds]


def drawn(name: str, rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows to fit, new rows, and the true log-densities of these, 0 where they are not known."""
    if name in CASES:
        sample, log_prob = CASES[name]
        new = sample(NEW, Samples(10_000 + seed, count=NEW))
        return sample(rows, Samples(seed, count=rows)), new, log_prob(new)
    table = TABLES[name]().data
    x = torch.tensor(table + 1e-3 * table.std(0) * np.random.default_rng(0).normal(size=table.shape))  # no ties
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(x)))
    new = x[order[: len(x) // 5]]
    return x[order[len(x) // 5 :]], new, new.new_zeros(len(new))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--only", nargs="+", default=[*CASES, *TABLES], choices=[*CASES, *TABLES])
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # networks that memorize say so
    print("| | network alone | baseline alone | model | mixture by BIC | weight | CPU seconds |")
    for name in options.only:
        found = np.array([compared(*drawn(name, options.rows, seed), seed) for seed in range(options.seeds)])
        mean, error = found.mean(0), found.std(0, ddof=1) / options.seeds**0.5
        cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(mean[:4], error)]
        print(f"| {name} | {' | '.join(cells)} | {mean[4]:.2f} | {mean[5]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
