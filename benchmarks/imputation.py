"""Imputation: gaps at random in small tables, filled by scorefield and by chained equations, with the same gaps.

    python benchmarks/imputation.py [--share 0.2] [--draws 5] [--seeds 3]

Iris, wine and breast cancer (scikit-learn), numbers and class. A share of all values is removed completely at random; the
model is fitted on the table with gaps, and fills them. In units of the range of each column: MinMAE, the mean over rows with
gaps of the smallest mean absolute error of the draws; AvgMAE, the mean over rows and draws; W1, the Wasserstein distance
(cityblock) between the filled rows and the complete table. Others: chained random forests (MissForest), and Bayesian linear
chained equations (MICE), by scikit-learn.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

import scorefield

TABLES = {"iris": datasets.load_iris, "wine": datasets.load_wine, "breast cancer": datasets.load_breast_cancer}


def table(name: str) -> pd.DataFrame:
    """Numbers, and the class as text."""
    found = TABLES[name](as_frame=True)
    frame = found.frame.drop(columns="target").astype(float)
    return frame.assign(species=[str(found.target_names[i]) for i in found.target])


def numbers(frame: pd.DataFrame, like: pd.DataFrame) -> np.ndarray:
    """Columns on their range, and the class as one number for each level."""
    parts = [(frame[c] - like[c].min()) / (like[c].max() - like[c].min()) for c in like.columns[:-1]]
    levels = sorted(like["species"].unique())
    parts += [(frame["species"] == level).astype(float).where(frame["species"].notna()) for level in levels]
    return np.stack([np.asarray(part, dtype=float) for part in parts], 1)


def by_scorefield(frame: pd.DataFrame, like: pd.DataFrame, draws: int, seed: int) -> list[np.ndarray]:
    model = scorefield.fit(frame, seed=seed)
    found = model.impute(frame, draws=draws, seed=seed)
    return [numbers(each, like) for each in (found if draws > 1 else [found])]


def by_chains(estimator: Callable[[int], object] | None) -> Callable[..., list[np.ndarray]]:
    def fill(frame: pd.DataFrame, like: pd.DataFrame, draws: int, seed: int) -> list[np.ndarray]:
        x, found = numbers(frame, like), []
        for k in range(draws):
            options = {"sample_posterior": True} if estimator is None else {"estimator": estimator(seed + k)}
            imputer = IterativeImputer(max_iter=10, random_state=seed + k, **options)
            filled = imputer.fit_transform(x)
            best = filled[:, like.shape[1] - 1 :].argmax(1)
            filled[:, like.shape[1] - 1 :] = np.eye(filled.shape[1] - like.shape[1] + 1)[best]
            found.append(filled)
        return found

    return fill


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(x, y, "cityblock")
    return float(cost[linear_sum_assignment(cost)].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    methods = {
        "scorefield": by_scorefield,
        "MissForest": by_chains(lambda seed: RandomForestRegressor(50, random_state=seed)),
        "MICE": by_chains(None),
    }
    for name in TABLES:
        whole = table(name)
        results: dict[str, list[list[float]]] = {method: [] for method in methods}
        for seed in range(options.seeds):
            gaps = np.random.default_rng(seed).random(whole.shape) < options.share
            frame = whole.mask(gaps)
            truth = numbers(whole, whole)
            hidden = np.isnan(numbers(frame, whole))
            rows = hidden.any(1)
            for method, fill in methods.items():
                start = time.process_time()
                found = fill(frame, whole, options.draws, seed)
                seconds = time.process_time() - start
                errors = np.stack([(np.abs(f - truth) * hidden).sum(1)[rows] / hidden.sum(1)[rows] for f in found])
                w1 = float(np.mean([wasserstein(f, truth) for f in found]))
                results[method].append([errors.min(0).mean(), errors.mean(), w1, seconds])
        for method, values in results.items():
            mean, error = np.mean(values, 0), np.std(values, 0) / max(1, len(values)) ** 0.5
            figures = ", ".join(
                f"{label} {m:.3f} ± {e:.3f}" for label, m, e in zip(("MinMAE", "AvgMAE", "W1"), mean, error)
            )
            print(f"{name:14} {method:11} {figures}, {mean[3]:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
