"""A choice and its reason."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GIVEN", "Choice"]

GIVEN = "given"


class Choice(NamedTuple):
    """What was chosen for a fit, and why.

    Arguments:
        name: What was chosen: "network", "batch", …
        value: The choice, in words.
        reason: Why; "given" where the user made the choice.

    Example:
        >>> name, value, reason = Choice("batch", "256", "small: many steps teach more than large ones")
        >>> name, value
        ('batch', '256')
    """

    name: str
    value: str
    reason: str

    @property
    def given(self) -> bool:
        """Whether the user made the choice."""
        return self.reason == GIVEN
