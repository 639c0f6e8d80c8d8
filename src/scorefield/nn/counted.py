"""Networks that can say how much work an evaluation is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["Counted"]


@runtime_checkable
class Counted(Protocol):
    """A network that counts its multiplications."""

    def multiplications(self, size: Sequence[int]) -> int | None:
        """How many multiplications its layers make of one state on a grid of some size; None where it cannot say."""
