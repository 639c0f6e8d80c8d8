"""The bits of samples: every sampler and every posterior method, whatever the count, the threads and the processes.

    python benchmarks/bits.py [--counts 1 2 3 7 64 1000] [--threads 1 2] [--only Heun] [--width 256] [--whole]

Prints a line for each sampler: a hash of the largest draw, and how many of the smaller ones are its beginning, bit for bit. The
networks are as wide as default ones, with random weights. With two processes each draws half of the samples, at the same time.
Ends with status 1 if a bit differs. `--whole` draws each batch at once and in all threads, which shows what blocks are for.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import multiprocessing
import sys
import time
from typing import Any

import numpy as np
import torch

import scorefield.generative
import scorefield.posterior
import scorefield.samplers
from scorefield.data import Schema
from scorefield.denoisers import ConsistencyFunction, EDMPrediction, Gaussian, Preconditioned
from scorefield.measurement import Linear, Mask, Measurement
from scorefield.model import Model
from scorefield.nn import MLP, UNet
from scorefield.posterior import RePaint, ReplacementSMC
from scorefield.posterior.methods import PosteriorMethod
from scorefield.processes import EDM
from scorefield.rng import Rng, Samples
from scorefield.samplers import Heun, Sampler, Sampling
from scorefield.units import Standardize

__all__ = ["KINDS", "draw", "model_of", "offered"]

SHAPES = {"vectors": (5,), "grids": (1, 6, 6)}
KINDS = tuple(SHAPES)


def offered(base: type) -> list[Any]:
    """One of every concrete class of a kind that the package offers."""
    found = {}
    for module in (scorefield.samplers, scorefield.posterior):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, base) and not kind.__abstractmethods__:
                found[kind.__name__] = kind()
    return [found[name] for name in sorted(found)]


def model_of(kind: str, width: int = 256) -> Model:
    """A model with a network of random weights, the same in every process."""
    shape = SHAPES[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MLP(shape[0], width, 3) if len(shape) == 1 else UNet(2, 1, (width // 8, width // 8))
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.3 / max(1, p[0].numel()) ** 0.5)
    moments = Gaussian(torch.zeros(shape).double(), torch.ones(shape).double())
    units = Standardize(shape, torch.full(shape, 0.3).double(), torch.full(shape, 1.7).double())
    x = np.zeros((2, *shape)) if len(shape) == 1 else np.zeros((2, *shape[1:]))
    schema = Schema.of(x) if len(shape) == 1 else Schema.of(x, structure="grid")
    denoiser = Preconditioned(network.requires_grad_(False).eval(), EDMPrediction())
    return Model(schema, units, denoiser, moments, Sampling(Heun(), 4, process=EDM(0.05, 5.0)))


def case(kind: str, method: Any, width: int = 256) -> tuple[Model, Any]:
    """The model, and the sampler it is asked for; a method of posteriors is asked through a measurement."""
    model = model_of(kind, width)
    shape, event = model.schema.layout.shape, SHAPES[kind]
    if isinstance(method, ReplacementSMC):
        known = torch.arange(math.prod(event)).reshape(1, *event) % 3 == 0
        return model._with_rows(torch.full((1, *event), 0.5).double(), known, complete=True), method
    if isinstance(method, Sampler) and method.consistency:
        return model.replace(denoiser=ConsistencyFunction(model.denoiser, 0.05, "a denoiser")), method
    if not isinstance(method, PosteriorMethod):
        return model, method
    mask = Mask(torch.arange(math.prod(shape)).reshape(shape) % 3 == 0)
    masked = len(shape) > 1 or isinstance(method, RePaint)
    y = np.full(int(mask.keep.sum()) if masked else 1, 0.5)
    measurement = Measurement(mask if masked else Linear(torch.ones(1, shape[0])), y, 0.4)
    return model.observe(measurement, method), None


def draw(kind: str, method: Any, count: int, start: int = 0, width: int = 256) -> np.ndarray:
    """Samples `start` to `start + count - 1`, as a process would that draws no others."""
    model, sampler = case(kind, method, width)
    steps = 1 if sampler is not None and sampler.adaptive else 4
    sampling = model._chosen(sampler, steps)
    source = Samples(5, start, count, "sample")
    return model._draw(model.diffusion, start + torch.arange(count), source, sampling).numpy()


def _halves(kind: str, method: Any, count: int, width: int) -> np.ndarray:
    half = count // 2
    jobs = [(kind, method, n, start, width) for start, n in ((0, half), (half, count - half)) if n]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return np.concatenate(pool.starmap(draw, jobs))


def line(kind: str, method: Any, options: Any) -> tuple[str, bool]:
    """What is printed for a sampler, and whether all bits are the same."""
    counts, threads, processes, width = options.counts, options.threads, options.processes, options.width
    begin, same, tried, whole = time.perf_counter(), 0, 0, None
    for thread in threads:
        torch.set_num_threads(thread)
        for count in sorted(counts, reverse=True):
            x = draw(kind, method, count, width=width)
            whole = x if whole is None else whole
            tried, same = tried + 1, same + (x.tobytes() == whole[:count].tobytes())
    if 2 in processes:
        assert whole is not None
        tried, same = tried + 1, same + (_halves(kind, method, len(whole), width).tobytes() == whole.tobytes())
    digest = hashlib.sha256(whole.tobytes() if whole is not None else b"").hexdigest()[:12]
    seconds = time.perf_counter() - begin
    return f"{kind:8} {type(method).__name__:24} {digest}  {same} of {tried} the same  {seconds:6.1f} s", same == tried


def _without_blocks() -> None:
    Samples.blocks = Rng.blocks
    scorefield.generative.each_in_one_thread = lambda drawn, blocks, at_once: [drawn(block) for block in blocks]


def main() -> int:
    """Runs all, and gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 3, 7, 64, 1000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--only", default="", help="names of classes that hold this")
    parser.add_argument("--width", type=int, default=256, help="of the networks; grids have an eighth of it")
    parser.add_argument("--whole", action="store_true", help="draw batches whole: what blocks are for")
    options = parser.parse_args()
    if options.whole:
        _without_blocks()
    good = True
    for kind in options.kinds:
        for method in [*offered(Sampler), *[m for m in offered(PosteriorMethod) if not isinstance(m, Sampler)]]:
            if options.only in type(method).__name__:
                text, same = line(kind, method, options)
                good = good and same
                print(text, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
