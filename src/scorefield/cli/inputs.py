"""What a command reads, so that its output cannot be one of these files; the same for every command."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ..overwriting import refuse_overwriting

__all__ = ["check_output", "described"]

_WRITTEN = ("output", "cache")  # paths that are not read
_QUOTED = re.compile(r"""["']([^"']+)["']""")  # as in linear('matrix.npy')


def check_output(arguments: Mapping[str, Any]) -> None:
    """Raises if the output of a command is what it reads, a file of a run, or the data that its run was fitted to.

    Arguments:
        arguments: Those of the command by name, `output` among them if it has one.

    Raises:
        ValueError: If something that is read would be lost or changed; it says what it is.
    """
    output = arguments.get("output")
    if output is None:
        return
    inputs: dict[Path, str] = {}
    for name, value in arguments.items():
        for path in _paths(name, value):
            run = _run_of(path)
            if path != run:
                inputs[path] = f"an input of this command ({name.replace('_', '-')})"
            if run is not None:
                inputs |= _files_of(run)
    place = output.expanduser().absolute()
    for folder in {place.parent, place.resolve().parent}:
        if _run_of(folder) is not None:
            inputs = _files_of(folder) | inputs
    refuse_overwriting(output, inputs)


def described(**arguments: Any) -> str:
    """Arguments of a command as a text, with the content of the files that they name: what it computes depends on nothing else.

    Arguments:
        arguments: Paths, texts, numbers, options; of the folder of a run its model counts.
    """
    found = []
    for name, value in arguments.items():
        paths = list(_paths(name, value))
        files = [path / "model.safetensors" if path.is_dir() else path for path in paths]
        contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
        found.append(f"{name}={'' if paths == [value] else repr(value)} {' '.join(contents)}")
    return "; ".join(found)


def _paths(name: str, value: Any) -> Iterator[Path]:
    """The paths in an argument: as they are, or files that a text names."""
    if name in _WRITTEN or value is None:
        return
    if isinstance(value, Path):
        yield value.expanduser()
    elif isinstance(value, str):
        for word in (value, *_QUOTED.findall(value)):
            with contextlib.suppress(OSError, ValueError):  # a text that cannot be a path
                if Path(word).is_file():
                    yield Path(word)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _paths(name, part)
    elif is_dataclass(value):
        for part in fields(value):
            yield from _paths(part.name, getattr(value, part.name))


def _run_of(path: Path) -> Path | None:
    """The folder of a run: the path itself, or the folder of a model.safetensors."""
    folder = path if path.is_dir() else path.parent if path.name == "model.safetensors" else None
    return folder if folder is not None and (folder / "run.json").is_file() else None


def _files_of(folder: Path) -> dict[Path, str]:
    """The files of a run and the data that it was fitted to, with what they are."""
    from ..runs import Run

    with contextlib.suppress(OSError, ValueError):
        run = Run(folder)
        source = run.source
        fitted = {} if source is None else {source: f"the data that {folder} was fitted to"}
        return fitted | dict.fromkeys(run.files, f"a file of the run {folder}")
    # a damaged run is for the command to refuse
    return {folder / "run.json": f"a file of the run {os.fspath(folder)}"}
