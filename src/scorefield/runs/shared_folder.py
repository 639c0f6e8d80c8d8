"""Whether all processes find what process 0 writes: they may run on machines that share no file system."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from ..distributed import ProcessLostError, decided, first, gathered, size

__all__ = ["check_shared"]

_SECONDS = 15.0  # that a file system may need to show to all machines what one has written


def check_shared(path: Path) -> None:
    """Raises unless all processes find a file of process 0, with its content.

    Arguments:
        path: The file.

    Raises:
        ValueError: In process 0, which says who does not find it.
        ProcessLostError: In the other processes.
    """
    if size() == 1:
        return
    there, until = decided(lambda: _digest(path)), time.perf_counter() + _SECONDS
    while not (found := _digest(path) == there) and time.perf_counter() < until:
        time.sleep(0.2)
    absent = [i for i, finds in enumerate(gathered(found)) if not finds]
    if absent:
        what = f"process {absent[0]} does not find the folder {path.parent} that process 0 writes to"
        what = f"{what}: name one on a file system that all machines share"
        raise ValueError(what) if first() else ProcessLostError(what, explained=True)


def _digest(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return ""
