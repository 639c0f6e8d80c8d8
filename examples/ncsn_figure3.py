"""Figure 3 of NCSN (Song & Ermon, 2019): Langevin dynamics loses the weights of modes, annealed Langevin nearly finds them.

python examples/ncsn_figure3.py [--count 1280] [--seed 0] [-o ncsn_figure3.png]

A fifth of the data lies around (-5, -5), the others around (5, 5), with unit variance. All scores are exact: what goes
wrong is the sampling. The settings are those of the official code of the toy: particles begin uniformly on [-8, 8]²,
steps are x + ε/2 s + √ε z with ε = 0.1; plain Langevin takes 1,000 of them, the annealed one 100 at each of ten levels from
20 to 1, where "level σ" stands for the mixture with components of the deviation σ, without a last denoising.

The last panel is this package's default sampler on the same law, with noise as it is defined: the law of the data plus
noise, 33 evaluations in place of 1,000.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from scorefield.diffusion import Diffusion
from scorefield.mcmc import Langevin, langevin
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import ExponentialAdams, Sampling, annealed_langevin, sample
from scorefield.toys import unequal_modes

MODE = torch.tensor([5.0, 5.0], dtype=torch.float64)  # with weight 4/5; the other one is its mirror image, with 1/5
LEVELS = torch.logspace(math.log10(20), 0, 10, dtype=torch.float64)
STEP = Langevin.from_half(0.1, sigma=1.0)  # on every level: a_i = ε/2 σ_i²/σ_L²
PANELS = {
    "data": "The data",
    "langevin": "Langevin, 1,000 evaluations",
    "annealed": "annealed Langevin, 1,000",
    "scorefield": "scorefield, 33",
}


def score(x: Tensor, level: Tensor | float) -> Tensor:
    """∇ log p of the mixture with components of the deviation `level`, `(B, 2)` to `(B, 2)`."""
    upper = torch.sigmoid(2 * (x @ MODE)[:, None] / level**2 + math.log(0.8 / 0.2))  # who of the two modes is behind x
    return ((2 * upper - 1) * MODE - x) / level**2


def states(count: int, seed: int) -> dict[str, Tensor]:
    """Where the particles of each panel arrive, each `(count, 2)`."""
    law, rng = unequal_modes().law, Samples(seed, count=count)
    x = 16 * rng.child("start").uniform((count, 2), torch.float64) - 8
    annealed = annealed_langevin(score, x, LEVELS, rng.child("annealed"), STEP, moves=100, denoise=False)
    moments = law.moments()
    spread = float(moments.covariance.diagonal().mean().sqrt())
    diffusion = Diffusion(EDM(), law, moments)
    return {
        "data": law.sample(count, rng.child("data")),
        "langevin": langevin(lambda x: score(x, 1.0), x, 1000, rng.child("langevin"), STEP).state,
        "annealed": annealed.state,
        "scorefield": sample(diffusion, (count, 2), Sampling(ExponentialAdams(scale=spread), 32), rng.child("sample")),
    }


def weight(x: Tensor) -> float:
    """The part of the particles around (5, 5)."""
    return float((x.sum(1) > 0).double().mean())


def draw(found: dict[str, Tensor], path: Path) -> None:
    """One panel each, with the weights of both modes beside them."""
    from matplotlib.figure import Figure

    ink, muted, line, grey, accent = "#1f1e1b", "#77736b", "#e6e2da", "#a39d92", "#2f55d4"
    figure = Figure(figsize=(12, 3.5), dpi=160, facecolor="white", layout="constrained")
    for axes, (name, x) in zip(figure.subplots(1, len(found), sharex=True, sharey=True), found.items()):
        axes.plot(*x.T, "o", markersize=2.6, alpha=0.45, markeredgewidth=0, color=grey if name == "data" else accent)
        axes.set_title(PANELS[name], loc="left", fontsize=11, color=ink)
        for middle, part in ((5, weight(x)), (-5, 1 - weight(x))):
            words = {"ha": "center", "va": "center", "color": ink, "fontsize": 12}
            axes.text(middle, middle - 4.9, f"{100 * part:.0f} %", bbox={"color": "white", "pad": 1.5}, **words)
        axes.set(xlim=(-10.5, 10.5), ylim=(-10.5, 10.5), aspect="equal", xticks=(-5, 5), yticks=(-5, 5))
        axes.tick_params(length=0, labelcolor=muted, labelsize=9)
        axes.grid(color=line, linewidth=0.7)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1280, help="particles")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsn_figure3.png"))
    options = parser.parse_args()
    found = states(options.count, options.seed)
    print("weight of the mode at (5, 5), exactly 0.8:")
    for name, x in found.items():
        error = math.sqrt(weight(x) * (1 - weight(x)) / len(x))
        print(f"  {PANELS[name]:28} {weight(x):.3f} ± {error:.3f}")
    draw(found, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
