"""Figure 2 of NCSN (Song & Ermon, 2019): where data are rare, the learned score is wrong, and noise fills the gap.

python examples/ncsn_figure2.py [--count 10000] [--steps 4000] [-o ncsn_figure2.png]

A fifth of the data is around (-5, -5), the rest around (5, 5). One network learns the score of the data themselves by sliced
score matching, as in the paper, and another one learns it at all noise levels by denoising. Colours show the error of the
score relative to its norm at that point, without noise and with noise of levels 1 and 5; the latter reaches everywhere.
"""

import torch
from arguments import arguments
from figures import ACCENT, INK, MUTED, arrows, dots, plane, row, save
from learning import learned
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from torch import Tensor

from scorefield import objectives
from scorefield.denoisers import Denoiser, ScorePrediction
from scorefield.rng import Samples
from scorefield.toys import unequal_modes

TARGET, WIDTH = unequal_modes().mixture, 5.0  # WIDTH: the unit of length of the networks
LABEL = 0.02  # the level that the network without noise is conditioned on
WITHOUT = objectives.SlicedScoreMatching(objectives.SingleLevel(LABEL), objectives.FisherWeighting(), noisy=False)
LEVELS = objectives.LogUniform(0.02, 10.0)
WITH = objectives.DenoisingScoreMatching(LEVELS, weighting=objectives.NoiseWeighting())
SHADES = LinearSegmentedColormap.from_list("error", ["#fdfcf9", "#f3d9b8", "#df7f4a", "#8f2a1e"])


def score(denoiser: Denoiser, x: Tensor, level: float) -> Tensor:
    """The score of a network, (D(x) - x) / σ², in the units of the data; the level is in its own."""
    with torch.no_grad():
        state, sigma = (x / WIDTH).float(), torch.tensor(level)
        return (denoiser(state, sigma) - state).double() / level**2 / WIDTH


def exact(x: Tensor, level: float) -> Tensor:
    """The same of the mixture; a level of 0.001 stands for 0."""
    return (TARGET(x, torch.tensor(level, dtype=x.dtype)) - x) / level**2


def main() -> None:
    parser = arguments(__doc__, "ncsn_figure2.png")
    parser.add_argument("--count", type=int, default=10_000, help="training examples")
    parser.add_argument("--steps", type=int, default=4000, help="training steps for each network")
    options = parser.parse_args()
    data = TARGET.sample(options.count, Samples(0, count=options.count))
    sliced, denoising = (
        learned(objective, data[500:], data[:500], options.steps, WIDTH, ScorePrediction())
        for objective in (WITHOUT, WITH)
    )
    axis, every = torch.linspace(-8, 8, 161, dtype=torch.float64), torch.arange(5, 161, 10)
    x, pick = torch.cartesian_prod(axis, axis), (every[:, None] * 161 + every).flatten()
    rare = TARGET.log_prob(x) < TARGET.log_prob(x).max() - 12
    cases = {
        "sliced score matching, without noise": (score(sliced, x, LABEL), exact(x, 1e-3)),
        "denoising, level 1": (score(denoising, x, 1 / WIDTH), exact(x, 1.0)),
        "denoising, level 5": (score(denoising, x, 5 / WIDTH), exact(x, 5.0)),
    }
    figure, panels = row(list(cases), (12.6, 4.3))
    for axes, (name, (found, truth)) in zip(panels, cases.items()):
        size = truth.norm(dim=1)
        error = (found - truth).norm(dim=1) / size.clamp_min(size.median() / 4)
        where = f"where data are common {error[~rare].median():.3f}, where they are rare {error[rare].median():.3f}"
        print(f"{name:44} median relative error {where}")
        shades = error.reshape(161, 161).T.clamp(0.02, 2)
        image = axes.pcolormesh(axis, axis, shades, cmap=SHADES, norm=LogNorm(0.02, 2), rasterized=True)
        dots(axes, data[:600], ACCENT, 1.8)
        arrows(axes, x[pick], found[pick], INK, unit=float(found[pick].norm(dim=1).median()) / 5)
        plane(axes, 8, (-5, 5))
    bar = figure.colorbar(image, ax=panels, shrink=0.8, pad=0.01, ticks=(0.02, 0.1, 0.5, 2))
    bar.ax.set_yticklabels(["2 %", "10 %", "50 %", "200 %"])
    bar.set_label("error of the score", color=MUTED, fontsize=9)
    save(figure, options.output)


if __name__ == "__main__":
    main()
