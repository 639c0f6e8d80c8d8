"""From data to what a model needs to know of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..constraints import Constraint, check_rows
from ..context import Context, linear_regression
from ..data import Rows, Schema, Summary, cells as cells_of, summarize, unknown_column
from ..data.columns import Column
from ..data.variables import ABSENT, FREE
from ..denoisers import Gaussian
from ..distributed import same
from ..progress import part
from ..settings import Training
from ..units import Relations, Standardize, Units, Wishes, choose_units
from ..warned import warn_outside
from .found_constraints import found_constraints
from .options import GIVEN, Choice, Options
from .prepared import Prepared, PreparedContext, chosen, standardized, states, width_of
from .readings import prepare_readings
from .related import (
    IndependentRows,
    independent_columns,
    independent_parts,
    relations_of,
    relations_of_known_values,
    unclipped,
)
from .seasons import warn_of_seasons
from .splitting import Split, chosen_split

__all__ = ["prepare"]

_EXAMINED = 64  # grids, for whether they are whole numbers
_EXAMPLES = 4096  # rows that noise levels and correlations are read off, at most
_FULL = 256  # columns, up to which the covariance is a full one
_ROWS = 4  # rows a column that it needs
_SURE = 2000  # rows of a table, from which on maps are chosen for small gains


def prepare(x: Any, options: Options | None = None, context: Any = None, groups: Any = None) -> Prepared:
    """Makes data ready for a model.

    Arguments:
        x: The data, in any form that `Schema.of` takes.
        options: What the user asks for; here how to read the data, the units and the seed count.
        context: The context of each row, for a conditional model: labels `(N,)`, numbers `(N, P)`, a DataFrame, or fields
            on the grid of the data.
        groups: A label for each row; rows of one label are held out together. By default those of the column that
            `options.data.groups` names, if it names one.

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
    if schema.readings is not None:
        return prepare_readings(x, schema, schema.readings, options, context, groups)
    _check_conditionals(options, schema)
    _check_mirror(options.data.mirror, schema)
    if options.training.channels_last and schema.structure == "vector":
        raise ValueError(f"channels_last is for images and volumes, and these data are {schema.reason}: leave it out")
    rows = schema.rows(x)
    same(
        {"shape of the data": str(rows.shape), "type of the data": str(rows.dtype)},
        "start all processes with the same data",
    )
    plain = options.units is not None or options.data.maps == "affine"
    if schema.constraints:
        _check_constraints(x, schema, options)
    with part(0, 0.2):
        relations = Relations(rows.shape[1]) if plain else relations_of(rows, schema)
        found_relations = _of_relations(relations, schema, () if plain else relations_of_known_values(rows, schema))
    schema = unclipped(schema, relations)
    parts = chosen_split(x, rows, options.data, options.seed, groups, schema.name_of, options.windows)
    columns = schema.table
    if relations:
        rows, columns = IndependentRows(rows, relations), independent_columns(schema, relations)
        parts = independent_parts(parts, relations)
    with part(0.3, 0.5):
        summary = summarize(rows, _names(schema, relations), table=columns, shared=True)
    choices = [Choice("structure", schema.structure, schema.reason)]
    choices += [Choice("held out", f"{len(parts.held_out):,} rows", parts.said)] if parts.said else []
    choices += [Choice("left out", repr(name), reason) for name, reason in schema.left_out]
    warn_of_seasons(parts.train, columns, options.seed)
    choices += [*found_relations, *found_constraints(x, schema, parts.train, columns, options.seed)]
    wishes = _wishes(options, schema, columns, relations, len(parts.train))
    with part(0.5, 0.9):
        form = _units(options, wishes, _integer(schema, relations), columns, parts.train, summary)
    units = form.units
    schema = _bounded(schema, units, relations, summary)
    places = chosen(parts.train, _EXAMPLES, options.seed, -2)
    examples = _examples(units, parts.train, places, options.seed)
    given, residual = None, examples
    if context is not None:
        given = _contexts(context, schema, parts, options, summary.count)
        if schema.structure == "vector" and units.variables is None:
            given, residual = _with_trend(given, places, examples)
    elif options.training.unconditional != Training().unconditional:
        what = f"unconditional={options.training.unconditional:g} drops contexts, and there are none"
        raise ValueError(f"{what}: pass context=…, or leave it out")
    if form.affine is None:
        moments = _moments_of(examples)
    else:
        moments = _moments(form.summary, form.affine, examples, width_of(units, form.cells))
    if options.data.mirror:
        moments = _symmetric(moments, options.data.mirror)
        choices.append(Choice("mirror", " and ".join(f"axis {a}" for a in options.data.mirror), GIVEN))
    asked = _asked(options.data.targets, schema, relations, units) + _gaps_asked(schema, relations, units)
    choices += [Choice("targets", f"{', '.join(map(str, g))} given the rest", GIVEN) for g in options.data.targets]
    made = (schema, form.summary, parts, units, form.cells, moments, examples, residual, given, form.scale)
    found = Prepared(*made, options.seed, (*choices, *form.choices), form.affine, relations)
    return replace(found, mirror=options.data.mirror, asked=asked)


def _check_constraints(x: Any, schema: Schema, options: Options) -> None:
    """Raises unless the rows satisfy the constraints, and samples can."""
    constraints = [Constraint(text) for text in schema.constraints]
    of_missing = [str(constraint) for constraint in constraints if constraint.missing]
    if options.data.missing == "complete" and of_missing:
        what = f"samples are complete, and the constraint {of_missing[0]!r} asks for missing values"
        raise ValueError(f'{what}: leave it out, or missing="complete" (--missing complete)')
    check_rows(constraints, x, schema.columns, schema.table)


def _asked(
    targets: Sequence[Sequence[Any]], schema: Schema, relations: Relations, units: Units
) -> tuple[tuple[int, ...], ...]:
    """The status of each variable where groups of columns are asked for given the others."""
    names = [*(schema.columns or range(math.prod(schema.inner_shape)))]
    known = {str(name): place for place, name in enumerate(names)}
    found = []
    for group in targets:
        strange = [name for name in group if str(name) not in known]
        if strange:
            raise ValueError(f"targets: {unknown_column(schema, strange[0])}")
        asked = {known[str(name)] for name in group}
        status = _status_given_others(asked, relations, units)
        if bool((status == FREE).any()):
            found.append(tuple(status.tolist()))
        elif asked.isdisjoint(c for f in relations.functions for c in (f.source, f.target)):
            what = f"{' and '.join(map(str, group))} as targets: constant, or known exactly from the others"
            raise ValueError(f"there is nothing to be learned of {what}; name other columns")
    return tuple(found)


def _gaps_asked(schema: Schema, relations: Relations, units: Units) -> tuple[tuple[int, ...], ...]:
    """The status of each variable where columns that miss values are asked for, each and all: complete rows need that."""
    gaps = [place for place, column in enumerate(schema.table) if column.missing and schema.complete]
    groups = [{place} for place in gaps] + ([{*gaps}] if len(gaps) > 1 else [])
    found = [_status_given_others(group, relations, units, complete=True) for group in groups]
    return tuple(tuple(status.tolist()) for status in found if bool((status == FREE).any()))


def _status_given_others(asked: set[int], relations: Relations, units: Units, complete: bool = False) -> Tensor:
    """The status of each variable, `(V,)`, if columns are asked for given all others; `complete` as in `Units.status`."""
    known = torch.tensor([c not in asked for c in range(relations.size)])
    for f in relations.functions:
        if f.one_to_one:
            known[f.source] |= bool(known[f.target])
    given = torch.stack([known[list(relations.group_of(c) or (c,))].all() for c in relations.kept])[None]
    rows = torch.arange(given.shape[1], dtype=torch.float64)[None]  # of which no two values are equal
    status = units.status(given, rows, complete)[0]
    for f in relations.computed:
        if bool(known[f.source]):
            status[units.variables_of(torch.tensor([c == f.target for c in relations.kept]))] = ABSENT
    return status


def _bounded(schema: Schema, units: Units, relations: Relations, summary: Summary) -> Schema:
    """The schema with the bounds of the units that all data keep, the held-out ones too."""
    found: list[tuple[float | None, float | None]] = [(None, None)] * relations.size
    least, most = (end.flatten(1) if end.ndim > 1 else end[:, None] for end in (summary.minimum, summary.maximum))
    pairs = zip(relations.kept, units.bounds, least.amin(1).tolist(), most.amax(1).tolist(), strict=True)
    for place, (low, high), first, last in pairs:
        kept = low is not None and first >= low, high is not None and last <= high
        found[place] = (low if kept[0] else None, high if kept[1] else None)
    return replace(schema, bounds=tuple(found)) if any(pair != (None, None) for pair in found) else schema


def _check_conditionals(options: Options, schema: Schema) -> None:
    """Raises where conditionals were asked for and there are no columns to be given."""
    if not options.data.learns_conditionals:
        return
    name = "targets" if options.data.targets else 'conditionals="learn"'
    if schema.structure != "vector":
        what = f"these data are {schema.reason}: leave it out, and observe a measurement of the model"
        raise ValueError(f"{name} is for the columns of a table, and {what}")
    if options.units is not None:
        what = "units=… gives one map for all: leave one of the two out"
        raise ValueError(f"{name} maps each column to units of its own, and {what}")


def _check_mirror(mirror: Sequence[int], schema: Schema) -> None:
    """Raises where data have no axes along which they are to be mirrored."""
    axes = 0 if schema.structure == "vector" else len(schema.inner_shape) - 1
    if any(axis >= axes for axis in mirror):
        what = f"these data are {schema.reason}" if axes == 0 else f"these data have {axes}, counted from 0"
        got = " and ".join(map(str, mirror))
        raise ValueError(f"mirror names spatial axes of a grid, got {got}, and {what}: leave it out, or name others")


def _symmetric(moments: Gaussian, mirror: Sequence[int]) -> Gaussian:
    """The moments of data together with their mirrored forms."""
    mean, variance = moments.mean.double(), moments.covariance.double()
    for axis in mirror:
        other = mean.flip(1 + axis)
        variance = (variance + variance.flip(1 + axis)) / 2 + (mean - other).square() / 4
        mean = (mean + other) / 2
    return Gaussian(mean.float(), variance.float())


@dataclass(frozen=True)
class _Form:
    """The units of data, with what follows from them: the summary of the cells that values stand for, and their widths."""

    units: Units
    summary: Summary
    cells: Tensor | None = None
    scale: float = 1.0
    choices: tuple[Choice, ...] = ()
    affine: Standardize | None = None


def _of_relations(relations: Relations, schema: Schema, gaps: Sequence[str]) -> list[Choice]:
    """The relations that are kept, and those that are not because a column misses values; constants of a table are none."""
    constant = {i for i, column in enumerate(schema.table) if column.kind == "constant"}
    several = replace(relations, items=tuple(item for item in relations.items if item.target not in constant))
    kept, why = several.describe(), "holds where all is known, and is not kept: a column misses values"
    found = [Choice("relation", words, "holds in every row, and is kept") for words in kept]
    return found + [Choice("relation", words, why) for words in gaps if words not in kept]


def _names(schema: Schema, relations: Relations) -> tuple[object, ...] | None:
    """The names of the independent columns."""
    return None if schema.columns is None else tuple(schema.columns[place] for place in relations.kept)


def _integer(schema: Schema, relations: Relations) -> bool | tuple[bool, ...]:
    """Whether samples are rounded, for tables one flag for each independent column."""
    integer = schema.integer
    return tuple(integer[place] for place in relations.kept) if isinstance(integer, tuple) else integer


def _wishes(options: Options, schema: Schema, columns: tuple[Column, ...], relations: Relations, count: int) -> Wishes:
    """What the user asks of the maps of columns; those of a table know it already."""
    data, transform = options.data, options.data.maps
    known = ((), {}) if columns else (data.log or (), data.bounds or {})
    places = {str(place): i for i, place in enumerate(relations.kept)}  # channels or columns of arrays, by number
    log = tuple(places.get(str(name), name) for name in known[0])
    bounds = {places.get(str(name), name): pair for name, pair in known[1].items()}
    gain = 0.1 if columns else 0.25  # nats a value: smooth arrays keep mean and standard deviation
    cautious = not columns or count < _SURE
    flags = (cautious, data.learns_conditionals or bool(relations.functions))  # known targets leave their sources free
    names = tuple(schema.variables[place].name for place in relations.kept) if schema.variables else ()
    return Wishes(log, bounds, transform, options.seed, gain, *flags, names)


def _units(
    options: Options,
    wishes: Wishes,
    integer: bool | tuple[bool, ...],
    columns: tuple[Column, ...],
    rows: Rows,
    summary: Summary,
) -> _Form:
    """The units: those that were given, or maps chosen for the data, or mean and standard deviation."""
    mixed = any(column.size or column.missing for column in columns) or wishes.conditionals
    if options.units is None and options.data.dequantize and len(rows.shape) > 2:
        _warn_of_whole_numbers(rows, summary)
    if options.units is None and (mixed or (options.data.maps == "auto" and options.data.dequantize)):
        found = choose_units(rows, columns, wishes, summary)
        names = [column.name for column in columns] or wishes.names or range(len(found.reasons))
        choices = tuple(Choice("units", str(name), reason) for name, reason in zip(names, found.reasons))
        if not found.units.affine:
            return _Form(found.units, summary, choices=choices)
    affine, cells = _units_of(summary), None
    if options.data.dequantize:
        cells = cells_of(integer, summary.step, affine.std)
        if cells is not None:  # variances of data that are spread over them grow by width²/12 (Sheppard, 1898)
            summary = replace(summary, variance=summary.variance + cells**2 / 12)
        affine = _units_of(summary)
    if options.units is None:
        return _Form(affine, summary, cells, affine=affine)
    affine = _given_units(options.units, rows.shape[1:])
    squares = affine(summary.mean[None])[0] ** 2 + summary.variance / affine.std.double() ** 2
    words = f"(x - {float(affine.mean.double().mean()):.4g}) / {float(affine.std.double().mean()):.4g}"
    return _Form(affine, summary, cells, float(squares.mean().sqrt()), (Choice("units", words, GIVEN),), affine)


def _warn_of_whole_numbers(rows: Rows, summary: Summary) -> None:
    """Warns of grids of floats that are whole numbers, so far apart that they are learned as points."""
    if not rows.dtype.is_floating_point or not bool((summary.step > 0).all()):
        return
    some = rows.take(range(min(len(rows), _EXAMINED)), torch.float64)
    if cells_of(False, summary.step, _units_of(summary).std) is None and bool((some == some.round()).all()):
        what = f"all values are whole numbers, stored as {str(rows.dtype).removeprefix('torch.')}, which samples will not be"
        warn_outside(f"{what}: pass integers, x.astype('int64')")


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


def _examples(units: Units, rows: Rows, places: list[int], seed: int) -> Tensor:
    """Some rows in standard units; missing values are drawn, as if they were independent of all others."""
    if units.affine:
        return standardized(units, rows, places)
    return units.filled(states(units, rows, places, seed, "example"), seed)


def _moments_of(examples: Tensor) -> Gaussian:
    """The mean and the covariance of states, by examples; the variances alone where these are many, or grids."""
    x = examples.double()
    if x.ndim > 2 or x.shape[1] > _FULL or len(x) < _ROWS * x.shape[1]:
        return Gaussian(x.mean(0).float(), x.var(0, unbiased=False).clamp_min(1e-6).float())
    centred = x - x.mean(0)
    covariance = centred.T @ centred / len(x)
    return Gaussian(x.mean(0).float(), (covariance + 1e-6 * torch.eye(x.shape[1], dtype=x.dtype)).float())


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
