"""Arrays by name in HDF5 files, with named axes and coordinates where netCDF's libraries put them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..axes import Axes, lost_by_arrays, read_dataarray
from ..batches import arrays_of
from ..cache import Store, read_slices
from ..optional import need
from ..schema import Schema
from .base import Entry, Format, Selection, choose_array
from .netcdf import NetCDF, write_netcdf

__all__ = ["Hdf5"]


class Hdf5(Format):
    """A dataset of an HDF5 file. Samples with named axes are written and read as netCDF does, which is HDF5 too."""

    name, suffixes, options = "HDF5", (".h5", ".hdf5", ".hdf", ".he5"), ("key",)

    def contents(self, path: Path) -> dict[str, Entry]:
        return _datasets(path)[0]

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        found, by_netcdf = _datasets(path)
        if by_netcdf:
            with _opened(path, "", None) as root:
                found = {k: v for k, v in found.items() if k == selection.key or k not in root.coords}
        key, (shape, _) = choose_array(found, selection.key, path)
        if by_netcdf and shape:
            group, _, name = key.rpartition("/")
            with _opened(path, group, name) as opened:
                if name in opened.data_vars:
                    return read_dataarray(opened[name], key, store)
        h5py = need("h5py", f"reading {path.suffix}")
        with h5py.File(path, "r") as file:
            return read_slices(file[key], key, store)

    def cannot_hold(self, schema: Schema) -> str | None:
        return NetCDF().cannot_hold(schema) if _named(schema) else None

    def loses(self, schema: Schema) -> str | None:
        return lost_by_arrays(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        if _named(schema):
            write_netcdf(path, batches, count, Axes.of(schema))
            return
        h5py = need("h5py", "writing HDF5")
        first, arrays = arrays_of(batches)
        with h5py.File(path, "w") as file:
            samples = file.create_dataset("samples", (count, *first.shape[1:]), first.dtype)
            start = 0
            for array in arrays:
                samples[start : start + len(array)] = array
                start += len(array)


def _named(schema: Schema) -> bool:
    return schema.kind in ("dataarray", "dataframe")


def _datasets(path: Path) -> tuple[dict[str, Entry], bool]:
    """The datasets by their path in the file, and whether the library of netCDF wrote them."""
    h5py = need("h5py", f"reading {path.suffix}")
    found: dict[str, Entry] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape or (), item.dtype)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        return found, "_NCProperties" in file.attrs


def _opened(path: Path, group: str, name: str | None) -> Any:
    """A group as a Dataset of xarray, with the values of `name` as they are stored."""
    xarray = need("xarray", "reading arrays with named axes")
    need("netCDF4", "reading arrays with named axes")
    raw: dict[str, Any] = {} if name is None else {"mask_and_scale": {name: False}, "decode_times": {name: False}}
    return xarray.open_dataset(path, engine="netcdf4", group=group or None, **raw)
