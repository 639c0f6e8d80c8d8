"""How good draws of single columns given all others are: tests, and figures next to those of boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..user_values import real_tensor
from .base import Array, Distance, subsample
from .boosted import boosted_trees, encoded, without_empty
from .exchange import FEATURES, exchange_test, mean_in_words, spaced
from .typed import TypedColumn, table_features, typed_matrices

__all__ = ["ConditionalColumn", "column_conditionals"]

LEARNED = 4000  # rows that trees learn from
SMALL = {"max_iter": 20, "learning_rate": 0.2, "max_leaf_nodes": 8, "l2_regularization": 5.0}  # one fit for each column
LEVELS, KNOWN_LEVELS = 8, 4  # of a category that is drawn, and of one that is known
MARGINAL = 256  # values of a column, as draws that know nothing of the row
RANDOMIZATIONS = 500  # for each column, so that their corrected p-values reach 1/500
SURE = 3.0  # standard errors by which trees are better


@dataclass(frozen=True)
class ConditionalColumn:
    """The draws of a column given all others, and the values that were held out.

    Distances of two values are those of `table_features`: of numbers differences of their ranks as quantiles of a normal
    distribution, of categories 0 or 1. The score of draws X, X' of a value x is the energy score E|x − X| − E|X − X'| / 2: the
    continuous ranked probability score of numbers, half the Brier score of categories. It is smallest in the mean for the
    right conditional distribution.

    Arguments:
        name: The name of the column.
        p_value: That held-out values can be exchanged with draws, times the number of columns (Bonferroni).
        differs: What differs most, in words.
        skill: 1 − score / score of the column's own distribution: 0 if the other columns are of no use, 1 if draws are the
            values themselves; negative if draws are worse than those of the column alone.
        trees: The skill of boosted trees that learned from training rows, 0 if they know less than the column's own
            distribution; NaN if they did not learn.
        spread: E|X − X'| / E|x − X|: 1 if right, less if draws are too sure, more if they vary too much.
        missed: Whether the skill is less than that of the trees by more than three standard errors.

    References:
        Gneiting and Raftery, 2007, Strictly proper scoring rules, prediction, and estimation.
    """

    name: str
    p_value: float
    differs: str
    skill: float
    trees: float
    spread: float
    missed: bool


class _Known(NamedTuple):
    """What is known of each row, as features `(N, F)`, and the names of these."""

    values: np.ndarray
    names: tuple[str, ...]


def column_conditionals(
    real: Array,
    draws: np.ndarray,
    places: Sequence[int],
    train: Array,
    *,
    columns: Sequence[TypedColumn] = (),
    valid: np.ndarray | None = None,
    learn: bool = True,
    seed: int = 0,
) -> tuple[Distance, tuple[ConditionalColumn, ...]]:
    """Tests draws of single columns given all others, and measures how much they know.

    In each row the held-out value can be exchanged with its draws, if these are right (`exchange_test`). Compared are means,
    spreads and frequencies, and how they depend on each other column and on what boosted trees predict, which have learned
    from training rows.

    Arguments:
        real: Rows that the model was not trained on, `(N, C)`, with codes for categories and NaN for missing values.
        draws: L ≥ 2 draws of each of K columns in each row, given all others, `(K, N, L)`.
        places: Which columns these are, K of them.
        train: Training rows, `(M, C)`, from which ranks, the distribution of a column alone and trees are taken.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        valid: Which rows of each column have draws, true or false, `(K, N)`; all by default.
        learn: Whether boosted trees learn from training rows: not if these lack what the draws know.
        seed: The seed of the trees and the randomizations.

    Returns:
        The test of all columns together, whose p-value is the smallest one of a column, corrected; and the columns, in the
        order of `places`.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If shapes do not fit, or there are fewer than two draws.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(700, 1)) + 0.5 * rng.normal(size=(700, 2))
        >>> draws = 0.8 * x[600:, :1] + 0.67 * rng.normal(size=(100, 3))
        >>> exact, (column,) = column_conditionals(x[600:], draws[None], [1], x[:600])
        >>> exact.p_value > 0.05, 0.25 < column.skill < 0.55, 0.8 < column.spread < 1.25
        (True, True, True)
        >>> column_conditionals(x[600:], rng.permutation(x[:300, 1]).reshape(1, 100, 3), [1], x[:600])[0].p_value < 0.01
        True
    """
    (x, known), columns = typed_matrices([("real", real), ("train", train)], columns)
    draws = real_tensor(draws, "draws").detach().cpu().numpy()
    if draws.shape[:2] != (len(places), len(x)) or draws.ndim != 3 or draws.shape[2] < 2:
        got = f"got {draws.shape} for {len(places)} columns and {len(x)} rows"
        raise ValueError(f"column_conditionals needs draws (K, N, L) of K columns in N rows, L of 2 or more, {got}")
    features = [_features(x[:, i], known[:, i], columns[i], KNOWN_LEVELS) for i in range(len(columns))]
    tests, found = [], []
    valid = np.ones(draws.shape[:2], bool) if valid is None else valid
    for place, drawn, rows in zip(places, draws, valid):
        values = np.concatenate([x[rows, place, None], drawn[rows]], 1)
        answer = _features(values.ravel(), known[:, place], columns[place], LEVELS)
        points = answer.values.reshape(*values.shape, -1)
        trees = _learned(x[rows], known, place, columns, seed) if learn else None
        others = [_Known(each.values[rows], each.names) for i, each in enumerate(features) if i != place]
        test = _tested(points, answer.names, columns[place], others, trees, len(places), seed)
        tests.append(test)
        found.append(_measured(values, points, known[:, place], columns[place], trees, test, len(places)))
    worst = min(range(len(tests)), key=lambda i: (tests[i].p_value, -tests[i].value))
    p = min(1.0, len(tests) * (tests[worst].p_value or 0.0))
    note = f"of {len(tests)} columns, {found[worst].name} differs the most: {found[worst].differs}"
    whole = tests[worst]
    name = "each column given all others"
    return Distance(name, whole.value, whole.floor, whole.low, whole.high, whole.counts, p, note=note), tuple(found)


def _features(values: np.ndarray, reference: np.ndarray, column: TypedColumn, levels: int) -> _Known:
    found, names = table_features(values[:, None], reference[:, None], [column], levels)
    return _Known(found.numpy().astype(np.float64), names)


class _Trees(NamedTuple):
    """What trees predict: of a number its feature, with the errors of other rows; of a category probabilities.

    Arguments:
        predicted: `(N,)`, or the probabilities of the levels, `(N, K)`.
        errors: Of other rows than those the trees learned from; of numbers.
        levels: The features of the levels, `(K, P)`; of categories.
    """

    predicted: np.ndarray
    errors: np.ndarray
    levels: np.ndarray

    def scores(self, points: np.ndarray) -> np.ndarray:
        """The energy scores of values, `(N, P)`."""
        if not len(self.levels):
            off = np.abs(points[:, :1] - self.predicted[:, None] - self.errors).mean(1)
            return np.asarray(off - np.abs(self.errors[:, None] - self.errors).mean() / 2)
        apart = np.linalg.norm(self.levels[:, None] - self.levels, axis=2)
        off = np.linalg.norm(points[:, None] - self.levels, axis=2)
        p = self.predicted
        return np.asarray((p * off).sum(1) - np.einsum("nk,kl,nl->n", p, apart, p) / 2)


def _learned(x: np.ndarray, known: np.ndarray, place: int, columns: Sequence[TypedColumn], seed: int) -> _Trees | None:
    """Trees for a column from training rows; None if they have one value of it, or too few."""
    column = columns[place]
    train = np.asarray(subsample(known, LEARNED, seed))
    train = train if column.size else train[~np.isnan(train[:, place])]
    if len(train) < 40:
        return None
    target = _features(train[:, place], known[:, place], column, LEVELS).values
    others = [i for i in range(len(columns)) if i != place]
    rows, categories = encoded(np.concatenate([train, x])[:, others], [columns[i] for i in others])
    learned, tested = without_empty(rows[: len(train)], rows[len(train) :])
    trees = boosted_trees(column.size > 0, categories, seed).set_params(**SMALL)
    if not column.size:
        cut = 3 * len(train) // 4
        trees.fit(learned[:cut], target[:cut, 0])
        errors = (target[cut:, 0] - trees.predict(learned[cut:]))[:MARGINAL]
        return _Trees(trees.predict(tested), errors, np.zeros((0, 1)))
    code = np.where(target.any(1), target.argmax(1), target.shape[1])  # the last one stands for all other levels
    if len(np.unique(code)) < 2:
        return None
    trees.fit(learned, code)
    corners = np.concatenate([np.eye(target.shape[1]) * 0.5**0.5, np.zeros((1, target.shape[1]))])
    return _Trees(trees.predict_proba(tested), np.zeros(0), corners[trees.classes_])


def _tested(
    points: np.ndarray,
    names: tuple[str, ...],
    column: TypedColumn,
    others: Sequence[_Known],
    trees: _Trees | None,
    count: int,
    seed: int,
) -> Distance:
    """The test of one column: its features, and the spread of numbers, each alone and times what is known."""
    parts, titles = [points - points.mean((0, 1))], [mean_in_words(name, name == str(column.name)) for name in names]
    if not column.size:
        parts.append(np.abs(points[:, :, :1] - points[:, :, :1].mean(1, keepdims=True)))
        titles.append(f"the spread of {column.name}")
        if trees is not None:
            parts.append(np.abs(points[:, :, :1] - trees.predicted[:, None, None]))
            titles.append(f"the distance of {column.name} to what trees predict")
    values = np.concatenate(parts, 2)
    labels = [name for each in others for name in each.names]
    chosen = spaced(len(labels), FEATURES)
    known = [np.concatenate([each.values for each in others], 1)[:, chosen]] if others else []
    labels = [labels[i] for i in chosen]
    if trees is not None:
        predicted = trees.predicted.reshape(len(points), -1)
        known, labels = [*known, predicted], [*labels, *["what trees predict"] * predicted.shape[1]]
    side = np.concatenate(known, 1) if known else np.zeros((len(points), 0))
    side = np.concatenate([np.ones((len(points), 1)), side - side.mean(0)], 1)
    whole = (values[:, :, :, None] * side[:, None, None]).reshape(*values.shape[:2], -1)
    said = [title if i == 0 else f"{title} given {labels[i - 1]}" for title in titles for i in range(side.shape[1])]
    name = f"{column.name} given all others"
    return exchange_test(whole, said, name, seed, most=RANDOMIZATIONS * count)[0]


def _measured(
    values: np.ndarray,
    points: np.ndarray,
    known: np.ndarray,
    column: TypedColumn,
    trees: _Trees | None,
    test: Distance,
    count: int,
) -> ConditionalColumn:
    """Skill and spread, of rows whose value and draws are present, if they are numbers."""
    present = np.ones(len(values), bool) if column.size else ~np.isnan(values).any(1)
    points = points[present]
    nan = float("nan")
    said = test.note.partition(", ")[2].partition(" differs the most")[0]
    found = ConditionalColumn(str(column.name), min(1.0, count * (test.p_value or 0.0)), said, nan, nan, nan, False)
    own = known if column.size else known[~np.isnan(known)]
    if len(points) < 2 or len(own) < 2:
        return found
    alone = _features(np.asarray(subsample(own, MARGINAL, 0)), known, column, LEVELS).values
    off = np.linalg.norm(points[:, :1] - points[:, 1:], axis=2).mean(1)
    places = points.shape[1] - 1
    apart = sum(np.linalg.norm(points[:, 1:] - np.roll(points[:, 1:], k, 1), axis=2).mean(1) for k in range(1, places))
    apart = np.asarray(apart) / (places - 1)
    marginal = np.linalg.norm(points[:, :1] - alone, axis=2).mean(1)
    size = len(alone) / (len(alone) - 1)
    marginal = marginal - size * np.linalg.norm(alone[:, None] - alone, axis=2).mean() / 2
    score, base = off - apart / 2, float(marginal.mean())
    if base <= 0:
        return found
    skill, spread = 1 - float(score.mean()) / base, float(apart.mean()) / float(off.mean()) if off.any() else 1.0
    learned, missed = nan, False
    if trees is not None:
        better = (
            score - trees.scores(points[:, 0]) if present.all() else score - _at(trees, present).scores(points[:, 0])
        )
        learned = max(0.0, skill + float(better.mean()) / base)
        missed = bool(better.mean() > SURE * better.std() / np.sqrt(len(better)))
    return ConditionalColumn(found.name, found.p_value, said, skill, learned, spread, missed)


def _at(trees: _Trees, rows: np.ndarray) -> _Trees:
    return trees._replace(predicted=trees.predicted[rows])
