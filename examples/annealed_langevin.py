"""A mixture with two modes, of the USC summer school, by annealed Langevin dynamics and by the default sampler.

python examples/annealed_langevin.py [--steps 4000] [--count 4000] [-o annealed_langevin.png]

A fifth of the mass is around (3, 3), the rest around (-3, -3), with unit variance; there are 400 training points. A small
network, conditioned on the noise level, learns to denoise them. Then the same network is sampled in four ways, which
`school_samplers.py` explains: the levels and the step of the summer school, its levels with a better step, levels and step
chosen from the data, and the default.

The exact score of the mixture is known: errors with the exact score are due to the sampler, the rest to the network.
"""

from __future__ import annotations

import math
import time

import torch
from arguments import arguments
from figures import ACCENT, GREY, dots, plane, row, save, words
from school_samplers import far, methods
from torch import Tensor

import scorefield
from scorefield import Model
from scorefield.denoisers import Mixture
from scorefield.rng import Samples
from scorefield.toys import two_modes


def real(count: int, seed: int) -> Tensor:
    return two_modes().sample(count, Samples(seed, count=count))


def exact(model: Model) -> Mixture:
    """The denoiser of the mixture itself, in the units of the model."""
    target, units = two_modes().mixture, model.standardize
    std = units.std.double()
    return Mixture(units(target.means), target.covariances / (std * std[:, None]), target.weights)


def modes(x: Tensor) -> tuple[float, float]:
    """The weight of the mode at (3, 3), exactly 0.2, and the standard deviation within modes, exactly 1, of points `(N, 2)`."""
    upper = x.sum(1) > 0
    centred = torch.cat([part - part.mean(0) for part in (x[upper], x[~upper]) if len(part)])
    return float(upper.double().mean()), float(centred.square().mean().sqrt())


def main() -> None:
    parser = arguments(__doc__, "annealed_langevin.png")
    parser.add_argument("--steps", type=int, default=4000, help="training steps")
    parser.add_argument("--count", type=int, default=4000, help="samples of each kind")
    options = parser.parse_args()
    x = real(400, seed=0)
    model, panels = scorefield.fit(x, steps=options.steps), {"400 points": x}
    print("400 points: weight {:.3f}, width {:.2f}".format(*modes(x)))
    for name, method in methods(model, x).items():
        start = time.process_time()
        drawn = method.draw(model, options.count)
        print(f"{name}: {method.evaluations:,} evaluations, {time.process_time() - start:.1f} CPU seconds")
        (weight, width), ideal = modes(drawn), modes(method.draw(model, options.count, exact(model)))
        error = math.sqrt(weight * (1 - weight) / options.count)
        print(f"  weight {weight:.3f} ± {error:.3f}, by the exact score {ideal[0]:.3f}")
        print(f"  width {width:.2f}, by the exact score {ideal[1]:.2f}; {far(drawn, real)}", flush=True)
        panels[f"{name}, {method.evaluations:,} evaluations"] = drawn

    shown = {name: x for name, x in panels.items() if "best step" not in name}
    figure, places = row(list(shown), (12, 3.4), shared=True)
    for axes, points in zip(places, shown.values()):
        dots(axes, points[:1000], GREY if points is x else ACCENT)
        plane(axes, 7.5, (-3, 3))
        weight, width = modes(points)
        words(axes, 3, -1.4, f"{weight:.0%}")
        words(axes, 2.2, -5.6, f"width {width:.2f}")
    save(figure, options.output)


if __name__ == "__main__":
    main()
