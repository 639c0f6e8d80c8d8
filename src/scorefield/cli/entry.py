"""The entry: words in, an exit status out. A mistake, or a full disk, gives one line and no traceback.

Errors become lines where files are opened (`scorefield.reading`), not here. What the package did not raise on purpose is a
defect of it, and is called so: it is never taken for a mistake of the user.
"""

from __future__ import annotations

import errno
import inspect
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from cyclopts import CycloptsError, UnknownCommandError

import scorefield

from ..bars import display
from ..reading import deliberate, one_line, out_of_memory
from .inputs import check_output
from .launching import complain, launched, shares
from .options import names_of, with_new_words
from .other_words import pointed_to
from .stopping import Stopped, stoppable
from .terminal import with_options
from .unwrapping import unwrap_all
from .verbs import app

__all__ = ["main"]

for _module in pkgutil.iter_modules([os.path.dirname(__file__)], f"{__package__}."):
    import_module(_module.name)  # each adds its commands
unwrap_all(app)
app.register_install_completion_command(help="Let the shell complete commands and options (bash, zsh, fish).")

_OPTIONS: tuple[tuple[str, Any], ...] = (
    (r"fit\(x, context=…\)", "scorefield fit DATA -o RUN --context FILE"),
    (r"model\.condition\(([^()]*)\)", lambda found: f"--given {found[1].replace(', ', ' ')}"),
    (r", or pass overwrite=True to replace it", ", or give --overwrite to replace it"),
    (r"fit with unconditional=", "fit with --unconditional "),
    (r", or pass weak=…", ""),
    (r": pass them again$", ": name a file of them after the run"),
)
"""What errors say in Python, and as options of the command line."""

_MISTAKE, _DEFECT = 1, 70  # exit statuses; 70 is EX_SOFTWARE of sysexits.h
_DEBUG = "--debug"


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command.

    Arguments:
        words: The command line; that of the process by default.

    Returns:
        0; 1 if the command failed; 2 if it was not understood; 70 for a defect of scorefield; 129, 130 and 143 if it was
        stopped.
    """
    words = with_new_words(sys.argv[1:] if words is None else words)
    end = words.index("--") if "--" in words else len(words)
    debug = _DEBUG in words[:end]
    words = [word for i, word in enumerate(words) if word != _DEBUG or i > end]
    return launched(lambda: _run(words, debug), lambda error: _failed(error, words, _MISTAKE, debug))


def _run(words: Sequence[str], debug: bool) -> int:
    """Runs a command in this process, or its part of it; returns the exit status."""
    try:
        command, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)
    except Exception as error:
        return _failed(error, words, 2, debug)
    try:
        with stoppable(), display():
            check_output(bound.arguments)
            if shares(command):
                command(*bound.args, **bound.kwargs)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _failed(error, words, _MISTAKE, debug)
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except Stopped as stop:
        complain(stop.line)
        return int(stop.code)  # type: ignore[arg-type]
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def _failed(error: Exception, words: Sequence[str], status: int, debug: bool) -> int:
    """Says in one line what went wrong, and returns the exit status."""
    if os.environ.get("SCOREFIELD_DEBUG"):
        raise error
    if debug:
        traceback.print_exception(error)
    if _is_defect(error):
        what = f"this is a defect of scorefield: {type(error).__name__}: {one_line(error)}"
        complain(
            f"error: {what}; run the same with {_DEBUG} and report it, with what that shows, at its issue tracker",
            error,
        )
        return _DEFECT
    complain(f"error: {_message(error, words)}", error)
    return status


def _is_defect(error: Exception) -> bool:
    """Whether an error is neither a message of the package nor one of the system, but a slip of its code."""
    if isinstance(error, CycloptsError) or deliberate(error) or out_of_memory(error):
        return False
    if isinstance(error, ImportError):
        return str(error.name).split(".")[0] == __name__.split(".")[0]
    return not (isinstance(error, OSError) and error.errno is not None)


def _in_python(words: Sequence[str]) -> str:
    """What works in Python for a model that holds objects of the user's, whose packages are the first group of a pattern."""
    run = next((word for word in words[1:] if os.path.isdir(word)), "RUN")
    name = words[0] if words and words[0] in scorefield.__all__ else ""
    function = getattr(scorefield, name, None)
    if not callable(function) or "run" not in inspect.signature(function).parameters or name == "fit":
        return rf": in Python, scorefield.load({run!r}, trusted=\1) reads it"
    return rf": in Python, scorefield.{name}(scorefield.Run({run!r}, trusted=\1), x=…) works"


def _message(error: Exception, words: Sequence[str]) -> str:
    """The error in one line; settings that the command has are named as its options."""
    text = str(error)
    if isinstance(error, CycloptsError) and "-" in words:
        return "data are read from files and written to files, not to pipes: name a file in place of -"
    if isinstance(error, UnknownCommandError) and words and (pointer := pointed_to(words[0])):
        return f"there is no command {words[0]}: {pointer}"
    if isinstance(error, OSError) and error.errno is not None:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        text += ": free some space, then run the same again" if text.endswith(os.strerror(errno.ENOSPC)) else ""
    if out_of_memory(error) and not deliberate(error):
        text = f"memory does not suffice ({one_line(error)}): use smaller batches, fewer samples or a smaller network"
    text = " ".join(text.split()) or type(error).__name__
    for python, option in (*_OPTIONS, (r": pass trusted=(\([^()]*\)) if you trust it", _in_python(words))):
        text = re.sub(python, option, text)
    if not words or words[0] not in app:
        return text
    text = with_options(text)
    for name in names_of(app[words[0]].assemble_argument_collection()):
        # calls stay as they are
        flag, pattern = f"--{name.replace('_', '-')} ", rf"\w\([^)]*\)|(?<![\w.-]){name}=(?=\S)"
        text = re.sub(pattern, lambda found, flag=flag: found[0] if "(" in found[0] else flag, text)  # type: ignore[misc]
    return text
