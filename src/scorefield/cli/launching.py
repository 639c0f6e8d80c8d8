"""Commands in several processes that `torchrun` has started: process 0 speaks, and what goes wrong is said once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ..display import visible
from .terminal import say

__all__ = ["complain", "launched", "shares", "shares_work"]

Command = TypeVar("Command", bound=Callable[..., Any])


def shares_work(command: Command) -> Command:
    """Marks a command whose work several processes share; process 0 alone runs the others."""
    command.shares_work = True  # type: ignore[attr-defined]
    return command


def shares(command: Callable[..., Any]) -> bool:
    """Whether this process takes part in a command; where its work is not shared, each process is on its own from here on."""
    if not _launched() or hasattr(command, "shares_work"):
        return True
    from ..distributed import first, leave

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
    from ..distributed import first, joined

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


def complain(line: str) -> None:
    """Says why a command ends; of several processes the first one that has a reason, with its number."""
    if not _launched():
        say(line)
        return
    from ..distributed import rank, size, speaks

    if speaks():
        number = f"process {rank()} of {size()}: " if size() > 1 else ""
        with contextlib.suppress(OSError), contextlib.redirect_stderr(sys.__stderr__):
            say(f"{number}{visible(line)}")


def _launched() -> bool:
    """Whether `torchrun`, or what sets the same variables, has started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ
