"""State dictionaries of earlier versions, whose layers had other names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

__all__ = ["load_under_old_names"]


def load_under_old_names(module: nn.Module, names: Mapping[str, str]) -> None:
    """Lets `module.load_state_dict` accept the names, old to new, that its children had in version 0.1."""
    register: Any = module.register_load_state_dict_pre_hook  # which torch does not annotate
    register(partial(_rename, dict(names)))


def _rename(names: dict[str, str], module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for key in list(state):
        child, dot, rest = key.removeprefix(prefix).partition(".")
        if key.startswith(prefix) and dot and child in names:
            state[f"{prefix}{names[child]}.{rest}"] = state.pop(key)
