"""Where data have probability 0: beyond the bounds of their columns, and between the values of a lattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import frames
from .columns import Column
from .foreign import native
from .schema import Schema

__all__ = ["encoded", "excluded", "rows_and_excluded"]

_ROUNDING = 1e-6  # of float32, relative


def rows_and_excluded(schema: Schema, x: Any) -> tuple[Tensor, Tensor]:
    """Data in the layout of networks, and which rows have probability 0.

    Arguments:
        schema: The form of the data.
        x: Data of this form, which may lie outside of its bounds.

    Returns:
        The rows, `(N, *D)` in float64, and true or false, `(N,)`.

    Raises:
        ValueError: If `x` is of another form, or a category has an unknown level.

    Example:
        >>> import pandas
        >>> schema = Schema.of(pandas.DataFrame({"n": [0, 1, 2, 5], "x": [0.5, 1.25, 7.0, 3.0]}))
        >>> rows_and_excluded(schema, pandas.DataFrame({"n": [3, 2.5, -1], "x": [1.0, 2.0, 3.0]}))[1]
        tensor([False,  True,  True])
    """
    x = native(x)
    if schema.table and hasattr(x, "iloc") and x.ndim == 2 and schema.kind == "dataframe":
        frames.check_distinct(x)
        frame = frames.select(x, schema.columns)
        pairs = [encoded(column, frame[column.name]) for column in schema.table]
        data = torch.from_numpy(np.stack([numbers for numbers, _ in pairs], 1))
        found = torch.from_numpy(np.stack([outside for _, outside in pairs], 1))
    else:
        data = schema.unpack(x, torch.float64)
        found = torch.zeros(data.shape, dtype=torch.bool)
        for i, column in enumerate(schema.table):
            found[:, i] = torch.from_numpy(column.excluded(data[:, i].numpy()))
    return data, (found | excluded(schema, data)).flatten(1).any(1)


def encoded(column: Column, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the values of a column, and which of them it excludes; unlike in `encode`, these are not errors."""
    numbers = column.encode(values) if column.size else column.read(values)
    return numbers, column.excluded(numbers)


def excluded(schema: Schema, x: Tensor, places: Sequence[int] | None = None) -> Tensor:
    """Which values the bounds of columns or channels exclude, and of arrays those that are not whole where data are.

    Arguments:
        schema: The form of the data.
        x: Data in the layout of networks, `(N, *D)`; or some columns of vectors.
        places: Which columns these are; all by default.
    """
    chosen = slice(None) if places is None else list(places)
    found = torch.zeros(x.shape, dtype=torch.bool)
    tail = (-1, *(1,) * (x.ndim - 2))
    if schema.bounds:
        pairs = [schema.bounds[i] for i in (range(len(schema.bounds)) if places is None else places)]
        for side, sign in ((0, 1.0), (1, -1.0)):
            ends = [sign * end if (end := pair[side]) is not None else -torch.inf for pair in pairs]
            bound = torch.tensor(ends, dtype=torch.float64).reshape(tail)
            found |= sign * x < bound - _ROUNDING * bound.abs().where(bound.isfinite(), torch.zeros(()).double())
    if not schema.table:
        flags = np.broadcast_to(np.asarray(schema.integer), x.shape[1:] if x.ndim == 2 and places is None else (1,))
        if isinstance(schema.integer, tuple):
            flags = np.asarray(schema.integer)[chosen]
        whole = torch.from_numpy(np.array(flags)).reshape(tail if len(flags) > 1 else (1,) * (x.ndim - 1))
        found |= whole & (x != x.round())
        lows = schema.low if isinstance(schema.low, tuple) else (schema.low,)
        if any(low is not None and low >= 0 for low in lows):  # whole numbers that are nowhere negative
            found |= whole & (x < 0)
    return found
