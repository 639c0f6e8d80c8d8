"""Colourization: posterior samples, mean and standard deviation of the colours of a photograph given its grey values.

python examples/colourizing.py [RUN] [--steps 1200] [--count 16] [--patches 8] [-o colourizing.png]

Without a run, a small network learns patches of 16 x 16 pixels of the two photographs that come with scikit-learn, at a third
of their size. A vertical band of each is held out, and patches from it are colourized. RUN is the folder of a finished
`scorefield fit` of 8-bit colour images, `(H, W, 3)`: then some of its held-out images are colourized.

The grey values are measured with noise of 4 levels. Where they leave the colour open, draws differ. If the posterior is
calibrated, its central 80 % hold the truth in 80 % of the values, and a draw has twice the squared error of the mean.
"""

from pathlib import Path

import numpy as np
from arguments import arguments
from panels import table
from photographs import held_out_patches, training_patches
from posteriors import Solved, calibrated, from_run, psnr, solve

import scorefield
from scorefield import Model
from scorefield.measurement import Grey

NOISE, SHOWN = 4.0, 4  # noise of the measurement, in grey levels; draws in the figure


def small(steps: int, count: int) -> tuple[Model, np.ndarray]:
    """A model of patches outside of the held-out bands, and patches from these."""
    network = scorefield.Network(patch=2, widths=(48, 96))
    return scorefield.fit(training_patches(), steps=steps, network=network), held_out_patches(count)


def coverage(found: list[Solved]) -> str:
    """How often the central 80 % of the draws contain the truth."""
    rank = np.stack([((one.draws < one.truth) + 0.5 * (one.draws == one.truth)).mean(0) for one in found])
    held = np.mean((rank >= 0.1) & (rank <= 0.9), axis=(1, 2, 3))
    n = len(found[0].draws)
    expected = np.mean([0.1 <= k / n <= 0.9 for k in range(n + 1)])
    where = (
        f"{held.mean():.0%} of the values (by patch {held.min():.0%} to {held.max():.0%}), calibrated {expected:.0%}"
    )
    return f"the central 80 % of the draws contain the truth in {where}"


def main() -> None:
    parser = arguments(__doc__, "colourizing.png")
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=1200, help="training steps, without a run")
    parser.add_argument("--count", type=int, default=16, help="posterior samples for each patch")
    parser.add_argument("--patches", type=int, default=8)
    options = parser.parse_args()
    model, held_out = from_run(options.run, options.patches) if options.run else small(options.steps, options.patches)

    # A measurement is y = A(x) + noise, where A is the weighted mean of the three colours of a pixel.
    found, columns = [], []
    for seed, truth in enumerate(held_out):
        one = solve(model, truth, Grey(), NOISE, options.count, seed)
        grey = np.repeat(one.measured[..., None], 3, -1)
        print(f"  PSNR of grey {psnr(np.mean((grey - one.truth) ** 2)):.1f} dB")
        spread = np.repeat(3 * np.sqrt(one.draws.var(0).mean(-1, keepdims=True)), 3, -1)
        found.append(one)
        columns.append([grey, one.truth, one.draws.mean(0), spread, *one.draws[:SHOWN]])
    print(coverage(found))
    print(calibrated(found))

    # Patches side by side: each row of the table shows one thing of all of them.
    names = ["grey, measured", "truth", "mean", "std x 3", *SHOWN * ["a draw"]]
    rows = [(name, [x.clip(0, 255).astype(np.uint8) for x in images]) for name, images in zip(names, zip(*columns))]
    table(rows, [""] * len(found), options.output, (1.1 * len(found) + 0.4, 1.1 * len(rows)))


if __name__ == "__main__":
    main()
