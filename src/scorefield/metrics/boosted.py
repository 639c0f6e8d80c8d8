"""Whether boosted trees can distinguish samples from real rows of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Array, Distance, subsample
from .typed import TypedColumn, typed_matrices

__all__ = ["boosted_test", "boosted_trees", "detectability", "encoded"]

FOLDS = 5
LEVELS = 254  # of a category that the trees know as such; the rest share one
INFLATION = math.sqrt(2)  # of the standard error, for the dependence of the folds


def detectability(auc: float) -> float:
    """How well samples and real data can be distinguished, 2 max(½, AUC) − 1: 0 is ideal, 1 the worst.

    One minus it is the figure that papers on tables give as "detection".

    Example:
        >>> [detectability(auc) for auc in (0.4, 0.5, 0.75, 1.0)]
        [0.0, 0.0, 0.5, 1.0]
    """
    return 2 * max(0.5, auc) - 1


def boosted_test(
    samples: Array,
    real: Array,
    *,
    columns: Sequence[TypedColumn] = (),
    folds: int = FOLDS,
    maximum: int = 10000,
    seed: int = 0,
) -> Distance:
    """A classifier two-sample test with gradient-boosted trees: the cross-validated area under the ROC curve (AUC), ½ ideally.

    Trees see single values, spikes, rounding and any dependence of columns, which linear classifiers do not: these cannot
    distinguish real rows from rows with shuffled columns. Categories are split as categories, and missing values as such.

    The statistic is the mean of the AUC of the held-out fold over stratified folds, of equally many rows of each side. If both
    have the same distribution, the AUC of a fold has mean ½ and the variance of the Mann-Whitney statistic. Folds are
    dependent, because each row serves to fit the classifiers of other folds. For a classifier that is linear in the labels this
    doubles the variance of the mean, so that the standard error is taken √2 times as large; for boosted trees, measured on
    tables of 60 and of 300 rows, it is that too.

    Arguments:
        samples, real: Tables `(N, C)` and `(M, C)` with codes for categories and NaN for missing values; real rows that the
            model was not trained on.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        folds: The number of folds.
        maximum: The maximum number of rows of each side.
        seed: The seed of the rows and of the folds.

    Returns:
        The AUC with its range and its one-sided p-value under equal distributions. The note gives 1 − `detectability`.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If there are fewer rows than folds on a side, or tables or columns differ in number.

    References:
        Lopez-Paz and Oquab, 2017, Revisiting classifier two-sample tests; Hanley and McNeil, 1982, The meaning and use of the
        area under a ROC curve; Nadeau and Bengio, 2003, Inference for the generalization error (on dependent folds).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = rng.normal(size=(600, 1)) + 0.3 * rng.normal(size=(600, 2))
        >>> shuffled = np.stack([rng.permutation(real[:300, 0]), real[:300, 1]], 1)
        >>> boosted_test(shuffled, real[300:]).p_value < 1e-6, boosted_test(real[:300], real[300:]).p_value > 0.05
        (True, True)
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    (x, y), columns = typed_matrices([("samples", samples), ("real", real)], columns)
    count = min(len(x), len(y), maximum)
    if count < folds:
        raise ValueError(f"boosted_test needs at least one row per fold on each side, got {count} for {folds} folds")
    rows = np.concatenate([np.asarray(subsample(x, count, seed)), np.asarray(subsample(y, count, seed + 1))])
    rows, categories = encoded(rows, columns)
    label = np.repeat([1, 0], count)
    values, variances = [], []
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed & 0xFFFF_FFFF)
    for fitting, testing in parts.split(rows, label):
        model = boosted_trees(True, categories, seed).fit(rows[fitting], label[fitting])
        scores = model.predict_proba(rows[testing])[:, 1]
        values.append(roc_auc_score(label[testing], scores))
        variances.append(_variance(scores, int(label[testing].sum())))
    value, error = float(np.mean(values)), INFLATION * math.sqrt(sum(variances)) / folds
    z = (value - 0.5) / error if error > 0 else 0.0
    p = 0.5 * math.erfc(z / math.sqrt(2))
    note = f"AUC of boosted trees in {folds} folds of {count:,} samples and as many held-out rows, standard error {error:.2g}"
    note += f"; 1 − detectability {1 - detectability(value):.3g}"
    low, high = 0.5 - 1.645 * error, 0.5 + 1.645 * error
    ends = (value - 1.96 * error, value + 1.96 * error)
    return Distance("boosted trees", value, 0.5, low, high, (count, count), max(p, 1e-300), ends, note)


def _variance(scores: np.ndarray, positive: int) -> float:
    """The variance of the AUC under equal distributions, with its correction for tied scores."""
    total = len(scores)
    other = total - positive
    ties = np.unique(scores, return_counts=True)[1].astype(np.float64)
    tied = float((ties**3 - ties).sum()) / (total * (total - 1))
    return max(0.0, total + 1 - tied) / (12 * positive * other)


def encoded(rows: np.ndarray, columns: Sequence[TypedColumn]) -> tuple[np.ndarray, list[int]]:
    """Rows whose categories have few enough levels for the trees, and which columns are categories."""
    rows, categories = rows.copy(), [i for i, column in enumerate(columns) if column.size]
    for i in categories:
        known = ~np.isnan(rows[:, i])
        levels, codes, members = np.unique(rows[known, i], return_inverse=True, return_counts=True)
        rank = np.empty(len(levels), np.int64)
        rank[np.argsort(-members, kind="stable")] = np.arange(len(levels))
        rows[known, i] = np.minimum(rank[codes.ravel()], LEVELS - 1)
    return rows, categories


def boosted_trees(classifier: bool, categories: list[int], seed: int) -> Any:
    """Gradient-boosted trees of scikit-learn with its defaults, but no early stopping; `categories` are columns."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classifier else HistGradientBoostingRegressor
    return kind(categorical_features=categories or None, early_stopping=False, random_state=seed & 0xFFFF_FFFF)
