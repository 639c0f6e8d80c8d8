"""Records of one length, read from a file by number."""

from __future__ import annotations

import os
import threading
from os import PathLike
from typing import Any

import numpy as np

__all__ = ["Reader"]


class Reader:
    """Reads records of `length` bytes; record `i` starts at `offset + i * stride`.

    Arguments:
        path: The file.
        count: The number of records.
        length: The bytes of a record.
        offset: The byte at which record 0 starts.
        stride: The bytes from one record to the next.

    Raises:
        ValueError: If the file is too short for `count` records.
    """

    def __init__(self, path: str | PathLike[str], count: int, length: int, offset: int, stride: int) -> None:
        self.path, self.count, self.length, self.offset, self.stride = os.fspath(path), count, length, offset, stride
        self._lock = threading.Lock()
        self._file = open(self.path, "rb", buffering=0)  # noqa: SIM115  (closed with the object)
        size, needed = (
            os.fstat(self._file.fileno()).st_size,
            offset + (count - 1) * stride + length if count else offset,
        )
        if size < needed:
            self._file.close()
            raise ValueError(
                f"{self.path} is truncated: {count} rows need {needed} bytes, it has {size}: copy it again"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def read(self, indices: np.ndarray, into: np.ndarray) -> None:
        """Fills `into`, of `len(indices)` records, from the records of ascending, distinct `indices`."""
        if not into.nbytes:
            return
        target = memoryview(into.reshape(-1).view(np.uint8).data)
        gap = np.diff(indices) != 1
        if self.stride != self.length:
            gap[:] = True
        first = np.concatenate(([0], np.flatnonzero(gap) + 1, [len(indices)]))
        starts = self.offset + indices[first[:-1]] * self.stride
        for place, a, b in zip(starts.tolist(), first[:-1].tolist(), first[1:].tolist()):
            self._fill(target[a * self.length : b * self.length], place)

    def _fill(self, target: memoryview, place: int) -> None:
        while len(target):
            got = self._once(target, place)
            if not got:
                raise ValueError(f"{self.path} ended at byte {place} while it was read: was it changed?")
            target, place = target[got:], place + got

    def _once(self, target: memoryview, place: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [target], place)
        with self._lock:
            self._file.seek(place)
            return self._file.readinto(target)
