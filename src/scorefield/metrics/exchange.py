"""Tests of rows against others that were drawn given a part of them: if the draws are right, both can be exchanged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..user_values import real_tensor
from .base import Array, Distance, stream
from .boosted import boosted_trees, encoded, without_empty
from .typed import TypedColumn, table_features, typed_matrices

__all__ = ["completion_tests", "exchange_test", "mean_in_words", "spaced"]

FOLDS = 5
LEAVES = 8  # of a tree: as good as more of them, at half the cost
FEATURES = 96  # of rows, whose products are compared
LEVELS = 6  # of a category among them
RANDOMIZATIONS = 999
FEW = 0.02  # p-values up to it are computed again, from more randomizations
CELLS = 2**24  # numbers held in memory at once


def exchange_test(
    values: np.ndarray, labels: Sequence[str], name: str, seed: int = 0, most: int = RANDOMIZATIONS
) -> tuple[Distance, np.ndarray]:
    """Tests whether real values can be distinguished from draws, each given the same known values.

    If a draw given what is known has the distribution of the real value given the same, then the real value and its L draws
    can be exchanged. Statistic q is the sum over rows of the difference between the real value and the mean of all L + 1,
    divided by its standard deviation if any of them could be the real one. The p-value of the largest |z| is that of random
    choices of the real one, which is exact for any L, any dependence of the statistics and any distribution.

    Arguments:
        values: Q functions of the real value of each row, and of its draws, `(N, L + 1, Q)`, the real one first. They may
            depend on what is known of the row, and on the L + 1 values as a set, but not on which of them is real.
        labels: What the Q functions are, for the note.
        name: The name of the test.
        seed: The seed of the random choices.
        most: Where the p-value is small, it is computed from so many random choices; 999 are usual.

    Returns:
        The largest |z| with its p-value; and the z of all functions, `(Q,)`, positive where real values are larger, 0 where
        nothing varies.

    Raises:
        ValueError: If values are not `(N, L + 1, Q)` with a draw for each row and a label for each function.

    References:
        Talts et al., 2018, Validating Bayesian inference algorithms with simulation-based calibration, on the exchange.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> known = rng.normal(size=(300, 1, 1))
        >>> right = known + rng.normal(size=(300, 3, 1))
        >>> high = right + np.array([0.0, 0.5, 0.5])[:, None]
        >>> [exchange_test(x, ["mean"], "mean")[0].p_value <= 0.01 for x in (right, high)]
        [False, True]
    """
    values = real_tensor(values, "values").detach().cpu().numpy()
    if values.ndim != 3 or values.shape[1] < 2 or values.shape[2] != len(labels) or 0 in values.shape:
        got = f"got {values.shape} and {len(labels)} labels"
        raise ValueError(f"exchange_test needs values (N, L + 1, Q) of N rows and L draws each, and Q labels, {got}")
    rows, places, count = values.shape
    level = np.abs(values).max((0, 1))
    centred = values - values.mean(1, keepdims=True)
    spread = np.sqrt((centred**2).mean(1).sum(0))
    scale = np.where(spread > 1e-9 * level * math.sqrt(rows), spread, np.inf)
    z = centred[:, 0].sum(0) / scale
    flat = (centred / scale).reshape(rows * places, count).astype(np.float32)
    value = float(np.abs(z).max())
    null = _null(flat, rows, places, RANDOMIZATIONS, stream(seed, name))
    p = _above(null, value)
    if p <= FEW and most > RANDOMIZATIONS:
        p = _above(_null(flat, rows, places, most, stream(seed, f"{name}, again")), value)
    worst = int(np.abs(z).argmax())
    note = f"of {count:,}, {labels[worst]} differs the most: z = {z[worst]:.1f}, {rows:,} rows with {places - 1} draw"
    low, floor, high = (float(q) for q in np.quantile(null, [0.05, 0.5, 0.95]))
    counts = (rows * (places - 1), rows)
    return Distance(name, value, floor, low, high, counts, p, note=note + "s" * (places > 2)), z


def _above(null: np.ndarray, value: float) -> float:
    return float(1 + (null >= value - 1e-6).sum()) / (1 + len(null))


def _null(flat: np.ndarray, rows: int, places: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """The largest |z| of random choices, `(count,)`; `flat` is `(rows * places, Q)`."""
    found, step = [], max(1, CELLS // max(len(flat), flat.shape[1]))
    for start in range(0, count, step):
        size = min(step, count - start)
        chosen = np.zeros((size, rows, places), np.float32)
        np.put_along_axis(chosen, rng.integers(places, size=(size, rows, 1)), 1.0, 2)
        found.append(np.abs(chosen.reshape(size, -1) @ flat).max(1))
    return np.concatenate(found)


def completion_tests(
    real: Array,
    completed: Array,
    drawn: np.ndarray,
    reference: Array,
    *,
    columns: Sequence[TypedColumn] = (),
    seed: int = 0,
) -> tuple[Distance, Distance]:
    """Tests whether completed rows, of which some values were drawn given the others, can be distinguished from the real ones.

    Each row and its completion can be exchanged, if which values are drawn does not depend on them. One test compares means,
    mean squares and mean products of columns within pairs, and so sees spreads and dependences, also of what is drawn on what
    is given. The other one are boosted
    trees that learn to tell which row of a pair is the real one, from pairs before, and are asked about the pairs after them:
    given the past and the two rows, each answer is the toss of a coin. Its statistic is the signed-rank sum of the differences
    of their scores (Wilcoxon), part by part, whose distribution is known: that is exact up to the approximation of this
    distribution by a normal one. Comparing pairs sees much more than comparing completed rows with other real ones, as what
    is known is the same on both sides.

    Arguments:
        real, completed: Tables `(N, C)` with codes for categories and NaN for missing values: rows the model was not trained
            on, and the same rows with some values drawn given the others.
        drawn: Which values were drawn, true or false, `(N, C)`.
        reference: Other real rows, `(M, C)`, whose ranks make numbers comparable.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        seed: The seed of the order of the pairs, the trees and the randomizations.

    Returns:
        The largest |z| of the moments, and the share of pairs in which the trees recognize the real row, ½ ideally.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If there are fewer than 10 rows, or tables or columns differ in number.

    References:
        Wilcoxon, 1945, Individual comparisons by ranking methods; Pandeva et al., 2024, Deep anytime-valid hypothesis
        testing, on classifiers that are asked about what comes after they have learned.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(400, 1)) + 0.5 * rng.normal(size=(400, 2))
        >>> ask = np.tile([False, True], (400, 1))
        >>> ignored = np.stack([x[:, 0], rng.permutation(x[:, 1])], 1)
        >>> [test.p_value < 0.01 for test in completion_tests(x, ignored, ask, x)]
        [True, True]
    """
    data = [("real", real), ("completed", completed), ("reference", reference)]
    (x, y, known), columns = typed_matrices(data, columns)
    if len(x) != len(y) or len(x) < 2 * FOLDS or drawn.shape != x.shape:
        got = f"{x.shape}, {y.shape} and {drawn.shape}"
        raise ValueError(f"completion_tests needs at least {2 * FOLDS} pairs of rows, and what was drawn, got {got}")
    return _moments(x, y, drawn, known, columns, seed), _recognized(x, y, drawn, columns, seed)


def mean_in_words(name: str, number: bool) -> str:
    """What the mean of a feature of `table_features` is.

    Example:
        >>> mean_in_words("age", True), mean_in_words("kind is a", False)
        ('the mean of age', 'how often kind is a')
    """
    return f"the mean of {name}" if number else f"how often {name}"


def spaced(count: int, most: int) -> list[int]:
    """The numbers from 0 below a count; of more than `most`, that many of them, equally spaced.

    Example:
        >>> spaced(3, 5), spaced(10, 5)
        ([0, 1, 2], [0, 2, 4, 6, 8])
    """
    kept = min(count, most)
    return [i * count // kept for i in range(kept)]


def _moments(
    x: np.ndarray, y: np.ndarray, drawn: np.ndarray, reference: np.ndarray, columns: Sequence[TypedColumn], seed: int
) -> Distance:
    """The test of means, mean squares and mean products; products also over those rows alone in which one of two is given."""
    sides = [table_features(side, reference, columns, LEVELS) for side in (x, y)]
    sizes = [
        len(table_features(x[:1, [i]], reference[:, [i]], columns[i : i + 1], LEVELS)[1]) for i in range(len(columns))
    ]
    chosen = spaced(len(sides[0][1]), FEATURES)
    names, owners = [sides[0][1][i] for i in chosen], np.repeat(np.arange(len(columns)), sizes)[chosen]
    stacked = np.stack([side.numpy()[:, chosen] for side, _ in sides], 1).astype(np.float64)
    stacked -= stacked.mean((0, 1))
    numbers = {str(column.name) for column in columns if not column.size}
    pairs = [(i, j) for i in range(len(names)) for j in range(i, len(names)) if i != j or names[i] in numbers]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    products = stacked[:, :, first] * stacked[:, :, second]
    one = drawn[:, owners[first]] != drawn[:, owners[second]]  # which of a pair are given depends on no value
    some = np.flatnonzero((one.sum(0) >= 2 * FOLDS) & ~one.all(0))
    values = np.concatenate([stacked, products, products[:, :, some] * one[:, None, some]], 2)
    labels = [mean_in_words(name, name in numbers) for name in names]
    together = [f"how {names[i]} and {names[j]} go together" for i, j in pairs]
    labels += [f"the spread of {names[i]}" if i == j else words for (i, j), words in zip(pairs, together)]
    labels += [f"{together[k]} where one is given" for k in some]
    return exchange_test(values, labels, "moments of completed rows", seed)[0]


def _recognized(x: np.ndarray, y: np.ndarray, drawn: np.ndarray, columns: Sequence[TypedColumn], seed: int) -> Distance:
    """The test with boosted trees."""
    count = len(x)
    rows, categories = encoded(np.concatenate([x, y]), columns)
    rows = np.concatenate([rows, np.concatenate([drawn, drawn])], 1)
    rng = stream(seed, "pairs")
    parts = np.array_split(rng.permutation(count), FOLDS)
    above, mean, variance, right, asked = 0.0, 0.0, 0.0, 0, 0
    for k in range(1, FOLDS):
        before, after = np.concatenate(parts[:k]), parts[k]
        learned, *tested = without_empty(
            rows[np.concatenate([before, count + before])], rows[after], rows[count + after]
        )
        trees = boosted_trees(True, categories, seed).set_params(max_leaf_nodes=LEAVES)
        trees.fit(learned, np.repeat([1, 0], len(before)))
        one, two = (trees.decision_function(side) for side in tested)
        difference = (one - two)[one != two]
        n = len(difference)
        rank = np.empty(n)
        rank[np.lexsort((rng.random(n), np.abs(difference)))] = np.arange(1, n + 1)
        above += rank[difference > 0].sum()
        mean, variance = mean + n * (n + 1) / 4, variance + n * (n + 1) * (2 * n + 1) / 24
        right, asked = right + int((difference > 0).sum()), asked + n
    z = (above - mean) / math.sqrt(variance) if variance else 0.0
    p = max(0.5 * math.erfc(z / math.sqrt(2)), 1e-300)
    share, error = right / max(asked, 1), 0.5 / math.sqrt(max(asked, 1))
    low, high, ends = 0.5 - 1.645 * error, 0.5 + 1.645 * error, (share - 1.96 * error, share + 1.96 * error)
    note = f"boosted trees recognize the real row in {right:,} of {asked:,} pairs that differ in their eyes"
    return Distance("boosted trees on completed rows", share, 0.5, low, high, (count, count), p, ends, note)
