"""The units of the data, and their moments in these units."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..data import Summary
from ..denoisers import Gaussian
from ..standardize import Standardize

__all__ = ["data_moments", "over_cells", "smallest_step", "units_of"]

_FULL = 256  # columns, up to which the covariance is a full one
_ROWS = 4  # rows a column that it needs


def units_of(summary: Summary) -> Standardize:
    """One mean and standard deviation a column for vectors, one a channel for grids: neighbours keep their proportions."""
    shape = tuple(summary.mean.shape)
    if len(shape) == 1:
        return Standardize(shape, summary.mean, summary.variance.sqrt())
    axes = tuple(range(1, len(shape)))
    mean = summary.mean.mean(axes, keepdim=True)
    variance = (summary.variance + (summary.mean - mean) ** 2).mean(axes, keepdim=True)
    return Standardize(shape, mean, variance.sqrt())


def over_cells(summary: Summary, cells: Tensor | None) -> Summary:
    """The summary of data that are spread over cells: the variances grow by width²/12 (Sheppard, 1898)."""
    return summary if cells is None else replace(summary, variance=summary.variance + cells**2 / 12)


def smallest_step(summary: Summary, units: Standardize) -> float | None:
    """The smallest step between neighbouring values, in standard units, if all data lie on lattices."""
    step = (summary.step / units.std.double()).reshape(-1)
    return float(step.min()) if bool((step > 0).all()) else None


def data_moments(summary: Summary, units: Standardize, examples: Tensor, width: Tensor) -> Gaussian:
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
