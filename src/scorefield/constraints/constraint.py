"""A constraint that a user declares, as a value, and the check of data."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import Column
from ..units import Equation
from .equations import equations
from .evaluation import NamedColumns, RowTruth
from .reading import parsed
from .values import is_missing

__all__ = ["Constraint", "check_rows"]

_FIRST = 3  # how many rows an error names


@dataclass(frozen=True)
class Constraint:
    """What every row satisfies, as a user writes it.

    Arguments:
        text: Comparisons (`<`, `<=`, `==`, `!=`, chained as in `low < mid < high`) of columns by name, numbers, texts in
            quotes and dates as texts (`'2024-01-31'`), with `+ - * /`; `x in ('a', 'b')`; `and`, `or`, `not`;
            `if … then …`; `missing(x)`, whether a value is missing; or `unique(a, b)`: no two rows have the same values in
            these columns. Names that are not a word stand in backticks: `` `body mass` > 0 ``. The difference of two dates
            is in days, as are times of day and durations.

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
    def missing(self) -> tuple[str, ...]:
        """The names of the columns of which it says where they are missing, by `missing(x)`."""
        return parsed(self.text).missing

    @property
    def unique(self) -> bool:
        """Whether it is about several rows at once: no two have the same values."""
        return bool(parsed(self.text).unique)

    def holds(
        self, table: Any, names: Sequence[object] | None = None, columns: Sequence[Column] = ()
    ) -> NDArray[np.bool_]:
        """Whether rows satisfy it, `(N,)`. A comparison with a missing value is not violated; nor are two missing values
        the same. Sums are compared to their rounding errors.

        Arguments:
            table: A DataFrame, a mapping from names to columns, or an array `(N, C)` with `names`.
            names: The names of the columns of an array.
            columns: What the columns of the table were taken for, `schema.table`, which says what text stands for: dates,
                numbers, …; by default columns are taken as they stand.

        Returns:
            For `unique`, false for every row whose values an earlier row has.

        Raises:
            ValueError: If there is no column of a name, or what is compared cannot be.
        """
        rule, named = parsed(self.text), NamedColumns(table, names, self.text, columns)
        if rule.unique:
            occurred: set[Hashable] = set()
            return np.array([_is_new(key, occurred) for key in self.keys(table, names, columns)], bool)
        rows = RowTruth(named, rule.quoted, self.text)
        truth = rows.truth(rule.claim)
        if rule.condition is not None:
            truth = np.maximum(1 - rows.truth(rule.condition), truth)
        return np.broadcast_to(truth > 0, (named.count,)).copy()

    def keys(
        self, table: Any, names: Sequence[object] | None = None, columns: Sequence[Column] = ()
    ) -> list[tuple[Hashable, ...] | None]:
        """For `unique`, the values of each row that no other row may have; None where one is missing."""
        named = NamedColumns(table, names, self.text, columns)
        values = zip(*(_listed(named[name]) for name in self.columns))
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


def _listed(values: Any) -> list[Any]:
    """The values of a column; times are whole numbers, None where one is missing."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "mM":
        return [None if lost else v for lost, v in zip(np.isnat(values), values.astype(np.int64).tolist())]
    return list(values.tolist())


def _is_new(key: Hashable, occurred: set[Hashable]) -> bool:
    new = key is None or key not in occurred
    occurred.add(key)
    return new


def check_rows(
    constraints: Sequence[Constraint],
    table: Any,
    names: Sequence[object] | None = None,
    columns: Sequence[Column] = (),
) -> None:
    """Checks that the rows of data satisfy constraints.

    Arguments:
        constraints: The constraints.
        table: A DataFrame, a mapping, or an array with `names`.
        names: The names of the columns of an array.
        columns: What the columns of the table were taken for, `schema.table`.

    Raises:
        ValueError: If a row violates one; the message says how many do, and names the first.

    Example:
        >>> check_rows([Constraint("a < b")], {"a": [1, 5], "b": [2, 3]})
        Traceback (most recent call last):
            ...
        ValueError: the constraint "a < b" is violated in 1 of 2 rows (row 1): correct the data, or leave it out
    """
    for constraint in constraints:
        holds = constraint.holds(table, names, columns)
        wrong = np.flatnonzero(~holds)
        if len(wrong):
            rows = f"row{'s' * (len(wrong) > 1)} {', '.join(map(str, wrong[:_FIRST]))}{', …' * (len(wrong) > _FIRST)}"
            what = f'the constraint "{constraint}" is violated in {len(wrong):,} of {len(holds):,} rows ({rows})'
            raise ValueError(f"{what}: correct the data, or leave it out")
