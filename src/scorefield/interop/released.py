"""Reads released checkpoints without unpickling objects, and loads them into networks by name and shape."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..limits import check_storage
from ..reading import reads, regular

__all__ = ["fill", "is_state", "read_released", "without_prefix"]

_LONGEST_LIST = 2**24  # bytes


@reads("download it again")
def read_released(path: str | os.PathLike[str]) -> Any:
    """Reads a file of `torch.save`, or a .safetensors file: tensors, numbers, lists and dicts, but no other objects.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds other objects.
    """
    path = regular(path, "checkpoint")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_storage(content, path)
        return content
    except Exception as error:  # errors of pickle, zip files and PyTorch
        found = re.search(r"Unsupported (?:global|class)\S*:? (?:GLOBAL )?([\w.]+)", str(error))
        if found:
            what = f"{path} holds a pickled {found[1]}, but only tensors, numbers, lists and dicts are read"
            advice = "save the state_dict() alone with torch.save(network.state_dict(), path)"
            raise ValueError(f"{what}: {advice}") from None
        if (why := re.search(r"WeightsUnpickler error:\s*(.+)", str(error))) is not None:
            what = f"{path} is truncated or damaged, or holds objects that are not tensors ({why[1][:100]})"
            raise ValueError(f"{what}: download it again") from None
        if "Weights only load failed" in str(error):  # with advice that would let the file run code
            raise ValueError(f"{path} is truncated or damaged (it cannot be unpickled): download it again") from None
        raise


def _check_archive(path: Path) -> None:
    """Whether an archive is no longer unpacked than it is, as `torch.save` writes it, with a list of contents of any use."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(f"{path} is compressed, which torch.save does not do: save it again")
    if sum(entry.file_size for entry in entries) > os.path.getsize(path):
        raise ValueError(f"{path} has parts that are longer than the file: download it again")
    if any(entry.filename.endswith(".pkl") and entry.file_size > _LONGEST_LIST for entry in entries):
        raise ValueError(f"{path} has a longer list of contents than any checkpoint needs: download it again")


def is_state(value: Any) -> bool:
    """Whether a value is a state_dict, a mapping of names to tensors."""
    named = isinstance(value, Mapping) and all(isinstance(k, str) for k in value)
    return named and len(value) > 0 and all(isinstance(v, Tensor) for v in value.values())


def without_prefix(state: Mapping[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """A state_dict without the prefix that `DataParallel` adds to all names."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Loads the weights of a checkpoint into a network, which may be on the meta device.

    Raises:
        ValueError: If names or shapes differ from those of the `source`, or weights are not finite; some are named.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = [f"{n} has shape {found[n]}, not {expected[n]}" for n in expected if n in found and found[n] != expected[n]]
    missing, unknown = [n for n in expected if n not in found], [n for n in found if n not in expected]
    if missing or unknown or wrong:
        faults = (_first("missing", missing), _first("unknown", unknown), _first("of another shape", wrong))
        listed = "; ".join(fault for fault in faults if fault)
        raise ValueError(f"the checkpoint does not fit {source}: {listed}: is it of another network?")
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"the checkpoint has NaN or infinite weights: {_first('', broken)}: use an earlier one")
    weights = {name: state[name].to(value.dtype).clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False)


def _first(what: str, names: list[str]) -> str:
    """The number of names and the first few of them; empty if there are none."""
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})".replace("  ", " ") if names else ""
