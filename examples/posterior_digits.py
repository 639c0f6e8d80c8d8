"""Half a digit and a blurred digit: posterior samples, their mean and their standard deviation.

python examples/posterior_digits.py [RUN] [--count 16] [--digits 3] [-o posterior_digits.png]

Each of some held-out digits is measured in two ways, with noise of 10 grey levels: its upper half alone, and blurred. The
model is the prior; `model.observe(measurement)` is the posterior, p(x | y) ∝ p(y | x) p(x), sampled by moment matching.
If it is calibrated, the mean squared error of a draw is twice that of the posterior mean (`posteriors.py` says why).

RUN is the folder of a finished `scorefield fit` of 8-bit images, such as MNIST; its held-out digits are used. Without a run, a
small network first learns scikit-learn's digits of 8 x 8 pixels for a minute.
"""

from pathlib import Path

import numpy as np
import torch
from arguments import arguments
from panels import table
from posteriors import Solved, calibrated, from_run, solve
from sklearn.datasets import load_digits

import scorefield
from scorefield import Model
from scorefield.measurement import Blur, Mask

NOISE, SHOWN = 10.0, 5
TITLES = ["truth", "measured", "mean", "std", *SHOWN * ["draw"]]


def small(minutes: float) -> tuple[Model, np.ndarray]:
    """A model of digits of 8 x 8 pixels, and held-out digits."""
    x = (load_digits().images * 15.9).astype(np.uint8)[np.random.default_rng(0).permutation(1797)]
    return scorefield.fit(x[200:], minutes=minutes, network=scorefield.Network(widths=(32, 48))), x[:200]


def main() -> None:
    parser = arguments(__doc__, "posterior_digits.png")
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=16, help="posterior samples for each")
    parser.add_argument("--digits", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1.0, help="training time, without a run")
    options = parser.parse_args()
    model, held_out = from_run(options.run, options.digits) if options.run else small(options.minutes)

    # A measurement is y = A(x) + noise: two operators A.
    shape = held_out.shape[1:]
    upper = torch.zeros(shape, dtype=torch.bool)
    upper[: shape[0] // 2] = True
    problems = {"the upper half": Mask(upper), "blurred": Blur(shape[0] / 14)}

    # For each digit and operator: measure the truth, and draw from the posterior of what was measured.
    solved: dict[str, list[Solved]] = {name: [] for name in problems}
    rows = []
    for i, truth in enumerate(held_out[: options.digits]):
        for name, operator in problems.items():
            print(f"{name}: ", end="")
            one = solve(model, truth, operator, NOISE, options.count, seed=i)
            measured = np.zeros(shape)
            measured[upper if one.measured.shape != shape else ...] = one.measured
            images = [one.truth, measured, one.draws.mean(0), 2 * one.draws.std(0), *one.draws[:SHOWN]]
            solved[name].append(one)
            rows.append((name, images))

    # Over all digits of a problem: does a draw have twice the squared error of the mean?
    for name, same in solved.items():
        print(f"{name}: {calibrated(same)}")
    table(rows, TITLES, options.output, (1.15 * len(TITLES), 1.3 * len(rows)), colours="gray_r")


if __name__ == "__main__":
    main()
