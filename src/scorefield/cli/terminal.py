"""What people see: how training goes, and tables. Chatter goes to stderr, results to stdout."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..display import visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from ..training import Progress

__all__ = ["Watch", "counted", "duration", "number", "say", "table"]

_NAME, _SHORT = 44, 12  # characters that are never broken into lines, in the first column and in others
_BAR_SECONDS, _LINE_SECONDS, _MEASURED_SECONDS = 0.1, 10.0, 5.0


def say(text: str) -> None:
    """Tells the user something that is not the result; that nobody can read it, as the terminal was closed, ends no fit."""
    with contextlib.suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)


def number(value: Any) -> str:
    """A number as people read it; other things as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def duration(seconds: float) -> str:
    """A time span as people read it.

    Example:
        >>> duration(7), duration(83), duration(7500)
        ('7 s', '1:23', '2:05 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02} h"


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


@contextmanager
def _bar(unit: str) -> Iterator[Bar | None]:
    """A bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress as Bar, TextColumn

    columns = (BarColumn(24), TextColumn("{task.percentage:3.0f}%"), TextColumn("{task.fields[text]}"))
    with Bar(*columns, console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True) as bar:
        bar.add_task(unit, total=1.0, text="")
        yield bar


class Watch:
    """Shows how training goes: a bar on a terminal, else a line now and then, with the mean loss since the last one."""

    def __init__(self) -> None:
        self.last: Progress | None = None
        self._open = ExitStack()
        self._bar: Bar | None = None
        self._first = self._shown = (0.0, 0.0, 0)  # clock, fraction, step
        self._total: Any = 0.0
        self._loss, self._held_out = float("nan"), float("nan")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.close()

    def __call__(self, progress: Progress) -> None:
        """Takes note of a step."""
        now = time.perf_counter()
        if self.last is None:
            self._bar = self._open.enter_context(_bar("training"))
            self._first = self._shown = (now, progress.fraction, progress.step - 1)
        self.last = progress
        self._total = self._total + progress.loss
        measured = progress.held_out is not None
        if progress.held_out is not None:
            self._held_out = progress.held_out
        waited = now - self._shown[0]
        due = _BAR_SECONDS if self._bar is not None else _MEASURED_SECONDS if measured else _LINE_SECONDS
        if waited < due and progress.fraction < 1:
            return
        text = self._text(progress, now)
        if self._bar is None:
            say(text)
        else:
            self._bar.update(self._bar.task_ids[0], completed=progress.fraction, text=text)
            self._bar.refresh()
        self._shown, self._total = (now, progress.fraction, progress.step), 0.0

    def _text(self, progress: Progress, now: float) -> str:
        seconds, steps = now - self._shown[0], progress.step - self._shown[2]
        mean = float(self._total) / max(1, steps)
        smooth = self._bar is not None and self._loss == self._loss  # a bar changes often: show it what lasts
        self._loss = 0.9 * self._loss + 0.1 * mean if smooth else mean
        parts = [f"step {progress.step:,}", f"loss {self._loss:.4f}"]
        if self._held_out == self._held_out:
            parts.append(f"held-out {self._held_out:.4f}")
        if seconds > 0:
            parts.append(f"{steps / seconds:,.0f} steps/s" if steps > seconds else f"{seconds / steps:.1f} s/step")
        gone = progress.fraction - self._first[1]
        if gone > 0 and progress.fraction < 1:
            parts.append(f"{duration((1 - progress.fraction) * (now - self._first[0]) / gone)} left")
        return " · ".join(parts)


def counted(batches: Iterable[Any], count: int) -> Iterator[Any]:
    """The batches as they are, with a bar on a terminal for how many of `count` samples there are."""
    with _bar("sampling") as bar:
        done = 0
        for batch in batches:
            yield batch
            done += len(batch)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done / count, text=f"{done:,} of {count:,}")
                bar.refresh()
