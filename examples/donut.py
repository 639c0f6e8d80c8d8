"""A ring, from its log-density and from samples: its score, exact and learned.

python examples/donut.py [--steps 4000] [--seed 0] [-o donut.png]

The density is p(x) ∝ exp(-(|x| - 2.6)² / 0.033). Left: from `log p` alone; the score is computed by autograd, and 400 chains
of Metropolis-adjusted Langevin dynamics find the ring from a square. Middle: from 10,000 samples alone; denoising score
matching learns the score, shown at noise level 0.3 (its error is printed). Right: new samples of the model.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

import scorefield
from scorefield import Training
from scorefield.denoisers import AnalyticDensity, Mixture
from scorefield.mcmc import MetropolisLangevin, langevin
from scorefield.rng import Samples
from scorefield.toys import Donut

LEVEL = 0.3
INK, MUTED, GREY, ACCENT = "#1f1e1b", "#77736b", "#a39d92", "#2f55d4"


def with_noise(toy: Donut) -> Mixture:
    """The ring as a mixture of many Gaussians: an exact denoiser, to many digits, at levels above the width of the ring."""
    angle = torch.arange(256, dtype=torch.float64) * 2 * math.pi / 256
    means = toy.radius * torch.stack([angle.cos(), angle.sin()], 1)
    return Mixture(means, torch.full((256,), toy.width, dtype=torch.float64), torch.full((256,), 1 / 256).double())


def lattice(count: int = 18, reach: float = 3.8) -> Tensor:
    axis = torch.linspace(-reach, reach, count, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def scores(toy: Donut, model: scorefield.Model, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The score of the ring, that of the noisy ring, and the learned one, in the units of the data."""
    known = AnalyticDensity(lambda x, level: toy.log_prob(x)).score(x).detach()
    level = torch.tensor(LEVEL, dtype=torch.float64)
    noisy = (with_noise(toy)(x, level) - x) / LEVEL**2
    std = model.standardize.std.double().mean()
    with torch.no_grad():
        state, sigma = model.standardize(x).float(), (level / std).float()
        learned = (model.denoiser(state, sigma) - state).double() / sigma.double() ** 2 / std
    return known, noisy, learned


def arrows(axes, x: Tensor, score: Tensor, colour: str, width: float = 0.0042, head: float = 4.0) -> None:
    """Arrows in the direction of the score, with lengths that grow with the logarithm of its norm."""
    size = score.norm(dim=1, keepdim=True)
    shown = score / size * torch.log1p(size) / math.log1p(float(size.median()))
    axes.quiver(*x.T, *shown.T, color=colour, width=width, scale=24, pivot="mid", headwidth=head, headlength=head)


def draw(panels: list, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), dpi=160, facecolor="white", layout="constrained")
    for axes, (title, paint) in zip(figure.subplots(1, len(panels)), panels):
        paint(axes)
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=8)
        axes.set(xlim=(-4.1, 4.1), ylim=(-4.1, 4.1), aspect="equal", xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("donut.png"))
    options = parser.parse_args()
    toy, rng = Donut(), Samples(options.seed, count=400)
    start = 8 * rng.uniform((400, 2), torch.float64) - 4
    move = MetropolisLangevin(0.3)
    chains = langevin(toy.log_prob, start, 400, rng, move, scale=toy.width)
    data = toy.sample(10_000, Samples(options.seed, count=10_000))
    model = scorefield.fit(data.numpy(), training=Training(steps=options.steps), seed=options.seed)
    drawn = torch.from_numpy(model.sample(2000, seed=options.seed))
    x = lattice()
    known, noisy, learned = scores(toy, model, x)
    near = (x.norm(dim=1) - toy.radius).abs() < 3 * LEVEL
    error = (learned - noisy)[near].square().mean().sqrt() / noisy[near].square().mean().sqrt()
    radius = {"chains": chains.state.norm(dim=1), "data": data.norm(dim=1), "samples": drawn.norm(dim=1)}
    for name, r in radius.items():
        print(f"{name:8} radius {float(r.mean()):.3f}, width {float(r.std()):.3f}")
    print(f"relative error of the learned score at level {LEVEL}, near the ring: {100 * float(error):.1f} %")

    def first(axes) -> None:
        arrows(axes, x, known, GREY)
        axes.plot(*chains.state.T, "o", markersize=2.8, color=ACCENT, alpha=0.6, markeredgewidth=0)

    def second(axes) -> None:
        axes.plot(*data[:1500].T, "o", markersize=2.2, color=GREY, alpha=0.5, markeredgewidth=0)
        arrows(axes, x, learned, ACCENT)

    def third(axes) -> None:
        axes.plot(*data[:2000].T, "o", markersize=2.2, color=GREY, alpha=0.5, markeredgewidth=0)
        axes.plot(*drawn.T, "o", markersize=2.2, color=ACCENT, alpha=0.5, markeredgewidth=0)

    titles = (
        "From log p: the score, and chains",
        f"From samples: the learned score, level {LEVEL}",
        "Data (grey) and new samples",
    )
    draw(list(zip(titles, (first, second, third))), options.output)
    print(options.output)


if __name__ == "__main__":
    main()
