"""The speed of what users wait for, next to peers that run in the same minutes, with a history and a warning where it fell.

    python benchmarks/suite.py                       # `make bench`: five rounds, below 5 CPU minutes
    python benchmarks/suite.py --only "log-density" --rounds 9 --keep no
    python benchmarks/suite.py --history FOLDER

Every figure runs alternately with its peer, in CPU seconds of one thread. The table has medians of the rounds. A run is added
to the history of its kind of machine (`build/benchmarks`, one JSON line for each run); a figure whose ratio is more than a
tenth below those of earlier runs is measured again, and if it is so again, there is a warning and the exit status is 1.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from history import Figure, Record, append, load, machine, table, warnings
from peers import eager, plain_flow, recipe

import scorefield
from likelihood import by_scipy, mixture
from scorefield import Model, fit
from scorefield.denoisers import Preconditioned
from scorefield.diffusion import Diffusion
from scorefield.evaluation import evaluate
from scorefield.fitting import Options, plan, prepare, trainer_of
from scorefield.likelihood import log_prob
from scorefield.nn import choose
from scorefield.processes import EDM, VP
from scorefield.rng import Samples
from scorefield.samplers import DDIM, Sampling, sample
from scorefield.settings import Data, Training

__all__ = ["CASES", "Case", "measure", "measured"]

Precision = Literal["float32", "bfloat16"]
Timed = Callable[[], float]
"""Does some work, and gives its CPU seconds for one unit of it."""


@dataclass(frozen=True)
class Case:
    """Two things that are timed alternately; `prepare` makes them, or gives None if the peer is not installed."""

    unit: str
    peer: str
    prepare: Callable[[], tuple[Timed, Timed] | None]


def _per(work: Callable[[], object], units: float) -> Timed:
    def timed() -> float:
        begin = time.process_time()
        work()
        return (time.process_time() - begin) / units

    return timed


def _training(
    shape: tuple[int, ...], rows: int, steps: int, batch: int, precision: Precision = "float32"
) -> tuple[Timed, Timed]:
    data = (
        np.random.default_rng(0).standard_normal((rows, *(shape if len(shape) == 1 else shape[1:]))).astype("float32")
    )
    network, x = choose(shape, rows)[0], torch.from_numpy(data).reshape(rows, *shape)
    options = Options(
        data=Data(structure="vector" if len(shape) == 1 else "grid"),
        network=copy.deepcopy(network),
        training=Training(steps=steps, batch=batch, evaluations=1, threads=1, precision=precision),
    )
    chosen, step = plan(prepare(data, options), options), eager(Preconditioned(network, precision=precision))

    def theirs() -> None:
        for _ in range(steps):
            step(x[torch.randint(0, rows, (batch,))])

    return _per(lambda: [*trainer_of(chosen).run()], steps), _per(theirs, steps)


def _peer_training(name: str) -> tuple[Timed, Timed] | None:
    step, batch, steps = recipe(name), 32, 3
    if step is None:
        return None
    x = torch.randn(batch, 1, 28, 28)
    ours = _training((1, 28, 28), 256, steps, batch, "bfloat16")[0]
    return lambda: ours() / batch, _per(lambda: [step(x) for _ in range(steps)], steps * batch)


def _sampling(shape: tuple[int, ...], count: int, steps: int, precision: Precision = "float32") -> tuple[Timed, Timed]:
    denoiser = Preconditioned(choose(shape, 60_000)[0], precision=precision).eval().requires_grad_(False)
    diffusion, sampling = Diffusion(EDM(), denoiser), Sampling(DDIM(), steps)
    levels = torch.cat([torch.logspace(1.9, -2.7, steps), torch.zeros(1)])
    return (
        _per(lambda: sample(diffusion, (count, *shape), sampling, Samples(0, count=count)), count),
        _per(lambda: plain_flow(denoiser, levels, (count, *shape)), count),
    )


def _density(size: int, count: int) -> tuple[Timed, Timed]:
    target = mixture(size)
    x, diffusion = target.sample(count, Samples(1, count=count)), Diffusion(VP(), target, target.moments())
    return _per(lambda: log_prob(diffusion, x), count), _per(lambda: by_scipy(diffusion, x, 1e-6), count)


@cache
def _fitted() -> tuple[Model, np.ndarray, tempfile.TemporaryDirectory[str]]:
    rows = mixture(10).sample(6_000, Samples(0, count=6_000)).numpy()
    folder = tempfile.TemporaryDirectory()
    return fit(rows, run=Path(folder.name) / "run", training=Training(steps=200, threads=1)), rows, folder


def _fixed_work() -> None:
    """Products, sorts and distances of fixed sizes: what a machine can do in these minutes."""
    x = torch.randn(700, 700, generator=torch.Generator().manual_seed(0))
    for _ in range(12):
        x = (x @ x.T).softmax(1) @ x + torch.cdist(x, x).sort(1).values[:, :700]
        x = x / x.std()


def _evaluation() -> tuple[Timed, Timed]:
    model, rows, _ = _fitted()
    return _per(lambda: evaluate(model, rows[:5_000], rows[5_000:], count=1_000), 1), _per(_fixed_work, 1)


def _report() -> tuple[Timed, Timed]:
    model, rows, _ = _fitted()
    return _per(lambda: model.report(rows, count=1_000), 1), _per(_fixed_work, 1)


def _import(module: str) -> Timed:
    def timed() -> float:
        before = os.times()
        where = os.pathsep.join([str(Path(scorefield.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env={**os.environ, "PYTHONPATH": where})
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    return timed


CASES = {
    "training, 400 x 2": Case("a step of 128", "eager loop", lambda: _training((2,), 400, 400, 128)),
    "training, 6,000 x 64": Case("a step of 256", "eager loop", lambda: _training((64,), 6_000, 60, 256)),
    "training, 28 x 28": Case("a step of 32", "eager loop", lambda: _training((1, 28, 28), 256, 4, 32, "bfloat16")),
    "training, 28 x 28, DDPM": Case("an image", "diffusers", lambda: _peer_training("diffusers, DDPM")),
    "training, 28 x 28, EDM": Case("an image", "diffusers", lambda: _peer_training("EDM on that U-Net")),
    "samples, 10 numbers": Case("a sample", "plain loop", lambda: _sampling((10,), 20_000, 12)),
    "samples, 28 x 28": Case("a sample", "plain loop", lambda: _sampling((1, 28, 28), 64, 6, "bfloat16")),
    "log-density, 2 numbers": Case("a point", "SciPy", lambda: _density(2, 256)),
    "log-density, 64 numbers": Case("a point", "SciPy", lambda: _density(64, 4)),
    "evaluate, 5,000 x 10": Case("all", "fixed work", _evaluation),
    "report, 6,000 x 10": Case("all", "fixed work", _report),
    "import": Case("once", "import torch", lambda: (_import("scorefield.model"), _import("torch"))),
}


def measured(pair: tuple[Timed, Timed], rounds: int) -> Iterator[tuple[float, float]]:
    """The seconds of both in each round, after one that is not counted; who begins alternates."""
    for k in range(rounds + 1):
        seconds = [pair[i]() for i in ((0, 1) if k % 2 else (1, 0))]
        if k:
            yield (seconds[0], seconds[1]) if k % 2 else (seconds[1], seconds[0])


def measure(cases: dict[str, Case], rounds: int) -> dict[str, Figure]:
    """The figures of some cases; those whose peer is not installed are left out."""
    found = {}
    for name, case in cases.items():
        pair = case.prepare()
        if pair is None:
            continue
        ours, theirs = zip(*measured(pair, rounds))
        found[name] = Figure(case.unit, case.peer, ours, theirs)
        print(f"{name}: {found[name].ratio:.2f} times as fast as {case.peer}", flush=True)
    return found


def main() -> int:
    """Runs the suite, and gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="figures whose names hold this")
    default = Path(__file__).parents[1] / "build" / "benchmarks"
    parser.add_argument("--history", type=Path, default=default, help="the folder of histories")
    parser.add_argument("--keep", choices=("yes", "no"), default="yes", help="whether the run is added to the history")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin, cases = time.process_time(), {name: case for name, case in CASES.items() if options.only in name}
    figures, past = measure(cases, options.rounds), load(options.history, machine())
    suspected = warnings(figures, past)
    if suspected:
        print(f"measured again: {', '.join(suspected)}", flush=True)
        figures |= measure({name: cases[name] for name in suspected}, options.rounds)
    fallen = warnings({name: figures[name] for name in suspected}, past)
    print(f"\n{machine()}, {time.process_time() - begin:.0f} CPU seconds\n\n{table(figures)}\n")
    for name, factor in fallen.items():
        print(f"WARNING: {name} is at {factor:.2f} of the ratio of {len(past)} earlier runs")
    if options.keep == "yes":
        print(f"added to {append(options.history, Record.of(figures))}")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
