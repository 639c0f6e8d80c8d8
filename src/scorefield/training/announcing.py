"""What training says of itself while it runs, to whoever listens."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from ..progress import heard, report
from .loop import Progress

__all__ = ["Announcer"]

_SMOOTH = 2.0  # seconds: losses that are shown more often are averaged over several times


class Announcer:
    """Reports each step of a training, with losses and speed as details (`scorefield.progress`)."""

    def __init__(self) -> None:
        self._total: Any = 0.0  # of the losses since they were last asked for
        self._count = 0
        self._loss, self._held_out = math.nan, math.nan
        self._now: Progress | None = None
        self._said: tuple[float, int] | None = None  # when the loss was last asked for, and after which step

    def __call__(self, progress: Progress) -> None:
        """Takes note of a step, and reports it.

        Arguments:
            progress: Where training stands after it.
        """
        if not heard():
            return
        if self._said is None:  # this step is over: no time of it is known
            self._said = time.perf_counter(), progress.step
        self._now, self._total, self._count = progress, self._total + progress.loss, self._count + 1
        if progress.held_out is not None:
            self._held_out = progress.held_out
        report(progress.fraction, "training", self._details)

    def _details(self) -> Sequence[str]:
        """The mean loss since it was last asked for, the held-out loss, the step and the speed."""
        if self._now is None or self._said is None:
            return ()
        now = time.perf_counter()
        seconds, steps = now - self._said[0], self._now.step - self._said[1]
        if self._count:
            mean = float(self._total) / self._count
            smooth = seconds < _SMOOTH and not math.isnan(self._loss)
            self._loss = 0.9 * self._loss + 0.1 * mean if smooth else mean
        self._said, self._total, self._count = (now, self._now.step), 0.0, 0
        found = [f"loss {self._loss:.4f}"]
        if not math.isnan(self._held_out):
            found.append(f"held-out {self._held_out:.4f}")
        found.append(f"step {self._now.step:,}")
        if seconds > 0 and steps > 0:
            found.append(_speed(steps, seconds))
        return found


def _speed(steps: int, seconds: float) -> str:
    """How fast steps are, with two digits at least: 1,234 steps/s, 1.4 steps/s, 14.5 s/step."""
    if steps < seconds:
        return f"{seconds / steps:.1f} s/step"
    return f"{steps / seconds:,.{1 if steps < 9.95 * seconds else 0}f} steps/s"
