"""Data of other libraries: tables by the interface that they share, Arrow's; datasets and loaders of torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..progress import part
from .optional import need
from .torch_datasets import gather, is_torch_dataset

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["from_arrow", "is_foreign", "native", "to_pandas"]


def native(x: Any) -> Any:
    """A table of another library as one of pandas, a dataset or a loader of torch as a tensor; others as they are.

    Tensors of bfloat16, which NumPy does not know, are read as float32.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> import torch
        >>> native(TensorDataset(torch.zeros(3, 2))).shape, native([1.0, 2.0])
        (torch.Size([3, 2]), [1.0, 2.0])
    """
    if is_torch_dataset(x):
        with part(0, 1, "reading the data"):
            return gather(x)
    if isinstance(x, Tensor) and x.dtype == torch.bfloat16:
        return x.float()
    pandas = sys.modules.get("pandas")
    if is_foreign(x) and not (pandas is not None and isinstance(x, pandas.DataFrame | pandas.Series)):
        return to_pandas(x)
    return x


def is_foreign(x: Any) -> bool:
    """Whether an object is a table that gives its columns as Arrow does: of Polars, Arrow, DuckDB, …

    Example:
        >>> is_foreign([1.0, 2.0])
        False
    """
    return hasattr(x, "__arrow_c_stream__") and (hasattr(x, "columns") or hasattr(x, "column_names"))


def to_pandas(x: Any) -> DataFrame:
    """A table of another library as one of pandas.

    Raises:
        ImportError: If pyarrow or pandas is missing.
    """
    need("pandas", f"reading a {type(x).__name__}")
    return from_arrow(need("pyarrow", f"reading a {type(x).__name__}").table(x))


def from_arrow(table: Any) -> DataFrame:
    """A table of Arrow as one of pandas; integers and bools stay what they are where some are missing.

    Example:
        >>> import pyarrow
        >>> from_arrow(pyarrow.table({"a": [1, None], "b": [0.5, None]})).dtypes.astype(str).tolist()
        ['Int64', 'float64']
    """
    import pandas
    import pyarrow

    frame: DataFrame = table.to_pandas()
    kinds = {pyarrow.bool_(): "boolean"}
    kinds |= {getattr(pyarrow, name.lower())(): name for name in ("Int8", "Int16", "Int32", "Int64")}
    kinds |= {getattr(pyarrow, name.lower())(): name for name in ("UInt8", "UInt16", "UInt32", "UInt64")}
    for field in table.schema:
        kind = kinds.get(field.type)
        if kind is None or not table[field.name].null_count or str(frame[field.name].dtype) == kind:
            continue
        values = [value.as_py() for value in table[field.name]]
        frame[field.name] = pandas.array(values, dtype=kind)
    return frame
