"""Old names of arguments, which work for a version with a warning."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["renamed_arguments", "renamed_fields", "suggests_arguments"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


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


def suggests_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator: for an unknown keyword argument the error names the one that was meant, or all that there are.

    Example:
        >>> @suggests_arguments
        ... def fit(steps=None, seed=0): return steps
        >>> fit(stesp=5)
        Traceback (most recent call last):
        TypeError: fit has no argument stesp: did you mean steps?
    """
    known = [name for name in inspect.signature(function).parameters if name != "self"]

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            found = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
            if found is None or found[1] not in kwargs or found[1] in known:
                raise
            close = difflib.get_close_matches(found[1], known, 1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
            raise TypeError(f"{function.__name__} has no argument {found[1]}: {hint}") from None

    return wrapper


def renamed_fields(**renamed: str) -> Callable[[type[T]], type[T]]:
    """A decorator: a dataclass takes the old names of its fields, and answers to them, with a warning.

    An old name may come with its new one, and wins: `dataclasses.replace` passes all fields.

    Arguments:
        renamed: New names by old ones.

    Example:
        >>> from dataclasses import dataclass
        >>> @renamed_fields(rate="learning_rate")
        ... @dataclass(frozen=True)
        ... class Settings:
        ...     learning_rate: float = 0.1
        >>> Settings(rate=0.2)
        Settings(learning_rate=0.2)
    """

    def decorate(cls: type[T]) -> type[T]:
        init: Callable[..., None] = cls.__init__

        def warn(old: str) -> None:
            what = f"{cls.__name__}: {old} is now {renamed[old]}: write {renamed[old]}"
            warnings.warn(what, DeprecationWarning, stacklevel=3)

        @functools.wraps(init)
        def accept(self: T, *args: Any, **kwargs: Any) -> None:
            olds = renamed.keys() & kwargs.keys()
            for old in olds:
                warn(old)
            values = {renamed[old]: kwargs.pop(old) for old in olds}
            init(self, *args, **{**kwargs, **values})

        def answer(self: T, name: str) -> Any:
            if name not in renamed:
                raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
            warn(name)
            return getattr(self, renamed[name])

        for name, method in (("__init__", accept), ("__getattr__", answer)):
            setattr(cls, name, method)
        return cls

    return decorate
