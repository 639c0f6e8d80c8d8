"""Annealed importance sampling corrects the mode weights of annealed Langevin dynamics.

python examples/annealed_importance.py [--count 20000] [--seed 0] [-o annealed_importance.png]

The mixture of NCSN's Figure 3: a fifth of the mass at (-5, -5), the rest at (5, 5), unit variance. Left: chains between a wide
Gaussian and the mixture along a geometric path, with a Metropolis test at every move: half of the chains end in either
mode, and the importance weights correct this. Right: annealed Langevin dynamics along noise levels with the step size of
NCSN's code (r = 0.2), from the score alone: the modes have nearly the right weights, but a variance that is 11 % too large;
importance weights from the score correct both.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from scorefield.mcmc import (
    Langevin,
    MetropolisLangevin,
    WeightedSamples,
    annealed_importance,
    geometric,
    score_importance,
)
from scorefield.rng import Samples
from scorefield.toys import unequal_modes

TARGET, MODE = unequal_modes().mixture, torch.tensor([5.0, 5.0], dtype=torch.float64)
INK, MUTED, LINE, GREY, ACCENT, WARM = "#1f1e1b", "#77736b", "#e6e2da", "#d9d4c9", "#2f55d4", "#c2593f"


def score(x: Tensor, level: Tensor) -> Tensor:
    """∇ log p of the mixture with components of standard deviation `level`: the data at level 1, noisy data above."""
    upper = torch.sigmoid(2 * (x @ MODE)[:, None] / level**2 + math.log(0.8 / 0.2))
    return ((2 * upper - 1) * MODE - x) / level**2


def along_a_geometric_path(count: int, seed: int) -> WeightedSamples:
    """From N(0, 8²) to seven times the mixture, whose log Z is log 7."""

    def wide(x: Tensor) -> Tensor:
        return -x.square().sum(1) / 128 - math.log(2 * math.pi * 64)

    rng = Samples(seed, count=count)
    x = 8 * rng.child("start").normal((count, 2), torch.float64)
    path = geometric(wide, lambda x: TARGET.log_prob(x) + math.log(7))
    betas = torch.linspace(0, 1, 1001) ** 2
    move = MetropolisLangevin(0.5)
    return annealed_importance(path, x, betas, rng, move, scale=lambda b: ((1 - b) / 64 + b) ** -0.5)


def along_noise_levels(count: int, seed: int) -> WeightedSamples:
    """From the level 50 to 1 by a thousand steps of annealed Langevin dynamics."""
    rng = Samples(seed, count=count)
    x = 50 * rng.child("start").normal((count, 2), torch.float64)
    return score_importance(score, x, torch.logspace(math.log10(50), 0, 1000), rng, Langevin(0.2))


def share(x: Tensor) -> Tensor:
    return (x.sum(1) > 0).double()


def variance_within(x: Tensor) -> Tensor:
    """The variance within a mode, per coordinate."""
    return (x - torch.sign(x.sum(1, keepdim=True)) * MODE).square().mean(1)


def describe(found: WeightedSamples, f) -> str:
    mean = found.mean(f)
    return f"{float(f(found.points).mean()):.3f} unweighted, {mean.value:.3f} ± {mean.standard_error:.3f} weighted"


def draw(panels: dict[str, WeightedSamples], path: Path) -> None:
    """Densities along the diagonal: exact, of the unweighted states, and of the weighted states."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), dpi=160, facecolor="white", layout="constrained")
    u = torch.linspace(-11, 11, 600, dtype=torch.float64)
    truth = sum(
        w * torch.exp(-((u - m) ** 2) / 2) / math.sqrt(2 * math.pi) for w, m in ((0.2, -(50**0.5)), (0.8, 50**0.5))
    )
    edges = torch.linspace(-11, 11, 89, dtype=torch.float64)
    for axes, (title, found) in zip(figure.subplots(1, 2, sharey=True), panels.items()):
        position = (found.points.sum(1) / math.sqrt(2)).contiguous()
        axes.fill_between(u, truth, color=GREY, linewidth=0, label="exact")
        for weight, colour, name in ((None, WARM, "unweighted"), (found.weights, ACCENT, "weighted")):
            density, _ = torch.histogram(position, edges, weight=weight, density=True)
            axes.stairs(density, edges, color=colour, linewidth=1.5, label=name)
        axes.set_title(title, loc="left", fontsize=11.5, color=INK, pad=10)
        words = {"transform": axes.transAxes, "fontsize": 10, "va": "top", "linespacing": 1.7}
        mean, wide = found.mean(share), found.mean(variance_within)
        raw = [float(f(found.points).mean()) for f in (share, variance_within)]
        axes.text(0.36, 0.93, f"upper mode {raw[0]:.2f}\nvariance within {raw[1]:.2f}", color=WARM, **words)
        axes.text(0.36, 0.70, f"upper mode {mean.value:.2f}\nvariance within {wide.value:.2f}", color=ACCENT, **words)
        axes.set(xlim=(-11, 11), yticks=[], xticks=(-(50**0.5), 50**0.5))
        axes.set_xticklabels(["(-5, -5)", "(5, 5)"])
        axes.tick_params(length=0, labelcolor=MUTED, labelsize=9.5)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(MUTED)
    figure.axes[0].legend(frameon=False, fontsize=9.5, labelcolor=INK, loc="upper left")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="chains")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("annealed_importance.png"))
    options = parser.parse_args()
    panels = {
        "A geometric path, Metropolis-adjusted": along_a_geometric_path(options.count, options.seed),
        "Annealed Langevin dynamics, weighted by the score alone": along_noise_levels(options.count, options.seed),
    }
    for (title, found), exact in zip(panels.items(), (math.log(7), 0.0)):
        value, error = found.log_mean_weight
        print(f"{title}\n  log Z {value:.3f} ± {error:.3f}, exactly {exact:.3f}")
        print(f"  {100 * found.effective_sample_size / options.count:.0f} % effective sample size")
        print(f"  upper mode, exactly 0.8: {describe(found, share)}")
        print(f"  variance within a mode, exactly 1: {describe(found, variance_within)}")
    draw(panels, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
