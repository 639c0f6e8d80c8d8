"""What a model needs to know of data, as a value: their form, their units, their moments, and what is held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..context import Context
from ..data import Rows, Schema, Summary
from ..denoisers import Gaussian
from ..rng import Samples, permutation
from ..units import Related, Relations, Standardize, Units
from .options import Choice
from .splitting import Split

__all__ = ["Prepared", "PreparedContext", "chosen", "smallest_step", "standardized", "states", "width_of"]

_NUMBERS = 2**23  # that are taken into memory at once, at most
_USUAL, _TARGETS = 0.5, 0.75  # of the rows are conditional: by default, and with targets


@dataclass(frozen=True)
class PreparedContext:
    """The contexts of the data, as numbers for a network.

    Arguments:
        context: How contexts become numbers.
        train: Those of the training rows, of shape `(N, size, …)`.
        held_out: Those of the held-out rows.
        trend: The linear regression of standardized vectors on them, of shape `(size, n)`; None for grids.
    """

    context: Context
    train: Tensor
    held_out: Tensor
    trend: Tensor | None = None


@dataclass(frozen=True)
class Prepared:
    """Data made ready for a model: everything that follows from the data alone.

    Arguments:
        schema: The form of the data.
        summary: Their moments and ranges, in their own units; those of whole cells where values stand for cells.
        split: The rows to train on, and the held-out ones.
        units: The map to standard units.
        cells: The widths of the cells that values stand for, in the units of the data; None where data are points.
        moments: The mean and the covariance of standardized data.
        examples: Some standardized training rows, of shape `(M, *D)`.
        residual: What contexts leave open of them: the examples less their linear regression.
        context: The contexts, if there are any.
        scale: The standard deviation of the standardized data: 1, unless the user gave the units.
        seed: The seed of everything that is random.
        choices: What was chosen, with the reasons.
        affine: The units, if they are affine.
        relations: The exact relations of the data; rows, units and states are those of the independent columns.
        asked: Questions that are asked most: FREE, GIVEN or ABSENT for each variable.
        layouts: Times and channels of some training rows, `(M, 3 L)`, for data of readings: new rows are drawn like them.
        mirror: The spatial axes along which mirrored examples are as probable as the examples.
    """

    schema: Schema
    summary: Summary
    split: Split
    units: Units
    cells: Tensor | None
    moments: Gaussian
    examples: Tensor
    residual: Tensor
    context: PreparedContext | None
    scale: float
    seed: int
    choices: tuple[Choice, ...]
    affine: Standardize | None = None
    relations: Relations | None = None
    asked: tuple[tuple[int, ...], ...] = ()
    layouts: Tensor | None = None
    mirror: tuple[int, ...] = ()

    @property
    def share(self) -> float:
        """The fraction of the rows in training that are conditional, of mixed states."""
        return _TARGETS if self.asked else _USUAL

    @property
    def frequencies(self) -> tuple[float, ...]:
        """How frequent each level of each category of mixed states is, one number for each of their coordinates."""
        found: list[float] = []
        for start, end in () if self.units.variables is None else self.units.variables.blocks:
            counts = self.examples[:, start:end].nan_to_num().double().sum(0) + 0.5  # none is impossible
            found += (counts / counts.sum()).tolist()
        return tuple(found)

    @property
    def whole_units(self) -> Units:
        """The units of whole rows, those of the independent columns with the relations."""
        return Related(self.units, self.relations) if self.relations else self.units

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a state."""
        return self.units.state_shape

    @property
    def scaled_units(self) -> Units:
        """The units in which the data have about standard deviation 1: those of the states, unless the user gave these."""
        affine = self.affine
        if affine is None or self.scale == 1:
            return self.units
        return Standardize(affine.shape, affine.mean, affine.std * self.scale)

    @property
    def vectors(self) -> bool:
        """Whether the data are vectors, not grids."""
        return len(self.shape) == 1

    @property
    def cell_width(self) -> Tensor:
        """The widths of the cells in standard units, 0 where data are points, and where the units know the cells."""
        return width_of(self.units, self.cells)

    @property
    def finest_cell(self) -> float | None:
        """The width of the finest cells in standard units."""
        width = self.cell_width
        return None if self.cells is None else float(width[width > 0].min())

    def chosen(self, rows: Rows, count: int, stream: int) -> list[int]:
        """Up to `count` places in `rows`, as many as fit into memory, drawn by the seed and a stream."""
        return chosen(rows, count, self.seed, stream)

    def states(self, rows: Rows, places: list[int], purpose: str) -> Tensor:
        """Rows at some places in standard units, `(M, *D)` in float32, at fixed places in the cells that they stand for."""
        if self.units.has_cells:
            return states(self.units, rows, places, self.seed, purpose)
        x = standardized(self.units, rows, places)
        if self.cells is None:
            return x
        place = Samples(self.seed, 0, len(x), purpose).uniform(tuple(x.shape), x.dtype)
        return x + self.cell_width.to(x) * (place - 0.5)


def chosen(rows: Rows, count: int, seed: int, stream: int) -> list[int]:
    """Up to `count` places in rows, as many as fit into memory, drawn by the seed and a stream."""
    count = min(count, max(256, _NUMBERS // max(1, math.prod(rows.shape[1:]))))
    return list(permutation(len(rows), seed, stream)[:count] if len(rows) > count else range(len(rows)))


def standardized(units: Units, rows: Rows, places: list[int]) -> Tensor:
    """Rows at some places in standard units, in float32."""
    x: Tensor = units(rows.take(places, torch.float64)).float()
    return x


def states(units: Units, rows: Rows, places: list[int], seed: int, purpose: str) -> Tensor:
    """Rows as states, at places in their cells that follow from the seed and a purpose."""
    x = rows.take(places, torch.float64)
    place = Samples(seed, 0, len(x), purpose).uniform(tuple(x.shape), x.dtype)
    found: Tensor = units(x, units.drawn(place) if units.has_cells else None)
    return found.float()


def width_of(units: Units, cells: Tensor | None) -> Tensor:
    """The widths of cells in standard units, 0 where data are points."""
    if cells is None:
        return torch.zeros(units.state_shape, dtype=torch.float64)
    return units.state_errors(cells, cells)


def smallest_step(summary: Summary, units: Units) -> float | None:
    """The smallest step between neighbouring values, in standard units, if all data lie on lattices; None for other units."""
    if not units.affine:
        return None
    step = units.state_errors(summary.step, summary.step).reshape(-1)
    return float(step.min()) if bool((step > 0).all()) else None
