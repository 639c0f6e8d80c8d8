"""How earlier versions wrote the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..settings import with_new_names

__all__ = ["current"]


def current(record: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `run.json` as it is written today: noise levels were called calibration, and settings otherwise.

    Arguments:
        record: The content, of any version.
    """
    new = {_NAMES.get(name, name): value for name, value in record.items()}
    if isinstance(new.get("asked"), dict):
        asked = {_NAMES.get(name, name): value for name, value in new["asked"].items()}
        new["asked"] = {name: _settings(name, value) for name, value in asked.items()}
    if "training" in new:
        new["training"] = _settings("training", new["training"])
    if isinstance(new.get("choices"), list):
        new["choices"] = [[*with_new_names({name: 0}), *rest] for name, *rest in new["choices"]]
    return new


_NAMES = {"calibration": "noise_levels"}


def _settings(name: str, value: Any) -> Any:
    return with_new_names(value) if name == "training" and isinstance(value, dict) else value
