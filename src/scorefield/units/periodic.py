"""Maps that are piecewise linear and increasing: with slope 1 beyond their parts, or the same in each period."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bent", "moved"]


def bent(x: Tensor, known: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where values are on another line, and how much longer a step is there, both of the shape of `x`, `(B,)`.

    Arguments:
        x: The values.
        known: The ends of the parts, `(K,)`, increasing; beyond them a step is as long as on the other line.
        wanted: Where these are on the other line.

    Example:
        >>> bent(torch.tensor([-1.0, 0.5, 3.0]), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 0.4, 1.4]))[0]
        tensor([-1.0000,  0.2000,  2.4000])
    """
    part = torch.searchsorted(known, x.detach().contiguous(), right=True)
    one = known.new_ones(1)
    slope = torch.cat((one, wanted.diff() / known.diff(), one))[part]
    start = (part - 1).clamp_min(0)
    return wanted[start] + (x - known[start]) * slope, slope


def moved(x: Tensor, known: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where values are on another line, and how much longer a step is there, both of the shape of `x`, `(B,)`.

    Arguments:
        x: The values.
        known: The ends of the parts of a period, `(K,)`, increasing.
        wanted: Where these are on the other line, on which a period is as long.

    Example:
        >>> moved(torch.tensor([0.5, 3.0]), torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 0.4, 2.0]))[0]
        tensor([0.2000, 2.4000])
    """
    period = known[-1] - known[0]
    periods = ((x - known[0]) / period).floor()
    periods = torch.where(periods.isfinite(), periods, 0.0)
    phase = x - periods * period
    part = (torch.searchsorted(known, phase.detach().contiguous(), right=True) - 1).clamp(0, len(known) - 2)
    slope = (wanted.diff() / known.diff())[part]
    return wanted[part] + (phase - known[part]) * slope + periods * period, slope
