"""Arrays by name in zarr stores, with named axes and coordinates where xarray put them there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import Store, read_slices
from ..dataarrays import Attributes, to_attributes
from ..errors import DataError
from ..optional import need
from ..schema import Schema
from .base import Entry, Format, Selection, arrays_of, fill
from .netcdf import NAMED, cannot_be_named, labels, open_dataset, read_dataarray
from .packed import unpacked
from .variables import choose_arrays, one_array, parts_of, read_dataset

__all__ = ["Zarr"]

MARKS = ("zarr.json", ".zgroup", ".zarray")  # files that a store has
CHUNK = 16 << 20  # bytes of the samples in a chunk


class Zarr(Format):
    """An array of a zarr store, which is a folder; a DataArray, or a Dataset of several, if the axes have names."""

    name, suffixes, options, folder = "zarr", (".zarr",), ("key",), True
    position = 6
    keeps, lacks = ("columns", "axes"), ("float128", "longdouble")

    def recognizes(self, path: Path) -> bool:
        return path.is_dir() and (self.names(path) or any((path / mark).exists() for mark in MARKS))

    def contents(self, path: Path) -> dict[str, Entry]:
        return {name: (array.shape, array.dtype) for name, array in _open(path)[1].items()}

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        root, arrays = _open(path)
        coordinates = {name for array in arrays.values() for name in _coordinates(root, array)}
        found = {
            key: (array.shape, array.dtype)
            for key, array in arrays.items()
            if key == selection.key or key not in coordinates
        }
        keys = choose_arrays(found, {k: _dims(array) for k, array in arrays.items()}, selection.key, path)
        if not keys[0] or not _dims(arrays[keys[0]]):
            array = arrays[keys[0]]
            return read_slices(unpacked(array, array.attrs, f"{keys[0]!r} in {path}"), keys[0], store)
        group, names = keys[0].rpartition("/")[0], [key.rpartition("/")[2] for key in keys]
        kept = {*keys, *(name for key in keys for name in _coordinates(root, arrays[key]))}
        others = [k.rpartition("/")[2] for k in arrays if k.rpartition("/")[0] == group and k not in kept]
        with open_dataset(path, "zarr", group, names, consolidated=False, drop_variables=others) as opened:
            if not one_array(opened, names):
                return read_dataset(opened, names, path, store, [] if selection.key else others)
            return read_dataarray(opened[names[0]], keys[0], store)

    def cannot_hold(self, schema: Schema) -> str | None:
        return super().cannot_hold(schema) or cannot_be_named(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        zarr = need("zarr", "writing zarr")
        name, dims, variables = labels(schema)
        if variables or schema.variables:
            dataset = need("xarray", "writing arrays with named axes").Dataset(coords=variables)
            texts = {n: c.astype(object) for n, c in dataset.coords.items() if c.dtype.kind == "U"}
            dataset.assign_coords(texts).to_zarr(str(path), mode="w", consolidated=False)
        root = zarr.open_group(str(path), mode="a")
        if schema.variables:
            _fill_variables(root, batches, count, schema)
            return
        first, arrays = arrays_of(batches)
        samples = root.create_array(
            name,
            shape=(count, *first.shape[1:]),
            dtype=first.dtype,
            chunks=(max(1, min(count, CHUNK // max(1, first[:1].nbytes))), *first.shape[1:]),
            dimension_names=dims if schema.kind in NAMED else None,
            attributes=_storable(schema.attrs),
        )
        fill(samples, arrays)


def _fill_variables(root: Any, batches: Iterable[Any], count: int, schema: Schema) -> None:
    """Writes the variables of samples into an open store that has their coordinates."""
    root.attrs.update(to_attributes(schema.attrs))
    sizes = dict(zip(schema.dims or (), (count, *schema.shape[1:])))
    for each in schema.variables:
        row = math.prod(sizes[dim] for dim in each.dims) // max(1, count) * np.dtype(each.dtype).itemsize
        most = {(schema.dims or ("",))[0]: max(1, min(count, CHUNK // max(1, row)))}
        root.create_array(
            each.name,
            shape=tuple(sizes[dim] for dim in each.dims),
            dtype=each.dtype,
            chunks=tuple(most.get(dim, sizes[dim]) for dim in each.dims),
            dimension_names=each.dims,
            attributes=_storable(each.attrs),
        )
    for place, name, values in parts_of(batches, schema):
        root[name][place] = values


def _storable(attrs: Attributes) -> dict[str, Any]:
    """Attributes of an array; a missing value by the name under which xarray reads it as it is, not as text in base 64."""
    return {"missing_value" if name == "_FillValue" else name: value for name, value in to_attributes(attrs).items()}


def _open(path: Path) -> tuple[Any, dict[str, Any]]:
    """The root of a store, and the arrays by their path in it; that of an array alone is empty."""
    zarr = need("zarr", "reading zarr")
    try:
        root = zarr.open(str(path), mode="r")
    except FileNotFoundError:
        raise DataError(f"{path} is not a zarr store, or damaged: copy it again") from None
    if isinstance(root, zarr.Array):
        return root, {"": root}
    found = (
        (name, root[name]) for name in _names(path)
    )  # one after another: of several at once, all but one fail unseen
    return root, {name: item for name, item in found if isinstance(item, zarr.Array)}


def _names(path: Path) -> list[str]:
    """The groups and arrays below the root of a store, by their path in it."""
    marks = (file for mark in MARKS for file in path.rglob(mark))
    names = {file.parent.relative_to(path).as_posix() for file in marks}
    return sorted(names - {"."})


def _dims(array: Any) -> tuple[str, ...]:
    """The names of the axes, as zarr 3 keeps them, or xarray in zarr 2."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
    return tuple(names) if all(isinstance(n, str) for n in names) and len(names) == array.ndim else ()


def _coordinates(root: Any, array: Any) -> set[str]:
    """The paths of the arrays that may be coordinates of this one: by its dims, and as xarray lists them."""
    dims = _dims(array)
    if not dims:
        return set()
    folder = array.path.rpartition("/")[0]
    group = root[folder] if folder else root
    listed = f"{array.attrs.get('coordinates', '')} {group.attrs.get('coordinates', '')}"
    return {f"{folder}/{name}".lstrip("/") for name in (*dims, *listed.split())}
