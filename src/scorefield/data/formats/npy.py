"""NumPy's own files of one array, .npy: small ones are read, large ones are mapped."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..batches import arrays_of
from ..cache import Store
from ..errors import DataError, DataTypeError
from ..schema import Schema
from .base import Format, Selection, lost_by_plain_arrays

__all__ = ["Npy", "read_header", "refuse_objects", "stream_array"]

SMALL = 64 << 20  # bytes of an .npy file that is read at once rather than by rows


class Npy(Format):
    """One array in a .npy file, which is mapped rather than read above 64 MiB."""

    name, suffixes = "NumPy", (".npy",)

    def read(self, path: Path, selection: Selection, store: Store) -> np.ndarray:
        with open(path, "rb") as file:
            shape, _, dtype = read_header(file, str(path))
            refuse_objects(dtype, str(path))
            size, needed = path.stat().st_size, file.tell() + math.prod(shape) * dtype.itemsize
        if size < needed:
            raise DataError(f"{path} is truncated: its array needs {needed} bytes, it has {size}: copy it again")
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.array(array) if array.nbytes <= SMALL else array

    def cannot_hold(self, schema: Schema) -> str | None:
        return None

    def loses(self, schema: Schema) -> str | None:
        return lost_by_plain_arrays(schema)

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        with open(path, "wb") as file:
            stream_array(file.write, batches, count)


def read_header(file: Any, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type of the array that begins here."""
    try:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    except Exception as error:  # numpy parses the header as Python: besides ValueError, SyntaxError and tokenize errors
        reason = " ".join(str(error).split())
        raise DataError(f"{where} is not an array of numpy, or damaged ({reason}): save it again") from None
    return shape, fortran, dtype


def refuse_objects(dtype: np.dtype, where: str) -> None:
    """Raises a DataTypeError if the array would have to be unpickled."""
    if dtype.hasobject:
        raise DataTypeError(f"{where} holds Python objects, which are never unpickled: save numbers, x.astype(float)")


def stream_array(send: Callable[[bytes], Any], batches: Iterable[Any], count: int) -> None:
    """Sends an array of `count` rows in the .npy format, batch by batch."""
    first, arrays = arrays_of(batches)
    header = io.BytesIO()
    description = np.lib.format.dtype_to_descr(first.dtype)
    shape = (count, *first.shape[1:])
    facts = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    send(header.getvalue())
    for array in arrays:
        send(array.tobytes())
