"""Columns of dates whose days or weeks are not alike: time is stretched where many are, and shrinks where few are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from .column_map import ColumnMap
from .periodic import bent, moved

__all__ = ["Cycles", "on_clock", "on_cycle"]


class Cycles(nn.Module):
    """Time by how much of the data it holds, for some columns, `(B, C)`: piecewise linear, increasing and periodic.

    Where opening hours are all that occurs, one day's end is next to the next day's beginning. What is smooth on the new line
    has the hours and weekdays of the data.

    Arguments:
        maps: The columns, all with a cycle.

    Example:
        >>> day = torch.tensor([[0.0, 9.0, 17.0, 24.0], [0.0, 0.5, 23.5, 24.0]]).double()
        >>> cycles = Cycles([ColumnMap(cycle=day)])
        >>> line, log_slope = cycles(torch.tensor([[9.0], [13.0], [41.0]]).double())
        >>> line[:, 0].tolist(), cycles.inverse(line)[:, 0].tolist()
        ([0.5, 12.0, 47.5], [9.0, 13.0, 41.0])
    """

    def __init__(self, maps: Sequence[ColumnMap]) -> None:
        super().__init__()
        self.count = len(maps)
        for c, m in enumerate(maps):
            if m.cycle is None:
                raise ValueError(f"column {c} has no cycle: leave it out")
            self.register_buffer(f"cycle{c}", m.cycle.double().contiguous(), persistent=False)
            clock = None if m.clock is None else m.clock.double().contiguous()
            self.register_buffer(f"clock{c}", clock, persistent=False)

    def _parts(self) -> list[tuple[Tensor, Tensor | None]]:
        """The cycle of each column, and its clock."""
        return [(self.get_buffer(f"cycle{c}"), getattr(self, f"clock{c}")) for c in range(self.count)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Places on the new line and the logs of its slope at x, all `(B, C)`."""
        found = []
        for each, (cycle, clock) in zip(x.unbind(1), self._parts()):
            shown, rate = (each, None) if clock is None else bent(each, *clock)
            line, slope = moved(shown, *cycle)
            found.append((line, slope.log() if rate is None else slope.log() + rate.log()))
        return torch.stack([line for line, _ in found], 1), torch.stack([log_slope for _, log_slope in found], 1)

    def inverse(self, line: Tensor) -> Tensor:
        """Values at places on the new line, `(B, C)`."""
        found = []
        for each, (cycle, clock) in zip(line.unbind(1), self._parts()):
            shown = moved(each, *cycle.flip(0))[0]
            found.append(shown if clock is None else bent(shown, *clock.flip(0))[0])
        return torch.stack(found, 1)


def on_clock(values: np.ndarray, clock: Tensor | None) -> np.ndarray:
    """What a clock that is put forward and back shows at values `(n,)`; the values themselves where there is none.

    Example:
        >>> on_clock(np.array([0.0, 6.0]), torch.tensor([[1.0, 2.0], [1.0, 3.0]]).double())
        array([0., 7.])
    """
    if clock is None:
        return values
    shown: np.ndarray = bent(torch.from_numpy(values), *clock.double())[0].numpy()
    return shown


def on_cycle(values: np.ndarray, cycle: Tensor | None, clock: Tensor | None = None) -> np.ndarray:
    """Places of values `(n,)` on the line of a cycle; the values themselves where there is none.

    Example:
        >>> day = torch.tensor([[0.0, 9.0, 17.0, 24.0], [0.0, 0.5, 23.5, 24.0]]).double()
        >>> on_cycle(np.array([-24.0, 13.0]), day), on_cycle(np.ones(1), None)
        (array([-24.,  12.]), array([1.]))
    """
    if cycle is None:
        return values
    line: np.ndarray = Cycles([ColumnMap(cycle=cycle, clock=clock)])(torch.from_numpy(values)[:, None])[0][:, 0].numpy()
    return line
