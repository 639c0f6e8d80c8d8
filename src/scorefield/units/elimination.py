"""Linear equations that numbers satisfy exactly: found by QR, with simple coefficients, and solved for chosen columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

__all__ = ["Equation", "Equations", "fraction_of", "precision", "solved"]

_CHANCE = math.log(1e6)  # an equation is believed where chance would give one in fewer than one table of a million
_LARGEST = 1000  # denominators of coefficients
_FIT = 1e-6  # relative error of a coefficient that least squares find
_SAME = 1e-8  # of a correlation from ±1: candidates for copies
_SMALL = 1e-5  # of a standard deviation left over: candidates for sums
_ZERO = 1e-9
_SUM, _FITTED = 8, 256  # roundings of a sum with simple coefficients, and of one whose coefficients are fitted
_PIVOTS = 4000  # changes of the dependent columns that are tried


@dataclass(frozen=True)
class Equation:
    """A linear equation of the columns: Σ coefficients · x = offset.

    Arguments:
        coefficients: One for each column.
        offset: The right side.
    """

    coefficients: tuple[float, ...]
    offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", tuple(self.coefficients))


@dataclass(frozen=True)
class Equations:
    """Equations solved for one column each: row k of `matrix` · (x, -1) = 0, with 1 at `targets[k]`, where all others have 0.

    Arguments:
        matrix: The coefficients and, in the last column, the right sides, `(K, C + 1)`.
        targets: The column that each gives, `(K,)`.
    """

    matrix: np.ndarray
    targets: np.ndarray

    @classmethod
    def none(cls, size: int) -> Equations:
        """No equation of `size` columns."""
        return cls(np.zeros((0, size + 1)), np.zeros(0, int))

    @classmethod
    def of(cls, x: np.ndarray, alive: np.ndarray) -> Equations:
        """The equations that numbers `(n, C)` satisfy: constants, copies, and sums.

        Arguments:
            x: The numbers.
            alive: Which columns may be in one, `(C,)`.
        """
        eps, size = precision(x), x.shape[1]
        constant = alive & (x.max(0) == x.min(0))
        found = [_row(size, j, [], np.zeros(0), x[0, j]) for j in np.flatnonzero(constant).tolist()]
        rest = np.flatnonzero(alive & ~constant)
        if len(rest) > 1:
            scaled = (x[:, rest] - x[:, rest].mean(0)) / x[:, rest].std(0)
            copies = _copies(x, scaled, rest, eps)
            lone = [k for k, j in enumerate(rest) if j not in copies]
            found += [*copies.values(), *_sums(x, scaled[:, lone], rest[lone], eps)]
        if not found:
            return cls.none(size)
        return cls(np.stack([row for row, _ in found]), np.array([target for _, target in found]))

    def joined(self, equations: Sequence[Equation]) -> Equations:
        """With further equations, less what of them is known."""
        result = self
        for equation in equations:
            row = np.array([*equation.coefficients, equation.offset], float)
            row = row - row[result.targets] @ result.matrix
            large = np.flatnonzero(np.abs(row[:-1]) > _ZERO * np.abs(equation.coefficients).max())
            if len(large):
                matrix = np.concatenate([result.matrix, row[None] / row[large[-1]]])
                result = Equations(matrix, np.append(result.targets, large[-1]))._eliminated(len(matrix) - 1)
        return result

    def _eliminated(self, k: int) -> Equations:
        """Without the column of equation k in all others."""
        matrix, target = self.matrix / 1.0, self.targets[k]
        others = np.flatnonzero(matrix[:, target])
        others = others[others != k]
        matrix[others] -= matrix[others, target, None] * matrix[k]
        matrix[np.abs(matrix) < _ZERO] = 0.0
        return Equations(matrix, self.targets)

    def exchanged(self, k: int, column: int) -> Equations:
        """Equation k solved for another column."""
        matrix, targets = self.matrix / 1.0, self.targets.copy()
        matrix[k] /= matrix[k, column]
        targets[k] = column
        return Equations(matrix, targets)._eliminated(k)


def precision(x: np.ndarray) -> np.ndarray:
    """The relative rounding error of each column of `(n, C)`: that of float32 where all values are fractions in it."""
    short = (x.astype(np.float32) == x).all(0) & ~(x == np.round(x)).all(0)
    return np.where(short, np.finfo(np.float32).eps, np.finfo(np.float64).eps)


def fraction_of(number: float, tolerance: float = _FIT) -> Fraction | None:
    """The fraction of small whole numbers that a number is, up to a relative error; None if there is none.

    Example:
        >>> fraction_of(0.3333333334), fraction_of(100.0), fraction_of(1e-6), fraction_of(0.1415926535)
        (Fraction(1, 3), Fraction(100, 1), Fraction(1, 1000000), None)
    """
    if not math.isfinite(number) or number == 0:
        return Fraction(0) if number == 0 else None
    small = abs(number) < 1
    found = Fraction(1 / number if small else number).limit_denominator(_LARGEST)
    found = 1 / found if small else found
    if found.denominator > _LARGEST and found.numerator not in (-1, 1):
        return None
    return found if abs(float(found) - number) <= tolerance * abs(number) else None


def _row(
    size: int, target: int, sources: Sequence[int] | np.ndarray, coefficients: np.ndarray, offset: float
) -> tuple[np.ndarray, int]:
    row = np.zeros(size + 1)
    row[list(sources)], row[target], row[size] = -coefficients, 1.0, offset
    return row, target


def _copies(
    x: np.ndarray, scaled: np.ndarray, columns: np.ndarray, eps: np.ndarray
) -> dict[int, tuple[np.ndarray, int]]:
    """The equations of columns that equal an earlier one, up to scale and offset."""
    similar = scaled.T @ scaled / len(x)
    found: dict[int, tuple[np.ndarray, int]] = {}
    for i, j in zip(*np.nonzero(np.triu(np.abs(similar) > 1 - _SAME, 1))):
        source, target = columns[i], columns[j]
        if source not in found and target not in found:
            ratio = np.array([similar[i, j] * x[:, target].std() / x[:, source].std()])
            if (row := _fitted(x, target, np.array([source]), ratio, eps)) is not None:
                found[target] = row
    return found


def _sums(x: np.ndarray, scaled: np.ndarray, columns: np.ndarray, eps: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """The equations of columns that are sums of earlier ones."""
    n, found = len(x), list[tuple[np.ndarray, int]]()
    if n < len(columns) + 3:
        return found
    short = np.abs(np.diagonal(np.linalg.qr(scaled, "r"))) < _SMALL * math.sqrt(n)
    scale = x[:, columns].std(0)
    while short.any() and not short.all():
        q, r = np.linalg.qr(scaled[:, ~short])
        weights = np.linalg.solve(r, q.T @ scaled[:, short])
        weights = np.where(np.abs(weights) < _FIT, 0.0, weights) * scale[short] / scale[~short, None]
        sources, targets = columns[~short], columns[short]
        rows = [_fitted(x, j, sources, w, eps) for j, w in zip(targets, weights.T)]
        found = [row for row in rows if row is not None]
        failed = np.array([row is None for row in rows])
        if not failed.any():
            break
        short[np.flatnonzero(short)[failed]] = False
        found = []
    return found


def _fitted(
    x: np.ndarray, target: int, sources: np.ndarray, weights: np.ndarray, eps: np.ndarray
) -> tuple[np.ndarray, int] | None:
    """The equation of a target with the coefficients that least squares found, if it holds in all rows of `(n, C)`."""
    fractions = [fraction_of(w) for w in weights]
    exact = [] if None in fractions else [(np.array([float(f or 0) for f in fractions]), _SUM)]
    for coefficients, roundings in [*exact, (weights, _FITTED)]:
        used = np.flatnonzero(coefficients)
        involved = [*sources[used], target]
        rest = x[:, target] - x[:, sources[used]] @ coefficients[used]
        size = np.abs(x[:, sources[used]]) @ np.abs(coefficients[used]) + np.abs(x[:, target])
        error = roundings * eps[involved].max() * size
        offset = _offset(rest, error)
        if offset is not None and _is_certain(x, involved, len(sources)):
            return _row(x.shape[1], target, sources[used], coefficients[used], offset)
    return None


def _offset(rest: np.ndarray, error: np.ndarray) -> float | None:
    """The constant that numbers are up to their errors, the simplest of 0, a fraction and their mean; None if they are not."""
    mean = float(rest.mean())
    fraction = fraction_of(mean)
    for offset in (0.0, mean if fraction is None else float(fraction), round(mean, 6), mean):
        if bool((np.abs(rest - offset) <= error).all()):
            return offset
    return None


def _is_certain(x: np.ndarray, involved: Sequence[int], fitted: int) -> bool:
    """Whether chance would rarely give an equation like one that was found.

    If a column were independent of the others, every order of its values would be as likely; of these n! / Π counts!
    orders, least squares on `fitted` columns can match at most V^(fitted + 1), where V is the number of distinct values. It
    is enough that one of the columns involved is certainly given by the others.
    """
    for column in involved:
        counts = np.unique(x[:, column], return_counts=True)[1]
        orders = math.lgamma(len(x) + 1) - sum(map(math.lgamma, counts + 1.0))
        if orders - (fitted + 1) * math.log(len(counts)) > _CHANCE + math.log(x.shape[1]):
            return True
    return False


def solved(equations: Equations, sign: np.ndarray, bounded: np.ndarray) -> Equations:
    """Equations solved for the columns that are best computed from others.

    Arguments:
        equations: The equations.
        sign: For each column 1 where it is never negative, -1 where it is never positive, and 0 otherwise.
        bounded: For each column how near it is to 0, where 0 bounds it: as a dependent column it should keep its sign
            whatever others are; 0 where it does not.
    """
    best, cost, tried = equations, _cost(equations, sign, bounded), 0
    better = True
    while better and tried < _PIVOTS:
        better = False
        for k in range(len(best.targets)):
            for column in np.flatnonzero(best.matrix[k, :-1]):
                if column == best.targets[k] or tried >= _PIVOTS:
                    continue
                tried += 1
                other = best.exchanged(k, int(column))
                if (its := _cost(other, sign, bounded)) < cost - _ZERO:
                    best, cost, better = other, its, True
                    break
    return best


def _cost(equations: Equations, sign: np.ndarray, bounded: np.ndarray) -> float:
    """How unfit equations are to compute their targets: signs that may be wrong, then fractions, then large coefficients.

    The sign of a column that follows from one other is never wrong: its values are those of the other on another scale.
    Of several columns whose sign may be wrong, as of shares, the one that is farthest from 0 is the best.
    """
    size, k = len(sign), np.arange(len(equations.targets))
    weights = -equations.matrix[:, :size]
    weights[k, equations.targets] = 0.0
    terms = np.concatenate([np.sign(weights) * sign, np.sign(equations.matrix[:, size:])], 1)
    used = np.concatenate([weights, equations.matrix[:, size:]], 1) != 0
    its = sign[equations.targets]
    several = (weights != 0).sum(1) > 1
    near = bounded[equations.targets]
    unsafe = several & (near > 0) & ((terms != its[:, None]) & used).any(1)
    fractions = (np.abs(weights - np.round(weights)) > _ZERO).any(1)
    large = np.where(fractions, 0.0, np.minimum(np.abs(weights).max(1, initial=0.0), 100.0))
    negative, late = (weights < 0).any(1), equations.targets / size
    return float(
        (unsafe * (1e6 + 0.1 * near) + 1e3 * fractions + large + negative + 0.01 * used.sum(1) - 0.001 * late).sum()
    )
