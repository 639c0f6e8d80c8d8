"""Old names of arguments, which work for a version with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["renamed_arguments"]

P = ParamSpec("P")
R = TypeVar("R")


def renamed_arguments(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the function takes the old names of keyword arguments too, and warns.

    Arguments:
        renamed: New names by old ones.

    Example:
        >>> @renamed_arguments(grid="schedule")
        ... def steps(schedule): return schedule
        >>> steps(grid=3)
        3
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            for old, new in renamed.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{old}= is the old name of {new}=: give {new}= alone")
                    warnings.warn(f"{old}= is now {new}=: write {new}=", DeprecationWarning, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper

    return decorate
