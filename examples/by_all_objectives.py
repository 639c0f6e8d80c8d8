"""The same problem with every objective: accuracy, and the cost of a step against dimension.

python examples/by_all_objectives.py [--steps 2000] [--dimensions 10 30 100 300 1000] [-o by_all_objectives.png]

Left: the error of the score by noise level, for one network trained by each objective on the same 20,000 draws of a mixture in
five dimensions, with the same number of steps and the same weight 1/σ². Middle and right: time and memory of a step
(benchmarks/objectives.py), up to 1,000 dimensions. Denoising is the cheapest in every dimension; exact score matching needs
one derivative per dimension; sliced score matching needs one in all, at the price of variance.
"""

import sys
import time
from pathlib import Path

import torch
from arguments import arguments
from figures import ACCENT, INK, WARM, logarithmic, row, save
from learning import learned

from scorefield import objectives
from scorefield.denoisers import Denoiser, Mixture
from scorefield.rng import Samples

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
from objectives import OBJECTIVES as COSTS, cost

RANGE, WEIGHT = objectives.LogUniform(0.03, 10.0), objectives.NoiseWeighting()
LEVELS = torch.logspace(-1.5, 1, 11, dtype=torch.float64)
OBJECTIVES = {
    "denoising": (objectives.DenoisingScoreMatching(RANGE, weighting=WEIGHT), ACCENT, "-"),
    "sliced, variance reduced": (objectives.SlicedScoreMatching(RANGE, WEIGHT), WARM, "-"),
    "sliced": (objectives.SlicedScoreMatching(RANGE, WEIGHT, reduced=False), WARM, "--"),
    "exact": (objectives.ExactScoreMatching(RANGE, WEIGHT), INK, "-"),
}
CENTRES = Samples(1, count=3).normal((3, 5), torch.float64)
TARGET = Mixture(CENTRES, torch.tensor([0.4, 0.5, 0.6]).double(), torch.tensor([0.2, 0.3, 0.5]).double())
TITLES = ["Error of the score, %", "Time of a step, ms", "Memory of a step, MB"]


def errors(denoiser: Denoiser) -> list[float]:
    """The root mean square error of the score relative to its own root mean square, at each level."""
    x0, found = TARGET.sample(4000, Samples(5, count=4000)), []
    for i, level in enumerate(LEVELS):
        x = x0 + level * Samples(6 + i, count=4000).normal_like(x0)
        mean = TARGET(x, level)
        with torch.no_grad():
            error = denoiser(x.float(), level.float()).double() - mean
        found.append(float(error.square().mean().sqrt() / (mean - x).square().mean().sqrt()))
    return found


def main() -> None:
    parser = arguments(__doc__, "by_all_objectives.png")
    parser.add_argument("--steps", type=int, default=2000, help="training steps for each objective")
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, places = TARGET.sample(20_000, Samples(0, count=20_000)), options.dimensions
    figure, panels = row(TITLES, (12, 3.9))
    for name, (objective, colour, dash) in OBJECTIVES.items():
        start = time.process_time()
        error = [100 * e for e in errors(learned(objective, data[1000:], data[:200], options.steps, evaluations=5))]
        seconds = time.process_time() - start
        costs = [cost(COSTS[name], d, rounds=3) for d in places]
        shown = ", ".join(f"{error[i]:.1f} % at {float(LEVELS[i]):.2g}" for i in (0, 4, 8))
        print(f"{name:26} error {shown}; {seconds:.0f} CPU seconds; a step in {places[-1]:,} dimensions", end=" ")
        print(f"{costs[-1][0]:.3g} s, {costs[-1][1]:.3g} MB", flush=True)
        curves = [(LEVELS, error), (places, [1e3 * s for s, _ in costs]), (places, [mb for _, mb in costs])]
        for axes, (x, y) in zip(panels, curves):
            axes.plot(x, y, color=colour, linestyle=dash, marker=".", label=name)
    for axes, label in zip(panels, ("noise level", "dimension", "dimension")):
        logarithmic(axes, label)
    panels[0].legend(frameon=False, fontsize=9)
    save(figure, options.output)


if __name__ == "__main__":
    main()
