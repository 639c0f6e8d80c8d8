"""A ring, from its log-density and from samples: its score, exact and learned.

python examples/donut.py [--steps 4000] [-o donut.png]

The density is p(x) ∝ exp(-(|x| - 2.6)² / 0.033). Left: from `log p` alone; the score is computed by autograd, and 400 chains
of Metropolis-adjusted Langevin dynamics find the ring from a square. Middle: from 10,000 samples alone; denoising score
matching learns the score, shown at noise level 0.3 (its error is printed). Right: new samples of the model.
"""

import math

import torch
from arguments import arguments
from figures import ACCENT, GREY, arrows, dots, plane, row, save
from torch import Tensor

import scorefield
from scorefield.denoisers import AnalyticDensity, Mixture
from scorefield.mcmc import MetropolisLangevin, langevin
from scorefield.rng import Samples
from scorefield.toys import Donut

LEVEL, TOY = 0.3, Donut()
TITLES = "From log p: the score, and chains", f"The learned score, level {LEVEL}", "Data (grey) and new samples"


def noisy_score(x: Tensor) -> Tensor:
    """The score of the ring with noise, (E[x_0 | x] - x) / σ²: a mixture of 256 Gaussians has an exact denoiser."""
    angle = torch.arange(256, dtype=torch.float64) * 2 * math.pi / 256
    means = TOY.radius * torch.stack([angle.cos(), angle.sin()], 1)
    ring = Mixture(means, torch.full_like(angle, TOY.width), torch.full_like(angle, 1 / 256))
    return (ring(x, torch.tensor(LEVEL, dtype=torch.float64)) - x) / LEVEL**2


def learned_score(model: scorefield.Model, x: Tensor) -> Tensor:
    """The same of a model, whose denoiser works in standard deviations of the data."""
    std = model.standardize.std.double().mean()
    state, sigma = model.standardize(x).float(), (LEVEL / std).float()
    with torch.no_grad():
        return (model.denoiser(state, sigma) - state).double() / sigma.double() ** 2 / std


def main() -> None:
    parser = arguments(__doc__, "donut.png")
    parser.add_argument("--steps", type=int, default=4000, help="training steps")
    options = parser.parse_args()
    x = torch.cartesian_prod(*[torch.linspace(-3.8, 3.8, 18, dtype=torch.float64)] * 2)

    # From log p alone: the gradient, and chains that accept or refuse each move, so that they have no bias.
    known = AnalyticDensity(lambda x, level: TOY.log_prob(x)).score(x).detach()
    rng, move = Samples(0, count=400), MetropolisLangevin(0.3)
    start = 8 * rng.uniform((400, 2), torch.float64) - 4
    chains = langevin(TOY.log_prob, start, 400, rng, move, scale=TOY.width).state

    # From samples alone: a model, whose score at a level is compared with that of the ring with as much noise.
    data = TOY.sample(10_000, Samples(0, count=10_000))
    model = scorefield.fit(data.numpy(), steps=options.steps)
    drawn, learned, noisy = torch.from_numpy(model.sample(2000)), learned_score(model, x), noisy_score(x)
    near = (x.norm(dim=1) - TOY.radius).abs() < 3 * LEVEL
    error = float((learned - noisy)[near].norm() / noisy[near].norm())
    for name, r in {"chains": chains.norm(dim=1), "data": data.norm(dim=1), "samples": drawn.norm(dim=1)}.items():
        print(f"{name:8} radius {float(r.mean()):.3f}, width {float(r.std()):.3f}")
    print(f"relative error of the learned score at level {LEVEL}, near the ring: {100 * error:.1f} %")

    figure, (first, second, third) = row(TITLES, (12, 4.5))
    dots(second, data[:1500], GREY, 2.2)
    dots(third, data[:1500], GREY, 2.2)
    arrows(first, x, known, GREY)
    arrows(second, x, learned, ACCENT)
    dots(first, chains, size=2.8)
    dots(third, drawn, size=2.2)
    for axes in (first, second, third):
        plane(axes, 4.1)
    save(figure, options.output)


if __name__ == "__main__":
    main()
