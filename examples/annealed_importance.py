"""Annealed importance sampling corrects the mode weights of annealed Langevin dynamics.

python examples/annealed_importance.py [--count 20000] [-o annealed_importance.png]

The mixture of NCSN's Figure 3: a fifth of the mass at (-5, -5), the rest at (5, 5). Left: chains between a wide Gaussian and
the mixture along a geometric path, with a Metropolis test at every move: half of the chains end in either mode, and the
importance weights correct this. Right: annealed Langevin dynamics along noise levels, with the step size of NCSN's code: the
modes have nearly the right weights, but a variance that is 11 % too large; importance weights from the score correct both.
"""

import math

import torch
from arguments import arguments
from figures import ACCENT, GREY, INK, WARM, row, save
from ncsn_figure3 import MODE, score

from scorefield import mcmc
from scorefield.denoisers import Gaussian
from scorefield.rng import Samples
from scorefield.toys import unequal_modes

TARGET, WIDE = unequal_modes().mixture, Gaussian(torch.zeros(2).double(), torch.tensor([64.0, 64.0]).double())
STATISTICS = {
    "upper mode, exactly 0.8": lambda x: (x.sum(1) > 0).double(),
    "variance within a mode, exactly 1": lambda x: (x - x.sum(1, keepdim=True).sign() * MODE).square().mean(1),
}


def along_a_geometric_path(rng: Samples) -> mcmc.WeightedSamples:
    """From N(0, 8²) to seven times the mixture, whose log Z is log 7."""
    start = 8 * rng.child("start").normal((rng.count, 2), torch.float64)
    path = mcmc.geometric(WIDE.log_prob, lambda x: TARGET.log_prob(x) + math.log(7))
    betas, move = torch.linspace(0, 1, 1001) ** 2, mcmc.MetropolisLangevin(0.5)
    return mcmc.annealed_importance(path, start, betas, rng, move, scale=lambda b: ((1 - b) / 64 + b) ** -0.5)


def along_noise_levels(rng: Samples) -> mcmc.WeightedSamples:
    """From the level 50 to 1 by a thousand steps of annealed Langevin dynamics."""
    start = 50 * rng.child("start").normal((rng.count, 2), torch.float64)
    return mcmc.score_importance(score, start, torch.logspace(math.log10(50), 0, 1000), rng, mcmc.Langevin(0.2))


def show(axes, found: mcmc.WeightedSamples) -> None:
    """Densities along the diagonal: exact, of the unweighted states, and of the weighted states."""
    u, edges = (torch.linspace(-11, 11, n, dtype=torch.float64) for n in (600, 89))
    exact = TARGET.log_prob(u[:, None].expand(-1, 2) / math.sqrt(2)).exp() * math.sqrt(2 * math.pi)
    axes.fill_between(u, exact, color=GREY, alpha=0.4, linewidth=0, label="exact")
    along = (found.points.sum(1) / math.sqrt(2)).contiguous()
    for weights, colour, name in ((None, WARM, "unweighted"), (found.weights, ACCENT, "weighted")):
        axes.stairs(*torch.histogram(along, edges, weight=weights, density=True), color=colour, label=name)
    axes.set(xlim=(-11, 11), yticks=[], xticks=(-math.sqrt(50), math.sqrt(50)), xticklabels=("(-5, -5)", "(5, 5)"))
    axes.legend(frameon=False, fontsize=9, loc="upper left")


def main() -> None:
    parser = arguments(__doc__, "annealed_importance.png")
    parser.add_argument("--count", type=int, default=20_000, help="chains")
    options = parser.parse_args()
    cases = {
        "A geometric path, Metropolis-adjusted": (along_a_geometric_path, math.log(7)),
        "Annealed Langevin dynamics, weighted by the score alone": (along_noise_levels, 0.0),
    }
    figure, panels = row(list(cases), (12, 4), shared=True)
    for axes, (title, (chains, exact)) in zip(panels, cases.items()):
        found = chains(Samples(0, count=options.count))
        print(f"{title}\n  log Z {found.log_mean_weight[0]:.3f} ± {found.log_mean_weight[1]:.3f}, exactly {exact:.3f}")
        print(f"  {100 * found.effective_sample_size / options.count:.0f} % effective sample size")
        for i, (what, f) in enumerate(STATISTICS.items()):
            mean, raw = found.mean(f), float(f(found.points).mean())
            line = f"{what}: {raw:.3f} unweighted, {mean.value:.3f} ± {mean.standard_error:.3f} weighted"
            print(f"  {line}")
            axes.text(-3, 0.3 - 0.12 * i, line.replace(", ", "\n").replace(": ", "\n"), va="top", fontsize=9, color=INK)
        show(axes, found)
    save(figure, options.output)


if __name__ == "__main__":
    main()
