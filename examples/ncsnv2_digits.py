"""NCSNv2 from end to end on scikit-learn's handwritten digits: its ladder, its network, its training, its sampler.

python examples/ncsnv2_digits.py [--steps 4000] [-o ncsnv2_digits.png]

The recipe of NCSNv2 for CIFAR-10 (Song & Ermon, 2020), at the size of the data: 8 x 8 points ask for another ladder (the
largest distance between two digits, Technique 1; neighbours that overlap by 0.5667, Technique 2), another step (Technique 4,
over all levels) and a smaller network with a larger learning rate, for minutes on a CPU. Then the same weights are sampled
twice, by annealed Langevin dynamics and by this package's default for images, and measured beside digits that training has
not seen.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from scorefield import presets
from scorefield.calibrate import PUBLISHED_OVERLAP, Ladder, best_ratio, diameter
from scorefield.data import ArrayRows
from scorefield.grid import Karras
from scorefield.metrics import energy_distance, nearest
from scorefield.sample import ExponentialAdams

TOP = 16.0  # of the grey levels of scikit-learn's digits


def experiment(train: torch.Tensor, steps: int) -> presets.ncsnv2.Experiment:
    """NCSNv2 for these data: states are between 0 and 1."""
    reach = diameter(train / TOP).low
    ladder = Ladder.overlapping(reach, 0.01, 64, PUBLISHED_OVERLAP)
    moves = presets.ncsnv2.cifar10.moves
    step = best_ratio(moves, ladder.gap) * ladder.last**2
    small = {"depth": 4, "features": 32, "steps": steps, "batch": 64, "rate": 1e-3, "flip": False}
    return replace(
        presets.ncsnv2.cifar10, data="digits", shape=(1, 8, 8), ladder=ladder, moves=moves, step=step, **small
    )


def mosaic(images: np.ndarray, columns: int = 10, scale: int = 5) -> np.ndarray:
    tiles = [np.pad(255 * (1 - image.clip(0, TOP) / TOP), 1, constant_values=255.0) for image in images.astype(float)]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.kron(np.vstack(rows), np.ones((scale, scale)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsnv2_digits.png"))
    options = parser.parse_args()
    images = torch.from_numpy(load_digits().images.astype(np.float32))[:, None]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out, train = images[order[:500]], images[order[500:]]
    ncsnv2 = experiment(train, options.steps)
    print(
        f"ladder: {ncsnv2.ladder.first:.3g} to {ncsnv2.ladder.last:g}, {ncsnv2.ladder.count} levels; {ncsnv2.sampler()}"
    )
    torch.manual_seed(0)
    denoiser = ncsnv2.denoiser()
    losses = []
    for progress in ncsnv2.train(denoiser, ArrayRows(train), top=TOP):
        losses.append(float(progress.loss))
        if progress.step % 500 == 0:
            print(f"step {progress.step}: loss {np.mean(losses[-500:]):.4f}, {progress.seconds:.0f} s", flush=True)
    model = ncsnv2.model(denoiser, (train / TOP)[:, 0].numpy())
    spread = float((train / TOP).std())
    pictures = {"digits": (held_out / TOP)[:, 0].numpy()}
    for name, given in {
        "annealed Langevin": {},
        "default": {"sampler": ExponentialAdams(2, scale=spread, eta=1.0), "steps": 24, "grid": Karras()},
    }.items():
        start = time.perf_counter()
        pictures[name] = model.sample(options.count, **given)
        evaluations = 1 + (ncsnv2.moves * (ncsnv2.ladder.count - 1) if not given else 24)
        print(f"{name}: {options.count} samples of {evaluations} evaluations in {time.perf_counter() - start:.1f} s")
    flat = {name: torch.from_numpy(x.reshape(len(x), -1)).float() for name, x in pictures.items()}
    print(
        f"energy distance of training digits to held-out ones {energy_distance(flat_train(train), flat['digits']):.4f}"
    )
    for name in list(flat)[1:]:
        far = nearest(flat[name], flat_train(train))[0].median()
        print(
            f"{name}: energy distance {energy_distance(flat[name], flat['digits']):.4f}, to the nearest digit {far:.3f}"
        )
    page = [mosaic(TOP * x[: min(60, options.count)]) for x in pictures.values()]
    gap = np.full((page[0].shape[0], 30), 255.0)
    Image.fromarray(np.hstack([page[0], gap, page[1], gap, page[2]]).astype(np.uint8)).save(
        options.output, optimize=True
    )
    print(options.output)


def flat_train(train: torch.Tensor) -> torch.Tensor:
    return (train / TOP).reshape(len(train), -1)


if __name__ == "__main__":
    main()
