"""Measurements that lie outside of the data."""

from __future__ import annotations

import math

import torch

from ..data import Schema, beyond
from ..denoisers import Gaussian
from ..measurement import Mask, Measurement
from ..units import Units
from .joint import distance
from .measured import StandardizedMeasurement

__all__ = ["outside_of_data"]

_SHORT = 16  # numbers of vectors whose measurements are compared with the moments of the data
_UNLIKELY = 3.0  # standard deviations of a measurement, beyond the first


def outside_of_data(measurement: Measurement, schema: Schema, units: Units, moments: Gaussian) -> list[str]:
    """Where a measurement of vectors lies outside of the data, or of what their moments make likely, as sentences.

    Arguments:
        measurement: The measurement.
        schema: The form of the data, with the ranges of columns of a table.
        units: The units of the data.
        moments: The moments of states.
    """
    if schema.table and isinstance(measurement.operator, Mask):
        keep = measurement.operator.keep.expand(schema.inner_shape)[None]
        x = torch.full(keep.shape, math.nan, dtype=torch.float64)
        return beyond(schema, x.masked_scatter(keep, measurement.y), keep)
    if len(units.shape) > 1 or units.shape[0] > _SHORT:
        return []
    far = distance([StandardizedMeasurement(measurement, schema.layout, units)], moments)
    if far <= _UNLIKELY:
        return []
    return [f"what was measured lies {far + 1:.2g} standard deviations from what the data make likely"]
