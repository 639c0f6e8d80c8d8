"""Values that people type, as `Model.condition` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .calls import plain_value
from .conditionable import ConditionableModel
from .context import ContextColumn
from .data.columns import Column
from .data.columns.number_marks import is_missing

__all__ = ["assignment", "from_text"]


def assignment(model: ConditionableModel, word: str) -> tuple[str, str] | None:
    """The name and the text of `name=text`; None where there is no such sign.

    The names of columns, of the data or of the context, may hold signs of equality: the longest that fits is meant.

    Arguments:
        model: The model that will be conditioned.
        word: What was typed.
    """
    names = [str(name) for name in _columns(model)]
    name = max((name for name in names if word.startswith(f"{name}=")), key=len, default=word.partition("=")[0])
    return (name, word[len(name) + 1 :]) if "=" in word else None


def from_text(model: ConditionableModel, texts: Mapping[str, str]) -> dict[Any, Any]:
    """Values of columns of the data, or of the context, from text.

    Text reaches a column of the data as it stands, and the column says what is meant: 00123 is a level of a category, and the
    number 123 in a column of numbers. Classes of a context are found by their names. Words for missing values are those that
    are read so among numbers, such as NA, None, nan or nothing at all, unless a category has such a level.

    Arguments:
        model: The model that will be conditioned.
        texts: The texts by the names of columns, or by their numbers, as text, where columns have no names.

    Returns:
        The values, by the names that columns have; None for what is missing. Names that the model does not know are kept.
    """
    columns = _columns(model)
    names = {str(name): name for name in columns}
    found = {}
    for typed, text in texts.items():
        name = names.get(typed, typed)
        column = columns.get(name)
        if isinstance(column, ContextColumn):
            found[name] = _of_context(column, text)
        else:
            found[name] = _of_column(column, text) if name in columns else plain_value(text)
    return found


def _columns(model: ConditionableModel) -> dict[Any, Column | ContextColumn | None]:
    """The columns of the data and of the context by their names; None for columns of arrays."""
    vectors = model.schema.structure == "vector"
    data = list(model.schema.columns or range(model.schema.inner_shape[0])) if vectors else []
    context = () if model.context is None else model.context.columns
    found: dict[Any, Column | ContextColumn | None] = dict.fromkeys(data)
    return found | dict(zip(data, model.schema.table)) | {column.name: column for column in context}


def _of_column(column: Column | None, text: str) -> Any:
    if column is not None and column.size and text in map(str, column.decode(np.arange(column.size, dtype=float))):
        return column.meant(text)
    return None if is_missing(text) else text


def _of_context(column: ContextColumn, text: str) -> Any:
    classes = {str(value): value for value in column.categories or ()}
    return classes[text] if text in classes else None if is_missing(text) else plain_value(text)
