"""What kind of data was given, and the numbers in it."""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from . import dataarrays, frames
from .columns import Name
from .dtypes import check_dtype

__all__ = ["Kind", "columns_of", "kind_of", "numbers_of"]

Kind = Literal["numpy", "torch", "dataframe", "series", "dataarray"]


def kind_of(x: Any) -> Kind:
    """What was given; a library that is not loaded cannot have made it."""
    if isinstance(x, Tensor):
        return "torch"
    if isinstance(x, frames.Table):
        return "dataframe"
    pandas, xarray = sys.modules.get("pandas"), sys.modules.get("xarray")
    if pandas is not None and isinstance(x, pandas.DataFrame):
        return "dataframe"
    if pandas is not None and isinstance(x, pandas.Series):
        return "series"
    if xarray is not None and isinstance(x, xarray.DataArray):
        return "dataarray"
    if xarray is not None and isinstance(x, xarray.Dataset):
        raise TypeError(dataarrays.explain_dataset(x))
    if isinstance(x, str | bytes) or hasattr(x, "__fspath__"):
        raise TypeError(f"data must be numbers, got the path {x!r}: read it first, scorefield.data.read(path)")
    if hasattr(x, "toarray"):
        raise TypeError(f"data must be dense, got a {type(x).__name__}: pass x.toarray()")
    if hasattr(x, "to_pandas"):
        raise TypeError(f"data must be an array or a pandas table, got a {type(x).__name__}: pass x.to_pandas()")
    if not isinstance(x, np.ndarray | list | tuple) and not hasattr(x, "__array__"):
        raise TypeError(f"data must be an array, a tensor, a DataFrame or a DataArray, got a {type(x).__name__}")
    return "numpy"


def numbers_of(x: Any, kind: Kind) -> np.ndarray | Tensor:
    """The numbers of what was given."""
    if kind == "torch":
        if x.layout != torch.strided or x.is_quantized:
            raise TypeError(f"data must be a dense tensor, got the layout {x.layout}: pass x.to_dense()")
        if x.is_complex():
            check_dtype(np.dtype(np.complex64))
        tensor: Tensor = x.detach()
        return tensor
    if isinstance(x, frames.Table):
        return x.values
    if kind in ("dataframe", "series"):
        frame = x if kind == "dataframe" else x.to_frame()
        columns_of(x)
        values = frames.from_frame(frame)
        return values if kind == "dataframe" else values[:, 0]
    if kind == "dataarray":
        x = x.data if isinstance(x.data, np.ndarray) else x.values
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ValueError(f"{int(x.mask.sum())} values are masked: fill them, x.filled(…), or leave their rows out")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"the rows have different lengths: make them the same ({error})") from None
    check_dtype(array.dtype)
    return array


def columns_of(x: Any) -> tuple[tuple[Name, ...], tuple[str, ...]]:
    """The names and the types of a table's columns, checked."""
    if isinstance(x, frames.Table):
        return x.columns, x.dtypes
    frame = x.to_frame(x.name) if x.ndim == 1 else x
    return frames.column_names(frame), frames.column_dtypes(frame)
