"""Docstrings for help texts: paragraphs as one line each, which the terminal breaks where it needs to."""

from __future__ import annotations

import inspect
import re
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from cyclopts import App

__all__ = ["unwrap_all", "unwrapped"]

_SECTION = re.compile(r"[A-Z]\w+:$")


def unwrapped(text: str) -> str:
    """A docstring with each paragraph, and each argument, on a line of its own.

    Example:
        >>> print(unwrapped("One.\\n\\nTwo\\nlines.\\n\\nArguments:\\n    a: The\\n        first.\\n    b: The second."))
        One.
        <BLANKLINE>
        Two lines.
        <BLANKLINE>
        Arguments:
            a: The first.
            b: The second.
    """
    found: list[str] = []
    item = False  # whether the lines are those of arguments
    for line in inspect.cleandoc(text).splitlines():
        indent = len(line) - len(line.lstrip())
        before = len(found[-1]) - len(found[-1].lstrip()) if found else 0
        header = bool(found) and bool(_SECTION.match(found[-1]))
        item = header or (item and indent > 0)
        goes_on = indent > before if item else indent == before
        if line.strip() and found and found[-1].strip() and goes_on and not header:
            found[-1] = f"{found[-1]} {line.strip()}"
        else:
            found.append(line.rstrip())
    return "\n".join(found)


def unwrap_all(app: App) -> None:
    """Unwraps the docstrings of all commands, and of the groups of options that they take."""
    for name in app:
        function = app[name].default_command
        if name.startswith("-") or function is None:
            continue
        _unwrap(function)
        for hint in get_type_hints(function, include_extras=True).values():
            for kind in (hint, *get_args(hint)):
                if isinstance(kind, type) and is_dataclass(kind):
                    _unwrap(kind)


def _unwrap(thing: Any) -> None:
    if thing.__doc__:
        thing.__doc__ = unwrapped(thing.__doc__)
