"""Error against evaluations: every sampler on a known distribution, with the exact denoiser.

    python benchmarks/samplers.py [--count 20000] [--only DDIM UniPC]

The target is the mixture of Figure 3 of NCSN, a fifth at (-5, -5) and four fifths at (5, 5), standardized. The error is the
Wasserstein distance W1 between the projections of samples and target, averaged over 8 directions, in standard deviations; the
last row is that of exact samples. The last column is the weight of the lighter mode, exactly 0.2. All use the same seeds and
the process EDM(0.002, 80), with uniform times unless a schedule is named.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch import Tensor

from scorefield import mcmc, samplers as s
from scorefield.denoisers import Denoiser, Mixture
from scorefield.diffusion import Diffusion
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.schedules import Angle, LogLevel, Schedule, UniformTime
from scorefield.toys import unequal_modes

SAMPLERS: list[tuple[str, s.Sampler, float, Schedule | None]] = [
    ("DDIM", s.DDIM(), 1, None),
    ("Heun", s.Heun(), 2, None),
    ("DPM++(2S)", s.DPM2S(), 2, None),
    ("DPM++(2M)", s.DPM(2), 1, None),
    ("DPM++(2M), log level", s.DPM(2), 1, LogLevel()),
    ("DPM++(3M)", s.DPM(3), 1, None),
    ("UniPC(2)", s.UniPC(2), 1, None),
    ("UniPC(3), log level", s.UniPC(3), 1, LogLevel()),
    ("iPNDM(3)", s.IPNDM(3), 1, None),
    ("exponential Adams(3)", s.ExponentialAdams(3), 1, None),
    ("exponential Adams(3), angle", s.ExponentialAdams(3), 1, Angle()),
    ("ancestral", s.Ancestral(), 1, None),
    ("reverse diffusion", s.ReverseDiffusion(), 1, None),
    ("Euler-Maruyama, log level", s.EulerMaruyama(), 1, LogLevel()),
    ("stochastic Heun", s.StochasticHeun(), 2, None),
    ("SRA1", s.SRA1(), 2, None),
    ("SDE-DPM++(2M)", s.DPM(2, eta=1.0), 1, None),
    ("SDE-DPM++(3M)", s.DPM(3, eta=1.0), 1, None),
    ("exponential Adams(3), eta 1", s.ExponentialAdams(3, eta=1.0), 1, None),
    ("Heun with churn 10", s.Churn(10.0, 0.05, 50.0), 2, None),
    ("annealed Langevin, r = 0.1", s.AnnealedLangevin(mcmc.Langevin(0.1), moves=4), 4, LogLevel()),
    ("ancestral + Langevin", s.PredictorCorrector(s.Ancestral(), mcmc.Langevin(0.05)), 2, None),
]
ADAPTIVE: list[tuple[str, list[s.Sampler]]] = [
    ("Dormand-Prince", [s.DormandPrince(tol, tol) for tol in (1e-1, 1e-2, 1e-3, 1e-4)]),
    ("adaptive SDE", [s.AdaptiveSDE(tol, tol / 5) for tol in (0.2, 0.1, 0.05, 0.02)]),
]
EVALUATIONS = (9, 17, 33, 65, 129)


class Counting(Denoiser):
    """A denoiser that counts its evaluations."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.rows = denoiser, 0

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        self.rows += len(x)
        return self.denoiser(x, level)


def exact() -> Mixture:
    """The standardized mixture."""
    target = unequal_modes().mixture
    moments = target.moments()
    scale = moments.covariance.diagonal().sqrt()
    covariances = target.covariances / (scale[:, None] * scale)
    return Mixture((target.means - moments.mean) / scale, covariances, target.weights)


def distance(x: Tensor, target: Mixture) -> float:
    """W1 = ∫ |F_n - F| of projections by the midpoint rule, averaged over 8 directions."""
    total = 0.0
    for i in range(8):
        direction = torch.tensor([math.cos(math.pi * i / 8), math.sin(math.pi * i / 8)], dtype=x.dtype)
        along = (x @ direction).sort().values
        points = torch.linspace(-6, 6, 6001, dtype=x.dtype)
        mean, std = (
            target.means @ direction,
            torch.einsum("i,kij,j->k", direction, target.covariances, direction).sqrt(),
        )
        cdf = (torch.special.ndtr((points[:, None] - mean) / std) * target.weights).sum(1)
        found = torch.searchsorted(along, points) / len(along)
        total += float((found - cdf).abs().sum() * (points[1] - points[0])) / 8
    return total


def measure(target: Mixture, sampler: s.Sampler, steps: int, grid: Schedule | None, count: int) -> tuple[float, ...]:
    """Evaluations per sample, distance, weight of the lighter mode, seconds."""
    counting = Counting(target)
    start = time.perf_counter()
    parts = []
    for first in range(0, count, 5000):
        diffusion = Diffusion(EDM(0.002, 80.0), counting, target.moments())
        rng = Samples(0, first, min(5000, count - first))
        parts.append(s.sample(diffusion, (rng.count, 2), s.Sampling(sampler, steps, grid or UniformTime()), rng))
    x = torch.cat(parts)
    lighter = int(target.weights.argmin())
    middle = float(target.means.sum(1).mean())
    weight = float(((x.sum(1) > middle) == (target.means[lighter].sum() > middle)).double().mean())
    return counting.rows / count, distance(x, target), weight, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", default=None, help="names, or parts of them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = exact()

    def wanted(name: str) -> bool:
        return options.only is None or any(part in name for part in options.only)

    print("| sampler | " + " | ".join(f"{n} evaluations" for n in EVALUATIONS) + " | lighter mode |")
    print("| --- |" + " --- |" * (len(EVALUATIONS) + 1))
    for name, sampler, cost, grid in SAMPLERS:
        if not wanted(name):
            continue
        cells, weight = [], math.nan
        for evaluations in EVALUATIONS:
            try:
                _, error, weight, _ = measure(target, sampler, round((evaluations - 1) / cost), grid, options.count)
                cells.append(f"{error:.4f}" if error < 100 else "diverges")
            except RuntimeError:
                cells.append("diverges")
        print(f"| {name} | " + " | ".join(cells) + f" | {weight:.3f} |", flush=True)
    for name, several in ADAPTIVE:
        if wanted(name):
            found = [measure(target, sampler, 1, None, options.count) for sampler in several]
            cells = [f"{error:.4f} ({evaluations:.0f})" for evaluations, error, _, _ in found]
            print(f"| {name} (adaptive) | " + " | ".join(cells) + f" | | {found[-1][2]:.3f} |", flush=True)
    fresh = target.sample(options.count, Samples(1, 0, options.count))
    print(f"| exact samples | {distance(fresh, target):.4f} |")


if __name__ == "__main__":
    main()
