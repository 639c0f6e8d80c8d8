"""How often the check of conditionals rejects: exact ones, and such with a planted fault in a model whose joint is exact.

    python benchmarks/conditional_checks.py --repeats 40 --rows 100 300 1000
    python benchmarks/conditional_checks.py --table adult.csv --rows 6000 --steps 300 2500 --targets education

"numbers" are eight normal columns, whose correlation is 0.6 to the power of their distance; "mixed" are four normal columns
whose means depend on a category of three levels. Faults are in conditionals alone: samples of the joint distribution are
exact. With --table it says what it finds of a fit of some rows of a file, a tenth of which are held out.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from scorefield import Data, Model, fit
from scorefield.data import Schema
from scorefield.data.variables import ABSENT, FREE, GIVEN
from scorefield.denoisers import Denoiser, Gaussian
from scorefield.evaluation import Conditionals, RunData, check_conditionals
from scorefield.processes import EDM
from scorefield.samplers import Sampling, sde_sampling
from scorefield.units import ColumnMap, ColumnUnits

D = torch.float64
FAULTS = {
    "none": {},
    "marginal": {"ignored": True},
    "one given alone is ignored": {"single": True},
    "spread 0.8": {"width": 0.8},
    "spread 1.25": {"width": 1.25},
    "one column ignores others": {"alone": 0},
    "category too frequent": {"tilt": 0.7},
}
WORLDS = {"numbers": (8, 1), "mixed": (4, 3)}


class Classes(Denoiser):
    """Normal columns whose means depend on a category: exact, with faults in conditionals alone.

    The noise on a free number has the variance of the level, that on an absent one a huge one, and that on a given one none:
    all that is asked for follows from the covariance of data plus noise.

    Arguments:
        numbers, levels: The numbers of normal columns and of levels; one level for none.
        ignored: Whether what is given is ignored.
        single: Whether it is where it is one variable alone.
        width: The factor of standard deviations given something.
        alone: A column that is drawn as if it were independent of the other numbers, given something; -1 for none.
        tilt: What is added to the logarithm of the probability of the first level, given something.
    """

    completes = True

    def __init__(
        self,
        numbers: int,
        levels: int,
        ignored: bool = False,
        width: float = 1.0,
        alone: int = -1,
        tilt: float = 0.0,
        single: bool = False,
    ) -> None:
        super().__init__()
        self.numbers, self.levels, self.single = numbers, levels, single
        self.ignored, self.width, self.alone, self.tilt = ignored, width, alone, tilt
        place = torch.arange(numbers, dtype=D)
        self.covariance = 0.6 ** (place[:, None] - place).abs()
        self.weights = torch.tensor([0.5, 0.3, 0.2], dtype=D)[:levels] if levels > 1 else torch.ones(1, dtype=D)
        self.means = (torch.arange(levels, dtype=D)[:, None] - (levels - 1) / 2) * torch.cos(place)

    @property
    def size(self) -> int:
        return self.numbers + (self.levels if self.levels > 1 else 0)

    def rows(self, count: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        k = rng.choice(self.levels, count, p=self.weights.numpy())
        root = np.linalg.cholesky(self.covariance.numpy())
        x = self.means.numpy()[k] + rng.normal(size=(count, self.numbers)) @ root.T
        named = {f"x{i}": x[:, i] for i in range(self.numbers)}
        return pd.DataFrame(named | ({"kind": np.array(list("abc"))[k]} if self.levels > 1 else {}))

    def answer(self, x: Tensor, level: Tensor, values: Tensor, status: Tensor) -> Tensor:
        """E[x_0 | noisy free variables, given ones], `(B, size)`."""
        n, count = self.numbers, len(x)
        level = torch.as_tensor(level, dtype=D).reshape(-1, 1).expand(count, 1)
        some = (status == GIVEN).any(1)
        free = status[:, :n] == FREE
        given = status == GIVEN
        ignored = torch.full_like(some, self.ignored) | (self.single & (given.sum(1) == 1))
        used = torch.where(given & ignored[:, None], ABSENT, status)
        covariance = self._covariance(free, some)
        y = torch.where(free, x[:, :n], values[:, :n])
        noise = torch.where(free, level**2, 0.0) + torch.where(used[:, :n] == ABSENT, 1e8, 0.0)
        whole = covariance + torch.diag_embed(noise)
        off = y[:, None] - self.means  # (B, K, n)
        solved = torch.linalg.solve(whole, off.mT).mT
        logs = self.weights.log() - (off * solved).sum(2) / 2
        logs = logs + torch.where(some[:, None], self.tilt, 0.0) * (torch.arange(self.levels) == 0)
        if self.levels == 1:
            return self._mean(solved, covariance)[:, 0]
        corner, kind = torch.eye(self.levels, dtype=D), used[:, n, None]
        noisy = -((x[:, None, n:] - corner) ** 2).sum(2) / (2 * level**2)
        logs = logs + torch.where(kind == FREE, noisy, torch.where(kind == GIVEN, values[:, n:].log(), 0.0))
        p = logs.softmax(1)
        return torch.cat(((p[:, :, None] * self._mean(solved, covariance)).sum(1), p), 1)

    def _mean(self, solved: Tensor, covariance: Tensor) -> Tensor:
        return self.means + torch.einsum("bkn,bnm->bkm", solved, covariance)

    def _covariance(self, free: Tensor, some: Tensor) -> Tensor:
        """That of the numbers of each row, `(B, n, n)`, with the faults."""
        whole = self.covariance.expand(len(free), -1, -1)
        if self.alone >= 0:
            apart = self.covariance.clone()
            apart[self.alone], apart[:, self.alone] = 0.0, 0.0
            apart[self.alone, self.alone] = self.covariance[self.alone, self.alone]
            whole = torch.where((some & free[:, self.alone])[:, None, None], apart, whole)
        if self.width == 1:
            return whole
        known = whole @ torch.linalg.solve(whole + torch.diag_embed(1e8 * free.to(D)), whole)
        both = (free[:, :, None] & free[:, None] & some[:, None, None]).to(D)
        return whole + both * (self.width**2 - 1) * (whole - known)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.answer(
            x, level, x, torch.zeros(1, self.numbers + (self.levels > 1), dtype=torch.long).expand(len(x), -1)
        )

    def given_variables(self, values: Tensor, status: Tensor) -> Denoiser:
        return _Given(self, values, status)


class _Given(Denoiser):
    """The denoiser given some variables of each row."""

    values: Tensor
    status: Tensor

    def __init__(self, classes: Classes, values: Tensor, status: Tensor) -> None:
        super().__init__()
        self.classes, self.values, self.status = classes, values, status

    @property
    def contexts(self) -> int:
        return len(self.values)

    def samples(self, index: Tensor) -> Denoiser:
        at = index % len(self.values)
        return _Given(self.classes, self.values[at], self.status[at])

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        n, classes = self.classes.numbers, self.classes
        values, status = self.values.expand(len(x), -1), self.status.expand(len(x), -1)
        owned = torch.cat((status[:, :n], status[:, n:].expand(-1, classes.size - n)), 1)
        return torch.where(owned == FREE, classes.answer(x, level, values, status), values)


def model_of(classes: Classes, sampling: Sampling | None = None) -> Model:
    """The model of an exact denoiser."""
    maps = [ColumnMap() for _ in range(classes.numbers)] + (
        [ColumnMap(levels=classes.levels)] if classes.levels > 1 else []
    )
    moments = Gaussian(torch.zeros(classes.size, dtype=D), 2 * torch.eye(classes.size, dtype=D))
    process = EDM(0.01, 40.0)
    schema = Schema.of(classes.rows(200, 0))
    return Model(schema, ColumnUnits(tuple(maps)), classes, moments, sampling or sde_sampling(process, 48))


def checked(world: str, fault: str, rows: int, seed: int, train: int = 1000) -> Conditionals:
    """The check of fresh held-out rows."""
    classes = Classes(*WORLDS[world], **FAULTS[fault])
    model, data = model_of(classes), classes.rows(train + rows, 1000 + seed)
    found = check_conditionals(model, *(model.schema.rows(x) for x in (data[:train], data[train:])), seed=seed)
    if found is None:
        raise RuntimeError(f"nothing was checked of {rows} rows")
    return found


def of_table(path: str, rows: int, steps: int, data: Data) -> None:
    """What the check finds of a fit."""
    table = pd.read_csv(path).sample(rows, random_state=0).reset_index(drop=True)
    with tempfile.TemporaryDirectory() as folder:
        fit(table, f"{folder}/run", data=data, steps=steps, device="cpu")
        opened, start = RunData.of(f"{folder}/run", table, "cpu"), time.process_time()
        found = check_conditionals(opened.model, opened.train, opened.held_out, opened.how)
    if found is None:
        raise RuntimeError("nothing was checked")
    print(f"{path}, {rows} rows, {steps} steps: {time.process_time() - start:.1f} CPU seconds")
    for test in found.tests:
        print(f"  {test.name}: {test.value:.3g}, p = {test.p_value:.2g}: {test.note}")
    for c in found.columns:
        print(
            f"  {c.name}: skill {c.skill:.2f}, trees {c.trees:.2f}, spread {c.spread:.2f}, p = {c.p_value:.2g}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--table", help="a file")
    parser.add_argument("--steps", type=int, nargs="+", default=[300])
    parser.add_argument("--conditionals", choices=["auto", "learn"], default="auto")
    parser.add_argument("--targets", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.table:
        data = Data(conditionals=options.conditionals, targets=tuple(options.targets))
        for steps in options.steps:
            of_table(options.table, options.rows[0], steps, data)
        return
    for world in options.worlds:
        for fault in options.faults:
            if "tilt" in FAULTS[fault] and WORLDS[world][1] == 1:
                continue
            for rows in options.rows:
                start = time.process_time()
                found = [checked(world, fault, rows, seed) for seed in range(options.repeats)]
                each = np.array([[d.p_value <= 0.05 for d in check.tests] for check in found]).sum(0).tolist()
                whole = sum(bool(check.rejected) for check in found)
                spread = np.mean([column.spread for check in found for column in check.columns])
                seconds = (time.process_time() - start) / options.repeats
                print(
                    f"{world:8} {fault:26} {rows:5} rows: rejected {whole} of {options.repeats}; at 5 % moments, trees, "
                    f"columns {each}; mean spread {spread:.2f}; {seconds:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
