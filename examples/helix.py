"""A helix of 16 turns, of the USC summer school, by annealed Langevin dynamics and by the default sampler.

python examples/helix.py [--points 20000] [--steps 8000] [--count 4000] [-o helix.png]

A small network, conditioned on the noise level, learns to denoise points around a helix in three dimensions. The same network
is then sampled in the four ways of `annealed_langevin.py`. Rotated back by the angle z, the curve of the helix becomes the
straight line x = 1, y = 0: samples are compared after that, and their standard deviation across the line should be 0.2.
"""

from __future__ import annotations

import time

import torch
from arguments import arguments
from figures import ACCENT, GREY, lines, row, save
from school_samplers import far, methods
from torch import Tensor

import scorefield
from scorefield.rng import Samples
from scorefield.toys import Helix

LEVELS = "noiselevels(level_mean=-2.5, level_std=1.6)"  # smaller than usual: a turn takes 0.2 standard deviations


def real(count: int, seed: int) -> Tensor:
    return Helix().sample(count, Samples(seed, count=count))


def unrolled(x: Tensor) -> Tensor:
    """The helix, `(N, 3)`, rotated back by the angle z."""
    cos, sin = torch.cos(x[:, 2]), torch.sin(x[:, 2])
    return torch.stack([cos * x[:, 0] + sin * x[:, 1], cos * x[:, 1] - sin * x[:, 0], x[:, 2]], 1)


def across(x: Tensor) -> float:
    """The standard deviation across the curve of the helix, of samples `(N, 3)`."""
    y = unrolled(x)
    return float(((y[:, 0] - 1).square() + y[:, 1].square()).mean().div(2).sqrt())


def main() -> None:
    parser = arguments(__doc__, "helix.png")
    parser.add_argument("--points", type=int, default=20_000, help="training points")
    parser.add_argument("--steps", type=int, default=8000, help="training steps")
    parser.add_argument("--count", type=int, default=4000, help="samples of each kind")
    options = parser.parse_args()
    x = real(options.points, seed=0)
    model, panels = scorefield.fit(x, noise_levels=LEVELS, steps=options.steps), {f"{len(x):,} points": x}
    for name, method in methods(model, x).items():
        start = time.process_time()
        drawn = method.draw(model, options.count)
        print(f"{name}: {method.evaluations:,} evaluations, {time.process_time() - start:.1f} CPU seconds")
        apart = far(unrolled(drawn), lambda count, seed: unrolled(real(count, seed)))
        print(f"  width {across(drawn):.3f}; unrolled, {apart}", flush=True)
        panels[f"{name}, {method.evaluations:,} evaluations"] = drawn

    shown = {name: x for name, x in panels.items() if "best step" not in name}
    figure, places = row(list(shown), (12, 2.6), shared=True)
    for axes, points in zip(places, shown.values()):
        part = points[(points[:, 2] > 0) & (points[:, 2] < 25)][:500]  # four turns, from the side
        axes.plot(part[:, 2], part[:, 0], "o", markersize=2.6, alpha=0.6, color=GREY if points is x else ACCENT)
        axes.set(
            xlim=(0, 25), ylim=(-2.4, 2.2), xticks=(0, 10, 20), yticks=(-1, 1), xlabel=f"z; width {across(points):.2f}"
        )
        lines(axes)
    save(figure, options.output)


if __name__ == "__main__":
    main()
