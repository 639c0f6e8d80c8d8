"""Gaps that are to stay gaps when a table is filled: questions that were skipped."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Schema
from .constraint import Constraint

__all__ = ["to_be_missing"]


def to_be_missing(schema: Schema, x: Tensor, gaps: Tensor) -> Tensor:
    """Which filled gaps are to be missing, `(N, C)`: those with which a constraint is violated, and without which it is not.

    Arguments:
        schema: The form of the data, with its constraints; those without `missing(x)` say nothing here.
        x: Rows whose gaps are filled, `(N, C)`.
        gaps: The gaps.

    Example:
        >>> import dataclasses, pandas
        >>> schema = Schema.of(pandas.DataFrame({"smoker": [True, False] * 9, "cigarettes": [9.5, None] * 8 + [7.5, None]}))
        >>> schema = dataclasses.replace(schema, constraints=("missing(cigarettes) == (smoker == False)",))
        >>> to_be_missing(schema, torch.tensor([[1.0, 9.0], [0.0, 9.0]]), torch.tensor([[False, True]] * 2)).tolist()
        [[False, False], [False, True]]
    """
    found = torch.zeros_like(gaps)
    for constraint in map(Constraint, schema.constraints):
        skipped = torch.tensor([str(column.name) in constraint.missing for column in schema.table], dtype=torch.bool)
        if not bool(skipped.any()):
            continue
        filled = x.masked_fill(found, torch.nan)
        violated = torch.from_numpy(~constraint.holds(schema.pack(filled), columns=schema.table))
        tried = gaps & skipped & violated[:, None]
        held = torch.from_numpy(
            constraint.holds(schema.pack(filled.masked_fill(tried, torch.nan)), columns=schema.table)
        )
        found |= tried & held[:, None]
    return found
