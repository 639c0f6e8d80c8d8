"""Which stiffness fields agree with noisy displacements? A non-linear inverse problem with a learned prior.

    python examples/shear_modulus.py [--minutes 2] [--layers 4000] [--count 32] [-o shear_modulus.png]

A soft layer with stiff inclusions is sheared: a traction of 1 pulls its top, its base is fixed, its sides are free. The
unknown is the shear modulus G (1 to 4, in units of the soft part) on 16 x 16 cells. The displacement u, which solves
∇·(G ∇u) = 0, is measured in all cells with noise of standard deviation 0.01. The prior is learned from 4,000 samples of
such layers; torch differentiates the solver.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import scorefield
from scorefield import Measurement, Training
from scorefield.inverse import misfit
from scorefield.measurement import Function
from scorefield.rng import Samples
from scorefield.toys import Field

SIDE, NOISE = 16, 0.01


def layers(count: int, seed: int) -> np.ndarray:
    """Stiff inclusions where a random field is high, with soft borders: `(N, 16, 16)`."""
    field = Field((1, SIDE, SIDE), length=3.0).sample(count, Samples(seed, 0, count))[:, 0]
    return (1 + 3 * torch.sigmoid(6 * (field - 0.5))).float().numpy()


def displacement(modulus: Tensor) -> Tensor:
    """u in the cells, `(B, 16, 16)`, by finite volumes; the modulus of a face is the harmonic mean of its cells."""
    g, n = modulus.double().clamp_min(0.2), SIDE
    index = torch.arange(n * n).reshape(n, n)
    matrix, rows = g.new_zeros(len(g), n * n, n * n), torch.arange(len(g))[:, None]
    for a, b, face in (
        (index[1:], index[:-1], 2 / (1 / g[:, 1:] + 1 / g[:, :-1])),
        (index[:, 1:], index[:, :-1], 2 / (1 / g[:, :, 1:] + 1 / g[:, :, :-1])),
    ):
        a, b, face = a.flatten(), b.flatten(), face.flatten(1)
        for i, j, sign in ((a, a, 1.0), (b, b, 1.0), (a, b, -1.0), (b, a, -1.0)):
            matrix = matrix.index_put((rows, i, j), sign * face, accumulate=True)
    base, top = index[-1], index[0]
    matrix = matrix.index_put(
        (rows, base, base), 2 * g.flatten(1)[:, base], accumulate=True
    )  # half a cell from the base
    load = g.new_zeros(len(g), n * n, 1)
    load[:, top] = 1 / n
    return torch.linalg.solve(matrix, load).reshape(g.shape).to(modulus.dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="minutes of training")
    parser.add_argument("--layers", type=int, default=4000, help="training samples")
    parser.add_argument("--count", type=int, default=32, help="posterior samples")
    parser.add_argument("-o", "--output", type=Path, default=Path("shear_modulus.png"))
    options = parser.parse_args()
    model = scorefield.fit(layers(options.layers, 0), training=Training(minutes=options.minutes))
    truth = layers(1, 99)[0]
    ideal = displacement(torch.from_numpy(truth)[None])[0].numpy()
    measured = ideal + NOISE * np.random.default_rng(0).normal(size=ideal.shape).astype(np.float32)
    given = model.given(Measurement(Function(displacement), measured, NOISE))
    start = time.perf_counter()
    drawn = np.asarray(given.sample(options.count))
    seconds = (time.perf_counter() - start) / options.count
    mean, std = drawn.mean(0), drawn.std(0)
    prior = np.asarray(model.sample(options.count)).std()
    print(
        f"error of the posterior mean {np.sqrt(np.mean((mean - truth) ** 2)):.3f}, posterior std "
        f"{np.sqrt(np.mean(std**2)):.3f}, prior std {prior:.3f}; {np.mean(np.abs(truth - mean) < 2 * std):.0%} of cells "
        f"within two std; mean squared misfit / noise variance {float(misfit(given, drawn).mean()):.2f}; "
        f"{seconds:.1f} s per draw"
    )
    draw([truth, measured, mean, std, *drawn[:3]], options.output)
    print(options.output)


def draw(images: list[np.ndarray], path: Path) -> None:
    from matplotlib.figure import Figure

    titles = ["true modulus", "displacement", "posterior mean", "posterior std", "a draw", "a draw", "a draw"]
    figure = Figure(figsize=(1.5 * len(titles), 1.75), dpi=140, facecolor="white", layout="constrained")
    for axes, image, title in zip(figure.subplots(1, len(titles)), images, titles):
        low, high = {"displacement": (0.0, 0.6), "posterior std": (0, 1.5)}.get(title, (0.8, 4.2))
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=9, color="#1f1e1b")
    figure.savefig(path)


if __name__ == "__main__":
    main()
