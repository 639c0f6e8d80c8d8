"""No output destroys an input, nor a file that is there: paths to write to are looked at before any work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["refuse_existing", "refuse_overwriting"]


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


def refuse_existing(output: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Raises if there is a file at `output` that was not said to be replaced.

    Arguments:
        output: A file that is to be written. A folder that is there is for its format to refuse, or to write into.
        overwrite: Whether a file may be replaced.

    Raises:
        ValueError: If there is a file, and it may not.

    Example:
        >>> refuse_existing("/none/new.npy")
        >>> refuse_existing(__file__, overwrite=True)
    """
    if not overwrite and Path(output).expanduser().is_file():
        raise ValueError(f"{output} exists and is left as it is: name a new file, or pass overwrite=True to replace it")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # there is nothing at one of them
        return False
