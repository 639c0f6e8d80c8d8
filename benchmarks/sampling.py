"""The time of sampling that is not spent in the network: the U-Net that digits of 28 x 28 get, batches of 256.

    python benchmarks/sampling.py [--rounds 3]

For each sampler, the seconds of a batch and those of them that the network takes, by a clock around its calls: within one run,
so that a machine whose speed varies does not blur the difference.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch.nn as nn
from torch import Tensor

from scorefield.denoisers import Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.nn import choose
from scorefield.processes import EDM
from scorefield.rng import Samples
from scorefield.samplers import (
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
    Sampling,
    StochasticHeun,
    UniPC,
    sample,
)


class Timed(nn.Module):
    """A network with a clock around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        start = time.perf_counter()
        y = self.network(x, c)
        self.seconds += time.perf_counter() - start
        return y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shape = (256, 1, 28, 28)
    network = Timed(choose(shape[1:], 60_000)[0])
    denoiser = Preconditioned(network, precision="bfloat16").eval().requires_grad_(False)
    diffusion = Diffusion(EDM(), denoiser)
    ways: list[Sampler] = [DDIM(), DDIM(1.0), DPM(2), DPM(3), DPM(2, eta=1.0), UniPC(3), IPNDM(3), EulerMaruyama()]
    ways += [ExponentialAdams(3), ExponentialAdams(2, eta=1.0), AnnealedLangevin(moves=1)]
    ways += [Heun(), DPM2S(), StochasticHeun(), SRA1(), Churn(), PredictorCorrector()]
    for way in ways:
        whole, outside = [], []
        sample(
            diffusion, shape, Sampling(way, 1), Samples(0, count=256)
        )  # what the first call of anything costs is no part of it
        for _ in range(options.rounds):
            network.seconds, start = 0.0, time.perf_counter()
            sample(diffusion, shape, Sampling(way, 12), Samples(0, count=256))
            whole.append(time.perf_counter() - start)
            outside.append(1 - network.seconds / whole[-1])
        rate, share = 256 / statistics.median(whole), 100 * statistics.median(outside)
        print(f"{way!r:65} {rate:7.1f} samples/s, {share:5.2f} % outside the network", flush=True)


if __name__ == "__main__":
    main()
