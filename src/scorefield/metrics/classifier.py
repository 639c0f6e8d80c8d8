"""The classifier two-sample test (C2ST): whether a classifier can distinguish samples from real data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, paired, stream
from .moments import directions
from .pool import Pool, p_value, permutation_test

__all__ = ["TwoSampleClassifier", "c2st", "classifier_test"]

FEATURES = 256  # random Fourier features of the least-squares classifier
LEADING = 32  # its principal directions
FOLDS = 5


class TwoSampleClassifier(Protocol):
    """The interface of a classifier, which all of scikit-learn's have."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Any: ...

    def predict_proba(self, x: np.ndarray) -> np.ndarray: ...


def c2st(
    x: Array,
    y: Array,
    *,
    classifier: TwoSampleClassifier | None = None,
    folds: int = 5,
    maximum: int = 10000,
    seed: int = 0,
) -> float:
    """The accuracy of a classifier that distinguishes x from y on held-out rows: 0.5 is ideal, 1 the worst.

    It is the mean over cross-validation folds, with equal numbers of rows, standardized by y. By default the classifier is that
    of the benchmarks of simulation-based inference: two layers of 10 D rectified linear units, fitted by Adam. For equal
    distributions its standard deviation is about ½/√(2n) (0.008 for 2,000 rows of each): compare it with `classifier_test` or
    a noise floor.

    Arguments:
        x, y: Samples of the model `(N, *D)` and real data `(M, *D)`.
        classifier: Any classifier of scikit-learn; it is fitted anew for each fold.
        folds, maximum: The number of folds, and the maximum number of rows of each side.
        seed: The seed of the rows, the folds and the default classifier.

    Raises:
        ValueError: If there are fewer rows than folds, the shapes differ, or a value is not finite.

    References:
        Lopez-Paz and Oquab, 2017, Revisiting classifier two-sample tests; Lueckmann et al., 2021, Benchmarking
        simulation-based inference.
    """
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    count = min(len(x), len(y), maximum)
    if count < folds:
        raise ValueError(f"c2st needs at least one row per fold on each side, got {count} rows for {folds} folds")
    a, b = paired(x, y, True, count, seed)
    rows = (
        torch.cat([a, b]).float().cpu().numpy()
    )  # standardized; the default network is a quarter faster than in doubles
    label = np.repeat([0, 1], [len(a), len(b)])
    if classifier is None:
        units = 10 * rows.shape[1]
        classifier = MLPClassifier((units, units), max_iter=10000, random_state=seed & 0xFFFF_FFFF)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed & 0xFFFF_FFFF)
    return float(cross_val_score(clone(classifier), rows, label, cv=parts, scoring="accuracy").mean())


def classifier_test(pool: Pool, classifier: TwoSampleClassifier | None = None, permutations: int = 499) -> Distance:
    """The classifier two-sample test: the cross-validated balanced accuracy, with an exact p-value.

    By default the classifier is a regularized least-squares fit to ±1 on 32 principal directions and 256 random Fourier
    features of them (Rahimi and Recht, 2007). It is linear in the labels, so that one factorization per fold serves all
    permutations, each of which is cross-validated. The p-value is that of the difference of the mean cross-validated scores of
    samples and held-out data, which has more power than the accuracy.

    A classifier of your own is fitted to half of the rows and tested on the other half. There the scores of samples and
    held-out data have the same distribution under the null hypothesis, and the p-value is that of their rank sum
    (Mann-Whitney). A binomial test of the correct answers over cross-validation folds would give too small p-values.

    Arguments:
        pool: The pooled samples and real data, up to tens of thousands of rows.
        classifier: Any classifier of scikit-learn with `predict_proba`.
        permutations: The number of permutations, for the default classifier.

    Raises:
        ValueError: If a side has fewer than five rows.

    References:
        Lopez-Paz and Oquab, 2017, Revisiting classifier two-sample tests; Noirhomme et al., 2014, Biased binomial
        assessment of cross-validated estimation of classification accuracies.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = classifier_test(Pool.of(rng.normal(size=(200, 2)), 2 + rng.normal(size=(200, 2))))
        >>> found.value > 0.85, found.p_value
        (True, 0.002)
    """
    if min(pool.n, pool.m) < FOLDS:
        raise ValueError(f"classifier_test needs at least {FOLDS} rows on each side, got {pool.n} and {pool.m}")
    if classifier is not None:
        return _halves(pool, classifier)
    scores = _LeastSquares(pool)
    note = f"least squares on {scores.features.shape[1]} features, {FOLDS} folds, {pool.sizes}"
    name, few = "classifier two-sample test", 0 if pool.extra else 99
    accuracy = permutation_test(pool, scores.accuracy, name, permutations=few, splits=50, resamples=0)
    null = np.concatenate([scores.gap(pool.pair, a, b).cpu().numpy() for a, b in pool.permuted(permutations)])
    p = p_value(float(scores.gap(pool.pair, *pool.observed())[0]), null)
    return _with_interval(accuracy, p, note)


class _LeastSquares:
    """Cross-validated scores, for many labelings at once.

    The targets are 1/n for samples and −1/m for held-out data, so that both sides have equal weight. In fold f, with features φ
    centred over the other folds, the weights are w = (Σ φ φᵀ + ridge)⁻¹ Σ φ t over the rows of the other folds. Sums over the
    rows of a fold are computed once, and used in the four fits that include it.
    """

    def __init__(self, pool: Pool) -> None:
        rows = pool.flat - pool.flat[pool.pair].mean(0)
        along = rows @ directions(rows[pool.pair], LEADING)
        along = along / along[pool.pair].std(0).clamp_min(1e-6 * float(along[pool.pair].std()) + 1e-30)
        rng = stream(pool.seed, "fourier")
        # Length scales of √(dimension) and half of it, in standard deviations: coarse and fine features.
        width = np.where(np.arange(FEATURES) % 2 == 0, 1.0, 0.5) * math.sqrt(along.shape[1])
        waves = torch.from_numpy(rng.standard_normal((along.shape[1], FEATURES)) / width).to(along)
        phase = torch.from_numpy(rng.uniform(0, 2 * math.pi, FEATURES)).to(along)
        self.features = torch.cat([along, along.square(), math.sqrt(2) * torch.cos(along @ waves + phase)], 1)
        self.seed = pool.seed
        self._folds: tuple[slice, Tensor, list[_Fold]] | None = None

    def gap(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        """The difference of the mean scores of both sides, over the root mean square of the scores."""
        top = square = torch.zeros(1, device=a.device)
        for fold, weight, sums, total in self._fits(block, a, b):
            top = top + ((sums - total * fold.middle) * weight).sum(1)
            square = square + ((weight @ fold.gram) * weight).sum(1)
        return top / torch.sqrt(square / len(self._folded(block)[0])).clamp_min(1e-30)

    def accuracy(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        """The balanced accuracy: the mean of the fractions of both sides that are classified correctly."""
        features, _ = self._folded(block)
        here, there = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
        right = torch.full((len(a),), 0.5, device=a.device)
        for fold, weight, _, _ in self._fits(block, a, b):
            score = (weight @ (features[fold.rows] - fold.middle).T).sign()
            right = right + ((here - there)[:, fold.rows] * score).sum(1) / 4
        return right

    def _fits(self, block: slice, a: Tensor, b: Tensor) -> Iterator[tuple[_Fold, Tensor, Tensor, Tensor]]:
        """For each fold: the weights `(K, F)` learned from the other folds, and Σ φ t and Σ t over its own rows."""
        features, folds = self._folded(block)
        target = a / a.sum(1, keepdim=True) - b / b.sum(1, keepdim=True)
        sums = torch.stack([target[:, fold.rows] @ features[fold.rows] for fold in folds])
        totals = torch.stack([target[:, fold.rows].sum(1, keepdim=True) for fold in folds])
        for i, fold in enumerate(folds):
            rest = sums.sum(0) - sums[i] - (totals.sum(0) - totals[i]) * fold.middle
            yield fold, torch.cholesky_solve(rest.T, fold.root).T, sums[i], totals[i]

    def _folded(self, block: slice) -> tuple[Tensor, list[_Fold]]:
        if self._folds is None or self._folds[0] != block:
            features = self.features[block]
            features = features - features.mean(0)
            order = torch.from_numpy(stream(self.seed, "folds").permutation(len(features))).to(features.device)
            made = []
            for fold in range(FOLDS):
                outside = order[fold::FOLDS]
                keep = torch.ones(len(features), dtype=torch.bool, device=features.device)
                keep[outside] = False
                middle = features[keep].mean(0)
                inner, outer = features[keep] - middle, features[outside] - middle
                gram = inner.T @ inner
                # A ridge of 1 % of the mean square of a feature plus twenty rows: it matters only if there are few rows.
                ridge = float(gram.diagonal().mean()) * (0.01 + 20 / len(inner))
                root = torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), device=gram.device))
                made.append(_Fold(outside, middle, root, outer.T @ outer))
            self._folds = block, features, made
        return self._folds[1], self._folds[2]


class _Fold(NamedTuple):
    """The rows of a fold, the mean and the Cholesky factor of the other folds, and the Gram matrix of the fold."""

    rows: Tensor
    middle: Tensor
    root: Tensor
    gram: Tensor


def _halves(pool: Pool, classifier: TwoSampleClassifier) -> Distance:
    """A test with a classifier that is fitted to one half of the rows and tested on the other."""
    from scipy.stats import binom, mannwhitneyu
    from sklearn.base import clone

    rows = pool.flat[pool.pair].cpu().numpy()
    rng = stream(pool.seed, "halves")
    first, second = rng.permutation(pool.n), pool.n + rng.permutation(pool.m)
    fitting = np.concatenate([first[: pool.n // 2], second[: pool.m // 2]])
    model = clone(classifier)
    model.fit(rows[fitting], (fitting < pool.n).astype(int))
    here, there = (model.predict_proba(rows[part])[:, 1] for part in (first[pool.n // 2 :], second[pool.m // 2 :]))
    middle = pool.n // 2 / len(fitting)  # the threshold of the probability, if the sides have different sizes
    right = [np.mean(side > middle) + np.mean(side == middle) / 2 for side in (here, there)]
    value = float(right[0] + 1 - right[1]) / 2
    p = float(mannwhitneyu(here, there, alternative="greater").pvalue)
    count = 2 * min(len(here), len(there))
    low, floor, high = (float(binom.ppf(q, count, 0.5)) / count for q in (0.05, 0.5, 0.95))
    note = f"{type(classifier).__name__}, fitted to {len(fitting):,} rows, tested on {len(here):,} and {len(there):,}"
    found = Distance("classifier two-sample test", value, floor, low, high, (len(here), len(there)))
    return _with_interval(found, p, f"{note}; the floor is binomial")


def _with_interval(found: Distance, p: float, note: str) -> Distance:
    n, m = found.counts
    spread = max(0.0, found.value * (1 - found.value))  # an accuracy in float32 can exceed 1 by rounding
    margin = 1.96 * math.sqrt(spread / 4 * (1 / n + 1 / m))
    return replace(found, p_value=p, note=note, interval=(found.value - margin, found.value + margin))
