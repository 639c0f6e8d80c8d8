"""Samples in files whose arrays have named axes, coordinates and attributes: netCDF, and HDF5 and zarr like it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cache import Store, blocks
from .dataarrays import Attributes, coordinate_variables, to_attributes
from .dtypes import check_dtype
from .optional import need
from .schema import Schema

__all__ = ["Axes", "lost_by_arrays", "read_dataarray", "rows_in_chunk"]

ROWS = 16 << 20  # bytes of a chunk of samples in a file


@dataclass(frozen=True)
class Axes:
    """How an array of samples is dataarrays.

    Arguments:
        name: The name of the array.
        dims: The names of its axes, the samples' first.
        variables: The coordinates: dims, values and attributes of each.
        attrs: The attributes of the array.
    """

    name: str
    dims: tuple[str, ...]
    variables: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]
    attrs: Attributes = ()

    @classmethod
    def of(cls, schema: Schema) -> Axes:
        """The labels of samples of a schema; a table has the names of its columns along the second axis."""
        if schema.kind == "dataarray":
            dims = schema.dims or ()
            variables = coordinate_variables(schema.coords, schema.coordinate_attrs, dict(zip(dims[1:], schema.shape)))
            return cls(schema.name or "samples", dims, variables, schema.attrs)
        if schema.kind == "dataframe":
            names = np.array([str(name) for name in schema.columns or ()])
            return cls("samples", ("sample", "column"), {"column": (("column",), names, {})})
        return cls("samples", ("sample", *(f"axis_{i}" for i in range(1, len(schema.shape) + 1))), {})

    @property
    def clash(self) -> str | None:
        """Why such names cannot be written, as the rest of a sentence."""
        if self.name in self.dims or self.name in self.variables:
            return f"needs different names for the data and its axes, and both are called {self.name!r}"
        wrong = [name for name in (self.name, *self.dims, *self.variables) if "/" in name or not name.strip()]
        return f"has no place for the name {wrong[0]!r}" if wrong else None

    def coordinates(self) -> Any:
        """The coordinates alone, as a Dataset of xarray."""
        xarray = need("xarray", "writing arrays with named axes")
        return xarray.Dataset(coords=self.variables)

    def plain_attrs(self) -> dict[str, Any]:
        """The attributes, as libraries of arrays take them."""
        return to_attributes(self.attrs)


def rows_in_chunk(row_bytes: int, count: int) -> int:
    """How many samples a chunk of a file holds."""
    return max(1, min(count, ROWS // max(1, row_bytes)))


def lost_by_arrays(schema: Schema) -> str | None:
    """What of a table is lost in an array with named axes: its columns get one common type."""
    several = schema.kind == "dataframe" and len(set(schema.column_dtypes or ())) > 1
    return "the types of the columns" if several else None


def read_dataarray(x: Any, key: str, store: Store) -> Any:
    """A DataArray that is not read yet: at once, or with its values in the copy."""
    xarray = need("xarray", "reading arrays with named axes")
    check_dtype(x.dtype)
    fill = x.attrs.get("_FillValue")
    if isinstance(fill, float) and math.isnan(fill):  # says nothing: missing numbers are NaN anyway
        del x.attrs["_FillValue"]
    if store.holds(x.nbytes):
        return x.load()
    row = x.nbytes // x.shape[0]
    copy, _ = store.copy({"key": key}, lambda: (x[s].values for s in blocks(x.shape[0], row)))
    coords = {n: c.load() for n, c in x.coords.items()}
    return xarray.DataArray(copy, dims=x.dims, name=x.name, attrs=x.attrs, coords=coords)
