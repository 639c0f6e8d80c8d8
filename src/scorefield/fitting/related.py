"""Data with exact relations, without the columns or channels that follow from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ..constraints import Constraint
from ..data import Rows, Schema
from ..data.columns import Category, Column, Number
from ..data.dtypes import Bound
from ..data.layout import Layout
from ..units import Equation, Relations, find_form, find_functions, find_relations, relations_with_gaps
from .splitting import Split

__all__ = [
    "IndependentRows",
    "declared",
    "independent_columns",
    "independent_parts",
    "relations_of",
    "relations_of_known_values",
    "unclipped",
]


_ROWS = 8000  # in whose values bounds are sought
_FEWEST = 30  # values, from which on their sign means something


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
    def on_disk(self) -> bool:
        """Whether the rows are."""
        return self.rows.on_disk

    def reading_order(self) -> np.ndarray:
        """That of the rows."""
        return self.rows.reading_order()

    @property
    def dtype(self) -> torch.dtype:
        """The type of the rows."""
        return self.rows.dtype


def relations_of(rows: Rows, schema: Schema) -> Relations:
    """The exact relations of data: linear ones, those that the user declares among them, and in tables functions of a column.

    Arguments:
        rows: The data.
        schema: Their form.

    Raises:
        ValueError: If a declared equation does not hold.
    """
    table = schema.table
    names = schema.columns if schema.structure == "vector" else schema.channel_names
    candidates = [not column.size and not column.missing for column in table] or None
    bounds = [column.bounds for column in table] or None
    found = find_relations(rows, names, candidates, bounds, declared(schema))
    if not table:
        return found
    functions = find_functions(rows, [c.size for c in table], [not c.missing for c in table], found)
    sources = {f.source for f in functions} - {item.target for item in found.items}
    whole = {*found.whole, *(c for c in sources if table[c].whole)}
    found = replace(found, functions=functions, whole=tuple(sorted(whole)))
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).astype(np.int64))
    x = rows.take(places, torch.float64).cpu().numpy() if found.items else np.zeros((0, len(table)))
    targets = {item.target for item in found.items}
    ends = [_shown_bounds(column, x[:, i]) if i in targets else column.sides for i, column in enumerate(table)]
    low, high = zip(*ends)  # columns that others are computed from are clipped, or reflected, before
    reflected = tuple(i for i in found.kept if table[i].sides != table[i].limits)
    return replace(found, low=low, high=high, reflected=reflected, counted=_counted(table) if found else ())


def _counted(table: Sequence[Column]) -> tuple[int, ...]:
    """The columns whose numbers are not values as people write them."""
    return tuple(i for i, column in enumerate(table) if not column.readable)


def _shown_bounds(column: Column, values: np.ndarray) -> tuple[float | None, float | None]:
    """The bounds of a column that follows from others: those that were declared, or that its values show as of any column.

    Not the range of integers: a total may lie above all that occurred.
    """
    values = values[np.isfinite(values)]
    few = len(values) < _FEWEST or values.min() == values.max()
    if column.bounds != (None, None) or column.kind != "number" or column.range is None or few:
        return column.bounds
    (least, most), (low, high), form = column.range, column.sides, find_form(values)
    lows = (form.lower, None if low is None or low < 0 else 0.0)
    highs = (form.upper, None if high is None or high > 0 else 0.0)
    return (
        max((end for end in lows if end is not None and end <= least), default=None),
        min((end for end in highs if end is not None and end >= most), default=None),
    )


def relations_of_known_values(rows: Rows, schema: Schema) -> tuple[str, ...]:
    """The relations, in words, that hold in the rows without gaps, and are not kept because a column misses values."""
    table = schema.table
    if schema.structure != "vector" or not any(column.missing and not column.size for column in table):
        return ()
    return relations_with_gaps(
        rows, schema.columns, [not c.size for c in table], [c.bounds for c in table], _counted(table)
    )


def unclipped(schema: Schema, relations: Relations) -> Schema:
    """The schema without clipping to the data where columns follow from others: a total may lie above all that occurred."""
    targets = {item.target for item in relations.items}
    if not relations or schema.structure != "vector":
        return schema
    ends = list(zip(relations.low, relations.high))
    table = tuple(
        column.unclipped().between(*ends[i])
        if i in targets
        else column.unreflected()
        if i in relations.sources
        else column
        for i, column in enumerate(schema.table)
    )

    def loosened(end: Bound) -> Bound:
        return tuple(None if i in targets else e for i, e in enumerate(end)) if isinstance(end, tuple) else end

    return replace(schema, table=table, low=loosened(schema.low), high=loosened(schema.high))


def declared(schema: Schema) -> list[Equation]:
    """The linear equations among the constraints that the user declares."""
    lines = [None if column.size else column.line for column in schema.table]
    names = [None if line is None else column.name for column, line in zip(schema.table, lines)]
    found = (equation for text in schema.constraints for equation in Constraint(text).equations(names))
    return [_of_encoded(equation, lines) for equation in found]


def _of_encoded(equation: Equation, lines: Sequence[tuple[Fraction, Fraction] | None]) -> Equation:
    """An equation of the values of columns as one of their encoded numbers, which for dates count from the first one."""
    terms = [(Fraction(c), *(line or (0, 1))) for c, line in zip(equation.coefficients, lines)]
    largest = max(abs(c * step) / abs(c) for c, _, step in terms if c)
    offset = Fraction(equation.offset) - sum((c * origin for c, origin, _ in terms), Fraction(0))
    return Equation(tuple(float(c * step / largest) for c, _, step in terms), float(offset / largest))


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
