"""Simulated annealing and annealed Langevin dynamics: two ways to anneal, which find different things.

python examples/simulated_annealing.py [--count 2000] [-o simulated_annealing.png]

Three modes, of which the highest is narrow and holds a tenth of the mass. Simulated annealing lowers a temperature, p^(1/T):
its chains end at the tops of modes, most of them at lower ones, and the best state of all chains is the highest top. It is an
optimizer. Annealed Langevin dynamics lowers the noise, p * N(0, σ²): its chains share out between the modes, nearly by mass.
It samples. Annealed importance sampling gives exact weights (examples/annealed_importance.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from scorefield.denoisers import Mixture
from scorefield.mcmc import Langevin, MetropolisLangevin, simulated_annealing
from scorefield.rng import Samples
from scorefield.samplers import annealed_langevin

CENTRES = torch.tensor([[-3.0, 0.0], [2.5, -1.5], [0.5, 2.5]]).double()
SHARES = torch.tensor([0.5, 0.4, 0.1]).double()
LANDSCAPE = Mixture(CENTRES, torch.tensor([1.0, 0.8, 0.25]).double(), SHARES)


def log_prob(x: Tensor) -> Tensor:
    return LANDSCAPE.log_prob(x, torch.zeros((), dtype=x.dtype))


def score(x: Tensor, level: Tensor) -> Tensor:
    return (LANDSCAPE(x, level) - x) / level**2


def shares(x: Tensor) -> Tensor:
    """The shares of the states that are nearest to each mode."""
    return torch.bincount(torch.cdist(x, CENTRES).argmin(1), minlength=3) / len(x)


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="chains")
    parser.add_argument("-o", "--output", type=Path, default=Path("simulated_annealing.png"))
    options = parser.parse_args()
    rng = Samples(0, count=options.count)
    start = 6 * rng.child("start").normal((options.count, 2), torch.float64)
    cooled = simulated_annealing(
        log_prob, start, torch.logspace(1, -2, 300), rng.child("cool"), MetropolisLangevin(0.15), 10
    )
    levels = torch.logspace(1, -2, 60, dtype=torch.float64)
    smoothed = annealed_langevin(score, start, levels, rng.child("smooth"), Langevin(0.1), moves=20)
    exact = LANDSCAPE.sample(options.count, rng.child("exact"))
    panels = {"exact samples": exact, "simulated annealing": cooled.chain.state, "annealed Langevin": smoothed.state}
    print(f"the best state by simulated annealing: ({cooled.best[0]:.3f}, {cooled.best[1]:.3f})")
    print("shares of the modes at (-3, 0), (2.5, -1.5), (0.5, 2.5), exactly 0.5, 0.4, 0.1; the last is the highest")
    figure = Figure(figsize=(12, 3.9), dpi=140, facecolor="white", layout="constrained")
    for axes, (name, x) in zip(figure.subplots(1, 3, sharex=True, sharey=True), panels.items()):
        found = shares(x)
        print(f"  {name}: {', '.join(f'{share:.3f}' for share in found.tolist())}")
        axes.plot(*x.T, "o", markersize=2.5, alpha=0.4, markeredgewidth=0, color="#2f55d4")
        for centre, share in zip(CENTRES.tolist(), found.tolist()):
            axes.text(centre[0], centre[1] + 1.2, f"{share:.0%}", ha="center", fontsize=11, color="#1f1e1b")
        axes.set_title(name, loc="left", fontsize=11, color="#1f1e1b")
        axes.set(xlim=(-7, 6), ylim=(-5, 5.5), aspect="equal")
    figure.savefig(options.output)
    print(options.output)


if __name__ == "__main__":
    main()
