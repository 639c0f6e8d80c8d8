"""The entry: words in, an exit status out. A mistake, or a full disk, gives one line and no traceback."""

from __future__ import annotations

import errno
import os
import pkgutil
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from cyclopts import CycloptsError

from .inputs import check_output
from .options import names_of, with_new_words
from .stopping import Stopped, stoppable
from .terminal import say
from .verbs import app

__all__ = ["main"]

for _module in pkgutil.iter_modules([os.path.dirname(__file__)], f"{__package__}."):
    import_module(_module.name)  # each adds its commands

_OPTIONS: tuple[tuple[str, Any], ...] = (
    (r"fit\(x, context=…\)", "scorefield fit DATA -o RUN --context FILE"),
    (r"model\.condition\(([^()]*)\)", lambda found: f"--given {found[1].replace(', ', ' ')}"),
    (r"fit with unconditional=", "fit with --unconditional "),
    (r", or pass weak=…", ""),
    (r": pass them again$", ": name a file of them after the run"),
    (r": pass trusted=(\([^()]*\)) if you trust it", r": in Python, scorefield.load(…, trusted=\1) reads it"),
)
"""What errors say in Python, and as options of the command line."""

_EXPECTED = (ValueError, TypeError, RuntimeError, OSError, ImportError)


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command.

    Arguments:
        words: The command line; that of the process by default.

    Returns:
        0; 1 if the command failed; 2 if it was not understood; 129, 130 and 143 if it was stopped.
    """
    words = with_new_words(sys.argv[1:] if words is None else words)
    try:
        command, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    except (CycloptsError, ValueError) as error:
        return _failed(error, words, 2)
    try:
        with stoppable():
            check_output(bound.arguments)
            command(*bound.args, **bound.kwargs)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _EXPECTED as error:
        return _failed(error, words, 1)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Stopped as stop:
        say(stop.line)
        return int(stop.code)  # type: ignore[arg-type]
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _failed(error: Exception, words: Sequence[str], status: int) -> int:
    if os.environ.get("SCOREFIELD_DEBUG"):
        raise error
    say(f"error: {_message(error, words)}")
    return status


def _message(error: Exception, words: Sequence[str]) -> str:
    """The error in one line; settings that the command has are named as its options."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        text += ": free some space, then run the same again" if text.endswith(os.strerror(errno.ENOSPC)) else ""
    text = " ".join(text.split()) or type(error).__name__
    for python, option in _OPTIONS:
        text = re.sub(python, option, text)
    if not words or words[0] not in app:
        return text
    for name in names_of(app[words[0]].assemble_argument_collection()):
        # calls stay as they are
        flag, pattern = f"--{name.replace('_', '-')} ", rf"\w\([^)]*\)|(?<![\w.-]){name}=(?=\S)"
        text = re.sub(pattern, lambda found, flag=flag: found[0] if "(" in found[0] else flag, text)  # type: ignore[misc]
    return text
