"""The global heaps of HDF5 files: the library reads damaged ones for ever, and cannot be interrupted, so they are checked."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ..errors import DataError

__all__ = ["check_heaps"]

_MARK = b"GCOL\x01\0\0\0"  # what a collection of a global heap begins with
_HEADER = 16  # bytes, of a collection and of each object in it
_SCANNED = 64 << 20  # bytes at the start of a file: lists of names and dimensions are written first


def check_heaps(path: Path) -> None:
    """Raises a DataError if a global heap in the first 64 MiB of an HDF5 file is damaged.

    References:
        The HDF Group, "HDF5 File Format Specification Version 3.0", section III.E: global heap.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"\x89HDF":
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = min(len(content), _SCANNED)
            at = content.find(_MARK, 0, end)
            while at >= 0:
                if not _is_whole(content, at):
                    raise DataError(f"{path} is truncated or damaged (the global heap at byte {at}): copy it again")
                at = content.find(_MARK, at + len(_MARK), end)


def _is_whole(content: mmap.mmap, start: int) -> bool:
    """Whether the objects of the collection that begins at `start` follow one another up to its end."""
    end = start + int.from_bytes(content[start + 8 : start + _HEADER], "little")
    if not start + _HEADER <= end <= len(content):
        return False
    at = start + _HEADER
    while at + _HEADER <= end:
        index, _, _, size = struct.unpack("<HHIQ", content[at : at + _HEADER])
        if index == 0:  # what is free, whose size counts its header
            return bool(at + size == end)
        at += _HEADER + -(-size // 8) * 8
    return bool(at <= end)
