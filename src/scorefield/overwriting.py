"""No output destroys an input: a path to write to is compared with those that are read, before any work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["refuse_overwriting"]


def refuse_overwriting(output: str | os.PathLike[str], inputs: Mapping[Path, str]) -> None:
    """Raises if `output` is one of the inputs, by whatever path, or lies in a folder of data that is one.

    Arguments:
        output: A file or folder that is to be written; it need not exist.
        inputs: What each path that is read is, in words: {Path("data.npy"): "the data that run was fitted to"}.

    Raises:
        ValueError: If something that is read would be lost or changed; it says what it is.

    Example:
        >>> refuse_overwriting("pictures/new.png", {Path("pictures"): "the input"})  # no such folder, nothing to lose
        >>> refuse_overwriting("/", {Path("/tmp/.."): "the input"})
        Traceback (most recent call last):
            ...
        ValueError: / is the input and would be overwritten: name another file
    """
    target = Path(output).expanduser()
    for path, what in inputs.items():
        if _same(target, path):
            raise ValueError(f"{output} is {what} and would be overwritten: name another file")
        if path.is_dir() and any(_same(parent, path) for parent in target.resolve().parents):
            raise ValueError(f"{output} lies in {path}, {what}, which would change: name a place outside of it")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # there is nothing at one of them
        return False
