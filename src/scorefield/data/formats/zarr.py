"""Arrays by name in zarr stores, with named axes and coordinates where xarray put them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..axes import Axes, lost_by_arrays, read_dataarray, rows_in_chunk
from ..batches import arrays_of
from ..cache import Store, read_slices
from ..errors import DataError
from ..optional import need
from ..schema import Schema
from .base import Entry, Format, Selection, choose_array

__all__ = ["Zarr"]

_MARKS = ("zarr.json", ".zgroup", ".zarray")


class Zarr(Format):
    """An array of a zarr store, which is a folder; a DataArray if its axes have names."""

    name, suffixes, options, folder = "zarr", (".zarr",), ("key",), True

    def recognizes(self, path: Path) -> bool:
        return path.is_dir() and (self.names(path) or any((path / mark).exists() for mark in _MARKS))

    def contents(self, path: Path) -> dict[str, Entry]:
        return {name: (array.shape, array.dtype) for name, array in _arrays(_root(path)).items()}

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        root = _root(path)
        arrays = _arrays(root)
        coordinates = {name for array in arrays.values() for name in _coordinates(root, array)}
        found = {
            name: (array.shape, array.dtype)
            for name, array in arrays.items()
            if name == selection.key or name not in coordinates
        }
        key, _ = choose_array(found, selection.key, path)
        if not key or not _dims(arrays[key]):
            return read_slices(arrays[key], key, store)
        folder, _, name = key.rpartition("/")
        kept = {key, *_coordinates(root, arrays[key])}
        others = [k.rpartition("/")[2] for k in arrays if k.rpartition("/")[0] == folder and k not in kept]
        with _opened(path, folder, name, others) as opened:
            return read_dataarray(opened[name], key, store)

    def cannot_hold(self, schema: Schema) -> str | None:
        if schema.dtype in ("float128", "longdouble"):
            return f"cannot hold {schema.dtype}"
        return Axes.of(schema).clash

    def loses(self, schema: Schema) -> str | None:
        return lost_by_arrays(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        zarr = need("zarr", "writing zarr")
        first, arrays = arrays_of(batches)
        axes = Axes.of(schema)
        if axes.variables:
            coordinates = axes.coordinates()
            texts = {n: c.astype(object) for n, c in coordinates.coords.items() if c.dtype.kind == "U"}
            coordinates.assign_coords(texts).to_zarr(str(path), mode="w", consolidated=False)
        shape = (count, *first.shape[1:])
        samples = zarr.open_group(str(path), mode="a").create_array(
            axes.name,
            shape=shape,
            dtype=first.dtype,
            chunks=(rows_in_chunk(first[:1].nbytes, count), *shape[1:]),
            dimension_names=axes.dims if schema.kind in ("dataarray", "dataframe") else None,
            attributes=axes.plain_attrs(),
        )
        start = 0
        for array in arrays:
            samples[start : start + len(array)] = array
            start += len(array)


def _root(path: Path) -> Any:
    """The array or the group at the root of a store."""
    zarr = need("zarr", "reading zarr")
    try:
        return zarr.open(str(path), mode="r")
    except FileNotFoundError:
        raise DataError(f"{path} is not a zarr store, or damaged: copy it again") from None


def _arrays(root: Any) -> dict[str, Any]:
    """The arrays by their path in the store; that of an array alone is empty."""
    zarr = need("zarr", "reading zarr")
    if isinstance(root, zarr.Array):
        return {"": root}
    return {name: item for name, item in root.members(max_depth=None) if isinstance(item, zarr.Array)}


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


def _opened(path: Path, folder: str, name: str, others: list[str]) -> Any:
    """A group without its other arrays as a Dataset of xarray, the values of `name` as they are stored."""
    xarray = need("xarray", "reading arrays with named axes")
    return xarray.open_dataset(
        str(path),
        engine="zarr",
        group=folder or None,
        consolidated=False,
        drop_variables=others,
        mask_and_scale={name: False},
        decode_times={name: False},
    )
