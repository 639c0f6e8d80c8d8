"""Files that are written whole or not at all, by way of temporary files; those that a dead process left are removed.

A temporary file lies next to its target. Its name says which process writes it, on which host: the next process that
writes into the folder removes it if that process has ended. Whether a process of another host has ended cannot be known:
such a file is removed when nothing has been written to it for a week.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["AGE", "clear", "replacing"]

AGE = 7 * 86400.0
"""Seconds without a change after which a temporary file of an unknown process is removed."""

_NAME = re.compile(r"\.(?P<host>\w+)-(?P<process>\d+)-\d+\.part\..+", re.DOTALL)
_EARLIER = re.compile(
    r"\..+\.\d+\.part|\.\d+\.part\..+|.+-[0-9a-f]{12}\.\d+\.part", re.DOTALL
)  # their hosts are not known
_TAIL = 40  # characters of the target's name, with its suffixes; names of files are at most 255 bytes
_counter = itertools.count()
_mine: set[str] = set()  # names that this process is writing


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path next to `path` to write a file or a folder to, and moves it there when it is on the disk.

    However the block ends, the temporary file is gone, and what was at `path` stays unless the block succeeded.

    Arguments:
        path: The target; a folder may replace an empty one.

    Raises:
        OSError: If the disk is full or nothing may be written there; what was at `path` is as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(f"{folder}/a.txt") as part:
        ...         _ = part.write_text("new")
        ...     [(p.name, p.read_text()) for p in Path(folder).iterdir()]
        [('a.txt', 'new')]
    """
    target = Path(path).absolute()
    clear(target.parent)
    part = target.with_name(f".{_host()}-{os.getpid()}-{next(_counter)}.part.{target.name[-_TAIL:]}")
    _mine.add(part.name)
    try:
        yield part
        _sync(part)
        if part.is_dir() and target.is_dir():
            target.rmdir()
        os.replace(part, target)
    finally:
        _remove(part)
        _mine.discard(part.name)


def clear(folder: str | os.PathLike[str]) -> None:
    """Removes what processes that have ended were about to write into a folder; a folder that cannot be read stays as it is."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ".part" in entry.name and _is_left(Path(entry.path)):
                _remove(Path(entry.path))


def _is_left(path: Path) -> bool:
    """Whether a file is a temporary one that nobody will finish."""
    found = _NAME.fullmatch(path.name)
    if found is None and _EARLIER.fullmatch(path.name) is None:
        return False
    if found is not None and found["host"] == _host():
        alive = _is_alive(int(found["process"]))
        if alive is not None:
            return not alive or (int(found["process"]) == os.getpid() and path.name not in _mine)
    return time.time() - max((p.stat().st_mtime for p in (path, *path.rglob("*"))), default=0.0) > AGE


def _is_alive(process: int) -> bool | None:
    """Whether there is a process of this number; None where asking would end it."""
    if os.name == "nt":
        return None
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return True


@cache
def _host() -> str:
    """The host, and on Linux the space of process numbers: containers of one host have their own."""
    try:
        space = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        space = "0"
    return re.sub(r"\W", "_", platform.node(), flags=re.ASCII)[:_TAIL] + f"_{space}"


def _sync(path: Path) -> None:
    """Waits until a file, or those of a folder, are on the disk."""
    for file in (path, *path.rglob("*")):
        if file.is_file():
            with open(file, "rb+") as opened:
                os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
