"""Figure 2 of NCSNv2 (Song & Ermon, 2020): annealed Langevin dynamics on a mixture centred at images.

python examples/ncsnv2_figure2.py [--images 200] [-o ncsnv2_figure2.png]

The data distribution is a mixture with a narrow Gaussian at each image, whose score is exact: all errors are those of
sampling. If the largest level is much smaller than the distances between images, each chain stays near the image that is
closest to its start; if it is as large as the largest distance (Technique 1), all images are found. The paper uses CIFAR-10;
here the images are scikit-learn's digits, with values between 0 and 1. Chains that start at the same image (the first row)
show it best.
"""

import argparse
from pathlib import Path

import torch
from panels import draw
from torch import Tensor

from scorefield.mcmc import Langevin
from scorefield.noise_levels import PUBLISHED_OVERLAP, Ladder, best_ratio, diameter
from scorefield.rng import Samples
from scorefield.samplers import annealed_langevin

MOVES, WIDTH = 5, 0.01


def images(count: int) -> Tensor:
    """Digits between 0 and 1, `(count, 64)`."""
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().data[:count] / 16)


def score(x: Tensor, level: Tensor, centres: Tensor) -> Tensor:
    """∇ log p of the mixture with noise of a level."""
    variance = level**2 + WIDTH**2
    shares = torch.softmax(-(torch.cdist(x, centres) ** 2) / (2 * variance), 1)
    return (shares @ centres - x) / variance


def chains(centres: Tensor, first: float, start: Tensor) -> tuple[Tensor, int]:
    """The last states of annealed Langevin dynamics from a largest level on, and the number of levels."""
    ladder = Ladder.overlapping(first, 0.01, start.shape[1], PUBLISHED_OVERLAP)
    step, rng = Langevin(best_ratio(MOVES, ladder.gap)), Samples(1, count=len(start))
    found = annealed_langevin(lambda x, level: score(x, level, centres), start, ladder.levels, rng, step, MOVES)
    return found.state, ladder.count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="images, each a mode")
    parser.add_argument("-o", "--output", type=Path, default=Path("ncsnv2_figure2.png"))
    options = parser.parse_args()
    x = images(options.images)
    largest = diameter(x).high
    start = x[:1].expand(400, -1) + 0.0
    levels = {
        f"largest level {largest / 20:.2f}": largest / 20,
        f"largest level {largest:.1f}, the largest distance": largest,
    }
    rows = {"where all chains start": start[:20]}
    for name, first in levels.items():
        state, count = chains(x, first, start)
        nearest = torch.cdist(state, x).min(1)
        found, stayed = len(nearest.indices.unique()), float((nearest.indices == 0).double().mean())
        expected = len(x) * (1 - (1 - 1 / len(x)) ** len(start))  # of independent draws
        print(
            f"{name} ({count} levels): {found} of {len(x)} images found, {expected:.0f} by independent draws; "
            f"{stayed:.0%} of the chains end where they began; distance to the nearest image {float(nearest.values.mean()):.3f}"
        )
        rows[name] = state[:20]
    panels = {name: states.reshape(-1, 8, 8).numpy() for name, states in rows.items()}
    draw(panels, options.output, (1, 20), (12, 2.9), across=1)
    print(options.output)


if __name__ == "__main__":
    main()
