"""The arguments of version 0.1.0, sampler, steps and grid, in place of one `Sampling`."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ..rng import Rng
from ..schedules import UniformTime
from .sampling import Sampling

__all__ = ["loose_arguments"]

P = ParamSpec("P")
R = TypeVar("R")


def loose_arguments(*old: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: a function that takes `sampling` takes the separate arguments of 0.1.0 too, and warns.

    Arguments:
        old: The names of the arguments in 0.1.0, in their order.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        new = list(inspect.signature(function).parameters)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> R:
            by_position = len(args) > 3 and not isinstance(args[3], Rng | bool)
            loose = {"sampler", "steps", "grid", "schedule"} & kwargs.keys()
            if not by_position and not loose:
                return function(*args, **kwargs)
            names = old if by_position else new
            values = dict(zip(names, args))
            twice = sorted(values.keys() & kwargs.keys())
            if len(args) > len(names) or twice or {"sampling", "sampler"} <= values.keys() | kwargs.keys():
                raise TypeError(
                    f"{function.__name__} got an argument twice, or too many: give sampling=Sampling(…) alone"
                )
            values |= kwargs
            sampler = values.pop("sampling", None) or values.pop("sampler", None)
            schedule = values.pop("grid", None) or values.pop("schedule", None)
            sampling = Sampling.of(sampler, values.pop("steps", None), schedule)
            sampling = sampling.merged(Sampling(schedule=UniformTime()))  # what no grid meant then
            what = f"{function.__name__} takes one `sampling` in place of sampler, steps and grid"
            warnings.warn(f"{what}: write sampling={str(sampling)!r}", DeprecationWarning, stacklevel=2)
            call: Callable[..., R] = function
            return call(**{"sampling": sampling, **values})

        return wrapper

    return decorate
