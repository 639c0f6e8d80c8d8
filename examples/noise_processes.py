"""Paths of VE, VP and sub-VP to noise and back, with the exact score of two modes.

python examples/noise_processes.py [--count 20000] [-o noise_processes.png]

The three stochastic differential equations of Song et al. (2021). Forward paths are simulated by small steps of the equation
itself, dx = f x dt + g dw, and their variance is compared with the formula; reverse paths by Euler-Maruyama, in 500 steps,
and their final distribution with the data (Wasserstein distance; 0.008 is usual between 20,000 exact samples and others).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from scorefield.denoisers import Mixture
from scorefield.diffusion import Diffusion
from scorefield.processes import VE, VP, Process, SubVP
from scorefield.rng import Samples
from scorefield.samplers import EulerMaruyama, Sampling, trajectory

DATA = Mixture(
    torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([0.2, 0.2]).double(), torch.tensor([0.3, 0.7]).double()
)
STEPS = 500


def forward(process: Process, count: int) -> Tensor:
    """Paths from data to noise, `(STEPS + 1, count)`."""
    x, paths = DATA.sample(count, Samples(0, count=count)), []
    times = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
    for i, t in enumerate(times):
        paths.append(x[:, 0])
        f, g2 = process.sde((t + 0.5 / STEPS).clamp(max=1))
        noise = Samples(1, count=count).child(str(i)).normal(x.shape, torch.float64)
        x = x + f * x / STEPS + (g2 / STEPS).sqrt() * noise
    return torch.stack(paths)


def reverse(process: Process, count: int) -> Tensor:
    """Paths from noise to data, `(STEPS + 2, count)`: the last move removes the noise that is left."""
    diffusion = Diffusion(process, DATA, DATA.moments())
    sampling = Sampling(EulerMaruyama(), STEPS)
    return torch.stack([x[:, 0] for _, x in trajectory(diffusion, (count, 1), sampling, Samples(2, count=count))])


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="paths")
    parser.add_argument("-o", "--output", type=Path, default=Path("noise_processes.png"))
    options = parser.parse_args()
    figure = Figure(figsize=(12, 6), dpi=140, facecolor="white", layout="constrained")
    truth = DATA.sample(options.count, Samples(3, count=options.count))[:, 0].sort().values
    processes = {"VE": VE(0.01, 10.0), "VP": VP(), "sub-VP": SubVP()}
    for column, (name, process) in zip(figure.subplots(2, 3).T, processes.items()):
        there, back = forward(process, options.count), reverse(process, options.count)
        alpha, sigma = process(torch.ones((), dtype=torch.float64))
        exact = float(alpha**2 * (0.2**2 + 4 * 0.3 * 0.7) + sigma**2)
        distance = float((back[-1].sort().values - truth).abs().mean())
        print(
            f"{name}: variance at t = 1 {float(there[-1].var()):.4g}, exactly {exact:.4g}; "
            f"reverse paths end {distance:.4f} from the data"
        )
        for axes, paths, title in zip(column, (there, back), (f"{name}, data to noise", f"{name}, noise to data")):
            axes.plot(torch.linspace(0, 1, len(paths)), paths[:, :40], color="#2f55d4", alpha=0.35, linewidth=0.6)
            axes.set_title(title, loc="left", fontsize=11, color="#1f1e1b")
            axes.set_xlabel("t" if paths is there else "1 - t")
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(options.output)
    print(options.output)


if __name__ == "__main__":
    main()
