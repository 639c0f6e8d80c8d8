"""Means over places in the cells of values that stand for cells: whole numbers, and values of positive probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..rng import Samples
from ..units import Units
from .base import LogProb

__all__ = ["PLACES", "mean_of_logs", "mean_over_places", "moving", "places", "spread_over_places"]

PLACES = 8
"""How many places in its cells a row has at least, over which its density is averaged."""

_TOGETHER = 8  # columns, whose first points of Sobol's sequence are in different orders
_SETS = 4  # means of so many sets of places say how sure their mean is
_ERRORS = ("standard_error", "solver_error", "end_error", "truncation")


def places(units: Units, x: Tensor, seed: int, number: int = 0) -> list[Tensor]:
    """Places in the cells of rows `(N, *D)`, several of each, that belong to the seed, to the row and to a number.

    Those of one value are a regular grid with a random shift: of a smooth density in one cell, the mean is nearly exact. Those
    of columns with atoms are points of Sobol's sequence, of which this is the part with a number, up to eight columns; the
    grids of all others are in random order (Latin hypercube sampling). The shifts (Cranley and Patterson, 1976) make every
    place uniform, so that the mean is right on average.

    Returns:
        Tensors of the shape of `x` on [0, 1); a single one where nothing stands for a cell. The first half of them is a
        regular grid by itself, as is the second.
    """
    half, event = PLACES // 2, x.shape[1:]
    order = Samples(seed, 0, len(x), f"place {number}").uniform((len(x), PLACES, *event), torch.float64, x.device)
    points = torch.cat((2 * order[:, :half].argsort(1), 2 * order[:, half:].argsort(1) + 1), 1) / PLACES
    if len(event) == 1 and (preferred := [c for c, atoms in enumerate(units.atoms) if atoms][:_TOGETHER]):
        sequence = torch.quasirandom.SobolEngine(len(preferred)).draw((number + 1) * PLACES)[-PLACES:]  # type: ignore[no-untyped-call]
        points[:, :, preferred] = sequence.to(points)
    found = (points + Samples(seed, 0, len(x), "place").uniform((len(x), 1, *event), torch.float64, x.device)) % 1
    return [*found.unbind(1)] if units.has_cells else [found[:, 0]]


def moving(states: Sequence[Tensor], counted: Tensor | None = None) -> Tensor:
    """How many coordinates of states `(N, *D)` depend on the place, `(N,)`; of those that count, `(N, *D)`."""
    whole = torch.stack([state.nan_to_num() for state in states])
    differ = (whole != whole[0]).any(0)
    return (differ if counted is None else differ & counted).flatten(1).sum(1)


def mean_of_logs(found: list[LogProb]) -> LogProb:
    """The mean of log-probabilities at several places, with its standard error."""
    values = torch.stack([part.value for part in found])
    spread = values.std(0) / math.sqrt(len(found)) if len(found) > 1 else torch.zeros_like(values[0])
    errors = {name: torch.stack([getattr(part, name) for part in found]).mean(0) for name in _ERRORS}
    errors["standard_error"] = torch.hypot(spread, errors["standard_error"])
    evaluations = torch.stack([part.evaluations for part in found]).sum(0)
    return LogProb(value=values.mean(0), evaluations=evaluations, **errors)


def spread_over_places(found: list[LogProb], alone: Tensor) -> Tensor:
    """The standard error of the log of the mean probability over places, `(N,)`: what places have a part in it.

    Over one cell it is half the difference of the means over two grids of half as many places, which is above the error of
    the mean over both. Over several it is that of independent places, or of independent sets of them if there are four: both
    are above it, too.

    Arguments:
        found: The log-probabilities of rows at the places, as `places` gives them, one set after another.
        alone: Whether no more than one value of a row stands for a cell, `(N,)`.
    """
    weights = _weights(found)
    halves = weights.reshape(2, -1, *weights.shape[1:]).mean(1)
    sets = weights.reshape(-1, PLACES, *weights.shape[1:]).mean(1)
    apart = sets if len(sets) >= _SETS else weights
    return torch.where(alone.cpu(), halves.diff(dim=0)[0].abs() / 2, apart.std(0) / math.sqrt(len(apart)))


def mean_over_places(found: list[LogProb], alone: Tensor) -> LogProb:
    """The log of the mean probability over places, with its errors; arguments as of `spread_over_places`."""
    value = torch.stack([part.value for part in found]).logsumexp(0) - math.log(len(found))
    weights = _weights(found)
    errors = {name: (weights * torch.stack([getattr(part, name) for part in found])).mean(0) for name in _ERRORS}
    errors["standard_error"] = torch.hypot(spread_over_places(found, alone), errors["standard_error"])
    evaluations = torch.stack([part.evaluations for part in found]).sum(0)
    return LogProb(value=value, evaluations=evaluations, **errors)


def _weights(found: list[LogProb]) -> Tensor:
    """The probability at each place over their mean, `(J, N)`; 1 where all are 0."""
    values = torch.stack([part.value for part in found])
    return torch.where(values.isneginf().all(0), 0.0, values - (values.logsumexp(0) - math.log(len(found)))).exp()
