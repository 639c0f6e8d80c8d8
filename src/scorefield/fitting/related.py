"""Data with exact linear relations, without the columns or channels that follow from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data import Rows, Schema
from ..data.columns import Category, Column, Number
from ..data.layout import Layout
from ..units import Equation, Relations, find_relations
from .splitting import Split

__all__ = ["IndependentRows", "independent_columns", "independent_parts", "relations_of"]


class IndependentRows(Rows):
    """The independent columns or channels of rows.

    Arguments:
        rows: The rows.
        relations: The relations that they have.
    """

    def __init__(self, rows: Rows, relations: Relations) -> None:
        shape = (len(relations.kept), *rows.shape[2:])
        super().__init__(len(rows), Layout(shape, "grid", 0) if len(shape) > 1 else Layout(shape))
        self.rows, self.relations = rows, relations

    def stored(self, indices: np.ndarray) -> Tensor:
        """The independent columns of rows, `(B, *shape)`."""
        return self.relations.inward(self.rows.take(indices, self.dtype))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the rows."""
        return self.rows.dtype


def relations_of(rows: Rows, schema: Schema, declared: Sequence[Equation] = ()) -> Relations:
    """The exact linear relations of data.

    Arguments:
        rows: The data.
        schema: Their form.
        declared: Equations that the user declares.

    Raises:
        ValueError: If a declared equation does not hold.
    """
    table = schema.table
    names = schema.columns if schema.structure == "vector" else None
    candidates = [not column.size and not column.missing for column in table] or None
    bounds = [column.bounds for column in table] or None
    return find_relations(rows, names, candidates, bounds, declared)


def independent_parts(parts: Split, relations: Relations) -> Split:
    """The independent columns of the rows to train on and of the held-out ones."""
    train = IndependentRows(parts.train, relations)
    held_out = IndependentRows(parts.held_out, relations) if parts.separate else train
    return replace(parts, train=train, held_out=held_out)


def independent_columns(schema: Schema, relations: Relations) -> tuple[Column, ...]:
    """The columns that are independent, those of a one-hot group as one category; empty for arrays without such groups."""
    names = schema.columns or range(relations.size)
    if not schema.table and not relations.groups:
        return ()
    found: list[Column] = []
    for place, levels in zip(relations.kept, relations.levels):
        if levels:
            found.append(Category(names[place], "int64", levels=tuple(range(levels))))
        else:
            found.append(schema.table[place] if schema.table else Number(names[place], schema.dtype))
    return tuple(found)
