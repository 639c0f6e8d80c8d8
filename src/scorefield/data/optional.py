"""Libraries that only some files need."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["need"]


def need(module: str, purpose: str, extra: str = "data") -> Any:
    """Imports a module of an extra; without it the error says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f'{purpose} needs {module}: pip install "scorefield[{extra}]"') from None
