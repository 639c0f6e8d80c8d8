"""Values that people type, as `Model.condition` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .calls import plain_value
from .conditionable import ConditionableModel
from .context import ContextColumn
from .data.columns import Column

__all__ = ["MISSING", "from_text"]

MISSING = ("NA", "missing")
"""Words that say that a value is missing, unless a category has such a level."""


def from_text(model: ConditionableModel, texts: Mapping[str, str]) -> dict[Any, Any]:
    """Values of columns of the data, or of the context, from text.

    Text reaches a column of the data as it stands, and the column says what is meant: 00123 is a level of a category, and the
    number 123 in a column of numbers. Classes of a context are found by their names.

    Arguments:
        model: The model that will be conditioned.
        texts: The texts by the names of columns, or by their numbers, as text, where columns have no names.

    Returns:
        The values, by the names that columns have; None for what is missing. Names that the model does not know are kept.
    """
    data = (
        list(model.schema.columns or range(model.schema.inner_shape[0])) if model.schema.structure == "vector" else []
    )
    columns = dict(zip(data, model.schema.table))
    context: dict[Any, ContextColumn] = {}
    if model.context is not None:
        context |= {column.name: column for column in model.context.columns}
    names = {str(name): name for name in (*data, *context)}
    found = {}
    for typed, text in texts.items():
        name = names.get(typed, typed)
        if name in context:
            found[name] = _of_context(context[name], text)
        elif name in names.values():
            found[name] = _of_column(columns.get(name), text)
        else:
            found[name] = plain_value(text)
    return found


def _of_column(column: Column | None, text: str) -> Any:
    if column is not None and column.size and text in map(str, column.decode(np.arange(column.size, dtype=float))):
        return column.meant(text)
    return None if text in MISSING else text


def _of_context(column: ContextColumn, text: str) -> Any:
    classes = {str(value): value for value in column.categories or ()}
    return classes[text] if text in classes else None if text in MISSING else plain_value(text)
