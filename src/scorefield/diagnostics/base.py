"""The results of a diagnosis."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ..display import Facts, displayed

__all__ = ["ALPHA", "Diagnosis", "ScoreCheck"]

ALPHA = 1e-3  # the level of checks with a p-value


@dataclass(frozen=True)
class ScoreCheck:
    """The result of one check of a learned score.

    Arguments:
        name: Its name.
        value: The measured number; the worst of all levels, if there are several.
        bound: What the absolute value of an exact score stays below.
        flagged: Whether an exact score would almost never give this.
        said: The finding, in a sentence.
        meaning: What it measures, and what it means if it is flagged.
        level: The noise level of the worst value, if there are several.
        p_value: The p-value, over all levels together, if it is a test.
        by_level: The values at each level, if there are several.
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


@displayed
@dataclass(frozen=True)
class Diagnosis:
    """All checks of a score.

    Arguments:
        levels: The noise levels, in units of standardized data.
        count: The number of held-out samples.
        checks: The checks.
    """

    levels: tuple[float, ...]
    count: int
    checks: tuple[ScoreCheck, ...]

    def _facts(self) -> Facts:
        facts = {check.name: f"{check.value:.3g}{', flagged' if check.flagged else ''}" for check in self.checks}
        return f"Diagnosis: {self.verdict}", facts

    @property
    def flagged(self) -> tuple[ScoreCheck, ...]:
        """The checks that an exact score would almost never fail."""
        return tuple(check for check in self.checks if check.flagged)

    def __getitem__(self, name: str) -> ScoreCheck:
        """The check of this name.

        Raises:
            KeyError: If there is none.
        """
        known = {check.name: check for check in self.checks}
        if name not in known:
            raise KeyError(f"there is no check {name!r} here: there are {', '.join(known)}")
        return known[name]

    @property
    def verdict(self) -> str:
        """The conclusion, in a sentence."""
        if not self.flagged:
            checks = f"None of {len(self.checks)} checks"
            return f"{checks} distinguishes this score from an exact one, {self.count:,} rows."
        names = [check.name for check in self.flagged]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        return f"This score is not exact, by {listed}."

    def plain(self) -> dict[str, Any]:
        """The same as plain data; numbers that are not finite become None."""
        checks = [{key: _plain(value) for key, value in asdict(check).items()} for check in self.checks]
        return {"verdict": self.verdict, "levels": list(self.levels), "count": self.count, "checks": checks}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
