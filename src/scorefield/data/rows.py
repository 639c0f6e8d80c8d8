"""Data as rows of a fixed shape, in memory or on disk: what training and calibration read from."""

from __future__ import annotations

import abc
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .layout import Layout

__all__ = ["ArrayRows", "FileRows", "Joined", "Rows", "Subset", "as_indices", "to_tensor"]


def as_indices(indices: Sequence[int] | np.ndarray | Tensor, count: int) -> np.ndarray:
    """Row numbers as int64, `(B,)`, each of them checked to lie in 0..count - 1."""
    array = indices.detach().cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"rows are chosen by a list of integers, got {array.dtype} of shape {array.shape}: "
            "for a mask use numpy.flatnonzero(mask)"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= count:
        raise IndexError(f"row {low if low < 0 else high} of {count} rows: choose from 0 to {count - 1}")
    return array.astype(np.int64, copy=False)


def to_tensor(array: np.ndarray) -> Tensor:
    """The array as a tensor that shares its memory where torch can."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.itemsize > 8:  # long double, which torch does not know
        array = array.astype(np.float64)
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # a read-only array is fine: rows are only read
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _select(values: Tensor, indices: Tensor) -> Tensor:
    """Rows of a tensor; wide unsigned integers, which torch supports poorly, pass as signed ones."""
    signed = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}.get(values.dtype)
    if signed is None:
        return values.index_select(0, indices)
    return values.view(signed).index_select(0, indices).view(values.dtype)


class Rows(abc.ABC):
    """`N` data of one shape, taken a few at a time in the internal layout.

    Arguments:
        count: The number of rows.
        layout: How a stored example becomes `(F,)` or `(C, *S)`.
    """

    def __init__(self, count: int, layout: Layout) -> None:
        self.count, self.layout = count, layout

    @abc.abstractmethod
    def stored(self, indices: np.ndarray) -> Tensor:
        """The rows as stored, `(B, *layout.shape)`, of checked int64 `indices`."""

    @property
    @abc.abstractmethod
    def dtype(self) -> torch.dtype:
        """The type the numbers are stored in."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, F)` or `(N, C, *S)`."""
        return (self.count, *self.layout.inner_shape)

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def take(self, indices: Sequence[int] | np.ndarray | Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The rows at `indices`, in their order, `(B, *inner_shape)` and contiguous.

        Raises:
            IndexError: If an index is negative or too large.

        Example:
            >>> ArrayRows(torch.arange(6.0).reshape(3, 2)).take([2, 0])
            tensor([[4., 5.],
                    [0., 1.]])
        """
        values = self.layout.inward(self.stored(as_indices(indices, self.count)))
        return values.contiguous().to(dtype)  # in this order: moving the axes of small integers is 20 times faster

    @property
    def on_disk(self) -> bool:
        """Whether rows are read from a file each time, in which neighbours are read in one go. False unless a class says so."""
        return False

    def reading_order(self) -> np.ndarray:
        """The numbers of all rows, in an order in which they are read fastest.

        Example:
            >>> ArrayRows(torch.zeros(3, 2)).reading_order()
            array([0, 1, 2])
        """
        return np.arange(self.count)

    def chunks(self, size: int, dtype: torch.dtype = torch.float32) -> Iterator[Tensor]:
        """All rows in order, `size` of them at a time."""
        for start in range(0, self.count, size):
            yield self.take(np.arange(start, min(start + size, self.count)), dtype)

    def subset(self, indices: Sequence[int] | np.ndarray | Tensor) -> Rows:
        """These rows alone, without copying them.

        Example:
            >>> held_out = ArrayRows(torch.arange(6.0).reshape(3, 2)).subset([1])
            >>> held_out.shape
            (1, 2)
        """
        return Subset(self, as_indices(indices, self.count))


class ArrayRows(Rows):
    """Rows of a tensor or an array in memory, kept in the type they have: a uint8 image costs a byte a pixel.

    Arguments:
        values: `(N, *layout.shape)`.
        layout: How an example is stored in `values`; by default as networks take it: `(N,)`, `(N, F)`, `(N, C, *S)`.

    Example:
        >>> ArrayRows(np.zeros((10, 3, 8, 8), np.uint8))
        ArrayRows(shape=(10, 3, 8, 8), dtype=torch.uint8)
    """

    def __init__(self, values: Tensor | np.ndarray, layout: Layout | None = None) -> None:
        self.values = values.detach() if isinstance(values, Tensor) else to_tensor(values)
        super().__init__(len(values), layout or Layout.inner(tuple(self.values.shape[1:])))

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    def stored(self, indices: np.ndarray) -> Tensor:
        return _select(self.values, torch.from_numpy(indices).to(self.values.device))


class FileRows(Rows):
    """Rows of a file, read by their offset: memory stays flat however large the file is.

    Reads are plain file reads, not a memory map, whose touched pages would count as memory of the process.
    Neighbouring rows are read at once; threads may share one object, and it can be pickled.

    Arguments:
        path: The file.
        shape: The shape of the whole array, `(N, *layout.shape)`.
        dtype: The type of its numbers.
        offset: The byte at which row 0 starts.
        stride: The bytes from one row to the next; by default rows lie side by side.
        layout: How an example is stored in a row; by default as networks take it.

    Raises:
        ValueError: If the file is shorter than `shape` needs.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        shape: Sequence[int],
        dtype: np.dtype | str,
        offset: int = 0,
        stride: int | None = None,
        layout: Layout | None = None,
    ) -> None:
        self._example = tuple(int(n) for n in shape[1:])
        super().__init__(int(shape[0]), layout or Layout.inner(self._example))
        self._path, self._stored_dtype = os.fspath(path), np.dtype(dtype)
        self._dtype = to_tensor(np.zeros(0, self._stored_dtype)).dtype
        self._length = math.prod(self._example) * self._stored_dtype.itemsize
        self._offset, self._stride = offset, self._length if stride is None else stride
        self._open()

    @property
    def on_disk(self) -> bool:
        return True

    def _open(self) -> None:
        self._lock = threading.Lock()
        self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115  (closed with the object)
        size = os.fstat(self._file.fileno()).st_size
        needed = self._offset + ((self.count - 1) * self._stride + self._length if self.count else 0)
        if size < needed:
            self._file.close()
            raise ValueError(
                f"{self._path} is truncated: {self.count} rows need {needed} bytes, it has {size}: copy it again"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_file", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    @classmethod
    def of(cls, array: np.ndarray, layout: Layout | None = None) -> FileRows | None:
        """The file behind a memory map, or None if its rows do not lie whole and in order in one.

        Example:
            >>> FileRows.of(np.zeros((3, 2))) is None
            True
        """
        root: np.ndarray | None = array
        while isinstance(root, np.ndarray) and isinstance(root.base, np.ndarray):
            root = root.base
        if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c" or array.ndim == 0:
            return None
        if array.size == 0 or not array[0].flags.c_contiguous or array.strides[0] < 0:
            return None
        # a slice of a memmap keeps the offset of its parent, so the addresses have to tell
        offset = root.offset + array.ctypes.data - root.ctypes.data
        if root.mode == "w+" or root.mode == "r+":
            root.flush()
        return cls(root.filename, array.shape, array.dtype, offset, array.strides[0], layout)

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    def stored(self, indices: np.ndarray) -> Tensor:
        unique, inverse = np.unique(indices, return_inverse=True)
        buffer = np.empty((len(unique), *self._example), self._stored_dtype)
        self._read(unique, buffer)
        values = to_tensor(buffer)
        if len(unique) == len(indices) and bool((inverse[1:] > inverse[:-1]).all()):
            return values
        return _select(values, torch.from_numpy(inverse.reshape(-1)))

    def _read(self, indices: np.ndarray, into: np.ndarray) -> None:
        """Fills `into` with the rows at ascending, distinct `indices`, neighbours in one go."""
        if not into.nbytes:
            return
        target = memoryview(into.reshape(-1).view(np.uint8).data)
        gap = (np.diff(indices) != 1) | (self._stride != self._length)
        first = np.concatenate(([0], np.flatnonzero(gap) + 1, [len(indices)]))
        starts = self._offset + indices[first[:-1]] * self._stride
        for place, a, b in zip(starts.tolist(), first[:-1].tolist(), first[1:].tolist()):
            self._fill(target[a * self._length : b * self._length], place)

    def _fill(self, target: memoryview, place: int) -> None:
        while len(target):
            if hasattr(os, "preadv"):
                got = os.preadv(self._file.fileno(), [target], place)
            else:
                with self._lock:
                    self._file.seek(place)
                    got = self._file.readinto(target)
            if not got:
                raise ValueError(f"{self._path} ended at byte {place} while it was read: was it changed?")
            target, place = target[got:], place + got


class Subset(Rows):
    """Some rows of others, by number; nothing is copied."""

    def __init__(self, rows: Rows, indices: np.ndarray) -> None:
        super().__init__(len(indices), rows.layout)
        self.rows: Rows = rows.rows if isinstance(rows, Subset) else rows
        self.indices: np.ndarray = rows.indices[indices] if isinstance(rows, Subset) else indices

    @property
    def on_disk(self) -> bool:
        return self.rows.on_disk

    def reading_order(self) -> np.ndarray:
        return np.argsort(self.indices, kind="stable") if self.on_disk else super().reading_order()

    @property
    def dtype(self) -> torch.dtype:
        return self.rows.dtype

    def stored(self, indices: np.ndarray) -> Tensor:
        return self.rows.stored(self.indices[indices])


class Joined(Rows):
    """The rows of one and then those of another, of the same layout and type; nothing is copied.

    Example:
        >>> both = Joined(ArrayRows(torch.zeros(2, 1)), ArrayRows(torch.ones(1, 1)))
        >>> both.take([2, 0, 1]).flatten().tolist()
        [1.0, 0.0, 0.0]
    """

    def __init__(self, first: Rows, second: Rows) -> None:
        super().__init__(len(first) + len(second), first.layout)
        self.first, self.second = first, second

    @property
    def on_disk(self) -> bool:
        return self.first.on_disk or self.second.on_disk

    def reading_order(self) -> np.ndarray:
        return np.concatenate([self.first.reading_order(), len(self.first) + self.second.reading_order()])

    @property
    def dtype(self) -> torch.dtype:
        return self.first.dtype

    def stored(self, indices: np.ndarray) -> Tensor:
        later = indices >= len(self.first)
        values = torch.cat([self.first.stored(indices[~later]), self.second.stored(indices[later] - len(self.first))])
        return _select(values, torch.from_numpy(np.argsort(np.argsort(later, kind="stable"), kind="stable")))
