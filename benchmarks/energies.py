"""An energy compared with an unconstrained network of the same size: excess loss, curl of the score, time of a step.

    python benchmarks/energies.py [--steps 4000] [--seed 0]

20,000 points of two noisy interlocking half circles, standardized; the exact denoiser is known. Curl is
E‖(J - Jᵀ)v‖² / E‖Jv‖² of the score at noisy data.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import torch

from scorefield.data import ArrayRows
from scorefield.denoisers import Mixture, Preconditioned
from scorefield.derivatives import products
from scorefield.nn import MLP, Potential
from scorefield.objectives import DenoisingScoreMatching, LogNormal, excess
from scorefield.rng import Samples
from scorefield.settings import Training
from scorefield.toys import two_moons
from scorefield.training import Feed, Trainer
from scorefield.units import Standardize

OBJECTIVE = DenoisingScoreMatching(LogNormal(-0.5, 1.2))
LEVELS = (0.03, 0.1, 0.3, 1.0)


def standardized_moons() -> Mixture:
    toy = two_moons().mixture
    moments = toy.moments()
    scale = moments.covariance.diagonal().sqrt()
    covariances = toy.covariances / scale / scale[:, None]
    return Mixture((toy.means - moments.mean) / scale, covariances, toy.weights)


def score(denoiser: Preconditioned, level: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (denoiser(x, level) - x) / level**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = standardized_moons()
    x = target.sample(20_000, Samples(options.seed, count=20_000))
    fresh = target.sample(8000, Samples(options.seed + 1, count=8000))
    print("| network | excess loss | curl at " + " | ".join(map(str, LEVELS)) + " | ms per step |")
    print("| --- | --- |" + " --- |" * (len(LEVELS) + 1))
    for name in ("unconstrained", "energy"):
        torch.manual_seed(options.seed)
        network = MLP(2, 128, 4)
        denoiser = Preconditioned(Potential(network) if name == "energy" else network)
        feed = Feed(ArrayRows(x[1000:].float()), Standardize((2,), torch.zeros(2), torch.ones(2)), 256, options.seed)
        training = Training(steps=options.steps, batch=256, rate=2e-3, matrix_rate=0.0)
        trainer, start = Trainer(denoiser, feed, x[:1000].float(), OBJECTIVE, training), time.process_time()
        for _ in trainer.run():
            pass
        seconds = time.process_time() - start
        trainer.finish()
        precise, rng = denoiser.double(), Samples(3, count=8000)
        above = excess(OBJECTIVE, precise, target, fresh, rng)
        curls = []
        for level in LEVELS:
            sigma = torch.tensor(level, dtype=torch.float64)
            state, v = fresh + level * rng.normal_like(fresh), rng.normal_like(fresh)
            pushed, pulled = products(partial(score, precise, sigma), state, v)
            curls.append(float((pushed - pulled).square().sum() / pushed.square().sum()))
        found = f"{float(above.mean()):.4f} ± {float(above.std()) / 8000**0.5:.4f}"
        print(f"| {name} | {found} | " + " | ".join(f"{c:.2g}" for c in curls), end="")
        print(f" | {1e3 * seconds / trainer.step:.2f} |", flush=True)


if __name__ == "__main__":
    main()
