"""Two models of the same fields: the NCSNv2 recipe with annealed Langevin dynamics, and the default of this package.

The examples of the optic nerve and of fibres import it; it has no command line. NCSNv2 has its levels by its own rules
(Techniques 1 and 2), and the step that preserves the variance over all levels. Both networks are small, for minutes on a CPU.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import scorefield
from scorefield import Network, Training, presets
from scorefield.data import ArrayRows
from scorefield.metrics import energy_distance, field_tests, with_floor
from scorefield.noise_levels import PUBLISHED_OVERLAP, Ladder, best_ratio, diameter


def ncsnv2(train: np.ndarray, steps: int, moves: int, count: int) -> np.ndarray:
    """Samples of NCSNv2 by annealed Langevin dynamics, after `steps` of training."""
    x = torch.from_numpy(train)[:, None]
    ladder = Ladder.overlapping(diameter(x).low, 0.01, x[0].numel(), PUBLISHED_OVERLAP)
    small = {"features": 8, "batch": 16, "learning_rate": 1e-3, "average": 0.99, "flip": False, "steps": steps}
    step = best_ratio(moves, ladder.gap) * ladder.last**2
    recipe = replace(
        presets.ncsnv2.cifar10, data="fields", shape=x.shape[1:], ladder=ladder, moves=moves, step=step, **small
    )
    torch.manual_seed(0)
    denoiser = recipe.denoiser()
    *_, progress = recipe.train(denoiser, ArrayRows(x), top=1.0)
    where = f"{ladder.count} levels from {ladder.first:.1f} to {ladder.last:g}, {moves} moves of {step:.1e} at the last"
    print(f"NCSNv2: {progress.step:,} steps in {progress.seconds:.0f} s; {where}", flush=True)
    start = time.perf_counter()
    drawn = recipe.model(denoiser, train).sample(count, seed=0)
    evaluations = 1 + moves * (ladder.count - 1)
    print(
        f"NCSNv2: {evaluations:,} evaluations for each sample, {count} in {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return np.asarray(drawn)


def default(train: np.ndarray, steps: int, count: int) -> np.ndarray:
    """Samples of the default for grids, with a small network."""
    start = time.perf_counter()
    small = Network(widths=(16, 32, 48))
    model = scorefield.fit(train, network=small, training=Training(steps=steps, batch=32))
    trained = time.perf_counter()
    drawn = model.sample(count, seed=0)
    print(
        f"default: {steps:,} steps in {trained - start:.0f} s; {model.sampling.sampler}, {model.steps} steps, ", end=""
    )
    print(f"{count} samples in {time.perf_counter() - trained:.0f} s", flush=True)
    return np.asarray(drawn)


def compared(train: np.ndarray, held_out: np.ndarray, steps: int, moves: int, count: int) -> dict[str, np.ndarray]:
    """Samples of both, after each statistic of them was printed next to its value between real fields."""
    x = torch.from_numpy(train[:2000]).flatten(1)
    print(f"largest distance between two fields: {torch.cdist(x, x).max():.1f}")
    samples = {"NCSNv2": ncsnv2(train, steps, moves, count), "default": default(train, steps, count)}
    for name, drawn in samples.items():
        far = with_floor(energy_distance, drawn, held_out, train)
        print(f"{name}: energy distance {far.value:.3f} (real: {far.floor:.3f}, 95 % below {far.high:.3f})")
        for curve in field_tests(drawn[:, None], held_out[:, None], train[:, None], permutations=199):
            found = curve.distance
            print(
                f"  {curve.name}: {found.value:.1f} (real: {found.floor:.1f}, 95 % below {found.high:.1f})", flush=True
            )
    return samples


def draw(panels: dict[str, np.ndarray], path: Path, colours: str = "viridis") -> None:
    """Two rows of eight fields of each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4), dpi=140, facecolor="white", layout="constrained")
    for axes, (name, x) in zip(figure.subplots(1, len(panels)), panels.items()):
        tiles = np.pad(x[:16], ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        image = tiles.reshape(4, -1, *tiles.shape[1:]).swapaxes(1, 2).reshape(4 * tiles.shape[1], -1)
        axes.imshow(image, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, loc="left", fontsize=11, color="#1f1e1b")
        axes.set_axis_off()
    figure.savefig(path)
