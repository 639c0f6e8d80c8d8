"""How often does the evaluation of a perfect model raise an alarm, and how often does it find planted defects?

    python benchmarks/false_alarms.py [--models 40] [--rows 1000] [--samples 2000] [--kinds gaussian lattice] [--defects 10]

A perfect model draws its samples from the distribution of the data itself. Each kind of data gets its own models, each with
new data of which a tenth is held out, and `evaluate` judges them. With --defects, samples get a defect instead: of the size
that the verdict says it finds in nine of ten cases, and of a third of it.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from scorefield.data import Schema
from scorefield.denoisers import Gaussian
from scorefield.evaluation import Evaluation, evaluate
from scorefield.metrics import PlainColumn
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.samplers import Heun, Sampling
from scorefield.units import Standardize

Draw = Callable[[np.random.Generator, int], np.ndarray]
COLUMNS = (PlainColumn("rain"), PlainColumn("size"), PlainColumn("price"), PlainColumn("kind", 3))


def gaussian(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(count, 5)) @ np.linspace(0, 1, 25).reshape(5, 5)[::-1] + rng.normal(size=(count, 5))


def mixture(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(count, 5)) + 4 * rng.choice([-1, 0, 1], size=(count, 1), p=[0.2, 0.1, 0.7])


def heavy_tailed(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_t(3, size=(count, 5)) * np.exp(0.5 * rng.normal(size=(count, 1)))


def lattice(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.poisson(np.exp(1 + 0.5 * rng.normal(size=(count, 1))) * np.ones(5)).astype(float)


def mixed_table(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rain that is mostly zero, a size, a price in steps, and a category that goes with it."""
    z = rng.normal(size=count)
    rain = np.where(rng.random(count) < 0.6, 0.0, rng.gamma(2.0, size=count))
    kind = np.clip(np.round(1 + z + 0.5 * rng.normal(size=count)), 0, 2)
    return np.stack([rain, z + rng.normal(size=count), np.round(2 * (5 + z)) / 2, kind], 1)


KINDS: dict[str, tuple[Draw, tuple[PlainColumn, ...]]] = {
    "gaussian": (gaussian, ()),
    "mixture": (mixture, ()),
    "heavy-tailed": (heavy_tailed, ()),
    "lattice": (lattice, ()),
    "mixed table": (mixed_table, COLUMNS),
}


class Given(Model):
    """A model whose samples are given; its score, that of a Gaussian, was not learned from any data."""

    draws: Callable[[int, int], np.ndarray]

    def batches(self, count: int = 1, seed: int = 0, *rest: Any, **more: Any) -> Iterator[torch.Tensor]:
        yield torch.from_numpy(np.asarray(self.draws(count, seed), np.float64))


def model_of(data: np.ndarray, columns: tuple[PlainColumn, ...], draw: Callable[[int, int], np.ndarray]) -> Model:
    size, kind = data.shape[1], torch.float64
    schema = replace(Schema.of(data), table=columns) if columns else Schema.of(data)
    units = Standardize((size,), torch.from_numpy(data.mean(0)), torch.from_numpy(data.std(0)))
    prior = Gaussian(torch.zeros(size, dtype=kind), torch.eye(size, dtype=kind))
    model = Given(schema, units, prior, prior, Sampling(Heun(), 8, process=EDM(0.002, 80.0)))
    model.draws = draw
    return model


def judged(
    kind: str, seed: int, rows: int, samples: int, defect: Callable[..., np.ndarray] | None = None
) -> Evaluation:
    draw, columns = KINDS[kind]
    data = draw(np.random.default_rng([seed, 0]), rows)
    train, held_out = data[rows // 10 :], data[: rows // 10]

    def drawn(count: int, stream: int) -> np.ndarray:
        rng = np.random.default_rng([seed, 1, stream])
        x = draw(rng, count if defect is None else 2 * count)
        return x if defect is None else defect(x, train, rng)[:count]

    return evaluate(model_of(data, columns, drawn), train, held_out, samples, seed)


def alarms(found: Evaluation) -> list[str]:
    said = {
        "a test": bool(found.rejected),
        "copies": found.copies_suspected,
        "gap": found.gap is not None and found.gap.suspicious,
        "two samplers": found.twin is not None and (found.twin.p_value or 0.0) < 0.01,
    }
    return [name for name, raised in said.items() if raised]


def false_alarms(kinds: list[str], models: int, rows: int, samples: int) -> None:
    print(f"{rows} rows, a tenth held out; {samples} samples; {models} perfect models of each kind")
    whole: Counter[str] = Counter()
    for kind in kinds:
        start, counted = time.perf_counter(), Counter[str]()
        for seed in range(models):
            raised = alarms(judged(kind, seed, rows, samples))
            counted.update([*raised, *(["any"] if raised else [])])
        whole.update(counted)
        print(f"{kind}: {dict(counted)} of {models}; {(time.perf_counter() - start) / models:.1f} s each", flush=True)
    print(f"all: {dict(whole)} of {models * len(kinds)}")


def lost(x: np.ndarray, share: float) -> np.ndarray:
    return x[x[:, 0] <= np.quantile(x[:, 0], 1 - share)]


def changed(x: np.ndarray, column: np.ndarray) -> np.ndarray:
    return np.concatenate([column[:, None], x[:, 1:]], 1)


def copied(x: np.ndarray, train: np.ndarray, rng: np.random.Generator, share: float, noise: float) -> np.ndarray:
    count = round(share * len(x) / 2)
    rows = train[rng.integers(len(train), size=count)]
    return np.concatenate([rows + noise * train.std(0) * rng.normal(size=rows.shape), x])


def defects(kind: str, models: int, rows: int, samples: int) -> None:
    """How often defects of the sizes that a verdict gives are found, and such of a third of it."""
    known = judged(kind, 10_000, rows, samples)
    sizes, near = known.smallest, known.neighbours
    assert sizes is not None
    spread = KINDS[kind][0](np.random.default_rng(0), 100_000)[:, 0].std()
    planted: dict[str, tuple[float, Callable[[float], Callable[..., np.ndarray]]]] = {
        "mean": (sizes.mean, lambda s: lambda x, *_: changed(x, x[:, 0] + s * spread)),
        "too wide, log": (np.log(sizes.wide), lambda s: lambda x, *_: changed(x, x[:, 0] * np.exp(s))),
        "too narrow, log": (-np.log(sizes.narrow), lambda s: lambda x, *_: changed(x, x[:, 0] * np.exp(-s))),
        "lost": (sizes.lost, lambda s: lambda x, *_: lost(x, s)),
        "clipped": (
            sizes.clipped,
            lambda s: lambda x, *_: changed(x, np.clip(x[:, 0], *np.quantile(x[:, 0], [s / 2, 1 - s / 2]))),
        ),
        "exact copies": (near.smallest_equal, lambda s: lambda x, t, rng: copied(x, t, rng, s, 0.0)),
        "near copies": (near.smallest_near, lambda s: lambda x, t, rng: copied(x, t, rng, s, 0.01)),
    }
    print(" ".join(known.verdict))
    for name, (size, made) in planted.items():
        if not np.isfinite(size):
            print(f"{kind}, {name}: none of any size is found")
            continue
        found = [
            sum(bool(alarms(judged(kind, 20_000 + seed, rows, samples, made(at)))) for seed in range(models))
            for at in (size, size / 3)
        ]
        print(f"{kind}, {name} of {size:.3g}: {found[0]} of {models} found, of a third {found[1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--defects", type=int, default=0)
    options = parser.parse_args()
    if options.defects:
        for kind in options.kinds:
            defects(kind, options.defects, options.rows, options.samples)
        return
    false_alarms(options.kinds, options.models, options.rows, options.samples)


if __name__ == "__main__":
    main()
