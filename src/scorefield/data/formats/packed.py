"""Arrays whose attributes say what their numbers stand for, by the CF conventions: missing values, a scale, an offset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cache import DECODED
from ..dataarrays import packing, scaled
from ..optional import need

__all__ = ["Unpacked", "unpacked"]


class Unpacked:
    """An array that is read by slices, with the values that its stored numbers stand for.

    Arguments:
        stored: The array as it is stored, of shape `(N, …)`, such as those of h5py and zarr.
        attrs: Its attributes of the CF conventions.
    """

    copied = DECODED  # what tells copies of it from those of stored numbers

    def __init__(self, stored: Any, attrs: Mapping[str, Any]) -> None:
        self.stored, self.attrs = stored, dict(attrs)
        self.shape, self.chunks = tuple(stored.shape), stored.chunks
        self.dtype = self._decoded(np.zeros((1,) * len(self.shape), stored.dtype)).dtype
        self.nbytes = int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, part: Any) -> np.ndarray:
        return self._decoded(np.asarray(self.stored[part]))

    def _decoded(self, values: np.ndarray) -> np.ndarray:
        xarray = need("xarray", f"reading values with the attributes {', '.join(self.attrs)}")
        dims = tuple(f"axis_{i}" for i in range(values.ndim))
        found = xarray.decode_cf(xarray.Dataset({"x": (dims, values, self.attrs)}), decode_times=False)
        return np.asarray(found["x"].values)


def unpacked(stored: Any, attrs: Mapping[str, Any], what: str) -> Any:
    """An array of h5py or zarr with the values that its numbers stand for; itself where its attributes say nothing of that.

    Arguments:
        stored: The array.
        attrs: Its attributes.
        what: What it is called, for messages.

    Raises:
        DataError: If its scale or its offset is not one number.

    Example:
        >>> import h5py
        >>> file = h5py.File("x.h5", "w", driver="core", backing_store=False)
        >>> stored = file.create_dataset("t", data=np.array([10, 20, -99], "i2"))
        >>> unpacked(stored, {"scale_factor": 0.5, "_FillValue": -99, "units": "K"}, "t of x.h5")[...]
        array([ 5., 10., nan])
    """
    found = packing(attrs)
    return Unpacked(stored, scaled(found, what)) if found and stored.dtype.kind in "fiu" else stored
