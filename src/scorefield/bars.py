"""What is shown of progress: a bar with the time left in a terminal and in a notebook, a line now and then in a log.

Nothing else in the package draws. The verbs open a display with `shown`, the command line with `display`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from .display import visible
from .progress import Report, heard, listening, quiet

__all__ = ["Clock", "Moment", "display", "duration", "interactive", "line", "shown"]

_DELAY = 0.7  # seconds before a bar appears: what is quicker shows none
_BAR_SECONDS, _LINE_SECONDS = 0.1, 10.0  # between two changes of a bar, and between two lines
_SURE = 1.0  # seconds of a computation from which on the time left is estimated
_ESTIMATE_SECONDS, _LONG = 3.0, 20.0  # between two estimates, and the time left from which on one is said
_WIDE, _NARROW = 24, 10  # characters of a bar


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


@dataclass(frozen=True)
class Moment:
    """What is known of a computation at one moment.

    Arguments:
        fraction: How much is done, from 0 to 1.
        left: The seconds that are left, as of `at`; None if not known yet.
        at: The clock.
        what, details: What is being done, and further words, the most important ones first.
    """

    fraction: float = 0.0
    left: float | None = None
    at: float = 0.0
    what: str = ""
    details: tuple[str, ...] = ()

    def words(self, now: float) -> list[str]:
        """Percentage, time left, what is done, details: the most important ones first."""
        found = [f"{100 * self.fraction:3.0f} %"]
        if self.left is not None and self.fraction < 1:
            found.append(f"{duration(max(0.0, self.left - (now - self.at)))} left")
        return [*found, *([visible(self.what)] if self.what else []), *map(visible, self.details)]


class Clock:
    """Turns reports into moments: how much time is left, at the mean speed since the computation began."""

    def __init__(self) -> None:
        self._first = (0.0, 0.0)  # clock and fraction
        self._fraction = 2.0

    def read(self, report: Report, now: float) -> Moment:
        """The moment of a report."""
        self.note(report, now)
        gone, seconds = report.fraction - self._first[1], now - self._first[0]
        left = (1 - report.fraction) * seconds / gone if gone > 0 and seconds >= _SURE else None
        return Moment(report.fraction, left, now, report.what, tuple(report.details()))

    def note(self, report: Report, now: float) -> None:
        """Takes note of a report that is not shown."""
        if report.fraction < self._fraction - 1e-9:  # something else has begun
            self._first = now, report.fraction
        self._fraction = report.fraction


def line(moment: Moment, now: float, width: int) -> tuple[int, int, str]:
    """What a terminal shows on one line: the characters of the bar that are full, those that are not, and the words.

    Bar, percentage and time left are always there; what does not fit is left out, from the least important on.

    Arguments:
        moment: What is known.
        now: The clock.
        width: The width of the terminal in characters.

    Example:
        >>> line(Moment(0.5, 83, 0, "training", ("step 1,559", "loss 0.1")), 0, 48)
        (5, 5, ' 50 %  1:23 left  training')
    """
    words = moment.words(now)
    bar = _WIDE if width >= 80 else _NARROW
    said, room = words[0], width - bar - 1
    for word in words[1:]:
        if len(said) + 2 + len(word) > room:
            break
        said = f"{said}  {word}"
    full = round(bar * moment.fraction)
    return full, bar - full, said


class _Screen(Protocol):
    """Where moments are drawn."""

    seconds: float  # between two moments that are drawn
    wait: float  # seconds before the first
    follows: bool  # whether each change of what is done is drawn at once

    def draw(self, moment: Moment) -> None: ...

    def close(self) -> None: ...


class _Terminal:
    """A bar on the last line of a terminal, which is gone in the end. What is printed to stderr goes above it."""

    seconds, wait, follows = _BAR_SECONDS, 0.0, True

    def __init__(self) -> None:
        self._moment: Moment | None = None
        self._live: Any = None
        self._lock = threading.Lock()
        self._closed = False
        self._timer = threading.Timer(_DELAY, self._open)  # a loop that never reports must not hide it
        self._timer.daemon = True
        self._timer.start()

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live

        with self._lock:
            if self._closed:
                return
            console = Console(stderr=True, highlight=False, soft_wrap=False)
            settings: dict[str, Any] = {"transient": True, "redirect_stdout": False, "refresh_per_second": 8}
            self._live = Live(console=console, get_renderable=lambda: self._line(console), **settings)
            with contextlib.suppress(OSError):
                self._live.start()

    def _line(self, console: Any) -> Any:
        from rich.text import Text

        if self._moment is None or self._moment.fraction >= 1:
            return Text("")
        full, empty, words = line(self._moment, time.perf_counter(), console.width - 1)
        plain = "utf" not in (console.encoding or "").lower()
        there, not_yet = ("#", ".") if plain else ("━", "─" if console.no_color else "━")
        return Text.assemble((there * full, "cyan"), (not_yet * empty, "bright_black"), f" {words}", no_wrap=True)

    def draw(self, moment: Moment) -> None:
        self._moment = moment

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._live is not None:
                with contextlib.suppress(OSError):  # the terminal is gone
                    self._live.stop()
                self._live = None


class _Notebook:
    """A bar under a cell of a notebook, which is gone in the end."""

    seconds, wait, follows = 0.25, _DELAY, False

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, moment: Moment) -> None:
        from IPython.display import HTML, display

        now = time.perf_counter()
        words = escape(" · ".join(word.strip() for word in moment.words(now)))
        shown = HTML(f'<progress value="{moment.fraction:.3f}" style="width:16em"></progress> {words}')
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def close(self) -> None:
        from IPython.display import HTML

        if self._handle is not None:
            self._handle.update(HTML(""))


class _Log:
    """A line on stderr now and then."""

    seconds, wait, follows = _LINE_SECONDS, _LINE_SECONDS, False

    def draw(self, moment: Moment) -> None:
        words = [word.strip() for word in moment.words(moment.at)]
        what = [moment.what] if moment.what else []
        rest = [word for word in words if word not in what]
        with contextlib.suppress(OSError):  # nobody can read it: that ends no computation
            sys.stderr.write(" · ".join([*map(visible, what), *rest]) + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        pass


class _Estimate:
    """One line on stderr, of what takes long, where nobody looks on: what is done, and how long it will still take."""

    seconds, wait, follows = _ESTIMATE_SECONDS, _ESTIMATE_SECONDS, False

    def __init__(self) -> None:
        self._said = False

    def draw(self, moment: Moment) -> None:
        if self._said or moment.left is None or moment.left < _LONG or sys.stderr is None:
            return
        self._said = True
        what = visible(moment.what) or "this computation"
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{what}: about {duration(moment.left)} left\n")
            sys.stderr.flush()

    def close(self) -> None:
        pass


def _in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


def interactive() -> bool:
    """Whether somebody looks on: in a notebook, or at a terminal that stderr goes to."""
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


@contextlib.contextmanager
def display(screen: _Screen | None = None) -> Iterator[None]:
    """Within it, progress is shown: by a bar in a notebook or a terminal, otherwise by a line every ten seconds.

    Arguments:
        screen: Where it is shown instead.
    """
    screen = screen or (_Notebook() if _in_notebook() else _Terminal() if interactive() else _Log())
    clock, last, what = Clock(), time.perf_counter() - screen.seconds + screen.wait, ""

    def show(report: Report) -> None:
        nonlocal last, what
        now = time.perf_counter()
        # what comes next may take long without a report, and what has ended is not shown any more
        changed = screen.follows and (report.what != what or report.fraction >= 1)
        if now - last < screen.seconds and not changed:
            clock.note(report, now)
            return
        last, what = now, report.what
        screen.draw(clock.read(report, now))

    try:
        with listening(show):
            yield
    finally:
        screen.close()


@contextlib.contextmanager
def shown(progress: bool | None = None) -> Iterator[None]:
    """Within it, progress is shown as the user of a Python function wants it.

    Arguments:
        progress: True for a bar, or lines where there is no terminal; False for none; None for a bar in a terminal or a
            notebook, and elsewhere one line, of what takes more than 20 seconds. Where somebody listens already, only
            False changes anything.
    """
    if progress is False:
        with quiet():
            yield
    elif heard():
        yield
    else:
        with display(_Estimate() if progress is None and not interactive() else None):
            yield
