"""What a diagnosis holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..display import Facts, displayed, joined, plain

__all__ = ["ALPHA", "Diagnosis", "ScoreCheck"]

ALPHA = 1e-3  # how often a check with a p-value flags the exact score, at most


@dataclass(frozen=True)
class ScoreCheck:
    """One check of a learned score.

    Arguments:
        name: What it is called.
        value: What was measured: the worst of all levels, where there are several.
        bound: What the exact score does not go beyond; `value` may be negative, and its size is meant.
        flagged: Whether an exact score would not have this error.
        said: What was found, in a sentence.
        meaning: What it measures, and what it means if it is flagged.
        level: The noise level of the worst, if there are several.
        p_value: How probable so much is for the exact score, if it is a test: all levels together.
        by_level: The measured number at each level, if there are several.
    """

    name: str
    value: float
    bound: float
    flagged: bool
    said: str
    meaning: str
    level: float | None = None
    p_value: float | None = None
    by_level: tuple[float, ...] = ()

    @classmethod
    def of_worst(
        cls, name: str, found: Sequence[float], levels: Sequence[float], bound: float, said: str, meaning: str
    ) -> ScoreCheck:
        """The largest of the numbers measured at several levels; `said` continues its value."""
        worst = int(np.argmax(found))
        value, level = found[worst], levels[worst]
        text = f"Up to {value:.2g} of {said}, at level {level:.3g}."
        return cls(name, value, bound, value > bound, text, meaning, level, None, tuple(found))


@displayed
@dataclass(frozen=True)
class Diagnosis:
    """What was found of a score.

    Arguments:
        levels, count: The noise levels that were checked, in standard units, and the number of held-out data.
        checks: What was measured.
    """

    levels: tuple[float, ...]
    count: int
    checks: tuple[ScoreCheck, ...]

    def _facts(self) -> Facts:
        facts = {check.name: f"{check.value:.3g}{', flagged' if check.flagged else ''}" for check in self.checks}
        return f"Diagnosis: {self.verdict}", facts

    @property
    def flagged(self) -> tuple[ScoreCheck, ...]:
        """The checks that the exact score would not fail."""
        return tuple(check for check in self.checks if check.flagged)

    def __getitem__(self, name: str) -> ScoreCheck:
        """The check of a name."""
        known = {check.name: check for check in self.checks}
        if name not in known:
            raise KeyError(f"unknown check {name!r}: there are {', '.join(known)}")
        return known[name]

    @property
    def verdict(self) -> str:
        """What it comes to, in a sentence."""
        if not self.flagged:
            return f"None of {len(self.checks)} checks distinguishes this score from an exact one, {self.count:,} rows."
        return f"This score is not exact, by {joined([check.name for check in self.flagged])}."

    def plain(self) -> dict[str, Any]:
        """The same as plain data; non-finite numbers are None."""
        return {"verdict": self.verdict, "levels": list(self.levels), "count": self.count, "checks": plain(self.checks)}
