"""Batches of samples as arrays or as tables, to be written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from .errors import DataError
from .optional import need

__all__ = ["array_of", "arrays_of", "table_of"]


def array_of(batch: Any) -> np.ndarray:
    """A batch as an array of numbers; the columns of a table get one common type."""
    if isinstance(batch, torch.Tensor) and batch.dtype == torch.bfloat16:  # numpy has no bfloat16
        batch = batch.float()
    array = np.asarray(batch)
    return np.ascontiguousarray(array.astype(np.float64) if array.dtype == object else array)


def arrays_of(batches: Iterable[Any]) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The first batch as an array, for its shape and type, and then all batches as arrays of that type.

    Raises:
        DataError: If there is no batch.
    """
    arrays = map(array_of, batches)
    first = next(arrays, None)
    if first is None:
        raise DataError("there are no samples to write")
    dtype = first.dtype
    return first, (a.astype(dtype, copy=False) for a in itertools.chain([first], arrays))


def table_of(batch: Any) -> Any:
    """A batch as a DataFrame; columns without names are called x0, x1, …"""
    pandas = need("pandas", "writing tables")
    if isinstance(batch, pandas.DataFrame):
        return batch
    if isinstance(batch, pandas.Series):
        return batch.to_frame(batch.name if batch.name is not None else "x0")
    array = array_of(batch).reshape(len(batch), -1)
    return pandas.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
