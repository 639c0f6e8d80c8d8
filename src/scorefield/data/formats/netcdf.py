"""Arrays with named axes, coordinates and attributes in netCDF files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..axes import Axes, lost_by_arrays, read_dataarray
from ..batches import arrays_of
from ..cache import Store
from ..optional import need
from ..schema import Schema
from .base import Entry, Format, Selection, choose_array

__all__ = ["NetCDF", "write_netcdf"]

_MISSING = ("float16", "float128", "longdouble")  # types that netCDF has not


class NetCDF(Format):
    """A variable of a netCDF file with its dims, coordinates and attributes; its first axis counts the samples."""

    name, suffixes, options = "netCDF", (".nc", ".nc4", ".cdf", ".netcdf"), ("key",)

    def contents(self, path: Path) -> dict[str, Entry]:
        with _opened(path) as found:
            return {str(n): (v.shape, v.dtype) for n, v in found.data_vars.items()}

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        key, _ = choose_array(self.contents(path), selection.key, path)
        with _opened(path) as found:
            return read_dataarray(found[key], key, store)

    def cannot_hold(self, schema: Schema) -> str | None:
        return f"cannot hold {schema.dtype}" if schema.dtype in _MISSING else Axes.of(schema).clash

    def loses(self, schema: Schema) -> str | None:
        return lost_by_arrays(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        write_netcdf(path, batches, count, Axes.of(schema))


def _opened(path: Path) -> Any:
    xarray = need("xarray", "reading netcdf")
    need("netCDF4", "reading netcdf")
    return xarray.open_dataset(path, engine="netcdf4")


def write_netcdf(path: Path, batches: Iterable[Any], count: int, axes: Axes) -> None:
    """Writes samples as a variable of a netCDF-4 file: the coordinates first, then a batch at a time."""
    netcdf = need("netCDF4", "writing netcdf")
    first, arrays = arrays_of(batches)
    attrs = axes.plain_attrs()
    stored = "i1" if first.dtype == bool else first.dtype
    if first.dtype == bool:  # as xarray keeps them
        attrs["dtype"] = "bool"
    axes.coordinates().to_netcdf(path, engine="netcdf4", format="NETCDF4")
    with netcdf.Dataset(path, "a") as file:
        for name, size in zip(axes.dims, (count, *first.shape[1:])):
            if name not in file.dimensions:
                file.createDimension(name, size)
        fill = attrs.pop("_FillValue", False)
        variable = file.createVariable(axes.name, stored, axes.dims, fill_value=fill)
        variable.set_auto_maskandscale(False)
        variable.setncatts(attrs)
        start = 0
        for array in arrays:
            variable[start : start + len(array)] = array
            start += len(array)
