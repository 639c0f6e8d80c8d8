"""One pass over all rows by chunks, which several processes may share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..distributed import each, size as processes
from .rows import Rows

__all__ = ["over_chunks"]

_EACH = 16  # chunks that a process reads before the values of all are exchanged


def over_chunks(function: Callable[[Tensor], Tensor], rows: Rows, size: int, shared: bool = False) -> Iterator[Tensor]:
    """The values of a function at chunks of rows in float64, in the order of the rows.

    Arguments:
        function: Takes a chunk `(B, *D)`; its values differ in their first length at most.
        rows: The rows.
        size: The rows of a chunk.
        shared: Whether each process reads a part of the chunks, and the values are exchanged. Then all processes must call it.

    Example:
        >>> from scorefield.data import ArrayRows
        >>> [*over_chunks(lambda x: x.amax(0), ArrayRows(torch.arange(5.0).reshape(5, 1)), 2)]
        [tensor([1.], dtype=torch.float64), tensor([3.], dtype=torch.float64), tensor([4.], dtype=torch.float64)]
    """

    def value(start: int) -> Tensor:
        places = np.arange(start, min(start + size, len(rows)))
        return function(rows.take(places, torch.float64).cpu())

    starts = range(0, len(rows), size)
    if not shared or processes() == 1:
        yield from map(value, starts)
        return
    together = _EACH * processes()
    for first in range(0, len(starts), together):
        yield from each(value, starts[first : first + together])
