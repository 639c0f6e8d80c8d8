"""SIGTERM and SIGHUP end every command in order: temporary files are removed, and one line says that nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from .launching import several

__all__ = ["Stopped", "stoppable"]


class Stopped(SystemExit):
    """Raised by a signal, so that whatever is open is closed and removed; its code is the exit status, 128 and the signal.

    Arguments:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        name = signal.Signals(number).name
        self.line = f"stopped by {name}: what was there is unchanged, the same command does it again"
        if several():
            what = f"stopped by {name}, as all processes are when one has ended (killed, or out of memory)"
            self.line = f"{what}: what was saved is kept, and the same command goes on"


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within it, SIGTERM and SIGHUP raise `Stopped`; a signal that is ignored, as SIGHUP under nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():  # where no handlers can be set
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    numbers = (getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
