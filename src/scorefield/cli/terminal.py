"""What people see: lines and tables; bars are those of `scorefield.bars`. Chatter goes to stderr, results to stdout."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..display import visible

__all__ = ["notes", "number", "quoted", "say", "table", "with_options"]

_NAME, _SHORT = 44, 12  # characters that are never broken into lines, in the first column and in others


def say(text: str) -> None:
    """Tells the user something that is not the result; that nobody can read it, as the terminal was closed, ends no fit."""
    with contextlib.suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """What is warned of within becomes a line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for each in caught:
        say(f"note: {each.message}")


def with_options(text: str) -> str:
    """A sentence in which settings that are lists, as Python takes them, are options with one value after another.

    Example:
        >>> with_options("identifier; keep=['order'] keeps it")
        "identifier; --keep 'order' keeps it"
    """
    values = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\w.+-]+"
    listed = rf"(?<![\w.-])(\w+)=\[((?:{values})(?:, (?:{values}))*)\]"

    def option(found: re.Match[str]) -> str:
        return f"--{found[1].replace('_', '-')} {' '.join(re.findall(values, found[2]))}"

    return re.sub(listed, option, text)


def quoted(text: str) -> str:
    """A text as one word of a shell, in double quotes where that is easier to read.

    Example:
        >>> print(quoted("missing(a) == (b == 'no')"), quoted("a < `b c`"))
        "missing(a) == (b == 'no')" 'a < `b c`'
    """
    return f'"{text}"' if "'" in text and not re.search(r'["$`\\!]', text) else shlex.quote(text)


def number(value: Any) -> str:
    """A number as people read it; other things as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table of results."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    texts = [[visible(number(value)) for value in row] for row in rows]
    for i, name in enumerate(map(visible, names)):
        longest = max((len(text[i]) for text in texts), default=0)
        drawn.add_column(name, overflow="fold", no_wrap=longest <= (_NAME if i == 0 else _SHORT))
    for text in texts:
        drawn.add_row(*text)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(drawn)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    print("\n".join([title, *[line for line in lines if line], ""]))
