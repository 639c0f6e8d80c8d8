"""What a file format is, and what the formats share."""

from __future__ import annotations

import abc
import difflib
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ..cache import Store
from ..dtypes import holds_numbers
from ..errors import DataError
from ..schema import Schema

__all__ = ["RAGGED", "Entry", "Format", "Selection", "array_of", "arrays_of", "choose_array", "fill"]

RAGGED = (
    "if each is one series or set, give a table with a line for each reading, and the columns that name the row (--rows) and, "
    "of series, the time (--time), or scorefield.data.Ragged(values, times) in Python"
)
_SERIES = 5  # arrays of the same form, from which on they may be rows of different length

Entry = tuple[tuple[int, ...], np.dtype[Any]]  # shape and type


@dataclass(frozen=True)
class Selection:
    """Which part of a file is read, and how.

    Arguments:
        key: The array in a file of several, or the column of images; None chooses the largest array. Variables of netCDF,
            HDF5 and zarr that are read together have commas between. The sheet of a workbook.
        columns: The columns of a table; None takes all.
        resize: The side in pixels to which images are resized; None keeps their size.
        missing_words: Further words for missing values of a table; None for none.
    """

    key: str | None = None
    columns: tuple[str, ...] | None = None
    resize: int | None = None
    missing_words: tuple[str, ...] | None = None


class Format(abc.ABC):
    """A file format: recognizes its files, reads them, and writes samples if it can.

    Only `read` must be written, and `write` where samples go into such files. Errors need no care: whatever `read` raises
    reaches the user as one line with the name of the file, a `DataError` as it stands.

    Attributes:
        name: What the format is called.
        suffixes: The ends of its files' names, in lower case; the first is the one recommended.
        options: The fields of a `Selection` that it uses; `read` refuses the others.
        folder: Whether what it writes is a folder.
        keeps: What it keeps besides the numbers, of `columns` (their names), `types` (one a column) and `axes` (their
            names, and several variables).
        lacks: The types of numbers that it cannot hold.
        position: Its place in `FORMATS`, and so in messages; formats of the same place are in the order of their names.

    Example:
        >>> class Text(Format):
        ...     name, suffixes = "text", (".txt",)
        ...
        ...     def read(self, path, selection, store):
        ...         return np.loadtxt(path, ndmin=2)
        >>> Text().recognizes(Path("data.txt"))
        True
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()
    folder: ClassVar[bool] = False
    keeps: ClassVar[tuple[str, ...]] = ("columns", "types", "axes")
    lacks: ClassVar[tuple[str, ...]] = ()
    position: ClassVar[int] = 50

    @property
    def label(self) -> str:
        """How messages list it: by its suffixes."""
        return " ".join(self.suffixes)

    def recognizes(self, path: Path) -> bool:
        """Whether what exists at `path` is read by this format."""
        return path.name.lower().endswith(self.suffixes) and not path.is_dir()

    def names(self, path: Path) -> bool:
        """Whether a new file at `path` is written in this format."""
        return path.name.lower().endswith(self.suffixes)

    def contents(self, path: Path) -> dict[str, Entry]:
        """The arrays of a file by name, with shape and type; empty where arrays have no names."""
        return {}

    @abc.abstractmethod
    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        """The data in a file, in a form that `Schema.of` takes.

        Arguments:
            path: The file, which exists and is not empty.
            selection: Which part of it, and how.
            store: Whether data are held in memory (`store.holds(bytes)`), and the copy of those that are not.
        """

    def cannot_hold(self, schema: Schema) -> str | None:
        """Why samples of this schema cannot be written, as the rest of a sentence about the file; None if they can."""
        if type(self).write is Format.write:
            return f"is a {self.name} file, a format that is only read"
        words = [c for c in schema.table if not holds_numbers(c.dtype)]
        if words and "types" not in self.keeps:
            return f"holds numbers alone, and column {words[0].name!r} is of the type {words[0].dtype}"
        if schema.variables and "axes" not in self.keeps:
            listed = ", ".join(each.name for each in schema.variables[:5]) + ", …" * (len(schema.variables) > 5)
            return f"holds one array without names, and these are the variables {listed}"
        lacking = [t for t in (schema.dtype, *(each.dtype for each in schema.variables)) if t in self.lacks]
        return f"cannot hold {lacking[0]}" if lacking else None

    def loses(self, schema: Schema) -> str | None:
        """What of the schema the format has no place for, in the plural; None if everything is kept."""
        if schema.column_dtypes is not None and "columns" not in self.keeps:
            return "the names of the columns"
        if schema.kind == "dataarray" and "axes" not in self.keeps:
            return "the names of the axes, their coordinates and the units"
        if len(set(schema.column_dtypes or ())) > 1 and "types" not in self.keeps:
            return "the types of the columns"
        return None

    def with_cells(self, filled: Any, changed: Any, source: Path, target: Path) -> Any:
        """A table to be written to a file of this format, whose cells are as in the file that they were read from.

        By default the table itself: formats that hold values, and not how these are written, have nothing to keep.

        Arguments:
            filled: The table.
            changed: Which of its cells are new, a table `(N, C)` of bools.
            source: The file that all others were read from, of this format.
            target: The file that the table will be written to.
        """
        return filled

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        """Writes samples, a batch at a time, to a path that does not exist.

        Arguments:
            path: Where to; moved to its final place once everything is written.
            batches: Samples as `Schema.pack` gives them; each is held only until it is written.
            count: The number of samples in all batches together.
            schema: What describes them; `cannot_hold` gave None for it.
        """
        raise NotImplementedError(f"{self.name} files are only read")


def choose_array(found: dict[str, Entry], key: str | None, path: Path) -> tuple[str, Entry]:
    """The array named `key`, or the largest one of numbers; an error lists what there is."""
    by_size = sorted(found.items(), key=lambda e: -math.prod(e[1][0]))
    listed = ", ".join(f"{n!r} {d} {s}" for n, (s, d) in by_size[:8]) + ", …" * (len(found) > 8)
    if key is not None:
        if key not in found:
            close = difflib.get_close_matches(key, found, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(f"{path} has no array {key!r}: {hint}it holds {listed or 'none'}")
        return key, found[key]
    numbers = [e for e in by_size if e[1][1].kind in "fiub" and len(e[1][0]) > 0]
    if not numbers:
        raise DataError(f"{path} holds no array of numbers{': ' + listed if listed else ''}: choose another file")
    if len(numbers) >= _SERIES and len({(len(shape), *shape[1:]) for _, (shape, _) in numbers}) == 1:
        raise DataError(f"{path} holds {len(numbers)} arrays of the same form, {listed}: choose one (key=…); {RAGGED}")
    if len(numbers) > 1 and math.prod(numbers[0][1][0]) == math.prod(numbers[1][1][0]):
        raise DataError(f"{path} holds several arrays of the same size, {listed}: choose one (key=…)")
    return numbers[0]


def array_of(batch: Any) -> np.ndarray:
    """A batch of samples as an array of numbers; the columns of a table get one common type."""
    if isinstance(batch, torch.Tensor) and batch.dtype == torch.bfloat16:  # numpy has no bfloat16
        batch = batch.float()
    array = np.asarray(batch)
    if array.dtype == object and hasattr(batch, "to_numpy"):  # of pandas, where some values may be missing
        array = batch.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.ascontiguousarray(array.astype(np.float64) if array.dtype == object else array)


def arrays_of(batches: Iterable[Any]) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The first batch as an array, for its shape and type, and then all batches as arrays of that type."""
    arrays = map(array_of, batches)
    first = next(arrays, None)
    if first is None:
        raise DataError("there are no samples to write")
    dtype = first.dtype
    return first, (a.astype(dtype, copy=False) for a in itertools.chain([first], arrays))


def fill(target: Any, arrays: Iterable[np.ndarray]) -> None:
    """Writes arrays one after the other into `target`, which takes slices of rows."""
    start = 0
    for array in arrays:
        target[start : start + len(array)] = array
        start += len(array)
