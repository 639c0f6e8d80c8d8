"""The truth of constraints in the rows of a table."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .reading import Quoted

__all__ = ["NamedColumns", "RowTruth", "is_missing"]

Array = NDArray[Any]

_DAY = 86_400e6  # microseconds


class NamedColumns:
    """The columns of a table by name."""

    def __init__(self, table: Any, names: Sequence[object] | None, text: str) -> None:
        self.table, self.text = table, text
        if isinstance(table, Mapping) or hasattr(table, "columns"):
            self.names = list(table.columns) if hasattr(table, "columns") else list(table)
            self.count = len(table) if hasattr(table, "columns") else len(next(iter(table.values()), ()))
            return
        self.table = np.asarray(table)
        self.names, self.count = list(names or ()), len(self.table)
        if self.table.ndim != 2 or len(self.names) != self.table.shape[1]:
            what = f"an array of shape {self.table.shape} with {len(self.names)} names"
            raise ValueError(f"constraints name columns, got {what}: pass a DataFrame, or a name for each column")

    def __getitem__(self, name: str) -> Array:
        place = next((k for k, other in enumerate(self.names) if str(other) == name), None)
        if place is None:
            near = difflib.get_close_matches(name, map(str, self.names), 1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(str, self.names[:8]))}"
            raise ValueError(f"the constraint {self.text!r} names the column {name!r}, which is not there: {advice}")
        if isinstance(self.table, np.ndarray):
            column: Array = self.table[:, place]
            return column
        return np.asarray(self.table[self.names[place]])


def is_missing(value: object) -> bool:
    """Whether a value of a column of objects is missing: None, NaN, NaT, NA."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


@dataclass(frozen=True)
class _Numbers:
    """Numbers with their rounding errors; dates in microseconds."""

    value: Array
    error: Array
    date: bool = False

    @classmethod
    def of(cls, value: Array, eps: float = 2.0**-52, date: bool = False) -> _Numbers:
        with np.errstate(all="ignore"):
            return cls(value, np.where(value == np.round(value), 0.0, eps * np.abs(value)), date)


@dataclass(frozen=True)
class _Words:
    """Texts, or other values that are equal or not; None where they are missing."""

    value: Array


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
        if not isinstance(a, _Numbers) or not isinstance(b, _Numbers):
            raise ValueError(f"the constraint {self.text!r} orders texts: they can only be equal or not")
        gap = b.value - a.value if isinstance(op, ast.Lt | ast.LtE) else a.value - b.value
        near = np.abs(gap) <= 4 * (a.error + b.error)
        holds = (gap > 0) & ~near if isinstance(op, ast.Lt | ast.Gt) else (gap > 0) | near
        return np.where(np.isnan(gap), 0.5, holds)

    def _equal(self, left: ast.expr, right: ast.expr) -> Array:
        a, b = self._pair(left, right)
        if isinstance(a, _Numbers) and isinstance(b, _Numbers):
            gap = np.abs(a.value - b.value)
            return np.where(np.isnan(gap), 0.5, gap <= 4 * (a.error + b.error))
        if isinstance(a, _Words) and isinstance(b, _Words):
            x, y = np.broadcast_arrays(a.value, b.value)
            unknown = np.frompyfunc(lambda u, v: u is None or v is None, 2, 1)(x, y)
            return np.where(np.asarray(unknown, bool), 0.5, np.asarray(x == y, float))
        raise ValueError(f"the constraint {self.text!r} compares texts with numbers, which are never equal")

    def _pair(self, left: ast.expr, right: ast.expr) -> tuple[_Numbers | _Words, _Numbers | _Words]:
        """Two sides of a comparison; a text next to a date is a date."""
        a, b = self.value(left), self.value(right)
        if isinstance(a, _Numbers) and a.date and isinstance(b, _Words):
            b = self._dates(b)
        elif isinstance(b, _Numbers) and b.date and isinstance(a, _Words):
            a = self._dates(a)
        if isinstance(a, _Numbers) and isinstance(b, _Numbers) and a.date != b.date:
            raise ValueError(f"the constraint {self.text!r} compares dates with numbers: write dates as '2024-01-31'")
        return a, b

    def _dates(self, words: _Words) -> _Numbers:
        try:
            return _Numbers.of(_microseconds(words.value.astype("datetime64[us]")), date=True)
        except ValueError:
            raise ValueError(
                f"the constraint {self.text!r} compares dates with {words.value}: write 2024-01-31"
            ) from None

    def number(self, node: ast.expr) -> _Numbers:
        """The value of an expression that must be a number."""
        found = self.value(node)
        if isinstance(found, _Words):
            raise ValueError(f"the constraint {self.text!r} calculates with texts: only numbers and dates can be")
        return found

    def value(self, node: ast.expr) -> _Numbers | _Words:
        """The value of an expression, `(N,)` or `()`."""
        if isinstance(node, ast.Name):
            is_name, name = self.quoted.get(node.id, (True, node.id))
            return _column(self.columns[name]) if is_name else _Words(np.array(name, object))
        if isinstance(node, ast.Constant):
            return _Numbers.of(np.asarray(float(node.value)))  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            x, sign = self.number(node.operand), -1.0 if isinstance(node.op, ast.USub) else 1.0
            return _Numbers(sign * x.value, x.error)
        if isinstance(node, ast.BinOp):
            return _calculated(node.op, self.number(node.left), self.number(node.right), self.text)
        return _Numbers.of(self.truth(node))


def _microseconds(dates: Array) -> Array:
    """Dates as float64 microseconds, which hold them exactly; NaN where one is missing."""
    whole = dates.astype("datetime64[us]")
    return np.where(np.isnat(whole), np.nan, whole.astype(np.int64).astype(float))


def _column(values: Array) -> _Numbers | _Words:
    """A column as numbers, dates or texts."""
    kind = values.dtype.kind
    if kind in "fiub":
        eps = float(np.finfo(values.dtype).eps) if kind == "f" else 0.0
        return _Numbers.of(values.astype(float), eps)
    if kind == "M":
        return _Numbers.of(_microseconds(values), date=True)
    if kind == "m":
        return _Numbers.of(np.where(np.isnat(values), np.nan, values / np.timedelta64(1, "D")))
    missing = np.array([is_missing(v) for v in values], bool)
    known = values[~missing]
    if len(known) and all(hasattr(v, "isoformat") for v in known):
        return _Numbers.of(_of_known(missing, _microseconds(np.array([_naive(v) for v in known]))), date=True)
    if len(known) and all(isinstance(v, int | float | np.number | np.bool_) for v in known):
        return _Numbers.of(_of_known(missing, known.astype(float)))
    words = values.astype(object)
    words[missing] = None
    return _Words(words)


def _of_known(missing: Array, known: Array) -> Array:
    found = np.full(len(missing), np.nan)
    found[~missing] = known
    return found


def _naive(date: Any) -> np.datetime64:
    return np.datetime64(date.replace(tzinfo=None) if getattr(date, "tzinfo", None) is not None else date, "us")


def _calculated(op: ast.operator, a: _Numbers, b: _Numbers, text: str) -> _Numbers:
    """A sum, difference, product or quotient, with its rounding error; days are added to dates."""
    if (
        (a.date or b.date)
        and not (isinstance(op, ast.Sub) and a.date)
        and not (isinstance(op, ast.Add) and a.date != b.date)
    ):
        raise ValueError(
            f"the constraint {text!r} calculates with dates: a date may have days added or a date subtracted"
        )
    with np.errstate(all="ignore"):
        if a.date and b.date:
            days = (a.value - b.value) / _DAY
            return _Numbers.of(days)
        if a.date != b.date:
            a, b = (x if x.date else _Numbers(x.value * _DAY, x.error * _DAY) for x in (a, b))
        if isinstance(op, ast.Add | ast.Sub):
            value, error = a.value + b.value if isinstance(op, ast.Add) else a.value - b.value, a.error + b.error
        elif isinstance(op, ast.Mult):
            value, error = a.value * b.value, np.abs(a.value) * b.error + np.abs(b.value) * a.error
        else:
            value = a.value / b.value
            error = (a.error + np.abs(value) * b.error) / np.abs(b.value)
    rounded = _Numbers.of(value)
    return _Numbers(value, error + rounded.error, a.date or b.date)
