"""A table of known distribution given one column or two: how far conditional draws are from exact ones.

    python benchmarks/given_few.py [--steps 2500] [--seeds 2]

A category of three levels, a number with a mode for each, an amount that is often 0, a count, and a number that one level
misses half of the time; 3,000 rows. For each question the model draws 2,000 rows; exact draws are those of two million rows
that agree. Printed are the mean over fourteen questions, and the largest of them: the largest error of a probability of the
category, the error of the mean of the number in standard deviations, and that of the probability that the amount is 0; and
the mean error of log-densities of 300 new rows.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import scorefield

LEVELS, SHARES, MODES = np.array(list("abc")), [0.5, 0.3, 0.2], [-2.0, 1.0, 3.0]
QUESTIONS: list[dict[str, Any]] = [
    *({"count": value} for value in (0, 4)),
    *({"amount": value} for value in (5.0, 0)),
    *({"other": value} for value in (1.0, -4.0)),
    *({"number": value} for value in (-1.0, 0.0, 2.5)),
    *({"kind": value} for value in "ba"),
    {"count": 0, "other": 1.0},
    {"kind": "b", "amount": 0},
    {"number": 1.0, "amount": 5.0},
]
WITHIN = {"number": 0.05, "amount": 0.5, "other": 0.1, "count": 0}


def rows(count: int, seed: int) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    k = g.choice(3, count, p=SHARES)
    x = np.array(MODES)[k] + 0.5 * g.normal(size=count)
    amount = np.where(g.random(count) < 1 / (1 + np.exp(-x)), 0, np.exp(1 + 0.5 * x + 0.4 * g.normal(size=count)))
    missing = (k == 1) & (g.random(count) < 0.5)
    other = np.where(missing, np.nan, 2 * x + g.normal(size=count))
    columns = {"number": x, "amount": amount, "count": g.poisson(np.exp(0.3 * x + 0.5)), "other": other}
    return pd.DataFrame({"kind": LEVELS[k], **columns})


def log_density(f: pd.DataFrame) -> np.ndarray:
    k = np.searchsorted(LEVELS, f.kind)
    found = np.log(np.array(SHARES)[k]) + stats.norm.logpdf(f.number, np.array(MODES)[k], 0.5)
    zero, log = 1 / (1 + np.exp(-f.number)), np.log(np.maximum(f.amount, 1e-300))
    positive = np.log1p(-zero) + stats.norm.logpdf(log, 1 + 0.5 * f.number, 0.4) - log
    found += np.where(f.amount == 0, np.log(zero), positive) + stats.poisson.logpmf(
        f["count"], np.exp(0.3 * f.number + 0.5)
    )
    there = np.where(k == 1, np.log(0.5), 0) + stats.norm.logpdf(f.other, 2 * f.number, 1)
    return np.asarray(found + np.where(f.other.isna(), np.log(0.5), there))


def agreeing(f: pd.DataFrame, question: dict[str, Any]) -> pd.DataFrame:
    same = np.ones(len(f), bool)
    for name, value in question.items():
        exact = name == "kind" or (value == 0 and name == "amount")
        same &= (f[name] == value) if exact else (f[name] - value).abs() <= WITHIN[name]
    return f[same]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    many, new = rows(2_000_000, 5), rows(300, 3)
    print("| seed | category | number | amount is 0 | log-density | CPU seconds of the fit |")
    for seed in range(options.seeds):
        start = time.process_time()
        model = scorefield.fit(rows(3000, 9 + seed), steps=options.steps, seed=seed)
        seconds, errors = time.process_time() - start, []
        for question in QUESTIONS:
            drawn, exact = model.condition(**question).sample(2000, seed=1), agreeing(many, question)
            category = max(abs((drawn.kind == k).mean() - (exact.kind == k).mean()) for k in LEVELS)
            number = abs(drawn.number.mean() - exact.number.mean()) / many.number.std()
            errors.append((category, number, abs((drawn.amount == 0).mean() - (exact.amount == 0).mean())))
        cells = [f"{mean:.3f}, {worst:.2f}" for mean, worst in zip(np.mean(errors, 0), np.max(errors, 0))]
        off = np.asarray(model.log_prob(new).value) - log_density(new)
        error = f"{off.mean():.3f} ± {off.std() / len(off) ** 0.5:.3f}"
        print(f"| {seed} | {' | '.join(cells)} | {error} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
