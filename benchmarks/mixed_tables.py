"""Tables of numbers and categories: how well samples pass for the real rows, next to simple models.

    python benchmarks/mixed_tables.py adult.csv --target Salary --minutes 14
    python benchmarks/mixed_tables.py default.csv --categorical SEX EDUCATION MARRIAGE PAY_0 … --minutes 14
    python benchmarks/mixed_tables.py magic.csv --target class --models copula

The protocol: 90 % of the rows (seed 0) are for training; as many rows are drawn. Detectability: XGBoost with its defaults
(categories as ordinal codes), threefold, training rows against samples; printed is 1 - (2 max(0.5, AUC) - 1), 1 for samples
that pass for rows. Shape and Trend are those of SDMetrics. Utility: XGBoost trained on samples, tested on the
10 % left (AUC of the target), next to one trained on the rows. Copies: the share of samples that equal a training row, next to
that of the rows left. Needs xgboost; on a machine without a GPU, xgboost-cpu.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm

import scorefield
from scorefield import metrics
from scorefield.data import Schema


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nine tenths for training, and the rest."""
    order = np.random.default_rng(0).permutation(len(frame))
    cut = int(0.9 * len(frame))
    return frame.iloc[order[:cut]].reset_index(drop=True), frame.iloc[order[cut:]].reset_index(drop=True)


def factorized(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every column by itself."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: train[name].to_numpy()[rng.permutation(len(train))] for name in train.columns})


def copula(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """An empirical Gaussian copula: normal scores of ranks, ties broken at random, and sorted values."""
    rng, scores, values = np.random.default_rng(seed), [], []
    for name in train.columns:
        codes = (
            train[name].astype("category").cat.codes.to_numpy() if train[name].dtype.kind not in "biuf" else train[name]
        )
        order = np.lexsort((rng.random(len(train)), np.asarray(codes)))
        ranks = np.empty(len(train))
        ranks[order] = np.arange(len(train))
        scores.append(norm.ppf((ranks + 0.5) / len(train)))
        values.append(train[name].to_numpy()[order])
    correlation = np.corrcoef(scores)
    drawn = rng.multivariate_normal(np.zeros(len(scores)), correlation, len(train), method="eigh")
    places = np.minimum((norm.cdf(drawn) * len(train)).astype(int), len(train) - 1)
    columns = {name: values[i][places[:, i]] for i, name in enumerate(train.columns)}
    return pd.DataFrame(columns).astype(train.dtypes)


def codes(frames: list[pd.DataFrame], categorical: set[str]) -> list[np.ndarray]:
    """Tables as numbers: categories by the order of their names."""
    found = [np.empty(frame.shape) for frame in frames]
    for j, name in enumerate(frames[0].columns):
        texts = [frame[name].astype(object).where(frame[name].notna(), "?").astype(str) for frame in frames]
        texts = texts if name in categorical else [frame[name] for frame in frames]
        levels = sorted(set().union(*map(set, texts))) if name in categorical else []
        index = {level: i for i, level in enumerate(levels)}
        for out, text in zip(found, texts):
            out[:, j] = text.map(index) if name in categorical else pd.to_numeric(text)
    return found


def detectability(train: np.ndarray, drawn: np.ndarray) -> float:
    """1 - (2 max(0.5, AUC) - 1) of XGBoost, threefold."""
    import xgboost
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    x, y = np.concatenate([train, drawn]), np.repeat([0, 1], [len(train), len(drawn)])
    found = []
    for fit, test in StratifiedKFold(3, shuffle=True, random_state=0).split(x, y):
        model = xgboost.XGBClassifier(eval_metric="logloss", n_jobs=1).fit(x[fit], y[fit])
        found.append(roc_auc_score(y[test], model.predict_proba(x[test])[:, 1]))
    return 2 - 2 * max(0.5, float(np.mean(found)))


def utility(drawn: np.ndarray, test: np.ndarray, target: int) -> float:
    """The AUC for the target on real rows, of XGBoost trained on others."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    others = [i for i in range(drawn.shape[1]) if i != target]
    if len(np.unique(drawn[:, target])) < 2:
        return 0.5
    model = xgboost.XGBClassifier(eval_metric="logloss", n_jobs=1).fit(drawn[:, others], drawn[:, target].astype(int))
    return float(roc_auc_score(test[:, target], model.predict_proba(test[:, others])[:, 1]))


def copies(train: np.ndarray, drawn: np.ndarray) -> float:
    """The share of rows that equal a training row."""
    known = {row.tobytes() for row in np.nan_to_num(train, nan=-1e300)}
    return float(np.mean([row.tobytes() in known for row in np.nan_to_num(drawn, nan=-1e300)]))


def judged(
    name: str, train: pd.DataFrame, test: pd.DataFrame, drawn: pd.DataFrame, schema: Schema, target: str
) -> None:
    """One line of figures."""
    categorical = {str(column.name) for column in schema.table if column.size} | {target}
    real, held_out, fake = codes([train, test, drawn], categorical)
    matrices = [schema.unpack(frame, torch.float64) for frame in (drawn, train)]
    shape = metrics.table_shapes(*matrices, columns=schema.table).score.value
    trend = metrics.table_trends(*matrices, columns=schema.table).score.value
    place = list(train.columns).index(target)
    print(
        f"{name:12} 1-detectability {detectability(real, fake):.3f}  Shape {shape:.3f}  Trend {trend:.3f}  "
        f"utility {utility(fake, held_out, place):.3f} (rows {utility(real, held_out, place):.3f})  "
        f"copies {copies(real, fake):.4f} (rows left {copies(real, held_out):.4f})",
        flush=True,
    )


def fitted(train: pd.DataFrame, settings: scorefield.Data, options: argparse.Namespace) -> Any:
    """The model, from its file if that exists."""
    if options.model and options.model.exists():
        return scorefield.load(options.model)
    model = scorefield.fit(train, data=settings, minutes=options.minutes, seed=options.seed)
    if options.model:
        model.save(options.model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--target", help="a column of two categories; the last by default")
    parser.add_argument("--categorical", nargs="*", default=[], help="columns of numbers that are categories")
    parser.add_argument("--minutes", type=float, help="of training; by default as fit chooses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a file for the samples of scorefield")
    parser.add_argument(
        "--model", type=Path, help="a file for the fitted model; if it exists, it is read and not fitted again"
    )
    parser.add_argument("--models", nargs="*", default=["factorized", "copula", "scorefield"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    frame: Any = scorefield.read(options.file)
    target = options.target or str(frame.columns[-1])
    settings = scorefield.Data(categorical=tuple(dict.fromkeys((*options.categorical, target))))
    train, test = split(frame)
    schema = Schema.of(train, data=settings)
    print(f"{options.file.name}: {len(train):,} rows x {train.shape[1]}, target {target}", flush=True)
    for name in options.models:
        start = time.process_time()
        if name == "scorefield":
            model = fitted(train, settings, options)
            trained = time.process_time() - start
            drawn = model.sample(len(train), seed=options.seed)
            if options.output:
                drawn.to_csv(options.output, index=False)
            print(
                f"{name:12} {trained:.0f} CPU seconds of fitting, {time.process_time() - start - trained:.0f} of sampling"
            )
        else:
            drawn = {"factorized": factorized, "copula": copula}[name](train, options.seed)
            print(f"{name:12} {time.process_time() - start:.2f} CPU seconds")
        judged(name, train, test, drawn, schema, target)


if __name__ == "__main__":
    main()
