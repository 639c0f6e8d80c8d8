"""NumPy's archives of named arrays, .npz."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import Store, blocks
from ..errors import DataError
from ..schema import Schema
from .base import Entry, Format, Selection, choose_array, lost_by_plain_arrays
from .npy import read_header, refuse_objects, stream_array

__all__ = ["Npz"]


class Npz(Format):
    """Arrays by name in a .npz file, compressed or not; samples are written as the array `samples`."""

    name, suffixes, options = "NumPy archive", (".npz",), ("key",)

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
        refuse_objects(dtype, f"{path} ({key})")
        if store.holds(math.prod(shape) * dtype.itemsize):
            with np.load(path, allow_pickle=False) as archive:
                array: np.ndarray = archive[key]
                return array
        return store.copy({"key": key}, lambda: _chunks(path, key))[0]

    def cannot_hold(self, schema: Schema) -> str | None:
        return None

    def loses(self, schema: Schema) -> str | None:
        return lost_by_plain_arrays(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("samples.npy", "w", force_zip64=True) as member,
        ):
            stream_array(member.write, batches, count)


def _chunks(path: Path, key: str) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        shape, fortran, dtype = read_header(file, str(path))
        if fortran:
            raise DataError(f"{key!r} in {path} is stored in Fortran order: save it as numpy.ascontiguousarray(x)")
        row = math.prod(shape[1:]) * dtype.itemsize
        for part in blocks(shape[0], row):
            data = file.read((part.stop - part.start) * row)
            yield np.frombuffer(data, dtype).reshape(part.stop - part.start, *shape[1:])
