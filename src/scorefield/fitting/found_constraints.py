"""Constraints that all rows of a table keep and nobody declared, as choices: samples may break these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..constraints import Constraint
from ..data import Rows, Schema
from ..data.columns import Column
from ..units.constraints_in_data import constraints_in_data
from .options import Choice
from .prepared import chosen

__all__ = ["UNDECLARED", "found_constraints"]

_ROWS = 20_000  # by which constraints are found, at most; all rows are then asked
_STREAM = -60  # of these rows
UNDECLARED = "holds in every row, and samples may break it unless it is declared: constraints=(…) (--constraints)"


def found_constraints(x: Any, schema: Schema, rows: Rows, table: Sequence[Column], seed: int) -> tuple[Choice, ...]:
    """The constraints that every row of the data keeps, of columns of which the user declared none.

    Arguments:
        x: The data, as the user gave them.
        schema: Their form, with the constraints that were declared.
        rows: The training rows, `(N, C)`.
        table: Their columns.
        seed: The seed of the rows by which constraints are found.
    """
    if not table:
        return ()
    some = rows.take(chosen(rows, _ROWS, seed, _STREAM), torch.float64).cpu().numpy()
    declared = {frozenset(Constraint(text).columns) for text in schema.constraints}
    found = [Constraint(text) for text in constraints_in_data(some, table, schema.complete)]
    open_ones = [each for each in found if frozenset(each.columns) not in declared]
    kept = [each for each in open_ones if _holds_everywhere(each, x, schema)]
    return tuple(Choice("constraint", each.text, UNDECLARED) for each in kept)


def _holds_everywhere(constraint: Constraint, x: Any, schema: Schema) -> bool:
    """Whether a fit would accept it: all rows keep it, and its columns can be compared."""
    try:
        return bool(constraint.holds(x, schema.columns, schema.table).all())
    except ValueError:
        return False
