"""The edge at which files are read: whatever goes wrong there becomes one line that names the file and what to do.

Libraries raise nearly everything when a file is damaged: `zlib.error`, `struct.error`, `EOFError`, `KeyError`, … `reading`
turns all of it into one line, where a file is opened. What this package raises on purpose passes as it stands. So an exception
that reaches the command line in another way is a slip of the code, which `deliberate` distinguishes from a message.
"""

from __future__ import annotations

import contextlib
import difflib
import dis
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

__all__ = [
    "CompleteError",
    "FileError",
    "deliberate",
    "foreign",
    "missing",
    "one_line",
    "out_of_memory",
    "reading",
    "reads",
    "regular",
    "special",
    "text_of",
]

P = ParamSpec("P")
R = TypeVar("R")

_RAISE = dis.opmap["RAISE_VARARGS"]
_OF_CONTENT = (errno.EINVAL, errno.EOVERFLOW, errno.ESPIPE)  # errors of the system that a damaged file provokes
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of a copy that is written while a file is read
_TEXT = 64 << 20  # bytes of a file of settings, which are read whole
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")  # names under which pickles are expected
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
_OTHERS = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file: fetch it with git lfs pull"),
    (b"<!DOCTYPE", "is a page of HTML, not the file: download the file itself"),
    (b"<html", "is a page of HTML, not the file: download the file itself"),
    (b"%PDF", "is a PDF: export the numbers as .csv"),
)


class CompleteError(Exception):
    """An error whose message is complete: it names the place and what to do, so that nobody wraps it again."""


class FileError(CompleteError, ValueError):
    """Data or a file that cannot be used; the message is complete, so that nobody wraps it again."""


def one_line(error: BaseException, most: int = 200) -> str:
    """What an error says, in one line of at most `most` characters.

    Example:
        >>> one_line(KeyError())
        'KeyError'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"{text} is missing" if error.args else text
    return text if len(text) <= most else f"{text[: most - 2]} …"


def deliberate(error: BaseException) -> bool:
    """Whether this package raised an error on purpose, by a `raise` of its own: then its message is meant for users.

    What a library raises, or Python for a slip of the code (`None + 1`), is not.

    Example:
        >>> try:
        ...     regular("/none")
        ... except FileNotFoundError as error:
        ...     print(deliberate(error))
        True
    """
    trace = error.__traceback__
    if isinstance(error, CompleteError) or trace is None:
        return isinstance(error, CompleteError)
    while trace.tb_next is not None:
        trace = trace.tb_next
    ours = str(trace.tb_frame.f_globals.get("__name__")).split(".")[0] == __name__.split(".")[0]
    return ours and trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE


def out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, on the CPU or on a GPU."""
    texts = ("not enough memory", "can't allocate memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    )


def special(path: Path) -> str | None:
    """What is at `path` if it is neither a file nor a folder, "FIFO", "socket" or "device", also behind links."""
    mode = stat.S_IFMT(path.stat().st_mode)
    return None if mode in (stat.S_IFREG, stat.S_IFDIR) else _KINDS.get(mode, "special file")


def missing(path: Path, what: str = "") -> FileNotFoundError:
    """The error for a path at which there is nothing; it names similar ones."""
    siblings: list[str] = []
    with contextlib.suppress(OSError):
        siblings = [p.name for p in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, siblings, 3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "check the path"
    return FileNotFoundError(f"there is no {what}{' ' * bool(what)}{path}: {hint}")


def regular(path: str | os.PathLike[str], what: str = "") -> Path:
    """The path of a regular file that may be read.

    A FIFO could block for ever, and a device never end, so both are refused, also behind links.

    Arguments:
        path: The file.
        what: What it should be, for messages.

    Raises:
        FileNotFoundError: If there is nothing; similar names are named.
        PermissionError: If it may not be read.
        ValueError: If it is a folder, a FIFO, a socket or a device.
    """
    path = Path(path).expanduser()
    try:
        mode = stat.S_IFMT(path.stat().st_mode)
        if mode == stat.S_IFREG:
            with open(path, "rb"):
                return path
    except (FileNotFoundError, NotADirectoryError):
        raise missing(path, what) from None
    except PermissionError as error:
        raise _forbidden(error, path) from None
    except (OSError, ValueError) as error:  # too long a name, too many links, a name with a zero
        raise FileError(f"{str(path)[:200]!r} is not the name of a file ({_reason(error)}): check the path") from None
    kind = _KINDS.get(mode, "special file")
    raise FileError(f"{path} is a {kind}, which cannot be read as a {what or 'file'}: name a regular file")


def text_of(path: str | os.PathLike[str], what: str = "", advice: str = "restore it") -> str:
    """The text of a small file, in UTF-8.

    Raises:
        FileNotFoundError: If there is nothing.
        PermissionError: If it may not be read.
        ValueError: If it is not a regular file of text, or above 64 MiB.
    """
    path = regular(path, what)
    if path.stat().st_size > _TEXT:
        raise FileError(f"{path} has {path.stat().st_size:,} bytes, and at most {_TEXT:,} are read: {advice}")
    with reading(path, advice):
        return path.read_text("utf-8")


@contextlib.contextmanager
def reading(
    path: str | os.PathLike[str], advice: str = "copy it again", memory: str = "use a smaller one"
) -> Iterator[None]:
    """Whatever a library raises while it reads a file becomes one line with the name of the file.

    Arguments:
        path: The file or folder.
        advice: What to do if it is damaged.
        memory: What to do if memory does not suffice.

    Raises:
        ValueError: If it is damaged, or does not fit into memory.
        PermissionError: If it may not be read.
        OSError: If the disk or the network fails.

    Example:
        >>> import json
        >>> with reading("a.json"):
        ...     json.loads("")
        Traceback (most recent call last):
            ...
        scorefield.reading.FileError: a.json is truncated or damaged (Expecting value: line 1 column 1 (char 0)): copy it again
    """
    try:
        yield
    except Exception as error:
        if deliberate(error):
            raise
        raise _explained(error, Path(path), advice, memory) from error


def reads(advice: str, memory: str = "use a smaller one") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The same around a function whose first argument is the file."""

    def around(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            path = args[0] if args else kwargs.get("path", "the file")
            with reading(str(path), advice, memory):
                return function(*args, **kwargs)

        return guarded

    return around


def _explained(error: Exception, path: Path, advice: str, memory: str) -> Exception:
    """What a library raised, as an error that names the file and what to do."""
    if isinstance(error, PermissionError):
        return _forbidden(error, path)
    if isinstance(error, FileNotFoundError):
        if path.exists():
            return FileError(f"a part of {path} is missing ({one_line(error)}): {advice}")
        return FileNotFoundError(f"{path} was removed while it was read: {advice}")
    if isinstance(error, OSError) and (code := error.errno or 0) > 0 and code not in _OF_CONTENT:
        if code in _OF_WRITING:
            return error
        return OSError(code, f"{path} could not be read ({os.strerror(code)}): try again, it need not be damaged")
    if isinstance(error, ImportError):
        return ImportError(f"{path} needs a library that cannot be imported ({one_line(error)}): install it")
    if out_of_memory(error):
        said = f" ({one_line(error)})" if str(error) else ""
        return FileError(f"{path} does not fit into memory{said}: {memory}")
    if isinstance(error, RecursionError):
        return FileError(f"{path} is truncated or damaged (it is nested too deeply): {advice}")
    return FileError(foreign(path) or f"{path} is truncated or damaged ({_zeros(path) or one_line(error)}): {advice}")


def _forbidden(error: PermissionError, path: Path) -> PermissionError:
    place = error.filename or path
    return PermissionError(f"no permission for {place}: change its permissions, or choose another")


def _reason(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else one_line(error)


def foreign(path: Path) -> str | None:
    """What a file is whose first bytes say that it is never data, a model or a configuration; None if they do not.

    Returns:
        A sentence with what to do: of pickles, pages of HTML, pointers of Git LFS.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except OSError:
        return None
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and path.suffix.lower() not in _PICKLES:
        return f"{path} is a pickle, which is never read since it can run code: save the numbers with numpy.save"
    for magic, said in _OTHERS:
        if start.lstrip()[: len(magic)].lower() == magic.lower():
            return f"{path} {said}"
    return None


def _zeros(path: Path) -> str:
    """That a file begins with zeros, if it does."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        start = file.read(512)
        return "it begins with zeros alone, as a copy that was cut off" if start and not start.strip(b"\0") else ""
    return ""
