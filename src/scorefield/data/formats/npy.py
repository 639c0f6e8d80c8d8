"""NumPy's files: one array in .npy, named arrays in .npz."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import Store, blocks, write_header
from ..errors import DataError, DataTypeError, one_line
from ..schema import Schema
from .base import RAGGED, Entry, Format, Selection, arrays_of, choose_array

__all__ = ["Npy", "Npz", "read_header"]

SMALL = 64 << 20  # bytes of an .npy file that is read at once rather than by rows


class Npy(Format):
    """One array in a .npy file, which is mapped rather than read above 64 MiB."""

    name, suffixes, keeps = "NumPy", (".npy",), ()
    position = 0

    def read(self, path: Path, selection: Selection, store: Store) -> np.ndarray:
        with open(path, "rb") as file:
            shape, _, dtype = read_header(file, str(path))
            _refuse_objects(dtype, str(path))
            size, needed = path.stat().st_size, file.tell() + math.prod(shape) * dtype.itemsize
        if size < needed:
            raise DataError(f"{path} is truncated: its array needs {needed} bytes, it has {size}: copy it again")
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.array(array) if array.nbytes <= SMALL else array

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        with open(path, "wb") as file:
            _write_array(file, batches, count)


class Npz(Format):
    """Arrays by name in a .npz file, compressed or not; samples are written as the array `samples`."""

    name, suffixes, options, keeps = "NumPy archive", (".npz",), ("key",), ()
    position = 1

    def contents(self, path: Path) -> dict[str, Entry]:
        found = {}
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as file:
                        shape, _, dtype = read_header(file, f"{path} ({member})")
                    found[member.removesuffix(".npy")] = (shape, dtype)
        return found

    def read(self, path: Path, selection: Selection, store: Store) -> np.ndarray:
        key, (shape, dtype) = choose_array(self.contents(path), selection.key, path)
        _refuse_objects(dtype, f"{path} ({key})")
        if store.holds(math.prod(shape) * dtype.itemsize):
            with np.load(path, allow_pickle=False) as archive:
                array: np.ndarray = archive[key]
                return array
        return store.copy({"key": key}, _chunks(path, key))[0]

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("samples.npy", "w", force_zip64=True) as member,
        ):
            _write_array(member, batches, count)


def _chunks(path: Path, key: str) -> Iterator[np.ndarray]:
    """An array of an archive, a block of rows at a time."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        shape, fortran, dtype = read_header(file, str(path))
        if fortran:
            raise DataError(f"{key!r} in {path} is stored in Fortran order: save it as numpy.ascontiguousarray(x)")
        row = math.prod(shape[1:]) * dtype.itemsize
        for part in blocks(shape[0], row):
            data = file.read((part.stop - part.start) * row)
            yield np.frombuffer(data, dtype).reshape(part.stop - part.start, *shape[1:])


def read_header(file: Any, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type of the array that begins here."""
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    except Exception as error:  # numpy parses the header as Python: besides ValueError, SyntaxError and tokenize errors
        raise DataError(f"{where} is not an array of numpy, or damaged ({one_line(error)}): save it again") from None
    return shape, fortran, dtype


def _refuse_objects(dtype: np.dtype, where: str) -> None:
    """Raises a DataTypeError if the array would have to be unpickled."""
    if dtype.hasobject:
        what = f"{where} holds Python objects, which are never unpickled: save numbers, x.astype(float), if all rows are alike"
        raise DataTypeError(f"{what}; {RAGGED}")


def _write_array(file: Any, batches: Iterable[Any], count: int) -> None:
    """Writes an array of `count` rows, a batch at a time."""
    first, arrays = arrays_of(batches)
    write_header(file, first, count)
    for array in arrays:
        file.write(array.tobytes())
