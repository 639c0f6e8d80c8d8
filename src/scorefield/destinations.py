"""Whether results can be written to a place: asked before the work begins, not after it."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

__all__ = ["advice", "check_folder", "check_writable"]


def check_writable(path: str | os.PathLike[str], folder: bool = False) -> None:
    """Raises unless a file can be written to `path`, in a folder that exists; nothing is left there.

    Arguments:
        path: The file.
        folder: Whether a folder is written to `path`, not a file.

    Raises:
        FileNotFoundError: If there is no such folder.
        PermissionError: If nothing may be written there.
        ValueError: If there is something at `path` that is not a file.
        OSError: If the disk is full or read-only.

    Example:
        >>> check_writable("/none/new.npy")
        Traceback (most recent call last):
            ...
        FileNotFoundError: there is no folder /none to write new.npy into: make it first
    """
    path = Path(path).expanduser()
    parent = path.absolute().parent
    if not parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} into: make it first")
    if not folder and path.exists() and not path.is_file():
        raise ValueError(f"{path} is a {_kind(path)}: name a file")
    _try(parent, f"{path} cannot be written")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raises unless `path` is a folder that can be written into, or can be made.

    Raises:
        PermissionError: If nothing may be written there.
        ValueError: If there is something at `path`, or above it, that is not a folder.
        OSError: If the disk is full or read-only.
    """
    path = Path(path).expanduser().absolute()
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"{path} cannot be written, since {there} is a {_kind(there)}: name another folder")
    _try(there, f"{path} cannot be written")


def _try(folder: Path, what: str) -> None:
    """Makes a file in a folder, which vanishes at once."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        said = f"{what} ({os.strerror(error.errno or 0)}): {advice(error, folder)}"
        raise (PermissionError(said) if isinstance(error, PermissionError) else OSError(error.errno, said)) from error


def advice(error: OSError, folder: str | os.PathLike[str]) -> str:
    """What to do if a file could not be written into a folder."""
    if not os.path.isdir(folder):
        return f"the folder {folder} was removed meanwhile: make it again, then run again"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "change the permissions of the folder, or choose another place where you may write"
    if error.errno == errno.EROFS:
        return "the file system is read-only, choose another place"
    return "free some space or choose another place, then run again"


def _kind(path: Path) -> str:
    mode = stat.S_IFMT(path.stat().st_mode)
    names = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return names.get(mode, "device")
