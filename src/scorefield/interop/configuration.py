"""Configurations that training code leaves next to its checkpoints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..calls import plain_value
from ..reading import text_of

__all__ = ["Configuration", "stored_configuration"]

_NAMES = ("config.yml", "config.yaml", "config.json")
_ACTIVATIONS = {"elu": "elu", "relu": "relu", "lrelu": "lrelu", "swish": "silu", "silu": "silu"}
_WORDS = {"true": True, "false": False, "null": None, "~": None}


@dataclass(frozen=True)
class Configuration:
    """The settings of a training run, by names such as "model.nonlinearity".

    Arguments:
        path: The file; None if there is none.
        values: Its settings.
    """

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, *names: str) -> Any:
        """The first of these settings that is there; None without any."""
        return next((self.values[name] for name in names if self.values.get(name) is not None), None)

    @property
    def origin(self) -> str:
        """Where a setting was found."""
        return "" if self.path is None else f"from {self.path.name} next to the file"

    @property
    def activation(self) -> str | None:
        """The activation function, by its name in `scorefield.nn.NCSNpp`.

        Raises:
            ValueError: If it is none that the networks have.
        """
        named = self.get("model.nonlinearity")
        if named is None:
            return None
        if str(named).lower() not in _ACTIVATIONS:
            known = ", ".join(_ACTIVATIONS)
            raise ValueError(
                f"{self.path} has the nonlinearity {named!r}, which is not known ({known} are): pass activation="
            )
        return _ACTIVATIONS[str(named).lower()]


def stored_configuration(path: str | os.PathLike[str], width: int) -> Configuration:
    """The configuration in `config.yml`, `config.yaml` or `config.json` in the folder of a checkpoint or the one above.

    It counts only if it is one of a network of this width, with an activation function: other files have these names too.

    Arguments:
        path: The checkpoint.
        width: The number of features of its network at full resolution.
    """
    folder = Path(path).absolute().parent
    for place in (folder, folder.parent):
        for name in _NAMES:
            if (place / name).is_file():
                values = _read(place / name)
                found = Configuration(place / name, values)
                if found.get("model.ngf", "model.nf") == width and "model.nonlinearity" in values:
                    return found
    return Configuration()


def _read(path: Path) -> dict[str, Any]:
    """The settings of a file, with the names of their sections; nothing if it cannot be read as text."""
    try:
        text = text_of(path)
        return _flat(json.loads(text)) if path.suffix == ".json" else _lines(text)
    except (OSError, ValueError, RecursionError):
        return {}


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix.removesuffix("."): content}
    return {name: value for key, part in content.items() for name, value in _flat(part, f"{prefix}{key}.").items()}


def _lines(text: str) -> dict[str, Any]:
    """The scalars of a YAML file of nested mappings; tags, lists and all else are left out."""
    found: dict[str, Any] = {}
    sections: list[tuple[int, str]] = []
    for line in text.splitlines():
        parts = re.fullmatch(r"( *)([\w.-]+) *:(?: +(.*))?", line)
        if parts is None:
            continue
        indent, name, value = len(parts[1]), parts[2], re.sub(r"(^|\s)#.*", "", parts[3] or "").strip()
        sections = [(depth, section) for depth, section in sections if depth < indent]
        if not value or value.startswith(("!", "&")):
            sections.append((indent, name))
        else:
            found[".".join([*(section for _, section in sections), name])] = _scalar(value)
    return found


def _scalar(text: str) -> Any:
    text = text.strip("'\"")
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return plain_value(text)
