"""Which numbers can be modelled, and how real ones become the user's integers again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import DataTypeError
from .rows import Rows, to_tensor

__all__ = ["check_dtype", "holds_numbers", "numpy_dtype", "restore", "value_range"]

Bound = float | tuple[float | None, ...] | None


def check_dtype(dtype: np.dtype, axes: int) -> None:
    """Raises a DataTypeError that says what to do unless `dtype` is real, integer or bool.

    Arguments:
        dtype: The type of data.
        axes: How many axes the data have, that of the samples too: 2 for vectors.
    """
    if dtype.kind in "fiub":
        return
    if dtype.names is not None:
        got, advice = f"records with the fields {', '.join(map(repr, dtype.names))}", "pass pandas.DataFrame(x)"
    elif dtype.kind == "c":
        grids = ' and data=Data(channels="first"), on the command line --channels first' if axes > 2 else ""
        both = "numpy.hstack([x.real, x.imag])" if axes == 2 else f"numpy.stack([x.real, x.imag], 1){grids}"
        got, advice = "complex numbers", f"pass {both}"
    elif dtype.kind in "mM":
        got, advice = f"times ({dtype})", 'pass x.astype("int64") less its smallest, in a unit of your choice'
    elif dtype.kind in "SUT":
        got, advice = "text", "pass x.astype(float) if it holds numbers, or a code for each word"
    elif dtype.kind == "O":
        got, advice = "Python objects", "pass x.astype(float), or Ragged(values, times) if rows have different lengths"
    else:
        got, advice = f"numbers of type {dtype}", "pass x.astype(numpy.float32)"
    raise DataTypeError(f"data must be real numbers, integers or bools, got {got}: {advice}")


@cache
def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The numpy type under a pandas type, such as `Int64` or `double[pyarrow]`."""
    from pandas.api.types import pandas_dtype

    found: Any = pandas_dtype(dtype)
    plain: np.dtype[Any] = np.dtype(getattr(found, "numpy_dtype", getattr(found, "subtype", found)))
    return plain


def holds_numbers(dtype: str) -> bool:
    """Whether a pandas type is one of numbers or bools.

    Example:
        >>> holds_numbers("Int64"), holds_numbers("category")
        (True, False)
    """
    try:
        return numpy_dtype(dtype).kind in "fiub"
    except TypeError:
        return False


def value_range(rows: Rows) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value of each feature, `(F,)`, in one pass."""
    size = max(1, (8 << 20) // (8 * max(1, math.prod(rows.shape[1:]))))
    pairs = [torch.aminmax(chunk.cpu().flatten(1), dim=0) for chunk in rows.chunks(size, torch.float64)]
    return torch.stack([p.min for p in pairs]).amin(0), torch.stack([p.max for p in pairs]).amax(0)


def restore(x: Tensor, dtype: np.dtype | torch.dtype, integer: bool, low: Bound, high: Bound) -> Tensor:
    """Real numbers `(M, F)` as numbers of type `dtype`, finite ones clipped to its range; rounded half to even if `integer`.

    Raises:
        RuntimeError: If a number is to be rounded that is not finite.

    Example:
        >>> restore(torch.tensor([[-3.0, 0.5, 1.5, 300.0]]), torch.uint8, True, 0, 255)
        tensor([[  0,   0,   2, 255]], dtype=torch.uint8)
    """
    target = dtype if isinstance(dtype, torch.dtype) else to_tensor(np.zeros(0, dtype)).dtype
    if not integer:
        return _within(_clip(x, low, high), target)
    nonfinite = int((~x.isfinite()).any(1).sum())
    if nonfinite:
        raise RuntimeError(
            f"{nonfinite} of {len(x)} samples are not finite and cannot be rounded to {str(target).removeprefix('torch.')}: "
            "the sampler diverged, take more steps or another sampler"
        )
    whole = _clip(x.double().round(), low, high)
    if target == torch.bool:
        return whole > 0.5
    info = torch.iinfo(target)
    top = float(info.max) if int(float(info.max)) <= info.max else float(np.nextafter(float(info.max), 0.0))
    return whole.clamp(float(info.min), top).to(target)


def _within(x: Tensor, target: torch.dtype) -> Tensor:
    """Numbers of a floating-point type; what is finite stays so, where the type holds no larger numbers."""
    largest = torch.finfo(target).max
    if largest < torch.finfo(x.dtype).max:
        x = torch.where(x.isfinite(), x.clamp(-largest, largest), x)
    return x.to(target)


def _clip(x: Tensor, low: Bound, high: Bound) -> Tensor:
    """Each feature clipped to its bounds, where it has some."""
    for bound, clip, free in ((low, torch.maximum, -math.inf), (high, torch.minimum, math.inf)):
        if bound is not None:
            values = bound if isinstance(bound, Sequence) else (bound,)
            x = clip(x, torch.tensor([free if b is None else b for b in values], dtype=x.dtype))
    return x
