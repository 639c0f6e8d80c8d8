"""Files that hold arrays by name: npy, npz, hdf5, zarr, netcdf."""

from __future__ import annotations

import difflib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .cache import Store, blocks
from .dtypes import check_dtype
from .optional import need

__all__ = [
    "Entry",
    "in_hdf5",
    "in_netcdf",
    "in_npz",
    "in_zarr",
    "read_hdf5",
    "read_netcdf",
    "read_npy",
    "read_npz",
    "read_zarr",
]

SMALL = 64 << 20  # bytes of an .npy file that is read at once rather than by rows

Entry = tuple[tuple[int, ...], np.dtype]  # shape and type


def read_npy(path: Path) -> np.ndarray:
    """The array: in memory if it is small, else a memory map."""
    with open(path, "rb") as file:
        shape, _, dtype = _npy_header(file, str(path))
        _no_objects(dtype, str(path))
        size, needed = path.stat().st_size, file.tell() + math.prod(shape) * dtype.itemsize
    if size < needed:
        raise ValueError(f"{path} is truncated: its array needs {needed} bytes, it has {size}: copy it again")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(array) if array.nbytes <= SMALL else array


def in_npz(path: Path) -> dict[str, Entry]:
    """The arrays of an .npz file, by name."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    shape, _, dtype = _npy_header(file, f"{path} ({member})")
                found[member.removesuffix(".npy")] = (shape, dtype)
    return found


def read_npz(path: Path, key: str | None, store: Store) -> np.ndarray:
    """The array `key`, or the largest."""
    key, (shape, dtype) = pick(in_npz(path), key, path)
    _no_objects(dtype, f"{path} ({key})")
    if store.holds(math.prod(shape) * dtype.itemsize):
        with np.load(path, allow_pickle=False) as archive:
            return archive[key]

    def chunks() -> Iterator[np.ndarray]:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
            _, fortran, _ = _npy_header(file, str(path))
            if fortran:
                raise ValueError(f"{key!r} in {path} is stored in Fortran order: save it as numpy.ascontiguousarray(x)")
            row = math.prod(shape[1:]) * dtype.itemsize
            for part in blocks(shape[0], row):
                data = file.read((part.stop - part.start) * row)
                yield np.frombuffer(data, dtype).reshape(part.stop - part.start, *shape[1:])

    return store.copy({"key": key}, chunks)[0]


def _npy_header(file: Any, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    except ValueError as error:
        raise ValueError(f"{where} is not an array of numpy, or damaged ({error}): save it again") from None
    return shape, fortran, dtype


def _no_objects(dtype: np.dtype, where: str) -> None:
    if dtype.hasobject:
        raise TypeError(f"{where} holds Python objects, which are never unpickled: save numbers, x.astype(float)")


def in_hdf5(path: Path) -> dict[str, Entry]:
    """The datasets of an HDF5 file, by their path in it."""
    h5py = need("h5py", f"reading {path.suffix}")
    found: dict[str, Entry] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape or (), item.dtype)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def read_hdf5(path: Path, key: str | None, store: Store) -> np.ndarray:
    """The dataset `key`, or the largest."""
    key, _ = pick(in_hdf5(path), key, path)
    h5py = need("h5py", f"reading {path.suffix}")
    with h5py.File(path, "r") as file:
        return _by_parts(file[key], key, store)


def in_zarr(path: Path) -> dict[str, Entry]:
    """The arrays of a zarr store, by their path in it."""
    return {name: (array.shape, array.dtype) for name, array in _zarr_arrays(path).items()}


def read_zarr(path: Path, key: str | None, store: Store) -> np.ndarray:
    """The array `key`, or the largest."""
    arrays = _zarr_arrays(path)
    key, _ = pick(in_zarr(path), key, path)
    return _by_parts(arrays[key], key, store)


def _zarr_arrays(path: Path) -> dict[str, Any]:
    zarr = need("zarr", "reading zarr")
    try:
        found = zarr.open(str(path), mode="r")
    except FileNotFoundError:
        raise ValueError(f"{path} is no zarr store, or damaged: copy it again") from None
    if isinstance(found, zarr.Array):
        return {"": found}
    return {name: item for name, item in found.members(max_depth=None) if isinstance(item, zarr.Array)}


def _by_parts(array: Any, key: str, store: Store) -> np.ndarray:
    """An array that is read by slices: at once, or through the copy."""
    check_dtype(array.dtype)
    if store.holds(array.nbytes):
        return np.asarray(array[...])
    multiple = array.chunks[0] if array.chunks else 1
    row = array.nbytes // array.shape[0]
    return store.copy({"key": key}, lambda: (np.asarray(array[s]) for s in blocks(array.shape[0], row, multiple)))[0]


def in_netcdf(path: Path) -> dict[str, Entry]:
    """The variables of a netCDF file, by name."""
    xarray = need("xarray", "reading netcdf")
    need("netCDF4", "reading netcdf")
    with xarray.open_dataset(path, engine="netcdf4") as found:
        return {str(n): (v.shape, v.dtype) for n, v in found.data_vars.items()}


def read_netcdf(path: Path, key: str | None, store: Store) -> Any:
    """The variable `key`, or the largest, as a DataArray; its first axis counts the samples."""
    xarray = need("xarray", "reading netcdf")
    key, _ = pick(in_netcdf(path), key, path)
    with xarray.open_dataset(path, engine="netcdf4") as found:
        x = found[key]
        check_dtype(x.dtype)
        if store.holds(x.nbytes):
            return x.load()
        row = x.nbytes // x.shape[0]
        copy, _ = store.copy({"key": key}, lambda: (x[s].values for s in blocks(x.shape[0], row)))
        return xarray.DataArray(
            copy, dims=x.dims, name=x.name, attrs=x.attrs, coords={n: c.load() for n, c in x.coords.items()}
        )


def pick(found: dict[str, Entry], key: str | None, path: Path) -> tuple[str, Entry]:
    """The array named `key`, or the largest of numbers; raises a ValueError that lists what there is."""
    by_size = sorted(found.items(), key=lambda e: -math.prod(e[1][0]))
    listed = ", ".join(f"{n!r} {d} {s}" for n, (s, d) in by_size[:8]) + ", …" * (len(found) > 8)
    if key is not None:
        if key not in found:
            close = difflib.get_close_matches(key, found, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"{path} has no array {key!r}: {hint}it holds {listed or 'none'}")
        return key, found[key]
    numbers = [e for e in by_size if e[1][1].kind in "fiub" and len(e[1][0]) > 0]
    if not numbers:
        raise ValueError(f"{path} holds no array of numbers{': ' + listed if listed else ''}: choose another file")
    if len(numbers) > 1 and math.prod(numbers[0][1][0]) == math.prod(numbers[1][1][0]):
        raise ValueError(f"{path} holds several arrays of the same size, {listed}: choose one (key=…)")
    return numbers[0]
