"""Rows of readings made ready for a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Readings, Schema, Summary
from ..denoisers import Gaussian
from ..progress import part
from ..rng import permutation
from ..settings import Data, Training
from ..units import ReadingUnits
from .options import Choice, Options
from .prepared import Prepared
from .splitting import split

__all__ = ["prepare_readings"]

_EXAMPLES = 4096  # rows that noise levels are read off, at most
_LAYOUTS = 1024  # rows whose times and channels a model keeps, to draw others like them


def prepare_readings(
    x: Any, schema: Schema, form: Readings, options: Options, context: Any = None, groups: Any = None
) -> Prepared:
    """Makes rows of readings ready for a model: `prepare` for a schema with `readings`.

    Arguments:
        x: The data.
        schema: Their form.
        form: How their readings are arranged.
        options: What the user asks for.
        context, groups: Must be None.

    Raises:
        ValueError: If an option does not go with readings, or a channel does not vary.
    """
    _refuse(options, context, groups)
    rows = schema.rows(x)
    with part(0, 0.3):
        parts = split(rows, options.data.held_out, options.seed)
    train = rows.take(np.sort(parts.places[0]), torch.float64)
    units, choices = _units(form, train)
    places = permutation(len(train), options.seed, -2)
    examples = units(train[torch.from_numpy(places[:_EXAMPLES])]).float()
    examples[:, form.longest :] = 0.0
    nothing = torch.zeros(units.state_shape, dtype=torch.float64)
    summary = Summary(len(rows), nothing, nothing + 1, nothing, nothing, nothing.bool(), nothing)
    moments = Gaussian(nothing.float(), torch.ones_like(nothing).float())
    examples = examples.nan_to_num()
    first = Choice("structure", schema.structure, schema.reason)
    found = (schema, summary, parts, units, None, moments, examples, examples, None, 1.0, options.seed)
    layouts = train[torch.from_numpy(places[:_LAYOUTS])]
    layouts[:, : form.longest] = torch.nan
    return Prepared(*found, (first, *choices), layouts=layouts)


def _units(form: Readings, train: Tensor) -> tuple[ReadingUnits, tuple[Choice, ...]]:
    """The mean and the standard deviation of each channel, and the range of times."""
    values, times, channels = train.reshape(len(train), 3, -1).unbind(1)
    means, stds = [], []
    for k in range(form.channels):
        of_channel = values[channels == k + 1]
        if not len(of_channel) or not float(of_channel.std(correction=0)) > 1e-12 * float(of_channel.abs().max()):
            raise ValueError(f"{form.name_of(k)} has one value alone: leave it out")
        means.append(float(of_channel.mean()))
        stds.append(float(of_channel.std(correction=0)))
    there = times[~times.isnan()]
    span = (float(there.min()), max(float(there.max()), float(there.min()) + 1e-12))
    units = ReadingUnits(form.longest, means, stds, span)
    said = "mean and standard deviation"
    return units, tuple(Choice("units", form.name_of(k), said) for k in range(form.channels))


def _refuse(options: Options, context: Any, groups: Any) -> None:
    """Raises a ValueError, in one line, if something is asked for that readings do not have."""
    usual, data = Data(), options.data
    names: tuple[str, ...] = ("structure", "channels", "categorical", "numeric", "bounds", "log", "missing", "keep")
    names = (*names, "conditionals", "targets", "constraints", "split", "groups", "maps", "dequantize", "mirror")
    asked = [name for name in names if getattr(data, name) != getattr(usual, name)]
    others = {"context": context, "groups": groups, "units": options.units}
    asked += [name for name, value in others.items() if value is not None]
    if asked:
        advice = "leave it out" if asked[0] != "context" else "give it as a channel with one reading a row"
        raise ValueError(f"{asked[0]} does not go with rows of readings: {advice}")
    if options.training.unconditional != Training().unconditional:
        raise ValueError("unconditional drops contexts, and rows of readings have none: leave it out")
