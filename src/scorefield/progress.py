"""How far a long computation is: loops report it, and whoever listens shows it.

A loop calls `report`, and wraps what other loops do for it in `part`. It does not know whether anybody listens, and it prints
nothing. The command line and notebooks listen (`scorefield.bars`); so can any program:

    with progress.listening(lambda report: print(report.fraction, report.what)):
        model.sample(1000)

Reports of a thread reach listeners of that thread alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

__all__ = ["Listener", "Report", "heard", "listening", "mapped", "part", "parts", "quiet", "report"]


T = TypeVar("T")
V = TypeVar("V")


def _nothing() -> Sequence[str]:
    return ()


class Report(NamedTuple):
    """How far a computation is.

    Arguments:
        fraction: From 0 to 1. If it is below that of the report before, something else has begun.
        what: What is being done, in a few words; "" if it was not said.
        details: A function that gives further words, the most important ones first. It may take time: call it when they are
            shown.
    """

    fraction: float
    what: str = ""
    details: Callable[[], Sequence[str]] = _nothing


Listener = Callable[[Report], None]
"""What is called with each report, often thousands of times a second."""


class _Span(NamedTuple):
    """Who listens, and the part of the whole that is being done."""

    listener: Listener
    start: float = 0.0
    stop: float = 1.0
    what: str = ""
    reached: list[float] | None = None
    """How far the outermost part is, as a list of one number: within it, reports never fall."""


_SPAN: ContextVar[_Span | None] = ContextVar("scorefield progress", default=None)


def heard() -> bool:
    """Whether anybody listens: for what is expensive to report."""
    return _SPAN.get() is not None


def report(fraction: float, what: str = "", details: Callable[[], Sequence[str]] = _nothing) -> None:
    """Says how much is done. Within a `part` it never falls; outside of one, a smaller number says that something else begins.

    Arguments:
        fraction: How much of this loop is done, from 0 to 1.
        what: What is being done, if the caller of the loop does not say it.
        details: Further words, asked for when they are shown.

    Example:
        >>> found = []
        >>> with listening(found.append):
        ...     with part(0.5, 1, "the second half"):
        ...         report(0.5)
        >>> [(each.fraction, each.what) for each in found]
        [(0.5, 'the second half'), (0.75, 'the second half'), (1.0, 'the second half')]
    """
    span = _SPAN.get()
    if span is not None:
        whole = span.start + min(1.0, max(0.0, fraction)) * (span.stop - span.start)
        if span.reached is not None:
            whole = span.reached[0] = max(whole, span.reached[0])
        span.listener(Report(whole, span.what or what, details))


@contextmanager
def part(start: float, stop: float, what: str = "") -> Iterator[None]:
    """Within it, what is reported from 0 to 1 is that part of the whole. No generator may yield within it.

    Arguments:
        start, stop: The part, as fractions of the loop around it.
        what: What is done in it. Where a part around it has a name, that is what is shown: name the outer ones only where
            the inner ones say too little.
    """
    above = _SPAN.get()
    if above is None:
        yield
        return
    width = above.stop - above.start
    begin, end = above.start + start * width, above.start + stop * width
    reached = [begin] if above.reached is None else above.reached
    token = _SPAN.set(above._replace(start=begin, stop=end, what=above.what or what, reached=reached))
    try:
        report(0.0)
        yield
        report(1.0)
    finally:
        _SPAN.reset(token)


def parts(shares: Mapping[str, float]) -> Callable[[str], AbstractContextManager[None]]:
    """Steps of a computation that follow each other: a function that gives the `part` of each, by its name.

    Arguments:
        shares: How long each takes, in any unit. Steps may be left out.

    Example:
        >>> found, step = [], parts({"drawing": 3, "testing": 1})
        >>> with listening(found.append), step("testing"):
        ...     pass
        >>> [(each.fraction, each.what) for each in found]
        [(0.75, 'testing'), (1.0, 'testing')]
    """
    total, before, ends = sum(shares.values()), 0.0, dict[str, tuple[float, float]]()
    for name, share in shares.items():
        ends[name] = before / total, (before + share) / total
        before += share
    return lambda name: part(*ends[name], name)


def mapped(function: Callable[[T], V], items: Iterable[T], count: int | None = None) -> Iterator[V]:
    """The values of a function at some items, each reported as a part of the whole as it is computed.

    Arguments:
        function: What is done for each item; it may report, too.
        items: The items.
        count: How many there are, if they have no length.

    Example:
        >>> found = []
        >>> with listening(found.append):
        ...     [*mapped(abs, [-1, -2])]
        [1, 2]
        >>> [each.fraction for each in found]
        [0.0, 0.5, 0.5, 1.0]
    """
    whole = len(items) if count is None and isinstance(items, Sized) else count or 1
    for i, item in enumerate(items):
        with part(min(1.0, i / whole), min(1.0, (i + 1) / whole)):
            value = function(item)
        yield value


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within it, reports go to a listener, and to no other.

    Arguments:
        listener: Is called with each `Report`.
    """
    token = _SPAN.set(_Span(listener))
    try:
        yield
    finally:
        _SPAN.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, reports go nowhere, and no bar is shown."""
    with listening(_ignore):
        yield


def _ignore(report: Report) -> None:
    pass
