"""Tables of numbers with bounds, spikes and steps: can boosted trees tell samples of a default fit from new rows?

    python benchmarks/marginals.py [TABLE.csv …] [--rows 2000] [--seeds 3]

First a Gaussian copula with the marginal distributions normal, log-normal, Beta(1/2, 1/2), 60 % zeros else gamma, Poisson,
half steps, exponential and uniform (400 rows); then the columns of numbers of each table. At most `--rows` rows are fitted, and
as many others are compared with (for smaller tables half of the rows). Printed is the AUC of gradient-boosted trees in
fivefold cross-validation, 0.5 for samples that pass for rows: of real rows, an empirical Gaussian copula, and scorefield with
all defaults.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mixed_tables import copula
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

import scorefield


def mixed(count: int, seed: int) -> pd.DataFrame:
    """A Gaussian copula with mixed marginals."""
    rng = np.random.default_rng(1000 + seed)
    correlation = 0.6 ** np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    u = stats.norm.cdf(rng.multivariate_normal(np.zeros(8), correlation, count))
    zeros = np.where(u[:, 3] < 0.6, 0.0, stats.gamma(2.0).ppf(np.clip((u[:, 3] - 0.6) / 0.4, 0, 1 - 1e-12)))
    columns = [stats.norm.ppf(u[:, 0]), np.exp(stats.norm.ppf(u[:, 1])), stats.beta(0.5, 0.5).ppf(u[:, 2]), zeros]
    columns += [stats.poisson(4.0).ppf(u[:, 4]), np.round(20 * u[:, 5]) / 2, stats.expon.ppf(u[:, 6]), u[:, 7]]
    return pd.DataFrame(dict(zip("abcdefgh", columns)))


def auc(x: pd.DataFrame, y: pd.DataFrame) -> float:
    """The AUC of boosted trees in fivefold cross-validation."""
    both, label = np.concatenate([x.to_numpy(float), y.to_numpy(float)]), np.repeat([0, 1], [len(x), len(y)])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(HistGradientBoostingClassifier(), both, label, cv=folds, scoring="roc_auc").mean())


def compared(name: str, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> list[float]:
    """The AUC of real rows, of the copula, and of scorefield; and the seconds of its fit."""
    start = time.process_time()
    model = scorefield.fit(train, seed=seed)
    seconds = time.process_time() - start
    drawn: Any = model.sample(len(test), seed=seed)
    kept = list(drawn.columns)
    found = [auc(train[kept][: len(test)], test[kept]), auc(copula(train[kept], seed)[: len(test)], test[kept])]
    return [*found, auc(drawn, test[kept]), seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="*")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for path in [None, *options.tables]:
        results = []
        for seed in range(options.seeds):
            if path is None:
                train, test = mixed(400, seed), mixed(400, 100 + seed)
            else:
                frame = scorefield.read(path).select_dtypes("number")
                count = min(options.rows, len(frame) // 2)
                order = np.random.default_rng(seed).permutation(len(frame))
                train, test = (frame.iloc[order[i * count : (i + 1) * count]].reset_index(drop=True) for i in (0, 1))
            results.append(compared(str(path), train, test, seed))
        mean, error = np.mean(results, 0), np.std(results, 0, ddof=1) / len(results) ** 0.5 if len(results) > 1 else 0
        names = ("rows", "copula", "scorefield")
        figures = ", ".join(f"{n} {m:.3f} ± {e:.3f}" for n, m, e in zip(names, mean, np.broadcast_to(error, 4)))
        print(f"{path or 'copula with mixed marginals'}: {figures}; {mean[3]:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
