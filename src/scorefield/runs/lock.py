"""The lock of a folder: one process at a time works in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["LOCK", "locked"]

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes a folder and keeps other processes out of it. A killed process holds no lock.

    If the folder is new and nothing was written into it, it is removed at the end.

    Arguments:
        folder: The folder.

    Raises:
        RuntimeError: If another process works in the folder.
        OSError: If the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # comes with PyTorch

    existed, lock = folder.is_dir(), FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOCK, "a"):
            pass
    except OSError as error:
        what = f"{folder} cannot be written ({error.strerror})"
        raise OSError(error.errno, f"{what}: name another folder") from error
    try:
        lock.acquire()
    except Timeout as error:
        what = f"{folder} is in use by another process"
        raise RuntimeError(f"{what}: wait until it ends, or name another folder") from error
    try:
        yield
    finally:
        if os.name == "nt":  # where a file that is open cannot be removed
            lock.release()
        if not existed and [p.name for p in folder.iterdir()] == [LOCK]:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()
        lock.release()
