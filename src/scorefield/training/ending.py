"""When training ends before its budget is used, and how learning rates fall until then."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .held_out import excess

__all__ = ["Ending"]

_SIGNIFICANT = 2.0  # standard errors by which the held-out loss must have fallen since the mark before
_FIRST, _APART = 0.2, 0.1  # of the budget: the first mark, and from one to the next
_TAIL = 1 / 3  # of what was used so far, over which learning rates then fall to 0


class Ending:
    """The schedule of learning rates, as factors: from 1 to 0 over the budget, or to an end before.

    At marks, a tenth of the budget apart, held-out losses are compared with those at the mark before. If they are not
    significantly lower, learning rates fall to 0 from there on, over a third of the steps made so far. All of it follows from
    held-out losses, which are the same for any number of processes, and of a run that goes on.

    Arguments:
        early: Whether training may end early.

    Example:
        >>> ending = Ending(early=True)
        >>> for fraction in (0.2, 0.3):
        ...     ending.measured(fraction, torch.ones(5))
        >>> ending.begun, round(ending.end, 9), ending.rate(0.3), ending.rate(0.4)
        (0.3, 0.4, 0.7, 0.0)
    """

    def __init__(self, early: bool) -> None:
        self.early = early
        self.begun: float | None = None
        self.mark = 0.0
        self.losses = torch.full((1,), math.inf, dtype=torch.float64)

    @property
    def end(self) -> float:
        """The part of the budget that is used at most."""
        return 1.0 if self.begun is None else self.begun * (1 + _TAIL)

    def rate(self, fraction: float) -> float:
        """The factor of learning rates after some part of the budget."""
        if self.begun is None:
            return 1 - fraction
        return (1 - self.begun) * max(0.0, (self.end - fraction) / (self.end - self.begun))

    def measured(self, fraction: float, losses: Tensor) -> None:
        """Takes note of the losses of the held-out data, `(M,)`, after some part of the budget."""
        due = fraction >= (self.mark + _APART - 1e-9 if self.mark else _FIRST)
        if not self.early or self.begun is not None or not due:
            return
        if self.mark and fraction * (1 + _TAIL) < 1 and excess(self.losses, losses) < _SIGNIFICANT:
            self.begun = fraction
        self.mark, self.losses = fraction, losses

    def state(self) -> dict[str, Any]:
        """Its plain data; `losses` are the tensor that goes with them."""
        return {"begun": self.begun, "mark": self.mark}

    def load(self, about: dict[str, Any], losses: Tensor) -> None:
        """Takes what `state` gave.

        Raises:
            ValueError: If it is not that.
        """
        begun, mark = about.get("begun"), about.get("mark")
        if not all(
            isinstance(each, float | int) and 0 <= each <= 1 for each in (mark, mark if begun is None else begun)
        ):
            raise ValueError(f"the state does not say whether training was ending, but {str(about)[:80]}")
        self.begun, self.mark, self.losses = begun, float(mark or 0.0), losses.double()
