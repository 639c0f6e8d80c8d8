"""The same problem with every objective: accuracy, and the cost of a step against dimension.

python examples/by_all_objectives.py [--steps 2000] [--dimensions 10 30 100 300 1000] [--seed 0] [-o by_all_objectives.png]

Left: the error of the score by noise level, for one network trained by each objective on the same 20,000 draws of a mixture in
five dimensions, with the same number of steps and the same weight 1/σ². Middle and right: time and memory of a step
(benchmarks/objectives.py), up to 1,000 dimensions. Denoising is the cheapest in every dimension; exact score matching needs
one derivative per dimension; sliced score matching needs one in all, at the price of variance.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from scorefield.data import ArrayRows
from scorefield.denoisers import Denoiser, Mixture, Preconditioned
from scorefield.nn import MLP
from scorefield.objectives import (
    DenoisingScoreMatching,
    ExactScoreMatching,
    LevelObjective,
    LogUniform,
    NoiseWeighting,
    SlicedScoreMatching,
)
from scorefield.rng import Samples
from scorefield.settings import Training
from scorefield.training import Feed, Trainer
from scorefield.units import Standardize

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from objectives import OBJECTIVES as COSTS, cost

SIZE = 5
LEVELS = LogUniform(0.03, 10.0)
OBJECTIVES: dict[str, LevelObjective] = {
    "denoising": DenoisingScoreMatching(LEVELS, weighting=NoiseWeighting()),
    "sliced, variance reduced": SlicedScoreMatching(LEVELS, NoiseWeighting()),
    "sliced": SlicedScoreMatching(LEVELS, NoiseWeighting(), reduced=False),
    "exact": ExactScoreMatching(LEVELS, NoiseWeighting()),
}
STYLES = {
    "denoising": ("#2f55d4", "-"),
    "sliced, variance reduced": ("#c2593f", "-"),
    "sliced": ("#c2593f", "--"),
    "exact": ("#1f1e1b", "-"),
}
INK, MUTED, LINE = "#1f1e1b", "#77736b", "#e6e2da"


def mixture() -> Mixture:
    """Three Gaussians of unequal weights in five dimensions, with unit variance overall."""
    means = Samples(1, count=3).normal((3, SIZE), torch.float64)
    return Mixture(means, torch.tensor([0.4, 0.5, 0.6]).double(), torch.tensor([0.2, 0.3, 0.5]).double())


def learn(objective: LevelObjective, data: torch.Tensor, steps: int, seed: int) -> Denoiser:
    torch.manual_seed(seed)
    denoiser = Preconditioned(MLP(SIZE, 128, 3))
    units = Standardize((SIZE,), torch.zeros(SIZE), torch.ones(SIZE))
    feed = Feed(ArrayRows(data[1000:].float()), units, 256, seed)
    training = Training(
        steps=steps, batch=256, learning_rate=2e-3, muon_learning_rate=0.0, evaluations=5, patience=1000
    )
    trainer = Trainer(denoiser, feed, data[:200].float(), objective, training, seed)
    for _ in trainer.run():
        pass
    trainer.finish()
    return denoiser


def errors(denoiser: Denoiser, target: Mixture, levels: torch.Tensor) -> list[float]:
    """The root mean square error of the score relative to its own root mean square, at each level."""
    x0, found = target.sample(4000, Samples(5, count=4000)), []
    for i, level in enumerate(levels):
        x = x0 + level * Samples(6 + i, count=4000).normal_like(x0)
        truth = target(x, level) - x
        with torch.no_grad():
            error = denoiser(x.float(), level.float()).double() - target(x, level)
        found.append(float(error.square().mean().sqrt() / truth.square().mean().sqrt()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="training steps for each objective")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("by_all_objectives.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = mixture()
    data = target.sample(20_000, Samples(options.seed, count=20_000))
    levels = torch.logspace(-1.5, 1, 11, dtype=torch.float64)
    learned, costs = {}, {}
    for name, objective in OBJECTIVES.items():
        start = time.perf_counter()
        learned[name] = errors(learn(objective, data, options.steps, options.seed), target, levels)
        seconds = time.perf_counter() - start
        costs[name] = [cost(COSTS[name], d, rounds=3) for d in options.dimensions]
        shown = ", ".join(f"{100 * learned[name][i]:.1f} % at {float(levels[i]):.2g}" for i in (0, 4, 8))
        print(f"{name:26} error {shown}; {seconds:.0f} s; a step in {options.dimensions[-1]:,} dimensions", end=" ")
        print(f"{costs[name][-1][0]:.3g} s, {costs[name][-1][1]:.3g} MB", flush=True)
    draw(levels, learned, options.dimensions, costs, options.output)
    print(options.output)


def draw(levels: torch.Tensor, learned: dict, dimensions: list[int], costs: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9), dpi=160, facecolor="white", layout="constrained")
    first, second, third = figure.subplots(1, 3)
    for name, (colour, dash) in STYLES.items():
        style = {"color": colour, "linestyle": dash, "linewidth": 1.8, "label": name}
        first.plot(levels, [100 * e for e in learned[name]], **style)
        second.plot(dimensions, [1e3 * s for s, _ in costs[name]], marker="o", markersize=3.5, **style)
        third.plot(dimensions, [m for _, m in costs[name]], marker="o", markersize=3.5, **style)
    titles = ("Error of the score, %", "Time of a step, ms", "Memory of a step, MB")
    for axes, title, label in zip((first, second, third), titles, ("noise level", "dimension", "dimension")):
        axes.set(xscale="log", yscale="log")
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
        axes.set_xlabel(label, color=MUTED, fontsize=9.5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=9)
        axes.minorticks_off()
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(MUTED)
    first.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper right")
    figure.savefig(path)


if __name__ == "__main__":
    main()
