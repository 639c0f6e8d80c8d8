"""NCSNv2 from end to end on scikit-learn's handwritten digits: its ladder, its network, its training, its sampler.

python examples/ncsnv2_digits.py [--steps 4000] [--moves 5 20] [--seed 0] [-o ncsnv2_digits.png]

The recipe of NCSNv2 for CIFAR-10 (Song & Ermon, 2020), at the size of the data: 8 x 8 points ask for another ladder (from the
largest distance between two digits, Technique 1, with neighbours that overlap by 0.5667, Technique 2), another step (the one
that keeps the variance over all levels; Technique 4 looks at one), a smaller network, a larger learning rate and a shorter
average of the weights: a few minutes on one core. Then the same weights are sampled by annealed Langevin dynamics and by this
package's default for images, and both are measured beside digits that training has not seen.
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
    """1,297 digits to learn from, 500 to compare with."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images.astype(np.float32) / 16)[:, None]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return Digits(images[order[500:]], images[order[:500]])


def experiment(train: Tensor, steps: int, moves: int = 5) -> Experiment:
    """NCSNv2 for these images."""
    ladder = Ladder.overlapping(diameter(train).low, 0.01, train[0].numel(), PUBLISHED_OVERLAP)
    small = {"features": 16, "batch": 64, "steps": steps, "rate": 1e-3, "average": 0.995, "flip": False}
    step = best_ratio(moves, ladder.gap) * ladder.last**2
    return replace(
        presets.ncsnv2.cifar10, data="digits", shape=(1, 8, 8), ladder=ladder, moves=moves, step=step, **small
    )


def trained(ncsnv2: Experiment, train: Tensor, seed: int = 0) -> NCSNDenoiser:
    """The network after its training."""
    torch.manual_seed(seed)
    denoiser, losses = ncsnv2.denoiser(), []
    for progress in ncsnv2.train(denoiser, ArrayRows(train), seed, top=1.0):
        losses.append(progress.loss)
        if progress.step % 500 == 0 or progress.step == ncsnv2.steps:
            loss = float(torch.stack(losses[-500:]).mean())
            print(f"  step {progress.step:,}: loss {loss:.3f}, {progress.seconds:.0f} s", flush=True)
    return denoiser


@dataclass(frozen=True)
class Way:
    """A way to draw samples, and how often it asks the network for each."""

    name: str
    evaluations: int
    sampler: Sampler
    steps: int | None = None
    schedule: Schedule | None = None


def ways(ncsnv2: Experiment, moves: list[int], spread: float) -> list[Way]:
    """Annealed Langevin dynamics with some numbers of moves at each level, and the default of this package for images."""
    gap, count = ncsnv2.ladder.gap, ncsnv2.ladder.count
    found = []
    for n in moves:
        step = Annealing(n, best_ratio(n, gap), gap)
        print(
            f"annealed Langevin: {count} levels of {n} moves, step {step.ratio:.3f} σ², ends with {step.variance:.3f} σ²"
        )
        name = f"annealed Langevin, {n} moves a level"
        found.append(Way(name, 1 + n * (count - 1), AnnealedLangevin(Langevin(step.ratio), n)))
    default = ExponentialAdams(2, scale=spread, eta=1.0)
    return [*found, Way("the default for images", 25, default, 24, Karras())]


def measure(x: Tensor, data: Digits) -> str:
    """How far samples are from held-out digits, how near to training ones, and how many have points off the scale."""
    far = with_floor(energy_distance, x, data.held_out, data.train)
    near = memorization(x, data.train, data.held_out)
    off = ((x < -0.25) | (x > 1.25)).flatten(1).any(1).double().mean()
    return (
        f"energy distance {far.value:.4f} (real digits: {far.floor:.4f}, 95 % below {far.high:.4f}); nearest training digit "
        f"{np.median(near.samples):.2f} (real digits: {np.median(near.held_out):.2f}); off the scale {float(off):.1%}"
    )


def mosaic(images: Tensor, columns: int) -> np.ndarray:
    """Images `(N, 1, 8, 8)` side by side with thin gaps, dark on light."""
    tiles = [np.pad(1 - image.clip(0, 1), 1, constant_values=1.0) for image in images[:, 0].numpy()]
    tiles += [np.ones_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def draw(panels: dict[str, Tensor], path: Path, columns: int = 16, rows: int = 5) -> None:
    """Panels of images, two beside each other."""
    from matplotlib.figure import Figure

    height = (len(panels) + 1) // 2
    figure = Figure(figsize=(12, 2.1 * height), dpi=160, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(wspace=0.05)
    places = list(figure.subplots(height, 2, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, (name, images) in zip(places, panels.items()):
        axes.imshow(mosaic(images[: columns * rows], columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=11, color="#1f1e1b")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="of training")
    parser.add_argument("--moves", type=int, nargs="+", default=[5, 20], help="of annealed Langevin at each level")
    parser.add_argument("--count", type=int, default=500, help="samples of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of training")
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsnv2_digits.png"))
    options = parser.parse_args()
    data = digits()
    ncsnv2 = experiment(data.train, options.steps, options.moves[0])
    print(f"ladder: {ncsnv2.ladder.count} levels from {ncsnv2.ladder.first:.3g} to {ncsnv2.ladder.last:g}")
    model = ncsnv2.model(trained(ncsnv2, data.train, options.seed), data.train[:, 0].numpy())
    panels = {"digits that training has not seen": data.held_out}
    for way in ways(ncsnv2, options.moves, float(data.train.std())):
        start = time.perf_counter()
        x = torch.from_numpy(model.sample(options.count, sampler=way.sampler, steps=way.steps, schedule=way.schedule))[
            :, None
        ]
        seconds = time.perf_counter() - start
        print(f"{way.name}: {way.evaluations} evaluations, {options.count} samples in {seconds:.0f} s")
        print(f"  {measure(x, data)}", flush=True)
        panels[f"{way.name}: {way.evaluations} evaluations"] = x
    draw(panels, options.output)
    print(options.output)


if __name__ == "__main__":
    main()
