"""Whether a column of a table can be predicted as well by a model that has learned from samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .base import Array, stream, subsample
from .boosted import boosted_trees, encoded
from .typed import TypedColumn, typed_matrices

__all__ = ["Utility", "table_utility"]

LEAST = 10  # rows of each table
CLASSES = 20  # of a category that is predicted unless another is asked for: trees are fitted for each class
RESAMPLES = 200


@dataclass(frozen=True)
class Utility:
    """How well boosted trees predict a column of real rows, if they learned from samples and if they learned from real rows.

    Arguments:
        target: The name of the column that is predicted.
        statistic: What is compared: "AUC" of two classes, "accuracy" of more, "R²" of numbers; higher is better.
        samples, real: It, after learning from samples and from as many real rows, on other real rows.
        constant: It, of the best constant prediction.
        interval: The 95 % bootstrap interval of the difference, samples minus real, over the test rows.
        counts: The number of rows that each learned from, and the number of test rows.
        errors: For numbers, the root mean squared errors of both in the units of the column.
    """

    target: str
    statistic: str
    samples: float
    real: float
    constant: float
    interval: tuple[float, float]
    counts: tuple[int, int]
    errors: tuple[float, float] | None = None

    @property
    def worse(self) -> bool:
        """Whether real rows teach more than samples, by more than the test rows explain."""
        return self.interval[1] < 0


def table_utility(
    samples: Array,
    train: Array,
    test: Array,
    *,
    columns: Sequence[TypedColumn] = (),
    target: int | str | None = None,
    maximum: int = 20000,
    seed: int = 0,
) -> Utility | None:
    """Trains boosted trees on samples and on as many real rows, and tests both on other real rows.

    Arguments:
        samples, train, test: Tables `(N, C)` with codes for categories and NaN for missing values; rows that miss the target
            are left out.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        target: The name or the index of the column to predict; by default the last category of at most 20 levels.
        maximum: The maximum number of rows of each table.
        seed: The seed of the rows, the trees and the bootstrap.

    Returns:
        What was found; None if no target is asked for and there is no such category, or if fewer than ten rows, or only one
        class, are left in a table.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number, there is no such column, or no other one.

    References:
        Esteban et al., 2017, Real-valued (medical) time series generation with recurrent conditional GANs ("train on synthetic,
        test on real").

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(900, 2))
        >>> x[:, 1] = 2 * x[:, 0] + 0.1 * rng.normal(size=900)
        >>> shuffled = np.stack([x[:300, 0], rng.permutation(x[:300, 1])], 1)
        >>> found = table_utility(shuffled, x[300:600], x[600:], target=1)
        >>> found.statistic, found.real > 0.9, found.worse
        ('R²', True, True)
    """
    tables, columns = typed_matrices([("samples", samples), ("train", train), ("test", test)], columns)
    place = _target(columns, target)
    if place is None:
        return None
    kept = [x[~np.isnan(x[:, place])] for x in tables]
    count = min(len(kept[0]), len(kept[1]), maximum)
    parts = [np.asarray(subsample(x, size, seed + i)) for i, (x, size) in enumerate(zip(kept, (count, count, maximum)))]
    answers = [x[:, place] for x in parts]
    numeric = not columns[place].size
    if min(map(len, parts)) < LEAST or (not numeric and min(len(np.unique(a)) for a in answers) < 2):
        return None
    others = [i for i in range(len(columns)) if i != place]
    whole, categories = encoded(np.concatenate(parts)[:, others], [columns[i] for i in others])
    rows = [whole[:count], whole[count : 2 * count], whole[2 * count :]]
    score, name = (_explained, "R²") if numeric else (_accuracy, "accuracy")
    predicted = []
    for x, y in zip(rows[:2], answers[:2]):
        model = boosted_trees(not numeric, categories, seed).fit(x, y)
        if not numeric and len(np.unique(np.concatenate(answers))) == 2:
            score, name = _auc, "AUC"
            predicted.append(model.predict_proba(rows[2])[:, 1])
        else:
            predicted.append(model.predict(rows[2]))
    constant = _constant(name, answers[1], answers[2])
    title = str(columns[place].name)
    return _compared(title, name, score, answers[2], predicted, constant, (count, len(rows[2])), seed)


def _target(columns: Sequence[TypedColumn], target: int | str | None) -> int | None:
    if target is None:
        categories = [i for i, column in enumerate(columns) if 2 <= column.size <= CLASSES]
        return categories[-1] if categories and len(columns) > 1 else None
    names = [str(column.name) for column in columns]
    if isinstance(target, str) and target not in names:
        raise ValueError(f"there is no column {target!r} to predict: choose from {', '.join(names[:10])}")
    place = names.index(target) if isinstance(target, str) else target
    if not -len(names) <= place < len(names):
        raise ValueError(f"there is no column {place} to predict: there are {len(names)}")
    if len(names) == 1:
        raise ValueError(f"{names[0]!r} is the only column: a prediction needs others")
    return place % len(names)


def _compared(
    target: str,
    name: str,
    score: Callable[[np.ndarray, np.ndarray], float],
    truth: np.ndarray,
    predicted: Sequence[np.ndarray],
    constant: float,
    counts: tuple[int, int],
    seed: int,
) -> Utility:
    rng, size = stream(seed, "utility"), len(truth)
    differences = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(size, size=size)
        here, there = (score(truth[chosen], each[chosen]) for each in predicted)
        differences.append(here - there)
    ends = np.nanquantile(differences, [0.025, 0.975])
    errors = None
    if name == "R²":
        here, there = (float(np.sqrt(np.mean((truth - each) ** 2))) for each in predicted)
        errors = here, there
    here, there = (score(truth, each) for each in predicted)
    return Utility(target, name, here, there, constant, (float(ends[0]), float(ends[1])), counts, errors)


def _auc(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The area under the ROC curve by ranks; NaN if there is one class."""
    from scipy.stats import rankdata

    upper = truth > truth.min()
    n, m = int(upper.sum()), int((~upper).sum())
    if not n:
        return float("nan")
    return float((rankdata(predicted)[upper].sum() - n * (n + 1) / 2) / (n * m))


def _accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean(truth == predicted))


def _explained(truth: np.ndarray, predicted: np.ndarray) -> float:
    total = float(np.sum((truth - truth.mean()) ** 2))
    return 1 - float(np.sum((truth - predicted) ** 2)) / total if total > 0 else float("nan")


def _constant(name: str, known: np.ndarray, truth: np.ndarray) -> float:
    if name == "AUC":
        return 0.5
    if name == "R²":
        return _explained(truth, np.full(len(truth), known.mean()))
    classes, members = np.unique(known, return_counts=True)
    return float(np.mean(truth == classes[members.argmax()]))
