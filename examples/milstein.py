"""Milstein's method and the other samplers of "Generating images with a score-based diffusion model", on one model.

python examples/milstein.py [--count 20000] [-o milstein.png]

The paper adds Milstein's method to the three samplers of Song's tutorial, on the process with g(t) = 25^t: Euler-Maruyama, a
predictor with a Langevin corrector (signal-to-noise ratio 0.16), and the probability flow. Milstein's correction has the factor
∂g/∂x, which is 0 where the noise does not depend on the state: both draw the same bits. The score of the two modes here is
exact, so that all errors are those of sampling. The steps are uniform in time, as in the paper.
"""

import argparse
from pathlib import Path

import torch

from scorefield.diffusion import Diffusion
from scorefield.mcmc import Langevin
from scorefield.processes import TutorialVE
from scorefield.rng import Samples
from scorefield.samplers import DormandPrince, EulerMaruyama, Milstein, PredictorCorrector, Sampler, Sampling, sample
from scorefield.schedules import UniformTime
from scorefield.toys import two_modes

STEPS = (4, 8, 16, 32, 64)
SAMPLERS = {
    "Euler-Maruyama": EulerMaruyama(),
    "Milstein": Milstein(),
    "predictor and corrector": PredictorCorrector(EulerMaruyama(), Langevin.from_snr(0.16), 1),
}


def exact(count: int, seed: int) -> torch.Tensor:
    return two_modes().sample(count, Samples(seed, count=count))


def distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """The Wasserstein distance of as many points of the plane, as the mean over 8 directions."""
    angle = torch.arange(8, dtype=x.dtype) * torch.pi / 8
    a, b = (z @ torch.stack([angle.cos(), angle.sin()]) for z in (x, y))
    return float((a.sort(0).values - b.sort(0).values).abs().mean())


def main() -> None:
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="samples of each sampler")
    parser.add_argument("-o", "--output", type=Path, default=Path("milstein.png"))
    options = parser.parse_args()
    data = two_modes().mixture
    diffusion, real = Diffusion(TutorialVE(25.0), data, data.moments()), exact(options.count, 1)

    def drawn(sampler: Sampler, steps: int) -> torch.Tensor:
        sampling = Sampling(sampler, steps, UniformTime())
        return sample(diffusion, (options.count, 2), sampling, Samples(0, count=options.count))

    figure = Figure(figsize=(6, 3.6), dpi=140, facecolor="white", layout="constrained")
    axes, states = figure.subplots(), {}
    for (name, sampler), style in zip(SAMPLERS.items(), ("o-", "x--", "s-")):
        states[name] = [drawn(sampler, steps) for steps in STEPS]
        evaluations = [sampler.evaluations * steps + 1 for steps in STEPS]
        errors = [distance(x, real) for x in states[name]]
        print(f"{name}: " + ", ".join(f"{e:.3f} by {n}" for e, n in zip(errors, evaluations)))
        axes.plot(evaluations, errors, style, label=name)
    same = all(map(torch.equal, states["Euler-Maruyama"], states["Milstein"]))
    print(f"Milstein draws the bits of Euler-Maruyama: {same}")
    print(f"probability flow, steps of its own: {distance(drawn(DormandPrince(1e-5, 1e-5), 1), real):.3f}")
    usual = max(distance(exact(options.count, seed), real) for seed in range(2, 22))
    print(f"exact samples: up to {usual:.3f} in 20 sets")
    axes.axhline(usual, color="0.6", label="exact samples, at most")
    axes.set(xscale="log", yscale="log", xlabel="evaluations", ylabel="distance to the data")
    axes.legend(frameon=False)
    figure.savefig(options.output)
    print(options.output)


if __name__ == "__main__":
    main()
