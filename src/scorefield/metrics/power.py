"""The smallest defects that the tests find at given sizes: what an evaluation that finds nothing leaves open."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .base import Array, as_rows, stream, subsample

__all__ = ["Sizes", "SmallestDefects", "smallest_defects"]

POWER = 1.2816  # standard deviations: found in nine of ten cases
COLUMNS = 12  # columns that stand for all
VALUES = 4000  # of each of them
STEPS = 16  # of a bisection
_TIES = 0.9  # of the values are different where they are continuous, at least
PERMUTATIONS = 500  # of the tests, with the one that is observed


@dataclass(frozen=True)
class Sizes:
    """The sizes on which the power of the tests depends.

    Arguments:
        samples: The number of samples.
        real: The numbers of real rows that tests compare them with: held-out ones, and all if these are tested too.
        features: The number of features that are tested.
        tests: The number of tests that share the level of 5 %.
        pairs: The number of pairs of columns whose association is tested.
    """

    samples: int
    real: tuple[int, ...]
    features: int
    tests: int
    pairs: int = 0

    @property
    def level(self) -> float:
        """The level at which one of all tests rejects, as far as permutations resolve it."""
        return max(1.0, math.floor(0.05 / self.tests * PERMUTATIONS)) / PERMUTATIONS

    @cached_property
    def moments(self) -> float:
        """The |z| that the largest of all moments must exceed (Bonferroni)."""
        from scipy.stats import norm

        axes = min(self.features, 16)
        count = 2 * axes + axes * (axes - 1) // 2 + (2 * min(self.features, 1000) if self.features > 2 else 0)
        return float(norm.isf(self.level / 2 / count))

    @cached_property
    def marginals(self) -> float:
        """The scaled Kolmogorov-Smirnov distance that the largest of all marginals must exceed (Bonferroni)."""
        from scipy.stats import kstwobign

        return float(kstwobign.isf(self.level / min(self.features + 8, 32)))

    @property
    def association(self) -> float:
        """The difference of a rank correlation that is found in nine of ten cases; infinite if none is tested.

        The mean product of two standardized ranks has a variance of 1/n if they are independent, and less if they are not; so
        this is an upper bound. Of categories, up to six products of a pair are tested.
        """
        from scipy.stats import norm

        if not self.pairs:
            return math.inf
        limit = float(norm.isf(self.level / 2 / (2 * self.pairs)))
        return (limit + POWER) * math.sqrt(1 / self.samples + 1 / max(self.real))


@dataclass(frozen=True)
class SmallestDefects:
    """The smallest defects of one column that the tests find in nine of ten cases; infinite if none is found.

    Arguments:
        mean: A shift of the mean, in standard deviations.
        wide, narrow: Factors of the standard deviation, above and below 1; `narrow` is 0 if none is found.
        lost: The share of the data at one end of the column that samples lack.
        clipped: The share of the data, in both tails together, beyond the value at which samples are clipped.
        sizes: The sizes of the tests.
        where: What a column is: a column, or a principal direction of grids.
    """

    mean: float
    wide: float
    narrow: float
    lost: float
    clipped: float
    sizes: Sizes
    where: str = "column"

    @property
    def sentence(self) -> str:
        """The defects in a sentence."""
        return self.in_words()

    def in_words(self, tests: str = "the tests find") -> str:
        """The defects in a sentence that says which tests find them.

        Arguments:
            tests: The subject and the verb.
        """
        parts = [
            (self.mean, f"a mean off by {self.mean:.2g} standard deviations"),
            (self.wide, f"a standard deviation {self.wide:.3g} times too large"),
            (
                1 / self.narrow if self.narrow else math.inf,
                f"a standard deviation of {self.narrow:.2g} times the right size",
            ),
            (self.lost, f"{100 * self.lost:.2g} % of the data lost at one end"),
            (self.clipped, f"tails cut off that hold {100 * self.clipped:.2g} % of the data"),
        ]
        known = [text for size, text in parts if math.isfinite(size)]
        if not known:
            return "At these sizes the tests could not have found a defect of a single column: hold out more data."
        sides = " and ".join(f"{size:,}" for size in self.sizes.real)
        found = f"{tests} in nine of ten cases, in a single {self.where}: {', '.join(known)}"
        left = "Smaller defects can remain unnoticed."
        if self.sizes.pairs:
            least = self.sizes.association
            pair = "no change of a correlation" if least >= 1 else f"a rank correlation off by {least:.2g}"
            found = f"{found}; and of two columns, {pair}"
            left = "Smaller defects, and wrong dependences of another kind, can remain unnoticed."
        return f"With {self.sizes.samples:,} samples against {sides} rows, {found}. {left}"


Defect = Callable[[np.ndarray, float], np.ndarray]
"""Values of a column in standard units, sorted, and the size of the defect: the values that samples have."""


def smallest_defects(
    real: Array,
    samples: int,
    sides: Sequence[int],
    tests: int,
    where: str = "column",
    features: int | None = None,
    pairs: int = 0,
) -> SmallestDefects:
    """The smallest defects of a single column that the tests of means, variances and marginals find in nine of ten cases.

    Each defect is made in columns of real data, and the power of the three tests follows from the moments and distribution
    functions before and after it, by the normal limit of their statistics and Bonferroni's bound for the number of features.
    The median over the columns is given. Other tests of the battery can find more, so that these sizes are an upper bound.

    Arguments:
        real: Real data, `(N, *D)`.
        samples: The number of samples.
        sides: The numbers of real rows that they are compared with.
        tests: The number of tests that share the level of 5 %.
        where: What a column is called.
        features: The number of features that are tested; those of `real` by default.
        pairs: The number of pairs of columns whose association is tested.

    Raises:
        ValueError: If a value is not finite.

    Example:
        >>> real = np.random.default_rng(0).normal(size=(1000, 3))
        >>> few, many = (smallest_defects(real, 2000, (m,), 11) for m in (100, 1000))
        >>> few.mean > 2 * many.mean and few.lost > 2 * many.lost
        True
    """
    rows = as_rows(subsample(real, VALUES, 0), "real").flatten(1).double().cpu().numpy()
    sizes = Sizes(samples, tuple(sides), rows.shape[1] if features is None else features, tests, pairs)
    several = [i for i in range(rows.shape[1]) if len(np.unique(rows[:, i])) > 10]
    if len(several) > COLUMNS:
        several = sorted(stream(0, "columns").permutation(several)[:COLUMNS].tolist())
    columns = [np.sort((x - x.mean()) / x.std()) for x in rows.T[several]]

    def median(defect: Defect, largest: float, logarithmic: bool = False) -> float:
        found = [_smallest(column, defect, largest, sizes, logarithmic) for column in columns]
        return float(np.median(found)) if found else math.inf

    narrow = median(lambda x, f: _moved(x, lambda y: y / f), 50.0, True)
    return SmallestDefects(
        mean=median(lambda x, by: _moved(x, lambda y: y + by), 5.0),
        wide=median(lambda x, f: _moved(x, lambda y: y * f), 50.0, True),
        narrow=1 / narrow,
        lost=median(lambda x, share: x[: max(2, round(len(x) * (1 - share)))], 0.9),
        clipped=median(_clipped, 0.95),
        sizes=sizes,
        where=where,
    )


def _moved(x: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Sorted values that are changed, and stay among their values where many are equal, as on a lattice or an atom.

    Equal values are spread up to the next one before, as samples with such a defect still have values that the data have.
    """
    values, first, counts = np.unique(x, return_index=True, return_counts=True)
    if len(values) > _TIES * len(x):
        return change(x)
    width = np.append(np.diff(values), np.median(np.diff(values)))
    rank = np.arange(len(x)) - np.repeat(first, counts)
    spread = x + np.repeat(width / counts, counts) * (rank + 0.5)
    middle = (spread - x).mean()
    place = np.searchsorted(values, change(spread - middle) + middle, "right") - 1
    moved: np.ndarray = values[place.clip(0)]
    return moved


def _clipped(x: np.ndarray, share: float) -> np.ndarray:
    low, high = np.quantile(x, [share / 2, 1 - share / 2])
    clipped: np.ndarray = np.clip(x, low, high)
    return clipped


def _smallest(column: np.ndarray, defect: Defect, largest: float, sizes: Sizes, logarithmic: bool) -> float:
    """The smallest size of a defect that one of the tests finds, by bisection."""
    low, high = (0.0, math.log(largest)) if logarithmic else (0.0, largest)

    def size(at: float) -> float:
        return math.exp(at) if logarithmic else at

    if not _found(column, defect(column, largest), sizes):
        return math.inf
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _found(column, defect(column, size(middle)), sizes) else (middle, high)
    return size(high)


def _found(real: np.ndarray, drawn: np.ndarray, sizes: Sizes) -> bool:
    """Whether one of the tests finds that samples are like `drawn`, in nine of ten cases, in a comparison of one size."""
    return any(max(_by_means(real, drawn, sizes, m), _by_marginals(real, drawn, sizes, m)) >= POWER for m in sizes.real)


def _by_means(real: np.ndarray, drawn: np.ndarray, sizes: Sizes, m: int) -> float:
    """By how many of its standard deviations a difference of means or mean squares exceeds what is significant."""
    n, best = sizes.samples, -math.inf
    middle = (n * drawn.mean() + m * real.mean()) / (n + m)
    for power in (1, 2):
        x, y = (real - middle) ** power, (drawn - middle) ** power
        apart = abs(float(x.mean() - y.mean()))
        pooled = (n * y.var() + m * x.var()) / (n + m) + n * m / (n + m) ** 2 * apart**2
        # Means of few skewed numbers, such as squares, are not normal: permutations reach larger differences.
        skew = abs(float(((x - x.mean()) ** 3).mean())) / max(1e-300, float(x.var()) ** 1.5) / math.sqrt(min(n, m))
        limit = sizes.moments + min(1.0, skew) * (sizes.moments**2 - 1) / 6
        needed = limit * math.sqrt(pooled * (1 / n + 1 / m))
        best = max(best, (apart - needed) / math.sqrt(max(1e-300, y.var() / n + x.var() / m)))
    return best


def _by_marginals(real: np.ndarray, drawn: np.ndarray, sizes: Sizes, m: int) -> float:
    """The same of the Kolmogorov-Smirnov distance."""
    n = sizes.samples
    at = np.concatenate([real, np.unique(drawn)])
    below = [np.searchsorted(np.sort(side), at, "right") / len(side) for side in (real, drawn)]
    worst = int(np.abs(below[0] - below[1]).argmax())
    f, g = float(below[0][worst]), float(below[1][worst])
    needed = sizes.marginals * math.sqrt(1 / n + 1 / m)
    return (abs(f - g) - needed) / math.sqrt(max(1e-12, f * (1 - f) / m + g * (1 - g) / n))
