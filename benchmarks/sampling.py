"""The time of sampling that is not spent in the network: the U-Net that digits of 28 x 28 get, batches of 256.

    python benchmarks/sampling.py [--rounds 5]

For each sampler, the seconds of a batch beside the seconds of as many evaluations of the network alone, in pairs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from scorefield.denoise import Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.nn import choose
from scorefield.process import EDM
from scorefield.rng import Samples
from scorefield.sample import (
    DDIM,
    DPM,
    DPM2S,
    IPNDM,
    SRA1,
    AnnealedLangevin,
    Churn,
    EulerMaruyama,
    ExponentialAdams,
    Heun,
    PredictorCorrector,
    Sampler,
    StochasticHeun,
    UniPC,
    sample,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    shape = (256, 1, 28, 28)
    denoiser = Preconditioned(choose(shape[1:], 60_000)[0], precision="bfloat16").eval().requires_grad_(False)
    diffusion = Diffusion(EDM(), denoiser)
    x, c = torch.randn(shape), torch.zeros(256)
    once: list[Sampler] = [DDIM(), DDIM(1.0), DPM(2), DPM(3), DPM(2, eta=1.0), UniPC(3), IPNDM(3), EulerMaruyama()]
    once += [ExponentialAdams(3), ExponentialAdams(2, eta=1.0), AnnealedLangevin(moves=1)]
    twice: list[Sampler] = [Heun(), DPM2S(), StochasticHeun(), SRA1(), Churn(), PredictorCorrector()]
    for way, evaluations in [*((w, 13) for w in once), *((w, 25) for w in twice)]:
        whole, inside = [], []
        for _ in range(options.rounds):
            start = time.perf_counter()
            sample(diffusion, shape, way, 12, Samples(0, count=256))
            whole.append(time.perf_counter() - start)
            start = time.perf_counter()
            with torch.no_grad():
                for _ in range(evaluations):
                    denoiser.answer(x, c)
            inside.append(time.perf_counter() - start)
        outside = statistics.median(1 - b / a for a, b in zip(whole, inside))
        print(
            f"{way!r:55} {256 / statistics.median(whole):7.1f} samples/s, {100 * outside:5.1f} % outside the network",
            flush=True,
        )


if __name__ == "__main__":
    main()
