"""The columns of a table one by one: how far the samples are from real data, by the kind of each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .base import Array, Distance
from .moments import TestFamily
from .pool import Pool
from .tables import chosen_rows
from .typed import TypedColumn, named_tables, typed_matrices, value_text

__all__ = ["ColumnShape", "Share", "TableShapes", "range_test", "table_shapes"]

LATTICE = 0.9  # of the numbers of a column that occur more than once: then new values are counted
SMALLEST = 1e-300  # the smallest p-value


@dataclass(frozen=True)
class Share:
    """A share of rows, of samples and of real data.

    Arguments:
        samples, real: The share of samples, and of held-out rows.
        low, high: The range, from 5 % to 95 %, in which the share of samples of a perfect model would be, given that of the
            held-out rows: by the differences of random parts of these sizes.
    """

    samples: float
    real: float
    low: float
    high: float

    @property
    def covered(self) -> bool:
        """Whether the share of samples is within the range of real data."""
        return self.low <= self.samples <= self.high


@dataclass(frozen=True)
class ColumnShape:
    """What was measured of one column.

    Arguments:
        name, kind: Its name, and what it holds.
        distance: Between the values that are there: Kolmogorov-Smirnov for numbers, total variation for categories.
        wasserstein: The Wasserstein distance of order 1 in the units of the column; None for categories.
        missing: The share of missing values.
        atom: The share of the value that is most common among samples and real rows together.
        atom_value: That value, or the code of the category.
        repeated: The share of numbers that occur more than once; None for categories.
        least, largest: The range of real numbers; NaN for categories.
        below, above: How many samples are below and above it.
        unseen: How many samples have a value that no real row has: a category, or a number if nearly all numbers of the
            column occur more than once, as on a lattice. None for other numbers.
        unseen_by_chance: How many of as many new real rows would, by the number of values that occur once in the data.
    """

    name: str
    kind: str
    distance: Distance
    wasserstein: Distance | None
    missing: Share
    atom: Share
    atom_value: float
    repeated: Share | None
    least: float
    largest: float
    below: int
    above: int
    unseen: int | None
    unseen_by_chance: float

    @property
    def score(self) -> float:
        """One minus the distance: KSComplement or TVComplement of SDMetrics."""
        return 1 - self.distance.value


@dataclass(frozen=True)
class TableShapes:
    """All columns of a table.

    Arguments:
        columns: What was measured of each.
        score: The mean of their scores, "Column Shapes" of SDMetrics and "Shape" in the literature, with the same between
            real data and real data.
    """

    columns: tuple[ColumnShape, ...]
    score: Distance


def table_shapes(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    columns: Sequence[TypedColumn] = (),
    maximum: int = 10000,
    splits: int = 20,
    seed: int = 0,
) -> TableShapes:
    """Compares each column of samples and held-out data by its kind, with noise floors from real data of the same sizes.

    Distances and shares use up to `maximum` rows of each side; ranges and values that were never observed use all rows.

    Arguments:
        samples, held_out, train: Tables `(N, C)` with codes for categories and NaN for missing values: samples of the model,
            held-out rows, and further real rows, which the noise floors and the ranges use.
        columns: A description per column, such as `Schema.table`; without them all are numbers.
        maximum: The maximum number of rows of each side.
        splits, seed: The number of splits of real data for the noise floors, and the seed.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number, or a side has fewer than two rows.

    References:
        SDMetrics, documentation of KSComplement, TVComplement and the quality report: values that are missing are left out.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = np.maximum(rng.normal(size=(3000, 1)), 0)
        >>> found = table_shapes(rng.normal(size=(1000, 1)), real[:1000], real[1000:]).columns[0]
        >>> found.distance.covered, found.atom_value, round(found.atom.real, 1), found.below > 400
        (False, 0.0, 0.5, True)
    """
    tables, columns = typed_matrices(named_tables(samples, held_out, train), columns)
    n, m, parts = chosen_rows([len(x) for x in tables], maximum, seed)
    some = [x[part.numpy()] for x, part in zip(tables, parts)]
    pool = Pool(torch.cat(parts)[:, None], n, m, seed)
    rows, divisions = (np.concatenate(some[1:]), pool.splits) if pool.extra else (np.concatenate(some), pool.permuted)
    halves = [(a.numpy() > 0, b.numpy() > 0) for several in divisions(splits) for a, b in zip(*several)]
    found = []
    scores = np.empty((len(columns), len(halves)))
    for i, column in enumerate(columns):
        shape, scores[i] = _shape(column, [x[:, i] for x in tables], [x[:, i] for x in some], rows[:, i], halves)
        found.append(shape)
    values = np.array([shape.score for shape in found])
    known = np.isfinite(values)
    note = "mean of KSComplement and TVComplement over the columns; 1 is ideal"
    usable = known & np.isfinite(scores).all(1)
    floors = scores[usable].mean(0) if usable.any() else np.full(len(halves), np.nan)
    value = float(values[known].mean()) if known.any() else float("nan")
    score = Distance("Column Shapes", value, *_range(floors), counts=(n, m), note=note, higher=True)
    return TableShapes(tuple(found), score)


def _shape(
    column: TypedColumn,
    whole: Sequence[np.ndarray],
    some: Sequence[np.ndarray],
    rows: np.ndarray,
    halves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[ColumnShape, np.ndarray]:
    """What is measured of a column, and its scores between parts of real data."""
    x, real = some[0], np.concatenate(some[1:])
    counts = len(x), len(some[1])
    apart = _total_variation if column.size else _kolmogorov_smirnov
    name = "total variation distance" if column.size else "Kolmogorov-Smirnov distance"
    pairs = [(rows[a], rows[b]) for a, b in halves]
    floors = np.array([apart(_there(a), _there(b)) for a, b in pairs])
    distance = Distance(name, apart(_there(x), _there(some[1])), *_range(floors), counts=counts)
    wasserstein = None
    if not column.size:
        between = [_wasserstein(_there(a), _there(b)) for a, b in pairs]
        value = _wasserstein(_there(x), _there(some[1]))
        wasserstein = Distance("Wasserstein distance", value, *_range(np.array(between)), counts=counts)

    def share(of: Callable[[np.ndarray], float]) -> Share:
        _, low, high = _range(np.array([of(a) - of(b) for a, b in pairs]))
        held_out = of(some[1])
        return Share(of(x), held_out, max(0.0, held_out + low), min(1.0, held_out + high))

    atom = _atom(x, real)
    known, drawn = _there(np.concatenate(whole[1:])), _there(whole[0])
    range_ = (np.nan, np.nan) if column.size or not len(known) else (float(known.min()), float(known.max()))
    repeated = None if column.size else share(_repeated)
    counted = column.size > 0 or _repeated(real) > LATTICE
    unseen, chance = _unseen(drawn, known) if counted else (None, 0.0)
    shape = ColumnShape(
        *(str(column.name), column.kind, distance, wasserstein),
        missing=share(lambda values: float(np.isnan(values).mean())),
        atom=share(lambda values: float((values == atom).mean())),
        atom_value=atom,
        repeated=repeated,
        least=range_[0],
        largest=range_[1],
        below=int((drawn < range_[0]).sum()),
        above=int((drawn > range_[1]).sum()),
        unseen=unseen,
        unseen_by_chance=chance,
    )
    return shape, 1 - floors


def range_test(samples: Array, real: Array, columns: Sequence[TypedColumn] = ()) -> tuple[TestFamily, ...]:
    """Tests whether more samples lie outside the range of real numbers than new real data would.

    If samples and N real numbers have the same continuous distribution, the probability of the two sides outside the range of
    the N is distributed as Beta(2, N − 1), whatever that distribution is, and the number of n samples outside is
    beta-binomial; with ties there are fewer. P-values are exact or conservative. That of the family is Bonferroni's.

    Arguments:
        samples, real: Tables `(N, C)` and `(M, C)`; all their rows are used.
        columns: A description per column; without them all are numbers, and categories are not tested.

    Returns:
        The family, `samples` and `real` of which are the share of samples outside and its expectation; none if there are no
        numbers.

    Raises:
        TypeError: If something is not a tensor or an array of real numbers.
        ValueError: If tables or columns differ in number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real = rng.uniform(size=(1000, 1))
        >>> tests = [range_test(x, real)[0] for x in (rng.uniform(size=(500, 1)), rng.normal(size=(500, 1)))]
        >>> [test.distance.p_value < 0.05 for test in tests]
        [False, True]
    """
    (x, y), columns = typed_matrices([("samples", samples), ("real", real)], columns)
    labels, outside, chance, p, notes = [], [], [], [], []
    for i, column in enumerate(columns):
        drawn, known = _there(x[:, i]), _there(y[:, i])
        if column.size or len(known) < 2 or not len(drawn):
            continue
        below, above = int((drawn < known.min()).sum()), int((drawn > known.max()).sum())
        labels.append(str(column.name))
        outside.append((below + above) / len(drawn))
        chance.append(2 / (len(known) + 1))
        p.append(_outside(below + above, len(drawn), len(known)))
        notes.append(
            f"{below:,} samples are below and {above:,} above the range {value_text(column, known.min())} to "
            f"{value_text(column, known.max())}"
        )
    if not labels:
        return ()
    worst, corrected = int(np.argmin(p)), np.minimum(1, np.array(p) * len(p))
    low, floor, high = (-float(np.log10(1 - (1 - q) ** (1 / len(p)))) for q in (0.95, 0.5, 0.05))
    note = f"of {len(p)}, {labels[worst]} differs the most: of {len(x):,}, {notes[worst]}"
    note += f" (Bonferroni p = {corrected[worst]:.2g}); the value is −log₁₀ of the smallest p-value"
    name = "values outside the range of the data"
    value, counts = -float(np.log10(p[worst])), (len(x), len(y))
    distance = Distance(name, value, floor, low, high, counts, float(corrected[worst]), note=note)
    drawn, real_ = np.array(outside), np.array(chance)
    values = "shares of samples outside the range of all real rows, and what new real data would have"
    parts = drawn, real_, drawn - real_, corrected
    return (TestFamily(distance, tuple(labels), *parts, values, "new real rows"),)


def _outside(count: int, drawn: int, known: int) -> float:
    """The probability that so many or more of some new numbers lie outside the range of those known, without cancellation."""
    from scipy.stats import betabinom

    if count == 0:
        return 1.0
    # The terms fall faster than geometrically once they are small: the first thousands are all that counts.
    terms = betabinom.pmf(np.arange(count, min(drawn, count + 10_000) + 1), drawn, 2, known - 1)
    return float(np.clip(terms.sum(), SMALLEST, 1.0))


def _there(values: np.ndarray) -> np.ndarray:
    there: np.ndarray = values[~np.isnan(values)]
    return there


def _range(floors: np.ndarray) -> tuple[float, float, float]:
    """The median, and the 5 % and the 95 % quantile, in the order of a `Distance`."""
    known = floors[np.isfinite(floors)]
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95]) if len(known) else (np.nan,) * 3
    return float(middle), float(low), float(high)


def _kolmogorov_smirnov(x: np.ndarray, y: np.ndarray) -> float:
    if not len(x) or not len(y):
        return float("nan")
    places = np.concatenate([x, y])
    first, second = (np.searchsorted(np.sort(side), places, "right") / len(side) for side in (x, y))
    return float(np.abs(first - second).max())


def _total_variation(x: np.ndarray, y: np.ndarray) -> float:
    if not len(x) or not len(y):
        return float("nan")
    size = int(max(x.max(), y.max())) + 1
    first, second = (np.bincount(side.astype(np.int64), minlength=size) / len(side) for side in (x, y))
    return float(np.abs(first - second).sum() / 2)


def _wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(x, y)) if len(x) and len(y) else float("nan")


def _unseen(drawn: np.ndarray, known: np.ndarray) -> tuple[int, float]:
    """How many samples have a value that is not known, and how many of as many new rows would (Good, 1953)."""
    values, members = np.unique(known, return_counts=True)
    chance = float((members == 1).sum()) / max(1, len(known)) * len(drawn)
    return int((~np.isin(drawn, values)).sum()), chance


def _atom(x: np.ndarray, real: np.ndarray) -> float:
    """The most common value of both sides together: which it is does not depend on which row is on which side."""
    values, members = np.unique(_there(np.concatenate([x, real])), return_counts=True)
    return float(values[members.argmax()]) if len(values) else float("nan")


def _repeated(values: np.ndarray) -> float:
    known = _there(values)
    members = np.unique(known, return_counts=True)[1]
    return float(members[members > 1].sum() / max(1, len(known)))
