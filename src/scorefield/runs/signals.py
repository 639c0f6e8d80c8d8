"""Ctrl-C and SIGTERM, which wait for the end of a training step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["deferred_signals"]


@contextlib.contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Makes Ctrl-C and SIGTERM wait for the end of a step, whose state can be saved; a second one acts at once.

    At the end those that came do what they would have done, or raise KeyboardInterrupt.

    Yields:
        The list of those that came.

    Raises:
        KeyboardInterrupt: If a signal came and its handler returned.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # where no handlers can be set
        yield came
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def defer(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            restore()
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, defer)
    try:
        yield came
    finally:
        restore()
    if came:
        signal.raise_signal(came[0])
        raise KeyboardInterrupt  # if the handler has let it pass
