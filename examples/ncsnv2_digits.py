"""NCSNv2 on scikit-learn's handwritten digits, from end to end: noise levels, network, training and sampler.

python examples/ncsnv2_digits.py [--steps 4000] [--moves 5 20] [--seed 0] [-o ncsnv2_digits.png]

The recipe of NCSNv2 for CIFAR-10 (Song & Ermon, 2020), adapted to images of 8 x 8 pixels: other noise levels (from the
largest distance between two digits, Technique 1, with an overlap of 0.5667 between neighbours, Technique 2), another step
size (the one that preserves the variance over all levels; Technique 4 considers one), a smaller network, a larger learning
rate and a shorter average of the weights. Training takes a few minutes on one core. The same weights are then sampled by
annealed Langevin dynamics and by the default for images, and both are compared with held-out digits.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield import presets
from scorefield.data import ArrayRows
from scorefield.denoisers.ncsn import NCSNDenoiser
from scorefield.mcmc import Langevin
from scorefield.metrics import energy_distance, memorization, with_floor
from scorefield.noise_levels import PUBLISHED_OVERLAP, Annealing, Ladder, best_ratio, diameter
from scorefield.presets import Experiment
from scorefield.samplers import AnnealedLangevin, ExponentialAdams, Sampler
from scorefield.schedules import Karras, Schedule


class Digits(NamedTuple):
    """Images between 0 and 1, of shape `(N, 1, 8, 8)`."""

    train: Tensor
    held_out: Tensor


def digits() -> Digits:
    """1,297 digits for training, 500 held out."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images.astype(np.float32) / 16)[:, None]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return Digits(images[order[500:]], images[order[:500]])


def experiment(train: Tensor, steps: int, moves: int = 5) -> Experiment:
    """The experiment for these images."""
    ladder = Ladder.overlapping(diameter(train).low, 0.01, train[0].numel(), PUBLISHED_OVERLAP)
    small = {"features": 16, "batch": 64, "steps": steps, "learning_rate": 1e-3, "average": 0.995, "flip": False}
    step = best_ratio(moves, ladder.gap) * ladder.last**2
    return replace(
        presets.ncsnv2.cifar10, data="digits", shape=(1, 8, 8), ladder=ladder, moves=moves, step=step, **small
    )


def trained(ncsnv2: Experiment, train: Tensor, seed: int = 0) -> NCSNDenoiser:
    """The trained denoiser."""
    torch.manual_seed(seed)
    denoiser, losses = ncsnv2.denoiser(), []
    for progress in ncsnv2.train(denoiser, ArrayRows(train), seed, top=1.0):
        losses.append(progress.loss)
        if progress.step % 500 == 0 or progress.step == ncsnv2.steps:
            loss = float(torch.stack(losses[-500:]).mean())
            print(f"  step {progress.step:,}: loss {loss:.3f}, {progress.seconds:.0f} s", flush=True)
    return denoiser


@dataclass(frozen=True)
class Method:
    """A way to sample, and its number of network evaluations."""

    name: str
    evaluations: int
    sampler: Sampler
    steps: int | None = None
    schedule: Schedule | None = None


def methods(ncsnv2: Experiment, moves: list[int], spread: float) -> list[Method]:
    """Annealed Langevin dynamics with several numbers of moves per level, and the default of this package for images."""
    gap, count = ncsnv2.ladder.gap, ncsnv2.ladder.count
    found = []
    for n in moves:
        step = Annealing(n, best_ratio(n, gap), gap)
        print(
            f"annealed Langevin: {count} levels of {n} moves, step {step.ratio:.3f} σ², final variance {step.variance:.3f} σ²"
        )
        name = f"annealed Langevin, {n} moves per level"
        found.append(Method(name, 1 + n * (count - 1), AnnealedLangevin(Langevin(step.ratio), n)))
    default = ExponentialAdams(2, scale=spread, eta=1.0)
    return [*found, Method("the default for images", 25, default, 24, Karras())]


def measure(x: Tensor, data: Digits) -> str:
    """Distances to held-out and training digits, and the share of samples with pixels outside the range."""
    far = with_floor(energy_distance, x, data.held_out, data.train)
    near = memorization(x, data.train, data.held_out)
    outside = ((x < -0.25) | (x > 1.25)).flatten(1).any(1).double().mean()
    return (
        f"energy distance {far.value:.4f} (real digits: {far.floor:.4f}, 95 % below {far.high:.4f}); nearest training digit "
        f"{np.median(near.samples):.2f} (real digits: {np.median(near.held_out):.2f}); outside the range {float(outside):.1%}"
    )


def mosaic(images: Tensor, columns: int) -> np.ndarray:
    """Images `(N, 1, 8, 8)` side by side with thin gaps, dark on light."""
    tiles = [np.pad(1 - image.clip(0, 1), 1, constant_values=1.0) for image in images[:, 0].numpy()]
    tiles += [np.ones_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def draw(panels: dict[str, Tensor], path: Path, columns: int = 16, rows: int = 5) -> None:
    """Panels of images, two per row."""
    from matplotlib.figure import Figure

    rows_of_panels = (len(panels) + 1) // 2
    figure = Figure(figsize=(12, 2.1 * rows_of_panels), dpi=160, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    places = list(figure.subplots(rows_of_panels, 2, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, (name, images) in zip(places, panels.items()):
        axes.imshow(mosaic(images[: columns * rows], columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=11, color="#1f1e1b")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="training steps")
    parser.add_argument(
        "--moves", type=int, nargs="+", default=[5, 20], help="moves of annealed Langevin dynamics per level"
    )
    parser.add_argument("--count", type=int, default=500, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=0, help="training steps")
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsnv2_digits.png"))
    options = parser.parse_args()
    data = digits()
    ncsnv2 = experiment(data.train, options.steps, options.moves[0])
    print(f"ladder: {ncsnv2.ladder.count} levels from {ncsnv2.ladder.first:.3g} to {ncsnv2.ladder.last:g}")
    model = ncsnv2.model(trained(ncsnv2, data.train, options.seed), data.train[:, 0].numpy())
    panels = {"held-out digits": data.held_out}
    for method in methods(ncsnv2, options.moves, float(data.train.std())):
        start = time.perf_counter()
        x = torch.from_numpy(
            model.sample(options.count, sampler=method.sampler, steps=method.steps, schedule=method.schedule)
        )[:, None]
        seconds = time.perf_counter() - start
        print(f"{method.name}: {method.evaluations} evaluations, {options.count} samples in {seconds:.0f} s")
        print(f"  {measure(x, data)}", flush=True)
        panels[f"{method.name}: {method.evaluations} evaluations"] = x
    draw(panels, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
