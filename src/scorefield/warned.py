"""Warnings at the line of the user's code that they are about."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn_outside"]

_PACKAGE = __name__.partition(".")[0]


def warn_outside(message: str) -> None:
    """Warns at the first line outside of this package that led here.

    Arguments:
        message: What is said, as a `UserWarning`.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
