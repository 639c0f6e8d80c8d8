"""A folder of many files as one data set: .npy arrays of rows of one shape, or .parquet tables of the same columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import Store, blocks
from ..errors import DataError, one_line
from ..foreign import from_arrow
from ..optional import need
from .base import Format, Selection
from .image_folder import SUFFIXES as IMAGES
from .npy import read_header
from .tables import copied_table, rows_at_once

__all__ = ["FileFolder"]

SUFFIXES = (".npy", ".parquet", ".pq")


class FileFolder(Format):
    """The rows of all .npy or .parquet files of a folder, in the order of their names."""

    name, options = "folder of files", ("columns",)
    position = 90

    @property
    def label(self) -> str:
        return "folders of .npy or .parquet"

    def recognizes(self, path: Path) -> bool:
        if not path.is_dir():
            return False
        inside = [p for p in path.iterdir() if not p.name.startswith(".")]
        images = any(p.is_dir() or p.suffix.lower() in IMAGES for p in inside)  # next to which labels may lie
        return not images and any(map(_is_part, inside))

    def names(self, path: Path) -> bool:
        return False

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        files = sorted(p for p in path.iterdir() if _is_part(p))
        kinds = {p.suffix.lower().replace(".pq", ".parquet") for p in files}
        if len(kinds) > 1:
            raise DataError(f"{path} holds files of {' and '.join(sorted(kinds))}: keep one kind in it")
        if kinds == {".parquet"}:
            return _tables(files, selection.columns, store)
        if selection.columns is not None:
            raise DataError(f"columns= is for tables, and {path} holds .npy arrays: leave it out")
        return _arrays(files, store)


def _is_part(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")


def _arrays(files: Sequence[Path], store: Store) -> np.ndarray:
    """Arrays one after another; their headers alone are read before it is known whether they fit into memory."""
    headers = []
    for path in files:
        with open(path, "rb") as file:
            shape, _, dtype = read_header(file, str(path))
        if dtype.hasobject:
            raise DataError(f"{path} holds Python objects, which are never unpickled: save numbers, x.astype(float)")
        if not shape:
            raise DataError(f"{path} holds one number, not rows: save an array of rows")
        headers.append((shape, dtype))
        if (shape[1:], dtype) != (headers[0][0][1:], headers[0][1]):
            got = f"{dtype} rows of shape {shape[1:]}, {files[0].name} {headers[0][1]} of {headers[0][0][1:]}"
            raise DataError(f"{path} has {got}: all files of a folder need rows of one shape and type")
    if store.holds(sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers)):
        return np.concatenate([np.load(path, allow_pickle=False) for path in files])
    return store.copy({"files": [p.name for p in files]}, _chunks(files))[0]


def _chunks(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """The rows of all arrays, a block at a time."""
    for path in files:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        for part in blocks(len(array), array[:1].nbytes):
            yield np.array(array[part])


def _tables(files: Sequence[Path], columns: tuple[str, ...] | None, store: Store) -> Any:
    """Tables one after another, as one table."""
    parquet, arrow = need("pyarrow.parquet", "reading parquet"), need("pyarrow", "reading parquet")
    need("pandas", "reading parquet")
    schemas, rows = list[Any](), 0
    for path in files:
        try:
            with parquet.ParquetFile(path) as file:
                schemas.append(file.schema_arrow.remove_metadata())
                rows += file.metadata.num_rows
        except arrow.ArrowInvalid as error:
            raise DataError(f"{path} is damaged or not a parquet file ({one_line(error)}): copy it again") from None
        if schemas[-1] != schemas[0]:
            differ = {f"{a.name} ({a.type})" for a in schemas[0]} ^ {f"{a.name} ({a.type})" for a in schemas[-1]}
            listed = ", ".join(sorted(differ)) or "their order"
            raise DataError(f"{path} and {files[0].name} differ in columns or types ({listed}): make them the same")
    names = schemas[0].names
    wanted = list(names if columns is None else columns)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise DataError(f"{files[0]} has no column {', '.join(map(repr, absent))}: it has {', '.join(names)}")
    if store.holds(8 * rows * len(wanted)):
        found = arrow.concat_tables([parquet.read_table(path, columns=wanted) for path in files])
        found.validate(full=True)
        return from_arrow(found)
    return copied_table(store, wanted, _batches(files, wanted))


def _batches(files: Sequence[Path], columns: list[str]) -> Iterator[Any]:
    """The rows of all tables, some at a time."""
    parquet = need("pyarrow.parquet", "reading parquet")
    for path in files:
        with parquet.ParquetFile(path) as file:
            for part in file.iter_batches(rows_at_once(len(columns)), columns=columns):
                yield part.to_pandas()
