"""Arrays by name in HDF5 files, with named axes and coordinates where netCDF's libraries put them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..cache import Store, read_slices
from ..optional import need
from ..schema import Schema
from .base import Entry, Format, Selection, arrays_of, fill
from .heaps import check_heaps
from .netcdf import NAMED, NetCDF, has_types, open_dataset, read_dataarray
from .packed import unpacked
from .variables import choose_arrays, one_array, read_dataset

__all__ = ["Hdf5"]


class Hdf5(Format):
    """A dataset of an HDF5 file. Samples with named axes are written and read as netCDF does, which is HDF5 too."""

    name, suffixes, options = "HDF5", (".h5", ".hdf5", ".hdf", ".he5"), ("key",)
    position = 4
    keeps = ("columns", "axes")

    def contents(self, path: Path) -> dict[str, Entry]:
        return _datasets(path)[0]

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        (found, by_netcdf), axes = _datasets(path), {}
        if by_netcdf:
            with open_dataset(path, "netcdf4") as root:
                found = {k: v for k, v in found.items() if k == selection.key or k not in root.coords}
                axes = {str(n): tuple(map(str, v.dims)) for n, v in root.data_vars.items()}
        keys = choose_arrays(found, axes, selection.key, path)
        key, (shape, _) = keys[0], found[keys[0]]
        if by_netcdf and shape:
            group, names = key.rpartition("/")[0], [k.rpartition("/")[2] for k in keys]
            with open_dataset(path, "netcdf4", group, names) as opened:
                if names[0] in opened.data_vars:
                    if one_array(opened, names):
                        return read_dataarray(opened[names[0]], key, store)
                    others = [] if selection.key else [str(n) for n in opened.data_vars if n not in names]
                    return read_dataset(opened, names, path, store, others)
        with need("h5py", f"reading {path.suffix}").File(path, "r") as file:
            return read_slices(unpacked(file[key], file[key].attrs, f"{key!r} in {path}"), key, store)

    def cannot_hold(self, schema: Schema) -> str | None:
        return NetCDF().cannot_hold(schema) if schema.kind in NAMED else super().cannot_hold(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        if schema.kind in NAMED:
            NetCDF().write(path, batches, count, schema)
            return
        h5py = need("h5py", "writing HDF5")
        first, arrays = arrays_of(batches)
        with h5py.File(path, "w") as file:
            fill(file.create_dataset("samples", (count, *first.shape[1:]), first.dtype), arrays)


def _datasets(path: Path) -> tuple[dict[str, Entry], bool]:
    """The datasets by their path in the file, and whether the library of netCDF wrote them."""
    h5py = need("h5py", f"reading {path.suffix}")
    check_heaps(path)
    found: dict[str, Entry] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape or (), item.dtype)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        return found, "_NCProperties" in file.attrs and has_types(dtype for _, dtype in found.values())
