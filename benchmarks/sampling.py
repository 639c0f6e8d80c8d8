"""The time of sampling outside the network: the U-Net for digits of 28 x 28, in one batch.

    python benchmarks/sampling.py [--rounds 3] [--count 256] [--only IPNDM "DPM(order=2, eta=1.0"] [--model runs/digits]

For each sampler, the CPU time of a batch in one thread and the part spent in the network, measured around its calls within the
same run, so that variations in the speed of the machine cancel. With `--model` that of a fitted model instead, drawn as it
draws by default, with the parts spent in its network and in the mixture that the network corrects.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn as nn
from torch import Tensor

import scorefield
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
    """A network whose calls are timed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        start = time.process_time()
        y = self.network(x, c)
        self.seconds += time.process_time() - start
        return y


def _timed(module: nn.Module, seconds: list[float]) -> None:
    """Adds the CPU times of the calls of a module to a list."""
    module.register_forward_pre_hook(lambda *_: seconds.append(-time.process_time()))
    module.register_forward_hook(lambda *_: seconds.append(time.process_time()))


def time_model(path: str, count: int, rounds: int) -> None:
    """Prints the CPU time of `count` samples of a fitted model, and the parts spent in its network and its mixture."""
    model, shares = scorefield.load(path), list[tuple[float, float, float]]()
    inside, before = list[float](), list[float]()
    maps = model.denoiser.preconditioned
    if maps is None:
        raise SystemExit(f"{path} holds no preconditioned network, whose time could be measured apart")
    _timed(maps.network, inside)
    if maps.baseline is not None:
        _timed(maps.baseline, before)
    model.sample(4)  # warm up
    for seed in range(rounds):
        inside.clear(), before.clear()
        start = time.process_time()
        model.sample(count, seed=seed)
        whole = time.process_time() - start
        shares.append((whole / count, sum(inside) / whole, sum(before) / whole))
    one, network, mixture = (statistics.median(values) for values in zip(*shares))
    rest = 100 * (1 - network - mixture)
    said = f"{100 * network:.1f} % in the network, {100 * mixture:.1f} % in the mixture, {rest:.1f} % in all else"
    print(f"{path}: {1e3 * one:.1f} CPU ms a sample, {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--only", nargs="+", default=[""], help="samplers, or parts of their names")
    parser.add_argument("--model", help="a run or the file of a model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.model is not None:
        time_model(options.model, options.count, options.rounds)
        return
    count, shape = options.count, (options.count, 1, 28, 28)
    network = Timed(choose(shape[1:], 60_000)[0])
    denoiser = Preconditioned(network, precision="bfloat16").eval().requires_grad_(False)
    diffusion = Diffusion(EDM(), denoiser)
    samplers: list[Sampler] = [DDIM(), DDIM(1.0), DPM(2), DPM(3), DPM(2, eta=1.0), UniPC(3), IPNDM(3), EulerMaruyama()]
    samplers += [ExponentialAdams(3), ExponentialAdams(2, eta=1.0), AnnealedLangevin(moves=1)]
    samplers += [Heun(), DPM2S(), StochasticHeun(), SRA1(), Churn(), PredictorCorrector()]
    for sampler in (each for each in samplers if any(part in repr(each) for part in options.only)):
        whole, outside = [], []
        sample(diffusion, shape, Sampling(sampler, 1), Samples(0, count=count))  # warm up
        for _ in range(options.rounds):
            network.seconds, start = 0.0, time.process_time()
            sample(diffusion, shape, Sampling(sampler, 12), Samples(0, count=count))
            whole.append(time.process_time() - start)
            outside.append(1 - network.seconds / whole[-1])
        rate, share = count / statistics.median(whole), 100 * statistics.median(outside)
        print(f"{sampler!r:65} {rate:7.1f} samples per CPU second, {share:5.2f} % outside the network", flush=True)


if __name__ == "__main__":
    main()
