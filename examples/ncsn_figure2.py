"""Figure 2 of NCSN (Song & Ermon, 2019): where data are rare, the learned score is wrong, and noise fills the gap.

python examples/ncsn_figure2.py [--count 10000] [--steps 4000] [--seed 0] [-o ncsn_figure2.png]

A fifth of the data is around (-5, -5), the rest around (5, 5). One network learns the score of the data themselves by sliced
score matching, as in the paper, and another one learns it at all noise levels by denoising. Colours show the error of the
score relative to its norm at that point, without noise and with noise of levels 1 and 5; the latter reaches everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from scorefield.data import ArrayRows
from scorefield.denoisers import Denoiser, Preconditioned, ScorePrediction
from scorefield.nn import MLP
from scorefield.objectives import (
    DenoisingScoreMatching,
    FisherWeighting,
    LogUniform,
    NoiseWeighting,
    SingleLevel,
    SlicedScoreMatching,
)
from scorefield.rng import Samples
from scorefield.settings import Training
from scorefield.toys import unequal_modes
from scorefield.training import Feed, Trainer
from scorefield.units import Standardize

TARGET, WIDTH = unequal_modes().mixture, 5.0  # WIDTH: the unit of length of the networks
LABEL = 0.02  # the level that the network without noise is conditioned on
INK, MUTED, ACCENT = "#1f1e1b", "#77736b", "#2f55d4"


def learn(objective, data: Tensor, steps: int, seed: int) -> Denoiser:
    """Trains a network of three layers with any objective."""
    torch.manual_seed(seed)
    denoiser = Preconditioned(MLP(2, 128, 3), ScorePrediction())
    units = Standardize((2,), torch.zeros(2), torch.full((2,), WIDTH))
    feed = Feed(ArrayRows(data[500:].float()), units, 256, seed)
    training = Training(steps=steps, batch=256, learning_rate=2e-3, muon_learning_rate=0.0, patience=1000)
    trainer = Trainer(denoiser, feed, units(data[:500]).float(), objective, training, seed)
    for _ in trainer.run():
        pass
    trainer.finish()
    return denoiser


def learned(denoiser: Denoiser, x: Tensor, level: float) -> Tensor:
    """The score of a network, in the units of the data; `level` is in its own."""
    with torch.no_grad():
        state, sigma = (x / WIDTH).float(), torch.tensor(level)
        return (denoiser(state, sigma) - state).double() / level**2 / WIDTH


def exact(x: Tensor, level: float) -> Tensor:
    if level == 0:
        return (TARGET(x, torch.tensor(1e-3, dtype=x.dtype)) - x) / 1e-6
    return (TARGET(x, torch.tensor(level, dtype=x.dtype)) - x) / level**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="training examples")
    parser.add_argument("--steps", type=int, default=4000, help="training steps for each network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsn_figure2.png"))
    options = parser.parse_args()
    data = TARGET.sample(options.count, Samples(options.seed, count=options.count))
    sliced = learn(
        SlicedScoreMatching(SingleLevel(LABEL), FisherWeighting(), noisy=False), data, options.steps, options.seed
    )
    levels = DenoisingScoreMatching(LogUniform(0.02, 10.0), weighting=NoiseWeighting())
    denoising = learn(levels, data, options.steps, options.seed)
    axis = torch.linspace(-8, 8, 161, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    rare = TARGET.log_prob(x) < TARGET.log_prob(x).max() - 12
    panels = {
        "sliced score matching, without noise": (learned(sliced, x, LABEL), exact(x, 0)),
        "denoising, level 1": (learned(denoising, x, 1 / WIDTH), exact(x, 1.0)),
        "denoising, level 5": (learned(denoising, x, 5 / WIDTH), exact(x, 5.0)),
    }
    errors = {}
    for name, (found, truth) in panels.items():
        errors[name] = (found - truth).norm(dim=1) / truth.norm(dim=1).clamp_min(truth.norm(dim=1).median() / 4)
        parts = [float(errors[name][where].median()) for where in (~rare, rare)]
        print(
            f"{name:44} median relative error where data are common {parts[0]:.3f}, where they are rare {parts[1]:.3f}"
        )
    draw(panels, errors, axis, data, options.output)
    print(options.output)


def draw(panels: dict, errors: dict, axis: Tensor, data: Tensor, path: Path) -> None:
    """The error as colour, the learned score as arrows, the data as dots."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.figure import Figure

    shades = LinearSegmentedColormap.from_list("error", ["#fdfcf9", "#f3d9b8", "#df7f4a", "#8f2a1e"])
    figure = Figure(figsize=(12.6, 4.3), dpi=160, facecolor="white", layout="constrained")
    every = torch.arange(5, 161, 10)
    pick = (every[:, None] * 161 + every).flatten()
    x = torch.cartesian_prod(axis, axis)[pick]
    for axes, (name, (found, _)) in zip(row := figure.subplots(1, 3), panels.items()):
        shade = errors[name].reshape(161, 161).T
        norm = LogNorm(0.02, 2)
        image = axes.pcolormesh(axis, axis, shade.clamp(0.02, 2), cmap=shades, norm=norm, rasterized=True)
        axes.plot(*data[:600].T, "o", markersize=1.8, color=ACCENT, alpha=0.45, markeredgewidth=0)
        size = found[pick].norm(dim=1, keepdim=True)
        shown = found[pick] / size * torch.log1p(5 * size / size.median())
        axes.quiver(*x.T, *shown.T, color=INK, width=0.0045, scale=46, pivot="mid", headwidth=4.5, headlength=5)
        axes.set_title(name, loc="left", fontsize=11, color=INK, pad=8)
        axes.set(xlim=(-8, 8), ylim=(-8, 8), aspect="equal", xticks=(-5, 5), yticks=(-5, 5))
        axes.tick_params(length=0, labelcolor=MUTED, labelsize=9)
        for spine in axes.spines.values():
            spine.set_visible(False)
    bar = figure.colorbar(image, ax=row, shrink=0.8, pad=0.01, ticks=(0.02, 0.1, 0.5, 2))
    bar.ax.set_yticklabels(["2 %", "10 %", "50 %", "200 %"])
    bar.ax.tick_params(length=0, labelcolor=MUTED, labelsize=9, which="both")
    bar.outline.set_visible(False)
    bar.set_label("error of the score", color=MUTED, fontsize=9)
    figure.savefig(path)


if __name__ == "__main__":
    main()
