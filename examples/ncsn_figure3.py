"""Figure 3 of NCSN (Song & Ermon, 2019): Langevin dynamics misses the weights of modes, annealed Langevin nearly finds them.

python examples/ncsn_figure3.py [--count 1280] [-o ncsn_figure3.png]

A fifth of the data is around (-5, -5), the rest around (5, 5), with unit variance. All scores are exact, so that all errors
are those of sampling. The settings are those of the official code: particles start uniformly on [-8, 8]², steps are
x + ε/2 s + √ε z with ε = 0.1; plain Langevin dynamics takes 1,000 steps, the annealed one 100 at each of ten levels from 20
to 1, where "level σ" means the mixture with components of standard deviation σ, without a final denoising.

The last panel is the default sampler of this package on the same distribution, with Gaussian noise added to the data: 33
evaluations instead of 1,000.
"""

import math

import torch
from arguments import arguments
from figures import ACCENT, GREY, dots, plane, row, save, words
from torch import Tensor

from scorefield.diffusion import Diffusion
from scorefield.mcmc import Langevin, langevin
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import ExponentialAdams, Sampling, annealed_langevin, sample
from scorefield.toys import unequal_modes

MODE = torch.tensor([5.0, 5.0], dtype=torch.float64)  # of weight 4/5; the other one is its mirror image, of weight 1/5
LEVELS = torch.logspace(math.log10(20), 0, 10, dtype=torch.float64)
STEP = Langevin.from_half(0.1, sigma=1.0)  # on every level: a_i = ε/2 σ_i²/σ_L²
TITLES = ["The data", "Langevin, 1,000 evaluations", "annealed Langevin, 1,000", "scorefield, 33"]


def score(x: Tensor, level: Tensor | float) -> Tensor:
    """∇ log p of the mixture with components of standard deviation `level`, `(B, 2)` to `(B, 2)`."""
    upper = torch.sigmoid(2 * (x @ MODE)[:, None] / level**2 + math.log(0.8 / 0.2))  # P(upper mode | x)
    return ((2 * upper - 1) * MODE - x) / level**2


def states(count: int, seed: int) -> dict[str, Tensor]:
    """The final states of the particles of each panel, `(count, 2)`."""
    target, rng = unequal_modes().mixture, Samples(seed, count=count)
    x = 16 * rng.child("start").uniform((count, 2), torch.float64) - 8
    annealed = annealed_langevin(score, x, LEVELS, rng.child("annealed"), STEP, moves=100, denoise=False)
    moments = target.moments()
    sampling = Sampling(ExponentialAdams(scale=float(moments.covariance.diagonal().mean().sqrt())), 32)
    return {
        "data": target.sample(count, rng.child("data")),
        "langevin": langevin(lambda x: score(x, 1.0), x, 1000, rng.child("langevin"), STEP).state,
        "annealed": annealed.state,
        "scorefield": sample(Diffusion(EDM(), target, moments), (count, 2), sampling, rng.child("sample")),
    }


def weight(x: Tensor) -> float:
    """The share of the particles around (5, 5)."""
    return float((x.sum(1) > 0).double().mean())


def main() -> None:
    parser = arguments(__doc__, "ncsn_figure3.png")
    parser.add_argument("--count", type=int, default=1280, help="particles")
    options = parser.parse_args()
    figure, panels = row(TITLES, (12, 3.5), shared=True)
    print("weight of the mode at (5, 5), exactly 0.8:")
    for axes, title, (name, x) in zip(panels, TITLES, states(options.count, seed=0).items()):
        part = weight(x)
        print(f"  {title:28} {part:.3f} ± {math.sqrt(part * (1 - part) / len(x)):.3f}")
        dots(axes, x, GREY if name == "data" else ACCENT)
        words(axes, 5, 0.1, f"{100 * part:.0f} %")
        words(axes, -5, -9.9, f"{100 * (1 - part):.0f} %")
        plane(axes, 10.5, (-5, 5))
    save(figure, options.output)


if __name__ == "__main__":
    main()
