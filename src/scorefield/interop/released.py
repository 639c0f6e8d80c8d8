"""Files that others released: read without building what they pickled, and fitted to our networks by name and shape."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

__all__ = ["fill", "is_state", "read_released", "without_prefix"]


def read_released(path: str | os.PathLike[str]) -> Any:
    """What `torch.save` wrote, or a .safetensors file: tensors, numbers, lists and dicts. Other objects are not built.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken, or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not there"
        raise FileNotFoundError(f"a checkpoint is a file, {path} is {what}: check the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the kinds of errors are those of pickle, zip files and PyTorch
        found = re.search(r"Unsupported (?:global|class)\S*:? (?:GLOBAL )?([\w.]+)", str(error))
        if found:
            what = f"{path} holds a pickled {found[1]}, and nothing but tensors, numbers, lists and dicts is read"
            raise ValueError(f"{what}: save the state_dict() alone, torch.save(network.state_dict(), path)") from None
        why = " ".join(str(error).split())[:80] or type(error).__name__
        raise ValueError(f"{path} is no whole checkpoint ({why}): it may be truncated, fetch it again") from None


def is_state(value: Any) -> bool:
    """Whether a value is a state_dict: tensors by name."""
    named = isinstance(value, Mapping) and all(isinstance(k, str) for k in value)
    return named and len(value) > 0 and all(isinstance(v, Tensor) for v in value.values())


def without_prefix(state: Mapping[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """A state_dict without the prefix that `DataParallel` puts before all names."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Gives a network the numbers of a checkpoint; it may lie on the meta device.

    Arguments:
        network: The network.
        state: Tensors by name.
        source: What the numbers are for, in words, for the error.

    Raises:
        ValueError: If names or shapes differ, or numbers are not finite. The first of each are named.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = [f"{n} is {found[n]}, not {expected[n]}" for n in expected if n in found and found[n] != expected[n]]
    faults = [
        _first("missing", (n for n in expected if n not in found)),
        _first("unknown", (n for n in found if n not in expected)),
        _first("of another shape", wrong),
    ]
    if any(faults):
        told = "; ".join(fault for fault in faults if fault)
        raise ValueError(f"the checkpoint does not fit {source}: {told}: is it another network?")
    spoiled = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if spoiled:
        raise ValueError(
            f"the checkpoint holds numbers that are not finite: {_first('', spoiled)}: take an earlier one"
        )
    own = {n: v.to(expect.dtype).clone() for (n, expect), v in ((e, state[e[0]]) for e in network.state_dict().items())}
    network.load_state_dict(own, assign=True)
    network.eval().requires_grad_(False)


def _first(what: str, names: Iterable[str]) -> str:
    """How many there are and the first few of them; nothing of none."""
    names = list(names)
    more = f", and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} {what} ({', '.join(names[:3])}{more})".replace("  ", " ") if names else ""
