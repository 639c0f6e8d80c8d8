"""One column of a table: what it is called, which numbers it holds, and how samples become such numbers again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .dtypes import restore

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["Column", "Name", "numpy_dtype"]

Name = str | int | float | bool | tuple[Any, ...] | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Arguments:
        name: Its name.
        dtype: Its type in pandas.
        integer: Whether samples are rounded.
        low: What samples are clipped to from below; None if they are not.
        high: The same from above.

    Example:
        >>> import torch
        >>> Column("count", "int64", True, 0.0, 9.0).series(torch.tensor([-1.0, 2.5, 99.0])).tolist()
        [0, 2, 9]
    """

    name: Name
    dtype: str
    integer: bool = False
    low: float | None = None
    high: float | None = None

    def series(self, values: Tensor) -> Series[Any]:
        """Real numbers `(M,)` as values of this column.

        Raises:
            RuntimeError: If a number is to be rounded that is not finite.
        """
        import pandas

        numbers = restore(values[:, None], numpy_dtype(self.dtype), self.integer, self.low, self.high)[:, 0]
        return pandas.Series(numbers.numpy()).astype(pandas.api.types.pandas_dtype(self.dtype))


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type under a pandas type, such as `Int64` or `double[pyarrow]`."""
    from pandas.api.types import pandas_dtype

    found: Any = pandas_dtype(dtype)
    inner = getattr(found, "numpy_dtype", getattr(found, "subtype", found))
    plain: np.dtype[Any] = np.dtype(inner)
    return plain
