"""A constraint that a user declares, as a value, and the check of data."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..units import Equation
from .equations import equations
from .evaluation import NamedColumns, RowTruth, is_missing
from .reading import parsed

__all__ = ["Constraint", "check_rows"]

_FIRST = 3  # how many rows an error names


@dataclass(frozen=True)
class Constraint:
    """What every row satisfies, as a user writes it.

    Arguments:
        text: Comparisons (`<`, `<=`, `==`, `!=`, chained as in `low < mid < high`) of columns by name, numbers, texts in
            quotes and dates as texts (`'2024-01-31'`), with `+ - * /`; `x in ('a', 'b')`; `and`, `or`, `not`;
            `if … then …`; or `unique(a, b)`: no two rows have the same values in these columns. Names that are not a word
            stand in backticks: `` `body mass` > 0 ``. The difference of two dates is in days.

    Raises:
        ValueError: If the text cannot be read.

    Example:
        >>> rule = Constraint("if mode == 'sea' then parcels > 0")
        >>> rule.columns
        ('mode', 'parcels')
        >>> rule.holds({"mode": ["sea", "sea", "air"], "parcels": [2, 0, 0]})
        array([ True, False,  True])
        >>> Constraint("a + b == total").holds(np.array([[0.1, 0.2, 0.3], [1, 2, 4]]), ["a", "b", "total"])
        array([ True, False])
    """

    text: str

    def __post_init__(self) -> None:
        parsed(self.text)

    def __str__(self) -> str:
        return self.text

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        return parsed(self.text).columns

    @property
    def unique(self) -> bool:
        """Whether it is about several rows at once: no two have the same values."""
        return bool(parsed(self.text).unique)

    def holds(self, table: Any, names: Sequence[object] | None = None) -> NDArray[np.bool_]:
        """Whether rows satisfy it, `(N,)`. A comparison with a missing value is not violated; nor are two missing values
        the same. Sums are compared to their rounding errors.

        Arguments:
            table: A DataFrame, a mapping from names to columns, or an array `(N, C)` with `names`.
            names: The names of the columns of an array.

        Returns:
            For `unique`, false for every row whose values an earlier row has.

        Raises:
            ValueError: If there is no column of a name, or what is compared cannot be.
        """
        rule, columns = parsed(self.text), NamedColumns(table, names, self.text)
        if rule.unique:
            occurred: set[Hashable] = set()
            return np.array([_is_new(key, occurred) for key in self.keys(table, names)], bool)
        rows = RowTruth(columns, rule.quoted, self.text)
        truth = rows.truth(rule.claim)
        if rule.condition is not None:
            truth = np.maximum(1 - rows.truth(rule.condition), truth)
        return np.broadcast_to(truth > 0, (columns.count,)).copy()

    def keys(self, table: Any, names: Sequence[object] | None = None) -> list[tuple[Hashable, ...] | None]:
        """For `unique`, the values of each row that no other row may have; None where one is missing."""
        columns = NamedColumns(table, names, self.text)
        values = zip(*(columns[name].tolist() for name in self.columns))
        return [None if any(is_missing(v) for v in row) else row for row in values]

    def equations(self, names: Sequence[object]) -> tuple[Equation, ...]:
        """The linear equations that it consists of, which samples can have by construction; none if it is another rule.

        Arguments:
            names: The names of the columns, None for those that are not numbers.
        """
        rule = parsed(self.text)
        if rule.condition is not None or rule.unique:
            return ()
        found = equations(rule.claim, list(names), rule.quoted)
        return tuple(found or ())


def _is_new(key: Hashable, occurred: set[Hashable]) -> bool:
    new = key is None or key not in occurred
    occurred.add(key)
    return new


def check_rows(constraints: Sequence[Constraint], table: Any, names: Sequence[object] | None = None) -> None:
    """Checks that the rows of data satisfy constraints.

    Arguments:
        constraints: The constraints.
        table: A DataFrame, a mapping, or an array with `names`.
        names: The names of the columns of an array.

    Raises:
        ValueError: If a row violates one; the message says how many do, and names the first.

    Example:
        >>> check_rows([Constraint("a < b")], {"a": [1, 5], "b": [2, 3]})
        Traceback (most recent call last):
            ...
        ValueError: the constraint "a < b" is violated in 1 of 2 rows (row 1): correct the data, or leave it out
    """
    for constraint in constraints:
        holds = constraint.holds(table, names)
        wrong = np.flatnonzero(~holds)
        if len(wrong):
            rows = f"row{'s' * (len(wrong) > 1)} {', '.join(map(str, wrong[:_FIRST]))}{', …' * (len(wrong) > _FIRST)}"
            what = f'the constraint "{constraint}" is violated in {len(wrong):,} of {len(holds):,} rows ({rows})'
            raise ValueError(f"{what}: correct the data, or leave it out")
