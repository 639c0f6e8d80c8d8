"""From data to what a model needs to know of them: their form, their units, their moments, and what is held out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..context import Context, linear_regression
from ..data import Rows, Schema, Summary, cells as cells_of, summarize
from ..denoisers import Gaussian
from ..rng import Samples, permutation
from ..settings import Training
from ..units import Standardize
from .options import GIVEN, Choice, Options
from .splitting import Split, split

__all__ = ["Prepared", "PreparedContext", "prepare", "smallest_step"]

_EXAMPLES = 4096  # rows that noise levels and correlations are read off, at most
_NUMBERS = 2**23  # and how many numbers these are
_FULL = 256  # columns, up to which the covariance is a full one
_ROWS = 4  # rows a column that it needs


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
    """

    schema: Schema
    summary: Summary
    split: Split
    units: Standardize
    cells: Tensor | None
    moments: Gaussian
    examples: Tensor
    residual: Tensor
    context: PreparedContext | None
    scale: float
    seed: int
    choices: tuple[Choice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an example in the layout of networks."""
        return self.schema.inner_shape

    @property
    def vectors(self) -> bool:
        """Whether the data are vectors, not grids."""
        return len(self.shape) == 1

    @property
    def cell_width(self) -> Tensor:
        """The widths of the cells in standard units, 0 where data are points."""
        return _width(self.units, self.cells)

    @property
    def finest_cell(self) -> float | None:
        """The width of the finest cells in standard units."""
        width = self.cell_width
        return None if self.cells is None else float(width[width > 0].min())

    def chosen(self, rows: Rows, count: int, stream: int) -> list[int]:
        """Up to `count` places in `rows`, as many as fit into memory, drawn by the seed and a stream."""
        return _chosen(rows, count, self.seed, stream)

    def standardized(self, rows: Rows, places: list[int]) -> Tensor:
        """Rows at some places in standard units, `(M, *D)`, in float32."""
        return _standardized(self.units, rows, places)

    def placed(self, x: Tensor, purpose: str) -> Tensor:
        """Standardized data at fixed places in the cells that they stand for."""
        if self.cells is None:
            return x
        place = Samples(self.seed, 0, len(x), purpose).uniform(tuple(x.shape), x.dtype)
        return x + self.cell_width.to(x) * (place - 0.5)


def prepare(x: Any, options: Options | None = None, context: Any = None) -> Prepared:
    """Makes data ready for a model.

    Arguments:
        x: The data, in any form that `Schema.of` takes.
        options: What the user asks for; here how to read the data, the units and the seed count.
        context: The context of each row, for a conditional model: labels `(N,)`, numbers `(N, P)`, a DataFrame, or fields
            on the grid of the data.

    Raises:
        TypeError: If the data are not numbers.
        ValueError: If nothing can be learned from the data or the contexts; the message says where and what to do.

    Example:
        >>> prepared = prepare(np.random.default_rng(0).normal([10, -5], [1, 2], size=(500, 2)))
        >>> prepared.schema.reason, len(prepared.split.train), len(prepared.split.held_out)
        ('vectors: 2 columns', 450, 50)
    """
    options = options or Options()
    schema = Schema.of(x, options.data.structure, options.data.channels, options.data)
    rows = schema.rows(x)
    summary = summarize(rows, schema.columns, table=schema.table)
    parts = split(rows, options.data.held_out, options.seed)
    units, cells = _units_of(summary), None
    if options.data.dequantize:
        cells = cells_of(schema.integer, summary.step, units.std)
        if cells is not None:  # variances of data that are spread over them grow by width²/12 (Sheppard, 1898)
            summary = replace(summary, variance=summary.variance + cells**2 / 12)
        units = _units_of(summary)
    choices = [Choice("structure", schema.structure, schema.reason)]
    scale = 1.0
    if options.units is not None:
        units = _given_units(options.units, schema.inner_shape)
        scale = float((units(summary.mean[None])[0] ** 2 + summary.variance / units.std.double() ** 2).mean().sqrt())
        words = f"(x - {float(units.mean.double().mean()):.4g}) / {float(units.std.double().mean()):.4g}"
        choices.append(Choice("units", words, GIVEN))
    places = _chosen(parts.train, _EXAMPLES, options.seed, -2)
    examples = _standardized(units, parts.train, places)
    given, residual = None, examples
    if context is not None:
        given = _contexts(context, schema, parts, options, summary.count)
        if schema.structure == "vector":
            given, residual = _with_trend(given, places, examples)
    elif options.training.unconditional != Training().unconditional:
        what = f"unconditional={options.training.unconditional:g} drops contexts, and there are none"
        raise ValueError(f"{what}: pass context=…, or leave it out")
    moments = _moments(summary, units, examples, _width(units, cells))
    made = (schema, summary, parts, units, cells, moments, examples, residual, given, scale)
    return Prepared(*made, options.seed, tuple(choices))


def _contexts(context: Any, schema: Schema, parts: Split, options: Options, count: int) -> PreparedContext:
    """The contexts of the rows, apart by what is held out."""
    if options.training.reference_batch:
        what = f"reference_batch={options.training.reference_batch} averages targets over other data, whatever their context"
        raise ValueError(f"{what}: leave it out for a conditional model")
    found = Context.of(context, schema.inner_shape)
    whole = found(context)
    if len(whole) != count:
        raise ValueError(f"every example needs one context, got {len(whole)} contexts for {count} examples")
    empty = whole[:, -1].flatten(1).any(1) if whole.ndim > 2 else whole[:, -1] > 0
    if not options.training.unconditional and bool(empty.any()):
        what = f"example {int(empty.nonzero()[0])} has no context, and with unconditional=0 every example needs one"
        raise ValueError(f"{what}: leave such examples out, or fit with unconditional=0.1")
    train, held_out = (whole[torch.from_numpy(np.array(places))] for places in parts.places)
    return PreparedContext(found, train, held_out)


def _with_trend(given: PreparedContext, places: list[int], examples: Tensor) -> tuple[PreparedContext, Tensor]:
    """The contexts with the linear regression of vectors on them, and what it leaves open of the examples."""
    known = given.train[places]
    trend = linear_regression(known, examples)
    return PreparedContext(given.context, given.train, given.held_out, trend), examples - known @ trend


def _chosen(rows: Rows, count: int, seed: int, stream: int) -> list[int]:
    count = min(count, max(256, _NUMBERS // max(1, math.prod(rows.shape[1:]))))
    return list(permutation(len(rows), seed, stream)[:count] if len(rows) > count else range(len(rows)))


def _standardized(units: Standardize, rows: Rows, places: list[int]) -> Tensor:
    x: Tensor = units(rows.take(places, torch.float64)).float()
    return x


def _width(units: Standardize, cells: Tensor | None) -> Tensor:
    std = units.std.double()
    return torch.zeros_like(std) if cells is None else cells / std


def _given_units(given: Standardize | tuple[float, float], shape: tuple[int, ...]) -> Standardize:
    """Units that the user gave, for data of a shape."""
    if isinstance(given, Standardize):
        if given.shape != shape:
            raise ValueError(f"the data have shape {shape} in the layout of networks, got units for {given.shape}")
        return Standardize(shape, given.mean.double(), given.std.double())
    mean, std = (torch.tensor(float(value), dtype=torch.float64) for value in given)
    return Standardize(shape, mean, std)


def _units_of(summary: Summary) -> Standardize:
    """One mean and standard deviation a column for vectors, one a channel for grids: neighbours keep their proportions."""
    shape = tuple(summary.mean.shape)
    if len(shape) == 1:
        return Standardize(shape, summary.mean, summary.variance.sqrt())
    axes = tuple(range(1, len(shape)))
    mean = summary.mean.mean(axes, keepdim=True)
    variance = (summary.variance + (summary.mean - mean) ** 2).mean(axes, keepdim=True)
    return Standardize(shape, mean, variance.sqrt())


def smallest_step(summary: Summary, units: Standardize) -> float | None:
    """The smallest step between neighbouring values, in standard units, if all data lie on lattices."""
    step = (summary.step / units.std.double()).reshape(-1)
    return float(step.min()) if bool((step > 0).all()) else None


def _moments(summary: Summary, units: Standardize, examples: Tensor, width: Tensor) -> Gaussian:
    """The mean of standardized data with their covariance: full for vectors, whose correlations are those of `examples`."""
    mean = units(summary.mean[None])[0]
    variance = summary.variance / units.std.double() ** 2
    if mean.ndim > 1 or mean.numel() > _FULL or len(examples) < _ROWS * mean.numel():
        return Gaussian(mean.float(), variance.float())
    centred = examples.double() - examples.double().mean(0)
    covariance = centred.T @ centred / len(examples)
    found = covariance.diagonal()  # 0 where a value is so rare that the examples lack it
    scale = torch.where(found > 0, ((variance - width**2 / 12) / found).sqrt(), 0.0)  # places in cells are independent
    covariance = covariance * scale * scale[:, None]
    covariance.diagonal().copy_(variance)
    return Gaussian(mean.float(), covariance.float())
