"""Data larger than memory: copied once to an .npy file, with a .json next to it that says from what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..distributed import decided
from ..replacing import clear, replacing
from .dtypes import check_dtype
from .errors import DataError

__all__ = ["DECODED", "Store", "blocks", "read_slices", "write_header"]

DECODED = {
    "values": "decoded"
}  # what copies of arrays with attributes hold: they were of numbers as stored in version 0.1
BLOCK = 64 << 20  # bytes that are held at a time while copying


def blocks(count: int, row_bytes: int, multiple: int = 1) -> Iterator[slice]:
    """Slices of about 64 MiB that cover `count` rows, whole multiples of `multiple` where they can be."""
    size = max(1, BLOCK // max(1, row_bytes))
    size = max(multiple, size // multiple * multiple)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@dataclass(frozen=True)
class Store:
    """Decides whether data of a file are held in memory, and keeps the copies of those that are not.

    Arguments:
        source: The file or folder the data come from.
        folder: Where copies are kept; None if the caller named no place.
        limit: The bytes up to which data are held in memory.
    """

    source: Path
    folder: Path | None
    limit: int

    def holds(self, size: int) -> bool:
        """Whether `size` bytes may be held in memory."""
        return size <= self.limit

    def copy(
        self, options: dict[str, Any], chunks: Iterable[np.ndarray], facts: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The data as a memory map of the copy, which is made now unless one of the unchanged source exists.

        Arguments:
            options: What of the source is read, and how.
            chunks: The data, a block of rows at a time; not read if there is a copy.
            facts: What is to be remembered with them, complete after the last chunk.

        Returns:
            The memory map and the facts.

        Raises:
            DataError: If no folder was named, or there are no rows.
        """
        if self.folder is None:
            raise DataError(
                f"{self.source} holds more than {self.limit / 2**30:.3g} GiB: name a folder for a copy "
                "that is read by parts (cache=…), or raise limit=…"
            )
        identity = {"source": str(self.source.resolve()), **options}
        name = f"{self.source.stem}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]}"
        data, record = self.folder / f"{name}.npy", self.folder / f"{name}.json"
        known = decided(lambda: self._made(identity, data, record, chunks, facts or {}))
        return np.load(data, mmap_mode="r", allow_pickle=False), known

    def _made(
        self,
        identity: dict[str, Any],
        data: Path,
        record: Path,
        chunks: Iterable[np.ndarray],
        facts: dict[str, Any],
    ) -> Any:
        """The facts of a copy, which is made unless it is there; of several processes one makes it."""
        data.parent.mkdir(parents=True, exist_ok=True)
        clear(data.parent)
        state = {**identity, **_state(self.source)}
        known = _known(record) if record.exists() and data.exists() else {}
        if {k: known.get(k) for k in state} != state:
            with replacing(data) as part:
                _write(part, chunks)
                record.unlink(missing_ok=True)  # a process that ends before the next one is written leaves no old one
            known = {**state, "facts": facts}
            with replacing(record) as part:
                part.write_text(json.dumps(known, indent=1))
        return known["facts"]


def _known(record: Path) -> dict[str, Any]:
    """What was written down of a copy; nothing if that is damaged, so that it is made anew."""
    try:
        content = json.loads(record.read_text())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("facts"), dict) else {}


def read_slices(array: Any, key: str, store: Store) -> np.ndarray:
    """An array that is read by slices, as those of h5py and zarr: at once, or through the copy."""
    check_dtype(array.dtype, len(array.shape))
    if store.holds(array.nbytes):
        return np.asarray(array[...])
    multiple = array.chunks[0] if array.chunks else 1
    parts = blocks(array.shape[0], array.nbytes // array.shape[0], multiple)
    options = {"key": key, **getattr(array, "copied", {})}
    return store.copy(options, (np.asarray(array[part]) for part in parts))[0]


def write_header(file: Any, like: np.ndarray, count: int) -> None:
    """The header of an .npy file of `count` rows, each as those of `like`."""
    facts = {
        **np.lib.format.header_data_from_array_1_0(like),
        "fortran_order": False,
        "shape": (count, *like.shape[1:]),
    }
    np.lib.format.write_array_header_1_0(file, facts)


def _state(source: Path) -> dict[str, int]:
    """What changes when the source does."""
    stats = [p.stat() for p in (source, *source.rglob("*")) if p.is_file()]
    size, latest = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
    return {"files": len(stats), "size": size, "mtime": latest}


def _write(path: Path, chunks: Iterable[np.ndarray]) -> None:
    """Writes chunks of rows, whose number is known only at the end, as one .npy file."""
    first: np.ndarray | None = None
    count = 0
    with open(path, "wb") as file:
        for chunk in chunks:
            if first is None:
                first = chunk[:0]
                write_header(file, first, 0)
            file.write(np.ascontiguousarray(chunk, first.dtype).data)
            count += len(chunk)
        if first is None:
            raise DataError("there are no data: the file holds no rows")
        file.seek(0)
        write_header(file, first, count)  # of the same size: numpy leaves room for a first axis that grows
