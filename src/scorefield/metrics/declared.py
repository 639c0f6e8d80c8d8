"""Metrics that declare themselves where they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .base import Array

__all__ = ["DISTANCES", "metric"]

Metric = Callable[[Array, Array], float]
F = TypeVar("F", bound=Callable[..., float])

DISTANCES: dict[str, Metric] = {}
"""The declared distances by their names, in the order in which they are declared."""

TESTED: set[str] = set()
"""The names of those that the battery replaces by a test."""


def metric(name: str, tested: bool = False) -> Callable[[F], F]:
    """A decorator: a distance of two samples is a metric, which `evaluate`, `compare` and the report show.

    Arguments:
        name: What it is called there.
        tested: Whether the battery has a test of the same distance, and shows that instead.

    Raises:
        ValueError: If another metric has this name.

    Example:
        >>> @metric("difference of means")
        ... def difference(samples, real):
        ...     return float(abs(samples.mean() - real.mean()))
        >>> DISTANCES.pop("difference of means") is difference
        True
    """

    def declare(function: F) -> F:
        if name in DISTANCES:
            raise ValueError(f"there are two metrics called {name!r}: give one another name")
        DISTANCES[name] = function
        if tested:
            TESTED.add(name)
        return function

    return declare
