"""Commands in several processes that `torchrun` has started: process 0 speaks, and what goes wrong is said once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ..display import visible
from .terminal import say

__all__ = ["complain", "first", "launched", "several", "shares", "shares_work"]

_OTHERS, _LOST = 1.0, 4.0  # seconds that others may take to say more

Command = TypeVar("Command", bound=Callable[..., Any])


def shares_work(command: Command) -> Command:
    """Marks a command whose work several processes share; process 0 alone runs the others."""
    command.shares_work = True  # type: ignore[attr-defined]
    return command


def shares(command: Callable[..., Any]) -> bool:
    """Whether this process takes part in a command; where its work is not shared, each process is on its own from here on."""
    if not _launched() or hasattr(command, "shares_work"):
        return True
    from ..distributed import leave

    mine = first()
    leave()
    return mine


def launched(run: Callable[[], int], failed: Callable[[Exception], int]) -> int:
    """Runs a command line, in a group with the processes that `torchrun` has started; all but process 0 are silent.

    Arguments:
        run: Does it, and returns the exit status.
        failed: Says what went wrong when the processes did not find each other, and returns the exit status.
    """
    if not _launched():
        return run()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # as the other processes end, PyTorch warns at length
    for name in ("SIGTERM", "SIGHUP"):  # while a command runs, they stop it; then it ends by itself, and says why
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), lambda number, frame: None)
    from ..distributed import joined

    try:
        with joined(), contextlib.ExitStack() as stack:
            if not first():
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            status = run()
            if status:
                _end(status)
        return 0
    except Exception as error:
        return _end(failed(error))


def _end(status: int) -> int:
    """Ends the process at once: in order, it would wait for the others, which may be gone."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    os._exit(status)


def complain(line: str, error: BaseException | None = None) -> None:
    """Says why a command ends; of several processes one alone does, with its number.

    Process 0 says what has happened to all. Others wait for it a moment, and longer if they only know that another is gone, or
    were stopped, as `torchrun` stops all when one has ended.

    Arguments:
        line: What is said.
        error: What went wrong; None if the command was stopped.
    """
    if not _launched():
        say(line)
        return
    from ..distributed import ProcessLostError, rank, size, speaks

    lost = isinstance(error, ProcessLostError)
    if isinstance(error, ProcessLostError) and error.explained:
        return
    stopped = error is None and not first()
    if speaks(_LOST if lost or stopped else _OTHERS * (not first()), alone=lost or first()):
        number = f"process {rank()} of {size()}: " if size() > 1 and (error is not None or stopped) else ""
        with contextlib.suppress(OSError), contextlib.redirect_stderr(sys.__stderr__):
            say(f"{number}{visible(line)}")


def first() -> bool:
    """Whether this process writes the output: alone, or as process 0 of several."""
    from .. import distributed

    return distributed.first()


def several() -> bool:
    """Whether this process is one of several that were started together."""
    return _launched() and os.environ["WORLD_SIZE"] != "1"


def _launched() -> bool:
    """Whether `torchrun`, or what sets the same variables, has started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ
