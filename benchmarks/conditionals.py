"""Any columns given any others, from one fit: by default, or learned, by the residual MLP and by tokens, at equal CPU seconds.

    python benchmarks/conditionals.py mixture --seconds 120
    python benchmarks/conditionals.py categories --seconds 120
    python benchmarks/conditionals.py magic.csv --seconds 240

"mixture": 20,000 rows of a mixture of four Gaussians in six dimensions; "categories": four numbers and two categories that are
independent given the component. All 62 conditionals, each at one observation: the energy distance of 512 draws to 512
exact ones, without bias, so that it is about 0 for exact draws (the floor: two sets of exact draws). Numbers are in
standard deviations of the exact conditional; two levels of a category are 1 apart.

A file: a fifth of the rows is held out; half of the columns of 400 of them, at random, are drawn given the others, 16
times. Printed is the energy score, which is smallest for the true conditional; numbers are in standard deviations of the
column. The number of steps follows from the CPU seconds of two short fits, unless --steps says it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

import scorefield
from scorefield.settings import Data, Network, Training

DRAWS = 512
NETWORKS = ["default", "mlp", "tokens"]
Frame = pd.DataFrame


class Mixture:
    """A mixture of four Gaussians, with categories whose frequencies depend on the component only."""

    def __init__(self, numbers: int, levels: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(3)
        self.weights = np.array([0.4, 0.3, 0.2, 0.1])
        self.means = 2 * rng.normal(size=(4, numbers))
        self.factors = np.stack(
            [
                np.linalg.qr(rng.normal(size=(numbers, numbers)))[0] * rng.uniform(0.2, 1.2, numbers)
                for _ in self.weights
            ]
        )
        self.covariances = self.factors @ self.factors.transpose(0, 2, 1)
        self.tables = [rng.dirichlet(np.full(k, 0.7), 4) for k in levels]
        self.numbers, self.levels = numbers, levels
        self.names = [*"abcdefgh"[:numbers], *(f"kind{i}" for i in range(len(levels)))]

    def frame(self, x: np.ndarray, codes: list[np.ndarray]) -> Frame:
        parts = {name: x[:, i] for i, name in enumerate(self.names[: self.numbers])}
        words = {
            name: np.array(list("pqrstu"))[code] for name, code in zip(self.names[self.numbers :], codes, strict=True)
        }
        return pd.DataFrame({**parts, **words})

    def draw(self, rng: np.random.Generator, count: int) -> Frame:
        k = rng.choice(4, count, p=self.weights)
        x = self.means[k] + np.einsum("nij,nj->ni", self.factors[k], rng.normal(size=(count, self.numbers)))
        return self.frame(x, [_levels(rng, table[k]) for table in self.tables])

    def conditional(self, rng: np.random.Generator, row: Any, given: tuple[int, ...], count: int) -> Frame:
        """Exact draws of a row given some of its columns, which are repeated."""
        known = np.array([g for g in given if g < self.numbers], dtype=int)
        free = np.setdiff1d(np.arange(self.numbers), known)
        x = np.array([row[name] for name in self.names[: self.numbers]], dtype=float)
        logs, means, factors = np.log(self.weights), [], []
        for k in range(4):
            s, off = self.covariances[k], x[known] - self.means[k][known]
            inner, cross = s[np.ix_(known, known)], s[np.ix_(free, known)]
            gain = cross @ np.linalg.inv(inner) if len(known) else np.zeros((len(free), 0))
            logs[k] -= (off @ np.linalg.solve(inner, off) + np.linalg.slogdet(inner)[1]) / 2 if len(known) else 0.0
            means.append(self.means[k][free] + gain @ off)
            factors.append(np.linalg.cholesky(s[np.ix_(free, free)] - gain @ cross.T))
        codes = ["pqrstu".index(row[name]) for name in self.names[self.numbers :]]
        for i, (table, code) in enumerate(zip(self.tables, codes, strict=True)):
            logs += np.log(table[:, code]) if self.numbers + i in given else 0.0
        p = np.exp(logs - logs.max())
        k = rng.choice(4, count, p=p / p.sum())
        drawn = np.tile(x, (count, 1))
        z = rng.normal(size=(count, len(free)))
        drawn[:, free] = np.array(means)[k] + np.einsum("nij,nj->ni", np.array(factors)[k], z)
        found = [_levels(rng, table[k]) for table in self.tables]
        fixed = [np.full(count, code) if self.numbers + i in given else found[i] for i, code in enumerate(codes)]
        return self.frame(drawn, fixed)


def _levels(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    """One level for each row of probabilities."""
    return np.minimum((p.cumsum(1) < rng.random((len(p), 1))).sum(1), p.shape[1] - 1)


def points(frame: Frame, like: Frame, scales: dict[Any, float]) -> np.ndarray:
    """Rows as points: numbers over their scale, and categories as corners at a distance of 1."""
    parts = []
    for name in like.columns:
        if name in scales:
            parts.append(np.asarray(frame[name], dtype=float)[:, None] / scales[name])
        else:
            levels = like[name].astype(str).unique()
            parts.append((np.asarray(frame[name].astype(str))[:, None] == np.sort(levels)) / np.sqrt(2))
    return np.concatenate(parts, 1)


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    inside = [cdist(x, x).sum() / len(x) / (len(x) - 1) for x in (a, b)]
    return float(2 * cdist(a, b).mean() - sum(inside))


def fitted(name: str, frame: Frame, options: argparse.Namespace, steps: int | None) -> tuple[Any, str]:
    """A model of about so many CPU seconds or steps, and what it took."""
    data = Data() if name == "default" else Data(conditionals="learn")
    network = Network(attention=name == "tokens")

    def timed(steps: int) -> tuple[Any, float]:
        start, training = time.process_time(), Training(steps=steps)
        model = scorefield.fit(frame, data=data, network=network, training=training, seed=options.seed)
        return model, time.process_time() - start

    if steps is None:
        short, longer = timed(50)[1], timed(250)[1]
        steps = max(100, int((options.seconds - short) / max((longer - short) / 200, 1e-3)) + 50)
    model, used = timed(steps)
    return model, f"{steps:,} steps, {used:.0f} CPU seconds"


def against_exact(name: str, model: Any, exact: Mixture, every: int) -> None:
    """The distances of all conditionals to exact draws."""
    count, rows = len(exact.names), []
    sets = [given for n in range(1, count) for given in itertools.combinations(range(count), n)][::every]
    start = time.process_time()
    for i, given in enumerate(sets):
        row = exact.draw(np.random.default_rng(100 + i), 1).iloc[0]
        drawn = model.condition({exact.names[g]: row[exact.names[g]] for g in given}).sample(DRAWS, seed=i)
        first, second = (exact.conditional(np.random.default_rng(s), row, given, DRAWS) for s in (i, 1000 + i))
        free = [n for j, n in enumerate(exact.names) if j not in given]
        scales = {n: float(first[n].std()) for n in free if first[n].dtype.kind == "f"}
        like = exact.draw(np.random.default_rng(0), 2000)[free]
        a, b, c = (points(frame[free], like, scales) for frame in (drawn, first, second))
        rows.append((energy_distance(a, b), energy_distance(c, b)))
    found, floor = np.array(rows).T
    for what, x in ((name, found), ("floor", floor)):
        figures = f"median {np.median(x):.4f}  mean {x.mean():.4f}  worst {x.max():.4f}"
        print(f"{what:8} {figures}  ({len(x)} conditionals)", flush=True)
    print(f"{name:8} {time.process_time() - start:.0f} CPU seconds of drawing", flush=True)


def against_rows(name: str, model: Any, train: Frame, test: Frame) -> None:
    """The energy score of random halves of the columns given the others."""
    rng, start = np.random.default_rng(1), time.process_time()
    hidden = rng.random(test.shape).argsort(1) < test.shape[1] // 2
    tables = model.impute(test.astype(object).where(~hidden).infer_objects(), draws=16)
    scales = {c: float(train[c].std()) for c in train.columns if train[c].dtype.kind in "iuf"}
    truth, drawn = points(test, train, scales), np.stack([points(t, train, scales) for t in tables])
    score = np.linalg.norm(drawn - truth, axis=2).mean(0)
    between = np.linalg.norm(drawn[:, None] - drawn[None], axis=3).sum((0, 1)) / 16 / 15
    score = score - between / 2
    error = score.std() / np.sqrt(len(score))
    print(f"{name:8} energy score {score.mean():.4f} ± {error:.4f}  {time.process_time() - start:.0f} CPU seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", help="mixture, categories, or a file")
    parser.add_argument("--seconds", type=float, default=120, help="CPU seconds of a fit")
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--steps", nargs="*", type=int, help="of each network, in place of CPU seconds")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--every", type=int, default=1, help="leaves out all but each n-th conditional")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = {"mixture": (6, ()), "categories": (4, (3, 4))}
    exact = Mixture(*known[options.subject]) if options.subject in known else None
    if exact is None:
        whole: Any = scorefield.read(Path(options.subject))
        order = np.random.default_rng(0).permutation(len(whole))
        cut = min(options.rows, int(0.8 * len(whole)))
        train, test = (whole.iloc[part].reset_index(drop=True) for part in (order[:cut], order[-400:]))
    else:
        train = test = exact.draw(np.random.default_rng(0), options.rows)
    for name, steps in zip(options.networks, options.steps or [None] * len(options.networks), strict=True):
        model, words = fitted(name, train, options, steps)
        print(f"{options.subject} {name}: {words}", flush=True)
        if exact is None:
            against_rows(name, model, train, test)
        else:
            against_exact(name, model, exact, options.every)


if __name__ == "__main__":
    main()
