"""The truth of constraints in the rows of a table."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import Column
from ..data.foreign import native
from .reading import MissingValue, Quoted
from .values import Numbers, Words, calculated, of_column, read_as, same_clock

__all__ = ["NamedColumns", "RowTruth"]

Array = NDArray[Any]


class NamedColumns:
    """The columns of a table by name.

    Arguments:
        table: A DataFrame, a mapping from names to columns, or an array `(N, C)` with `names`.
        names: The names of the columns of an array.
        text: The constraint, for messages.
        columns: What the columns of the table were taken for; empty where they are taken as they stand.
    """

    def __init__(self, table: Any, names: Sequence[object] | None, text: str, columns: Sequence[Column] = ()) -> None:
        table = native(table)
        self.table, self.text, self.columns = table, text, {str(column.name): column for column in columns}
        if isinstance(table, Mapping) or hasattr(table, "columns"):
            self.names = list(table.columns) if hasattr(table, "columns") else list(table)
            self.count = len(table) if hasattr(table, "columns") else len(next(iter(table.values()), ()))
            return
        self.table = np.asarray(table)
        self.names, self.count = list(names or ()), len(self.table)
        if self.table.ndim != 2 or len(self.names) != self.table.shape[1]:
            what = f"an array of shape {self.table.shape} with {len(self.names)} names"
            raise ValueError(f"constraints name columns, got {what}: pass a DataFrame, or a name for each column")

    def __getitem__(self, name: str) -> Any:
        """A column in a form in which it can be compared, a Series or an array."""
        place = next((k for k, other in enumerate(self.names) if str(other) == name), None)
        if place is None or (self.columns and name not in self.columns):
            raise ValueError(f"the constraint {self.text!r} names the column {name!r}, which is {self._why_not(name)}")
        if isinstance(self.table, np.ndarray):
            return self.table[:, place]
        values = self.table[self.names[place]]
        if not self.columns:
            return values if hasattr(values, "dtype") else np.asarray(values)
        import pandas

        series = values if isinstance(values, pandas.Series) else pandas.Series(values, name=self.names[place])
        return self.columns[name].comparable(series)

    def value(self, name: str) -> Numbers | Words:
        """A column as numbers, dates or texts."""
        return of_column(self[name], self.text, self.columns.get(name))

    def missing(self, name: str) -> Array:
        """Which values of a column are missing, `(N,)`: 1 or 0."""
        found = self.value(name)
        lost = np.isnan(found.value) if isinstance(found, Numbers) else np.array([v is None for v in found.value])
        return np.asarray(lost, float)

    def _why_not(self, name: str) -> str:
        if any(str(other) == name for other in self.names):
            return "left out of the model: keep it, or leave the constraint out"
        near = difflib.get_close_matches(name, map(str, self.names), 1)
        advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(str, self.names[:8]))}"
        return f"not there: {advice}"


class RowTruth:
    """The value of expressions in each row; truth is 1, 0, or 1/2 where it is unknown (Kleene, 1952, section 64)."""

    def __init__(self, columns: NamedColumns, quoted: Quoted, text: str) -> None:
        self.columns, self.quoted, self.text = columns, quoted, text

    def truth(self, node: ast.expr) -> Array:
        """The truth of an expression, `(N,)` or `()`."""
        if isinstance(node, ast.BoolOp):
            values = np.broadcast_arrays(*map(self.truth, node.values))
            return np.asarray((np.minimum if isinstance(node.op, ast.And) else np.maximum).reduce(values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.asarray(1 - self.truth(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [self._compared(op, a, b) for op, a, b in zip(node.ops, sides, node.comparators)]
            return np.asarray(np.minimum.reduce(np.broadcast_arrays(*parts)))
        if isinstance(node, MissingValue):
            return self.columns.missing(self.quoted.get(node.column.id, (True, node.column.id))[1])
        flag = self.number(node)
        return np.where(np.isnan(flag.value), 0.5, flag.value != 0)

    def _compared(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Array:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple) or not right.elts:
                raise ValueError(f"in the constraint {self.text!r}, in needs values in brackets: x in ('a', 'b')")
            parts = [self._equal(left, other) for other in right.elts]
            found = np.maximum.reduce(np.broadcast_arrays(*parts))
            return np.asarray(found if isinstance(op, ast.In) else 1 - found)
        if isinstance(op, ast.Eq | ast.NotEq):
            equal = self._equal(left, right)
            return equal if isinstance(op, ast.Eq) else np.asarray(1 - equal)
        a, b = self._pair(left, right)
        if not isinstance(a, Numbers) or not isinstance(b, Numbers):
            raise ValueError(f"the constraint {self.text!r} orders texts: they can only be equal or not")
        gap = b.value - a.value if isinstance(op, ast.Lt | ast.LtE) else a.value - b.value
        near = np.abs(gap) <= 4 * (a.error + b.error)
        holds = (gap > 0) & ~near if isinstance(op, ast.Lt | ast.Gt) else (gap > 0) | near
        return np.where(np.isnan(gap), 0.5, holds)

    def _equal(self, left: ast.expr, right: ast.expr) -> Array:
        a, b = self._pair(left, right)
        if isinstance(a, Numbers) and isinstance(b, Numbers):
            gap = np.abs(a.value - b.value)
            return np.where(np.isnan(gap), 0.5, gap <= 4 * (a.error + b.error))
        if isinstance(a, Words) and isinstance(b, Words):
            x, y = np.broadcast_arrays(a.value, b.value)
            unknown = np.frompyfunc(lambda u, v: u is None or v is None, 2, 1)(x, y)
            return np.where(np.asarray(unknown, bool), 0.5, np.asarray(x == y, float))
        raise ValueError(f"the constraint {self.text!r} compares texts with numbers, which are never equal")

    def _pair(self, left: ast.expr, right: ast.expr) -> tuple[Numbers | Words, Numbers | Words]:
        """Two sides of a comparison; a text next to a date is a date."""
        a, b = self.value(left), self.value(right)
        if isinstance(a, Numbers) and isinstance(b, Words):
            b = read_as(b, a, self.text)
        elif isinstance(b, Numbers) and isinstance(a, Words):
            a = read_as(a, b, self.text)
        if isinstance(a, Numbers) and isinstance(b, Numbers):
            if a.date != b.date:
                raise ValueError(
                    f"the constraint {self.text!r} compares dates with numbers: write dates as '2024-01-31'"
                )
            same_clock(a, b, self.text)
        return a, b

    def number(self, node: ast.expr) -> Numbers:
        """The value of an expression that must be a number."""
        found = self.value(node)
        if isinstance(found, Words):
            raise ValueError(f"the constraint {self.text!r} calculates with texts: only numbers and dates can be")
        return found

    def value(self, node: ast.expr) -> Numbers | Words:
        """The value of an expression, `(N,)` or `()`."""
        if isinstance(node, ast.Name):
            is_name, name = self.quoted.get(node.id, (True, node.id))
            return self.columns.value(name) if is_name else Words(np.array(name, object))
        if isinstance(node, ast.Constant):
            return Numbers.of(np.asarray(float(node.value)))  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            x, sign = self.number(node.operand), -1.0 if isinstance(node.op, ast.USub) else 1.0
            return Numbers(sign * x.value, x.error)
        if isinstance(node, ast.BinOp):
            return calculated(node.op, self.number(node.left), self.number(node.right), self.text)
        truth = self.truth(node)
        return Numbers.of(np.where(truth == 0.5, np.nan, truth))
