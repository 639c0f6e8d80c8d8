"""Arrays with named axes, coordinates and attributes in netCDF files; HDF5 and zarr keep them in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import DECODED, Store, blocks
from ..dataarrays import scaled, to_attributes
from ..dtypes import check_dtype
from ..errors import DataError
from ..optional import need
from ..schema import Schema
from .base import Entry, Format, Selection, arrays_of, fill
from .heaps import check_heaps
from .variables import choose_arrays, one_array, parts_of, read_dataset

__all__ = ["NAMED", "NetCDF", "cannot_be_named", "has_types", "labels", "open_dataset", "read_dataarray"]

NAMED = ("dataarray", "dataset", "dataframe")  # kinds of data whose axes or columns have names


class NetCDF(Format):
    """A variable of a netCDF file, or several on the same axes, with dims, coordinates and attributes."""

    name, suffixes, options = "netCDF", (".nc", ".nc4", ".cdf", ".netcdf"), ("key",)
    position = 5
    keeps, lacks = ("columns", "axes"), ("float16", "float128", "longdouble")

    def contents(self, path: Path) -> dict[str, Entry]:
        with open_dataset(path, "netcdf4") as found:
            return {str(n): (v.shape, v.dtype) for n, v in found.data_vars.items()}

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        with open_dataset(path, "netcdf4") as found:
            axes = {str(n): tuple(map(str, v.dims)) for n, v in found.data_vars.items()}
            names = choose_arrays(self.contents(path), axes, selection.key, path)
            if not one_array(found, names):
                others = [] if selection.key else [n for n in axes if n not in names]
                return read_dataset(found, names, path, store, others)
            return read_dataarray(found[names[0]], names[0], store)

    def cannot_hold(self, schema: Schema) -> str | None:
        return super().cannot_hold(schema) or cannot_be_named(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        netcdf, xarray = need("netCDF4", "writing netcdf"), need("xarray", "writing netcdf")
        if schema.variables:
            xarray.Dataset(coords=schema.coordinate_variables()).to_netcdf(path, engine="netcdf4", format="NETCDF4")
            with netcdf.Dataset(path, "a") as file:
                _fill_variables(file, batches, count, schema)
            return
        first, arrays = arrays_of(batches)
        name, dims, coordinates = labels(schema)
        attrs = to_attributes(schema.attrs)
        if first.dtype == bool:  # as xarray keeps them
            attrs["dtype"] = "bool"
        xarray.Dataset(coords=coordinates).to_netcdf(path, engine="netcdf4", format="NETCDF4")
        with netcdf.Dataset(path, "a") as file:
            for dim, size in zip(dims, (count, *first.shape[1:])):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
            stored = "i1" if first.dtype == bool else first.dtype
            variable = file.createVariable(name, stored, dims, fill_value=attrs.pop("_FillValue", False))
            variable.set_auto_maskandscale(False)
            variable.setncatts(attrs)
            fill(variable, arrays)


def _fill_variables(file: Any, batches: Iterable[Any], count: int, schema: Schema) -> None:
    """Writes the variables of samples into an open file that has their coordinates."""
    dims = schema.dims or ()
    for dim, size in zip(dims, (count, *schema.shape[1:])):
        if dim not in file.dimensions:
            file.createDimension(dim, size)
    file.setncatts({n: v for n, v in to_attributes(schema.attrs).items() if n not in file.ncattrs()})
    made = {}
    for each in schema.variables:
        attrs = to_attributes(each.attrs) | ({"dtype": "bool"} if each.dtype == "bool" else {})  # as xarray keeps them
        stored = "i1" if each.dtype == "bool" else each.dtype
        made[each.name] = file.createVariable(each.name, stored, each.dims, fill_value=attrs.pop("_FillValue", False))
        made[each.name].set_auto_maskandscale(False)
        made[each.name].setncatts(attrs)
    for place, name, values in parts_of(batches, schema):
        made[name][place] = values


def labels(schema: Schema) -> tuple[str, tuple[str, ...], dict[str, Any]]:
    """The names of an array of samples and of its axes, and the coordinates; columns of a table are one of these."""
    if schema.kind in ("dataarray", "dataset"):
        return schema.name or "samples", schema.dims or (), schema.coordinate_variables()
    if schema.kind == "dataframe":
        names = np.array([str(name) for name in schema.columns or ()])
        return "samples", ("sample", "column"), {"column": (("column",), names, {})}
    return "samples", ("sample", *(f"axis_{i}" for i in range(1, len(schema.shape) + 1))), {}


def cannot_be_named(schema: Schema) -> str | None:
    """Why a file cannot hold such names, as the rest of a sentence."""
    name, dims, coordinates = labels(schema)
    names = tuple(each.name for each in schema.variables) or (name,)
    twice = [n for n in names if n in dims or n in coordinates]
    if twice:
        return f"needs different names for the data and its axes, and both are called {twice[0]!r}"
    strange = [each for each in schema.variables if not has_types([np.dtype(each.dtype)])]
    if strange:
        return f"cannot hold {strange[0].dtype}"
    wrong = [n for n in (*names, *dims, *coordinates) if "/" in n or not n.strip()]
    return f"has no place for the name {wrong[0]!r}" if wrong else None


def open_dataset(path: Path, engine: str, group: str = "", numbers: Sequence[str] = (), **options: Any) -> Any:
    """A group of a file as a Dataset of xarray, with values as their attributes say; those of `numbers` are not made dates."""
    xarray = need("xarray", "reading arrays with named axes")
    if engine == "netcdf4" and (strange := _strange_type(path)) is not None:
        raise DataError(f"{path} holds {strange}, a type that netCDF does not have: write it as float64")
    need("netCDF4" if engine == "netcdf4" else engine, "reading arrays with named axes")
    stored = xarray.open_dataset(str(path), engine=engine, group=group or None, decode_cf=False, cache=False, **options)
    try:
        for name, variable in stored.variables.items():
            variable.attrs = scaled(variable.attrs, f"{name!r} in {path}")
        return xarray.decode_cf(stored, decode_times=dict.fromkeys(numbers, False) if numbers else True)
    except BaseException:
        stored.close()
        raise


def has_types(dtypes: Iterable[Any]) -> bool:
    """Whether netCDF has all of these types; its library ends the process at some that it has not."""
    return all(dtype.kind not in "fc" or (dtype.kind == "f" and dtype.itemsize in (4, 8)) for dtype in dtypes)


def _strange_type(path: Path) -> Any:
    """The first type in an HDF5 file that netCDF does not have; None without any, and for files of netCDF 3."""
    with open(path, "rb") as file:
        if file.read(4) != b"\x89HDF":
            return None
    check_heaps(path)
    h5py, found = need("h5py", "reading netcdf"), []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not has_types([item.dtype]):
            found.append(item.dtype)

    with h5py.File(path, "r") as opened:
        opened.visititems(visit)
    return found[0] if found else None


def read_dataarray(x: Any, key: str, store: Store) -> Any:
    """A DataArray that is not read yet: at once, or with its values in the copy."""
    check_dtype(x.dtype, x.ndim)
    if store.holds(x.nbytes):
        return x.load()
    values, _ = store.copy({"key": key, **DECODED}, (x[part].values for part in blocks(len(x), x.nbytes // len(x))))
    coords = {name: coordinate.load() for name, coordinate in x.coords.items()}
    return need("xarray", "reading arrays with named axes").DataArray(values, coords, x.dims, x.name, x.attrs)
