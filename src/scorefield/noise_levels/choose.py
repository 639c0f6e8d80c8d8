"""Noise levels chosen from the data, each with its reason."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..data import Rows
from ..units import Units
from .distances import Diameter, diameter, nearest
from .langevin import Criterion, best_ratio, fixed_point
from .levels import NoiseLevels
from .points import Points, evenly_spaced

__all__ = ["choose_noise_levels", "ncsnv2_smallest_level"]

_SOME = 4096  # examples that are read, but for the largest distance
_LEAST = 40.0  # standard deviations, where noisy data are as good as Gaussian
_FINEST, _COARSEST = 1e-3, 2e-2  # standard deviations, between which the smallest level is
_ROUNDING = 1e-5  # relative, of widths in single precision
_PART = 0.25  # of a cell, that the smallest level blurs at most
_TAIL = 0.06  # of training, at levels of about a cell
_REASON_OF_TAIL = "from σ_min up, uniform in ln σ: there a density learns to resolve values"


def choose_noise_levels(
    x: Rows | Tensor,
    step: float | None = None,
    reach: Diameter | None = None,
    *,
    cell: float | None = None,
    thin: float | None = None,
    units: Units | None = None,
    sigma_min: float | None = None,
    overlap: float = 0.5,
    moves: int | None = None,
    criterion: Criterion = fixed_point,
) -> NoiseLevels:
    """Chooses the noise levels from the data.

    The largest level follows Technique 1 of NCSNv2 (Song & Ermon, 2020): the largest distance between two examples, so that
    pure noise reaches all of them. The smallest is a tenth of the median distance to the nearest neighbour, or of the step
    between neighbouring values if data are integers: finer noise blurs nothing that the data resolve. Where data are spread
    over fine cells, or a direction is thin, it is a quarter of that at most, for a density then resolves them. The
    distribution of training levels follows the spectrum: a direction of standard deviation s is decided at levels around s;
    some training is spent below it where cells are fine or a direction is thin. A ladder of levels follows Technique 2, and
    the step of annealed Langevin dynamics on it either Technique 4 or what is exact after many levels.

    Arguments:
        x: Standardized data, of shape `(N, *D)`: a few thousand suffice.
        step: The distance between neighbouring values, in these units, if data are integers.
        reach: The largest distance between two examples, where `x` are only some of them: `diameter` of all.
        cell: The width of the finest cells over which data are spread in training, if they are; those below 0.001 are too fine.
        thin: The standard deviation of vectors along their thinnest direction, in these units, if it is to be resolved.
        units: The map to standard units; by default `x` is standardized already.
        sigma_min: The smallest level, instead of the one chosen from the data: `ncsnv2_smallest_level(x)` is that of NCSNv2.
        overlap: How much neighbouring levels of a ladder overlap: 0.5, or 0.5667 for ladders as published.
        moves: The moves of annealed Langevin dynamics at each level, by default as many as make 1,200 in all.
        criterion: What their step brings nearest to 1: `fixed_point`, or `one_level` for steps as published.

    Raises:
        ValueError: If there are fewer than 2 data, or all are equal.

    Example:
        >>> found = choose_noise_levels(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)))
        >>> found.sigma_min < 0.1 < 10 < found.sigma_max
        True
        >>> found.ladder.count, found.annealing.moves
        (11, 100)
    """
    if len(x) < 2:
        raise ValueError(f"noise levels follow from distances between examples: at least 2 are needed, got {len(x)}")
    points = Points(x, units)
    reach = reach or diameter(x, units)
    if reach.low == 0:
        raise ValueError(f"all {len(x)} examples are equal: there is nothing to learn")
    some = points.take(evenly_spaced(len(points), max(256, min(_SOME, 2**23 // points.numbers))))
    low, why = (sigma_min, "given") if sigma_min is not None else _smallest(some, step, cell, thin)
    centre, width = _spectrum(some)
    centre += 0.5 if len(x.shape) > 2 else -0.5
    finest = min((width for width in (cell, thin) if width is not None and _resolvable(width)), default=math.inf)
    fine = sigma_min is None and finest < _COARSEST / _PART
    tail = _TAIL if fine and low < math.exp(centre - 2 * width) / 2 else 0.0
    levels = (low, max(reach.low, _LEAST), centre, width)
    reasons = (why, *_reasons(reach), *([_REASON_OF_TAIL] if tail else []))
    found = NoiseLevels(*levels, reasons, reach.low, points.numbers, overlap, moves, tail=tail)
    if criterion is fixed_point:
        return found
    return replace(found, ratio=best_ratio(found.annealing.moves, found.ladder.gap, criterion))


def ncsnv2_smallest_level(x: Tensor) -> float:
    """The smallest level of NCSNv2, 0.01 where data are between 0 and 1: 1 % of the range of a channel or column.

    Arguments:
        x: Standardized data, of shape `(N, *D)`.

    Example:
        >>> round(ncsnv2_smallest_level(torch.tensor([[0.0], [0.25], [1.0]]) / 0.3), 4)
        0.0333
    """
    values = x.reshape(len(x), x.shape[1] if x.ndim > 1 else 1, -1)
    width = values.amax((0, 2)) - values.amin((0, 2))
    return 0.01 * float(width[width > 0].min())


def _reasons(reach: Diameter) -> tuple[str, str, str]:
    """Why the largest level, the mean and the standard deviation of ln σ are what they are."""
    bounds = "" if reach.exact else f" at least, and {reach.high:.3g} at most"
    distance = f"the largest distance between two examples is {reach.low:.3g}{bounds}"
    mean = "where the directions of the data, weighted by their standard deviations, are decided"
    std = "as wide as those directions differ, and at least 1.2: one scale alone teaches little"
    return f"{distance}; at least 40, where noisy data are as good as Gaussian", mean, std


def _smallest(x: Tensor, step: float | None, cell: float | None, thin: float | None) -> tuple[float, str]:
    """The smallest level for data `(N, n)`, and why."""
    low = 0.1 * nearest(x) / math.sqrt(x.shape[1])
    why = "a tenth of the median distance to the nearest neighbour, per coordinate"
    if step is not None and 0.1 * step > low:
        low, why = 0.1 * step, "a tenth of the step between neighbouring values of the data"
    low = min(max(low, _FINEST), _COARSEST)
    widths = {
        "of the step between neighbouring values": cell,
        "of the standard deviation of the thinnest direction": thin,
    }
    for what, width in widths.items():
        if width is not None and _resolvable(width) and width < low / _PART:
            low, why = max(_PART * width, _FINEST), f"a quarter {what}, at least {_FINEST:g}"
    if why.startswith("a quarter"):
        return low, why
    return low, f"{why}, kept between {_FINEST:g} and {_COARSEST:g} of the standard deviation"


def _resolvable(width: float) -> bool:
    """Whether a width is no less than the smallest level that there is, to which directions are widened."""
    return width >= (1 - _ROUNDING) * _FINEST


def _spectrum(x: Tensor) -> tuple[float, float]:
    """The mean and the standard deviation of ln s over principal directions, weighted by their standard deviations s."""
    centred = (x - x.mean(0))[:2048]
    gram = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    s = torch.linalg.eigvalsh(gram / len(centred)).clamp_min(0).sqrt()
    s = s[s > 1e-4 * s.max()]
    weight = s / s.sum()
    mean = float((weight * s.log()).sum())
    variance = float((weight * (s.log() - mean) ** 2).sum())
    return mean, max(1.2, math.sqrt(variance + 0.2))
