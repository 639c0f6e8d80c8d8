"""Rows of readings made ready for a model."""

from __future__ import annotations

from dataclasses import replace
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
_FAR = 4.0  # standard deviations, by which the mean of values is above 0 where samples are not below
_OFTEN, _COMMON = 0.05, 10  # of the readings, and how many of them, for a value to be said to be common
_LAYOUTS = 1024  # rows whose times and channels a model keeps, to draw others like them
_INSTEAD = {
    "context": "give it as a channel with one reading a row",
    "bounds": "take numpy.log of values above 0, or numpy.clip samples",
    "log": "take numpy.log of the column before",
}


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
    parts = replace(parts, warning="; ".join(_not_kept(form, train)))
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
    said = [f"mean and standard deviation{_counts(form, k)}" for k in range(form.channels)]
    return units, tuple(Choice("units", form.name_of(k), said[k]) for k in range(form.channels))


def _counts(form: Readings, channel: int) -> str:
    """What samples of whole numbers are made of; "" for other channels."""
    low, high = form.ranges[channel]
    return "" if not form.is_whole(channel) else "; rounded" + f", and clipped to {low:g} to {high:g}" * (low >= 0)


def _not_kept(form: Readings, train: Tensor) -> list[str]:
    """What samples do not have of the values of each channel: that none is negative, and values that are often the same."""
    values, _, channels = train.reshape(len(train), 3, -1).unbind(1)
    found = []
    for k in range(form.channels):
        of_channel = values[channels == k + 1]
        value, often = np.unique(of_channel.numpy(), return_counts=True)
        common, share = value[often.argmax()], float(often.max()) / len(of_channel)
        near = float(of_channel.mean()) < _FAR * float(of_channel.std(correction=0))
        lost = ["are nowhere negative, and samples may be"] * (form.ranges[k][0] >= 0 and near)
        lost += [f"are exactly {common:g} in {100 * share:.0f} % of the readings, and samples are not"] * (
            share >= _OFTEN
        )
        if lost and not form.is_whole(k):
            found.append(f"values of {form.name_of(k)} {'; they '.join(lost)}")
    return found


def _refuse(options: Options, context: Any, groups: Any) -> None:
    """Raises a ValueError, in one line, if something is asked for that readings do not have."""
    usual, data = Data(), options.data
    names: tuple[str, ...] = ("structure", "channels", "categorical", "numeric", "bounds", "log", "missing", "keep")
    names = (*names, "conditionals", "targets", "constraints", "split", "groups", "maps", "dequantize", "mirror")
    asked = [name for name in names if getattr(data, name) != getattr(usual, name)]
    others = {"context": context, "groups": groups, "units": options.units}
    asked += [name for name, value in others.items() if value is not None]
    if asked:
        advice = _INSTEAD.get(asked[0], "leave it out")
        raise ValueError(f"{asked[0]} does not go with rows of readings: {advice}")
    if options.training.unconditional != Training().unconditional:
        raise ValueError("unconditional drops contexts, and rows of readings have none: leave it out")
