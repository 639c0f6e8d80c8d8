"""What the files of a run must hold, so that whoever reads them needs no checks: a damaged one is refused with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..reading import FileError

__all__ = ["checked"]

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, list) and len(row) == 3 for row in value)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(n) is int and n >= 0 for n in value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value))


_FORMS: Mapping[str, Mapping[str, Check]] = {
    "run.json": {
        "asked": _mapping,
        "asked.source": _maybe(lambda value: _mapping(value) and _text(value.get("path"))),
        "asked.data": _mapping,
        "asked.data.held_out": _number,
        "asked.network": lambda value: _text(value) or _mapping(value),
        "asked.training": lambda value: _text(value) or _mapping(value),
        "asked.fingerprint": _maybe(_text),
        "asked.seed": lambda value: type(value) is int,
        "choices": _rows,
        "noise_levels": _rows,
        "shape": _counts,
    },
    "fit.json": {
        "steps": _number,
        "seconds": _number,
        "stopped": _text,
        "held_out_loss": _number,
        "weights": _text,
        "by_level": _mapping,
        **{f"by_level.{name}": _numbers for name in ("level", "loss", "zero_loss")},
    },
}
"""What each name in a file must hold, by its place in it."""

_DISTILLED: Mapping[str, Check] = {
    "teacher": _text,
    "guidance": _number,
    "interval": lambda value: (
        isinstance(value, list) and len(value) == 2 and all(_maybe(_number)(end) for end in value)
    ),
    "conditions": lambda value: isinstance(value, list),
}
"""What is said of a run that was distilled."""

_IF_THERE: Mapping[str, Mapping[str, Check]] = {
    "run.json": {
        "imported": _mapping,
        "imported.kind": _text,
        "training": _mapping,
        "growth": lambda value: _number(value) and 0.5 <= value <= 8,
        "asked.distilled": lambda value: _mapping(value) and _DISTILLED.keys() <= value.keys(),
        **{f"asked.distilled.{name}": check for name, check in _DISTILLED.items()},
    },
    "fit.json": {
        "warning": _maybe(_text),
        "not_compiled": _maybe(_text),
        "on_the_way": _maybe(_mapping),
        "by_level.train_loss": _maybe(_numbers),
    },
}


def checked(content: Any, name: str, path: Path) -> dict[str, Any]:
    """The content of a file of a run, as it is.

    Arguments:
        content: The content.
        name: Which file it is, "run.json" or "fit.json"; others need only be mappings.
        path: The file, for messages.

    Raises:
        ValueError: If something is missing, or of another kind.
    """
    advice = "restore it, or start a new run"
    if not isinstance(content, dict):
        raise FileError(f"{path} is damaged (it holds a {type(content).__name__}): {advice}")
    if name == "run.json" and "asked" not in content:
        raise FileError(f"{path} was not written by a fit: restore it, or name a new folder")
    for place, check in _FORMS.get(name, {}).items():
        found = _at(content, place)
        if found is _ABSENT:
            raise FileError(f"{path} is damaged (it lacks {place}): {advice}")
        if not check(found):
            raise FileError(f"{path} is damaged ({place} is {str(found)[:40]}): {advice}")
    for place, check in _IF_THERE.get(name, {}).items():
        found = _at(content, place)
        if found is not _ABSENT and not check(found):
            raise FileError(f"{path} is damaged ({place} is {str(found)[:40]}): {advice}")
    return content


_ABSENT = object()


def _at(content: Any, place: str) -> Any:
    """What stands at a place such as "asked.seed"."""
    for name in place.split("."):
        if not isinstance(content, dict) or name not in content:
            return _ABSENT
        content = content[name]
    return content
