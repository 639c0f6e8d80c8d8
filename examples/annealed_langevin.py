"""Two toy problems of the USC summer school, sampled by annealed Langevin dynamics and by the default sampler.

python examples/annealed_langevin.py [--count 4000] [-o annealed_langevin.png]

A mixture in the plane with 400 training points: a fifth of its mass is around (3, 3), the rest around (-3, -3), with unit
variance. And a helix of 16 turns in three dimensions with 20,000 training points. A small network, conditioned on the noise
level, learns to denoise each. Then the same network is sampled in four ways:

    summer school: ten levels from 10 to 0.001 (here in standard deviations of the data), 100 moves x + a s + √(2a) z at each,
        a = 1e-6 at the smallest, which is σ²: a step so long that point-like data end with variance 2 σ²; no final denoising
    the same levels with the step that is best for point-like data over all levels
    levels and step chosen from the data by `noise-levels`, with a final denoising
    the probability flow by UniPC(3) in 32 steps

The exact score of the mixture is known: errors with the exact score are due to the sampler, the rest to the network.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import scorefield
from scorefield import Model, Training
from scorefield.denoisers import Denoiser, Mixture
from scorefield.diffusion import Diffusion
from scorefield.mcmc import Langevin
from scorefield.metrics import energy_distance, with_floor
from scorefield.noise_levels import best_ratio, choose_noise_levels
from scorefield.processes import VE, Process
from scorefield.rng import Samples
from scorefield.samplers import AnnealedLangevin, Sampler, Sampling, sample
from scorefield.schedules import ExplicitLevels, Schedule
from scorefield.toys import Helix, two_modes

SCHOOL = tuple(np.geomspace(10, 1e-3, 10).tolist())


def learn_mixture(count: int = 400, steps: int = 4000) -> tuple[Tensor, Model]:
    """Points of the mixture, and a model of them."""
    x = two_modes().sample(count, Samples(0, count=count))
    return x, scorefield.fit(x, training=Training(steps=steps))


def learn_helix(count: int = 20_000, steps: int = 8000) -> tuple[Tensor, Model]:
    """Points of the helix, and a model of them. A turn takes 0.2 standard deviations, so that it is learned at small levels."""
    x = Helix().sample(count, Samples(0, count=count))
    levels = "noiselevels(level_mean=-2.5, level_std=1.6)"
    return x, scorefield.fit(x, noise_levels=levels, steps=steps)


@dataclass(frozen=True)
class Method:
    """A way to sample from a denoiser of standardized data."""

    name: str
    sampler: Sampler
    process: Process
    schedule: Schedule
    steps: int | None = None
    denoise: bool = True

    @property
    def evaluations(self) -> int:
        """Evaluations of the denoiser per sample."""
        each = self.sampler.moves if isinstance(self.sampler, AnnealedLangevin) else 1
        return (self.steps or self.schedule.steps or 0) * each + self.denoise

    def draw(self, model: Model, count: int, denoiser: Denoiser | None = None) -> Tensor:
        """Samples in the units of the data, `(count, F)`, by the denoiser of the model or another one."""
        shape, rng = (count, *model.schema.inner_shape), Samples(0, count=count)
        diffusion = Diffusion(self.process, denoiser or model.denoiser, model.moments)
        x = sample(diffusion, shape, Sampling(self.sampler, self.steps, self.schedule), rng, self.denoise)
        return model.standardize.inverse(x)


def methods(model: Model, x: Tensor) -> list[Method]:
    """The four methods."""
    found = choose_noise_levels(model.standardize(x[:4096]).float())
    ladder, annealing = found.ladder, found.annealing
    school, calibrated = VE(SCHOOL[-1], SCHOOL[0]), VE(ladder.last, ladder.first)
    long, best = Langevin.from_full(1e-6, SCHOOL[-1]), Langevin(best_ratio(100, SCHOOL[0] / SCHOOL[1]))
    moves = AnnealedLangevin(Langevin(annealing.ratio), annealing.moves)
    return [
        Method("summer school", AnnealedLangevin(long, 100), school, ExplicitLevels(SCHOOL), denoise=False),
        Method("same levels, best step", AnnealedLangevin(best, 100), school, ExplicitLevels(SCHOOL), denoise=False),
        Method("levels from data", moves, calibrated, ExplicitLevels(ladder.levels)),
        Method("default", model.sampler, model.process, model.schedule, model.steps),
    ]


def exact(model: Model) -> Mixture:
    """The denoiser of the mixture itself, in the units of the model."""
    target, units = two_modes().mixture, model.standardize
    std = units.std.double()
    return Mixture(units(target.means), target.covariances / (std * std[:, None]), target.weights)


class Modes(NamedTuple):
    """Statistics of the mixture: the weight of the mode at (3, 3), and the standard deviation within modes."""

    weight: float
    width: float


def modes(x: Tensor) -> Modes:
    """The statistics of samples of the mixture, `(N, 2)`."""
    upper = x.sum(1) > 0
    centred = torch.cat([part - part.mean(0) for part in (x[upper], x[~upper]) if len(part)])
    return Modes(float(upper.double().mean()), float(centred.square().mean().sqrt()))


def unrolled(x: Tensor) -> Tensor:
    """The helix, `(N, 3)`, rotated back by the angle z: its curve becomes the straight line x = 1, y = 0."""
    cos, sin = torch.cos(x[:, 2]), torch.sin(x[:, 2])
    return torch.stack([cos * x[:, 0] + sin * x[:, 1], cos * x[:, 1] - sin * x[:, 0], x[:, 2]], 1)


def across(x: Tensor) -> float:
    """The standard deviation across the curve of the helix, of samples `(N, 3)`."""
    y = unrolled(x)
    return float(((y[:, 0] - 1).square() + y[:, 1].square()).mean().div(2).sqrt())


def show_mixture(count: int, steps: int = 4000) -> dict[str, Tensor]:
    """Learns the mixture, samples it by all methods, prints statistics and returns the points of each panel."""
    start = time.perf_counter()
    x, model = learn_mixture(steps=steps)
    known, fresh, more = modes(x), *(two_modes().sample(count, Samples(seed, count=count)) for seed in (1, 2))
    print(f"mixture: {len(x)} points, trained in {time.perf_counter() - start:.0f} s; weight 0.2 and width 1 are exact")
    print(f"  the points themselves: weight {known.weight:.3f}, width {known.width:.2f}")
    panels = {"400 points": x}
    for method in methods(model, x):
        start = time.perf_counter()
        drawn = method.draw(model, count)
        seconds, found, truth = (
            time.perf_counter() - start,
            modes(drawn),
            modes(method.draw(model, count, exact(model))),
        )
        far = with_floor(energy_distance, drawn, fresh, more, maximum=2000)
        error = math.sqrt(found.weight * (1 - found.weight) / count)
        print(f"  {method.name}: {method.evaluations:,} evaluations, {seconds:.1f} s")
        print(f"    weight {found.weight:.3f} ± {error:.3f}, width {found.width:.2f}; ", end="")
        print(f"by the exact score {truth.weight:.3f} and {truth.width:.2f}")
        print(f"    energy distance {far.value:.4f} (real: {far.floor:.4f}, 95 % below {far.high:.4f})", flush=True)
        panels[f"{method.name}, {method.evaluations:,} evaluations"] = drawn
    return panels


def show_helix(count: int, points: int = 20_000, steps: int = 8000) -> dict[str, Tensor]:
    """The same for the helix."""
    start = time.perf_counter()
    x, model = learn_helix(points, steps)
    fresh, more = (Helix().sample(count, Samples(seed, count=count)) for seed in (1, 2))
    print(f"helix: {len(x):,} points, trained in {time.perf_counter() - start:.0f} s; a width of 0.2 is exact")
    panels = {f"{len(x):,} points": x}
    for method in methods(model, x):
        start = time.perf_counter()
        drawn = method.draw(model, count)
        seconds = time.perf_counter() - start
        far = with_floor(energy_distance, unrolled(drawn), unrolled(fresh), unrolled(more), maximum=2000)
        print(f"  {method.name}: {method.evaluations:,} evaluations, {seconds:.1f} s")
        print(f"    width {across(drawn):.3f}; energy distance, unrolled, {far.value:.4f} ", end="")
        print(f"(real: {far.floor:.4f}, 95 % below {far.high:.4f})", flush=True)
        panels[f"{method.name}, {method.evaluations:,} evaluations"] = drawn
    return panels


def draw(mixture: dict[str, Tensor], helix: dict[str, Tensor], path: Path) -> None:
    """The mixture above, with weights and widths, and a part of the helix below; without the second method."""
    from matplotlib.figure import Figure

    ink, muted, line, grey, accent = "#1f1e1b", "#77736b", "#e6e2da", "#a39d92", "#2f55d4"
    figure = Figure(figsize=(12, 6), dpi=160, facecolor="white", layout="constrained")
    rows = figure.subplots(2, 4, sharex="row", sharey="row", height_ratios=(1.15, 1))
    for row, panels in zip(rows, (mixture, helix)):
        shown = [panel for i, panel in enumerate(panels.items()) if i != 2]
        for i, (axes, (name, x)) in enumerate(zip(row, shown)):
            style = {"color": accent if i else grey, "markeredgewidth": 0}
            words = {
                "ha": "center",
                "va": "center",
                "color": ink,
                "fontsize": 11,
                "bbox": {"color": "white", "pad": 1.5},
            }
            axes.set_title(name, loc="left", fontsize=11, color=ink)
            if x.shape[1] == 2:
                axes.plot(*x[:1000].T, "o", markersize=2.6, alpha=0.45, **style)
                found = modes(x)
                axes.text(3, -1.4, f"{100 * found.weight:.0f} %", **words)
                axes.text(2.2, -5.6, f"width {found.width:.2f}", **words)
                axes.set(xlim=(-7.5, 7.5), ylim=(-7.5, 7.5), aspect="equal", xticks=(-3, 3), yticks=(-3, 3))
            else:
                part = x[(x[:, 2] > 0) & (x[:, 2] < 25)][:500]
                axes.plot(part[:, 2], part[:, 0], "o", markersize=2.6, alpha=0.6, **style)
                axes.text(20.5, -2.05, f"width {across(x):.2f}", **words)
                axes.set(xlim=(0, 25), ylim=(-2.4, 2.2), xticks=(0, 10, 20), yticks=(-1, 1), xlabel="z")
                axes.xaxis.label.set_color(muted)
            axes.tick_params(length=0, labelcolor=muted, labelsize=9)
            axes.grid(color=line, linewidth=0.7)
            axes.set_axisbelow(True)
            for spine in axes.spines.values():
                spine.set_visible(False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="samples of each kind")
    parser.add_argument("-o", "--output", type=Path, default=Path("annealed_langevin.png"))
    options = parser.parse_args()
    draw(show_mixture(options.count), show_helix(options.count), options.output)
    print(options.output)


if __name__ == "__main__":
    main()
