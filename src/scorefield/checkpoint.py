"""Modules on disk: one `.safetensors` file holds the structure, as plain data, and numbers. Nothing is unpickled."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from . import __version__, renames, spec
from .condition_migrations import migrate_conditions
from .destinations import advice
from .limits import BoundedTensors
from .migrations import migrate_sampling
from .reading import reads, regular
from .replacing import replacing

__all__ = ["load", "read_tensors", "save", "write_atomically", "write_tensors"]

FORMAT = 2  # 1: version 0.1.0, with the names of classes of then
_KEY = "scorefield"
_ADVICE = "keep the arguments of constructors as attributes of the same names"
_LONGEST_HEADER = 2**24  # bytes
_MOST_MARKS = 2_000_000  # of JSON, in the header: each becomes an object of about 60 bytes
_SPARE_BYTES, _SPARE_OPERATIONS = 2**26, 3_000  # that any model may take while it is built


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file whole or not at all: what was at `path` stays until the new content is on the disk.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the old file is as it was.
    """
    path = Path(path)
    try:
        with replacing(path) as part:
            part.write_bytes(content)
    except OSError as error:
        what = f"{path} could not be written ({error.strerror or error}); what was there is unchanged: "
        raise OSError(error.errno, what + f"{advice(error, path.parent)}") from error


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes named tensors and plain data about them, atomically."""
    copies = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    known = {"format": FORMAT, "version": __version__, **about}
    known["checksum"] = _checksum(copies, known)
    write_atomically(path, to_bytes(copies, {_KEY: json.dumps(known)}))


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> int:
    """CRC-32 of the data about tensors, and of their names, forms and bytes."""
    found = zlib.crc32(json.dumps(about).encode())
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), found)
        if tensor.numel():  # one without numbers may have strides that it cannot be viewed with
            found = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, found)
    return found


@reads("use another copy")
def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_tensors` wrote, in this version or an earlier one.

    A description (`spec`) in these data has the names that classes have today.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, damaged, foreign, or of a newer format.
    """
    path = regular(path, "checkpoint")
    _check_header(path)
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get(_KEY, "null"))
        stored = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    if not isinstance(about, dict):
        raise ValueError(f"{path} was not written by scorefield: it holds tensors, but nothing says what they are")
    if about.get("format") not in range(1, FORMAT + 1):
        have = f"format {about.get('format')} (scorefield {about.get('version')})"
        raise ValueError(f"{path} has {have}, this version reads formats 1 to {FORMAT}: update scorefield")
    if about.pop("checksum", None) not in (None, _checksum(stored, about)):
        raise ValueError(f"{path} is damaged, or was changed: it does not hold what was written; use another copy")
    if about["format"] == 1 and "spec" in about:
        about["spec"] = renames.updated(about["spec"])
    # Copies: in the file numbers lie at any address, by which the rounding of products may differ.
    return {k: v.clone() for k, v in stored.items()}, about


def _check_header(path: str | os.PathLike[str]) -> None:
    """Whether the header of a file is not longer than the file, and than any model needs, before it is read."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if start.startswith(b"\x93NUMPY"):
            raise ValueError(f"{path} holds an array, not a model: name the folder of a run, or a model file")
        if length + 8 > os.fstat(file.fileno()).st_size:
            return  # it is not whole, as the library says
        header = file.read(length) if length <= _LONGEST_HEADER else b""
    marks = sum(header.count(mark) for mark in (b",", b"[", b"{"))
    if length > _LONGEST_HEADER or marks > _MOST_MARKS:
        what = f"a header of {length:,} bytes with {marks:,} values"
        raise ValueError(f"{path} has {what}, more than a model needs: it was not written by scorefield")


def save(module: nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes a module: what it is made of (`spec`) and its numbers.

    A part that does not keep its constructor's arguments (a network of your own, say) is written by its numbers alone:
    pass an equal one to `load`.

    Raises:
        ValueError: If a file could not hold the module: one of this package's modules holds what cannot be described, or
            more than one part would be written by its numbers alone.
    """
    arguments: list[Tensor] = []
    structure = _describe(module, arguments)
    if len(unknown := list(_externals(structure))) > 1:
        what = f"of {' and '.join(unknown)} it would hold the numbers alone, and can of one part"
        raise ValueError(f"a file cannot hold this {type(module).__name__}: {what}; {_ADVICE}")
    state = {f"state.{k}": v for k, v in module.state_dict().items()}
    state |= {f"argument.{i}": v for i, v in enumerate(arguments)}
    write_tensors(path, state, {"spec": structure})


def _describe(module: nn.Module, arguments: list[Tensor]) -> Any:
    """Like `spec.describe`, with `{"external": …}` in the place of the user's modules that cannot be described."""
    before, kind = len(arguments), type(module)
    try:
        return spec.describe(module, arguments)
    except TypeError as error:
        why = str(error)
    del arguments[before:]
    with contextlib.suppress(TypeError):
        values = {n: getattr(module, n) for n in spec.arguments_of(module)}
        parts = {
            n: _describe(v, arguments) if isinstance(v, nn.Module) else spec.describe(v, arguments)
            for n, v in values.items()
        }
        return {"class": spec.path_of(kind), "arguments": parts}
    del arguments[before:]
    if kind.__module__.split(".")[0] == __name__.split(".")[0]:  # one of this package, whose parts `load` must find
        raise ValueError(f"a file cannot hold this {kind.__name__}: {why}; {_ADVICE}")
    return {"external": f"{kind.__module__}.{kind.__qualname__}"}


def _externals(structure: Any) -> Iterator[str]:
    """The classes of the parts that are written by their numbers alone."""
    if isinstance(structure, dict) and "external" in structure:
        yield structure["external"]
    inside = structure.values() if isinstance(structure, dict) else structure if isinstance(structure, list) else ()
    for part in inside:
        yield from _externals(part)


@reads("use another copy")
def load(
    path: str | os.PathLike[str], trusted: tuple[str, ...] = ("scorefield",), network: nn.Module | None = None
) -> nn.Module:
    """Reads a module that `save` wrote. No code of the file is run: only classes of trusted packages are built.

    Arguments:
        path: The file.
        trusted: The packages whose classes may be built.
        network: Stands in the place of a part that the file holds by its numbers alone.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, foreign, needs an untrusted package, or does not fit `network`; or if the model that
            it describes is larger than the numbers that it holds.
    """
    tensors, about = read_tensors(path)
    if "spec" not in about:
        raise ValueError(f"{path} holds no model: is it the training state next to model.safetensors?")
    structure = about["spec"]
    spec.size_of(structure)
    if about["format"] == 1:
        try:
            structure, tensors = migrate_conditions(migrate_sampling(structure), tensors)
        except (LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{path} holds no model of version 0.1.0: {_short(error)}") from error
    count = sum(k.startswith("argument.") for k in tensors)
    arguments = [tensors[name] for i in range(count) if (name := f"argument.{i}") in tensors]
    try:
        with _bounded(tensors, structure):
            module = spec.build(structure, trusted, arguments, network, nn.Module)
    except (RuntimeError, ArithmeticError, LookupError, MemoryError, RecursionError) as error:
        raise ValueError(f"the model that {path} describes cannot be built: {_short(error)}") from error
    if not isinstance(module, nn.Module):
        raise ValueError(f"{path} describes {type(module).__name__}, which is not a module")
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        what = f"the numbers in {path} do not fit the model that it describes"
        raise ValueError(f"{what}: {_short(error)}") from error
    return module.eval().requires_grad_(False)


def _bounded(tensors: Mapping[str, Tensor], structure: Any) -> BoundedTensors:
    """What a model may take while it is built, by the numbers that its file holds: a few times as much."""
    held = sum(each.numel() * max(each.element_size(), 8) for each in tensors.values())
    operations = _SPARE_OPERATIONS + 20 * len(tensors) + spec.size_of(structure) // 10
    return BoundedTensors(_SPARE_BYTES + 16 * held, operations)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__
