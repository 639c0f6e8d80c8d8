"""Values that a user gave, as arrays and tensors: nothing of them is lost silently."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["masks_as_missing", "real_array", "real_tensor"]


def masks_as_missing(values: Any) -> Any:
    """A masked array of numpy, or lists of such, as an array whose masked values are missing; anything else as it is.

    Missing is NaN among real numbers, NaT among times, and None in arrays of any other type, which then hold objects.

    Example:
        >>> masks_as_missing(np.ma.masked_array([1.5, -9999.0], mask=[False, True]))
        array([1.5, nan])
        >>> masks_as_missing(np.ma.masked_array([1, -9999], mask=[False, True]))
        array([1, None], dtype=object)
    """
    if isinstance(values, list | tuple):
        parts = [masks_as_missing(each) for each in values]
        return np.asarray(parts) if any(part is not each for part, each in zip(parts, values)) else values
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if not np.ma.is_masked(values):
        return np.asarray(values)
    empty = {"f": np.nan, "m": "NaT", "M": "NaT"}.get(values.dtype.kind)
    found = np.array(values.data, dtype=object if empty is None else values.dtype)
    found[np.ma.getmaskarray(values)] = empty
    return found


def real_array(values: Any, what: str, parts: str = "numpy.stack([x.real, x.imag], -1)") -> np.ndarray:
    """What a user gave as an array of any type but complex numbers, in which masked values and NA of pandas are missing.

    Arguments:
        values: An array, a tensor, a Series, nested lists.
        what: What it is, the subject of a sentence in the plural.
        parts: How the two parts of complex numbers are given as real ones.

    Raises:
        TypeError: If numbers are complex.
        ValueError: If lists do not make an array.

    Example:
        >>> real_array([1.0 + 1.0j], "measured numbers")
        Traceback (most recent call last):
        TypeError: measured numbers must be real, got complex ones: give both parts, numpy.stack([x.real, x.imag], -1)
    """
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).resolve_conj().numpy()
    else:
        extension = not isinstance(getattr(values, "dtype", np.dtype(float)), np.dtype) and hasattr(values, "isna")
        if extension and bool(values.isna().any()):
            values = values.to_numpy(dtype=object)  # by itself, pandas makes floats of integers with gaps
        try:
            array = np.asarray(masks_as_missing(values))
        except ValueError as error:
            raise ValueError(
                f"{what} must have one shape, got parts of different ones: pass an array ({error})"
            ) from None
    pandas = sys.modules.get("pandas")
    if array.dtype == object and pandas is not None:
        array = array.copy()
        array[pandas.isna(array)] = None
    objects = array.flat if array.dtype == object else ()
    if array.dtype.kind == "c" or any(isinstance(each, complex | np.complexfloating) for each in objects):
        raise TypeError(f"{what} must be real, got complex ones: give both parts, {parts}")
    return array


def real_tensor(values: Any, what: str, parts: str = "numpy.stack([x.real, x.imag], -1)") -> Tensor:
    """What a user gave as a tensor of float64, NaN where a value is missing; a tensor stays on its device.

    Raises:
        TypeError: If numbers are complex.
        ValueError: If it does not hold numbers.
    """
    if isinstance(values, Tensor) and not values.is_complex():
        return values.to(torch.float64)
    array = real_array(values, what, parts)
    if array.dtype.kind in "mM":
        raise ValueError(f"{what} must be numbers, got times ({array.dtype}): pass distances in a unit of your choice")
    try:
        return torch.as_tensor(np.asarray(array, dtype=np.float64, order="C"))  # torch knows no reversed axes
    except (TypeError, ValueError):
        first = next(iter(array.flat), None)
        raise ValueError(f"{what} must be numbers, got {str(first)!r:.80}: pass an array of numbers") from None
