"""How often overfitting is found, and an exact model suspected, by how rows are held out: repeated rows, subjects, time.

python benchmarks/held_out_rows.py 8
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from scorefield.data import ArrayRows, Schema, dependence_of
from scorefield.denoisers import Denoiser, Empirical, Gaussian, Mixture
from scorefield.evaluation import Evaluation, HoldOut, evaluate
from scorefield.evaluation.drift import drift_of
from scorefield.fitting import Split
from scorefield.fitting.splitting import chosen_split
from scorefield.model import Model
from scorefield.processes import EDM
from scorefield.samplers import Heun, Sampling
from scorefield.settings import Data
from scorefield.units import Standardize

D, F = torch.float64, 5
WITHIN = 0.3  # standard deviation within a subject; between subjects it is 1


def gaussian(variance: float) -> Gaussian:
    return Gaussian(torch.zeros(F, dtype=D), variance * torch.eye(F, dtype=D))


def measured(denoiser: Denoiser, parts: Split, variance: float, seed: int) -> Evaluation:
    units = Standardize((F,), torch.zeros(F, dtype=D), torch.ones(F, dtype=D))
    sampling = Sampling(Heun(), 24, process=EDM(0.002, 80.0))
    model = Model(Schema.of(np.zeros((2, F))), units, denoiser, gaussian(variance), sampling)
    return evaluate(model, parts.train, parts.held_out, 400, seed, how=HoldOut.of(parts))


def counted(found: Evaluation) -> np.ndarray:
    overfits = found.copies_suspected or (found.gap is not None and found.gap.suspicious)
    return np.array([1, overfits, bool(found.rejected)])


def repeated(seed: int, how: str) -> dict[str, np.ndarray]:
    """100 rows ten times each; a model that draws training rows, and the exact one."""
    x = np.repeat(np.random.default_rng(seed).normal(size=(100, F)), 10, axis=0)
    x = np.random.default_rng(seed).permutation(x)
    parts = chosen_split(x, ArrayRows(x), Data(split=how), seed)
    copying = Empirical(parts.train.take(range(len(parts.train)), D).unique(dim=0))
    return {
        "memorizes": counted(measured(copying, parts, 1.0, seed)),
        "exact": counted(measured(gaussian(1.0), parts, 1.0, seed)),
    }


def subjects(seed: int, grouped: bool) -> dict[str, np.ndarray]:
    """50 subjects with 20 rows each; a model that knows the subjects it was trained on, and the exact one."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(50), 20))
    x = rng.normal(size=(50, F))[who] + WITHIN * rng.normal(size=(1000, F))
    parts, variance = chosen_split(x, ArrayRows(x), Data(split="rows"), seed, who if grouped else None), 1 + WITHIN**2
    train, known = x[parts.places[0]], who[parts.places[0]]
    means = torch.from_numpy(np.stack([train[known == g].mean(0) for g in np.unique(known)]))
    inner = (WITHIN**2 * torch.eye(F, dtype=D)).repeat(len(means), 1, 1)
    overfitted = Mixture(means, inner, torch.full((len(means),), 1 / len(means), dtype=D))
    return {
        "knows subjects": counted(measured(overfitted, parts, variance, seed)),
        "exact": counted(measured(gaussian(variance), parts, variance, seed)),
    }


def drifts(seed: int, shift: float) -> np.ndarray:
    """600 rows of which the last 60 are shifted, and samples of the distribution of the others."""
    x = np.random.default_rng(seed).normal(size=(600, F)) + shift * (np.arange(600) >= 540)[:, None]
    parts = chosen_split(x, ArrayRows(x), Data(split="time"), seed)
    drawn = torch.from_numpy(np.random.default_rng(10**6 + seed).normal(size=(400, F))).float()
    rows = (parts.train.take(range(540)), parts.held_out.take(range(60)))
    found = drift_of(drawn, *rows, parts.order[parts.places[0]], seed)
    return np.array([1, found.drifts, not found.fits])


def main(count: int) -> None:
    for name, kinds in (
        ("repeated rows", {how: (lambda s, h=how: repeated(s, h)) for how in ("rows", "distinct")}),
        ("subjects", {how: (lambda s, g=how == "groups": subjects(s, g)) for how in ("rows", "groups")}),
    ):
        for how, make in kinds.items():
            each = [make(seed) for seed in range(count)]
            for model in each[0]:
                n, overfits, rejected = sum(found[model] for found in each)
                print(f"{name}, split by {how}, {model}: overfitting in {overfits}, rejected in {rejected} of {n}")
    for shift in (0.0, 0.5):
        n, found, misfit = sum(drifts(seed, shift) for seed in range(5 * count))
        print(f"last tenth shifted by {shift}: drift in {found}, misfit in {misfit} of {n}")
    for rho in (0.0, 0.1, 0.2, 0.3):
        found = 0
        for seed in range(25 * count):
            x = np.random.default_rng(seed).normal(size=(500, 3))
            for i in range(1, 500):
                x[i] += rho * x[i - 1]
            found += dependence_of(ArrayRows(x), seed).dependent
        print(f"correlation {rho} with the row before: dependence in {found} of {25 * count}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
