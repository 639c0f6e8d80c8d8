"""How much a network adds to a simple distribution of the same data, by their losses on held-out rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..denoisers import Blended, Denoiser, Gaussian
from ..objectives import LevelObjective
from ..rng import Samples
from ..training import held_out_losses, losses_by_level

__all__ = ["best_weight", "blended"]

_COPIES = 2048  # noisy copies of the held-out rows
_LEVELS, _AT_ONE = 9, 1024  # levels with a weight of their own, and noisy copies at each
_CLEAR = 2.0, 3.0  # standard errors of the gain by another weight, at low levels alone and at others, too
_LOW = 0.05  # of the standard deviation of the data: levels up to it are low
_HIGHEST = 0.99  # the quantile of the levels of training, above which the weight stays the same
_REPEATS = 500  # of the bootstrap


def blended(
    baseline: Denoiser,
    learned: Denoiser,
    held_out: Tensor,
    objective: LevelObjective,
    seed: int = 0,
    reach: Gaussian | None = None,
    lowest: float | None = None,
    common: float | None = None,
) -> tuple[Blended, float]:
    """The mean of two denoisers with the weight that held-out rows ask for, and its loss on them.

    A network that is the better one at most levels may be far from the truth at the lowest ones, which thin directions of the
    data depend on, and which training rarely draws: there the weight is another one if held-out rows clearly ask for it.
    Few held-out rows speak for the baseline: it counts as one more, which asks for the weight 0.

    Arguments:
        baseline: The denoiser of a simple distribution, which has not seen the held-out rows.
        learned: The denoiser that was learned, which has not seen them either.
        held_out: Standardized rows, of shape `(M, n)`.
        objective: The loss.
        seed: The seed of the bootstrap.
        reach: The moments of the data, if what was learned is to count near them alone (`Blended`).
        lowest: The level below which the weight stays the same; the 1 % quantile of those of training by default.
        common: The weight above low levels, if it is known: 1 for a network that learned from many rows.

    Example:
        >>> from ..objectives import DenoisingScoreMatching, LogNormal
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> right, wrong = (Gaussian(torch.zeros(2), torch.full((2,), variance)) for variance in (1.0, 0.1))
        >>> found, _ = blended(wrong, right, x, DenoisingScoreMatching(LogNormal()))
        >>> found.share > 0.9
        True
    """
    cautious = len(held_out) / (len(held_out) + 1)
    if common is None:
        parts = (Blended(baseline, learned, weight, reach) for weight in (0.0, 0.5, 1.0))
        losses = torch.stack([held_out_losses(part, held_out, objective, _COPIES).data for part in parts], 1)
    weight = round(best_weight(losses, seed) * cautious, 3) if common is None else common
    ends = objective.levels.draw(torch.tensor([1 - _HIGHEST, _HIGHEST], dtype=torch.float64)).log()
    ends[0] = ends[0] if lowest is None else min(math.log(lowest), float(ends[0]))
    levels = torch.linspace(float(ends[0]), float(ends[1]), _LEVELS, dtype=torch.float64).exp()
    repeats = max(1, _AT_ONE // len(held_out))

    def measured(weight: float) -> Tensor:
        part = Blended(baseline, learned, weight, reach)
        losses = losses_by_level(part, held_out, objective, levels.repeat(repeats)).double().cpu()
        return losses.reshape(len(held_out), repeats, _LEVELS).mean(1)

    by_level = torch.stack([measured(weight) for weight in (0.0, 0.5, 1.0)], 2)  # (M, L, 3)
    weights = _with_low(weight, by_level, int((levels <= _LOW).sum()), cautious, seed)
    if len({*weights}) == 1:
        found = Blended(baseline, learned, weight, reach)
    else:
        found = Blended(baseline, learned, weights, reach, [round(level, 9) for level in levels.tolist()])
    return found, float(held_out_losses(found, held_out, objective, _COPIES).data.mean())


def _with_low(weight: float, losses: Tensor, lowest: int, cautious: float, seed: int) -> list[float]:
    """The weights at L levels: a common one, and another one at low levels if held-out rows clearly ask for it.

    As many weights as levels would be better where each is known, but some dozens of rows do not say that much.

    Arguments:
        weight: The common weight.
        losses: The losses of rows at each level with the weights 0, 1/2 and 1, of shape `(M, L, 3)`.
        lowest: How many levels are low.
        cautious: What weights are multiplied by.
        seed: The seed of the bootstrap.
    """
    common, found = _quadratic(losses, weight), [(0.0, [weight] * losses.shape[1])]
    for first in range(1, losses.shape[1]):
        low = round(best_weight(losses[:, :first].mean(1), seed) * cautious, 3)
        gain = (common[:, :first] - _quadratic(losses[:, :first], low)).sum(1)
        error = float(gain.std()) / len(gain) ** 0.5 if len(gain) > 1 else math.inf
        if float(gain.mean()) > _CLEAR[first > lowest] * error:
            found.append((float(gain.mean()), [low] * first + [weight] * (losses.shape[1] - first)))
    return max(found, key=lambda pair: pair[0])[1]


def _quadratic(losses: Tensor, weight: float) -> Tensor:
    """The loss at a weight, from those at 0, 1/2 and 1, `(…, 3)`."""
    constant, linear, square = _coefficients(losses)
    return constant + weight * linear + weight**2 * square


def _coefficients(losses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Those of the quadratic function of the weight that losses at 0, 1/2 and 1, `(…, 3)`, are."""
    first, half, last = losses.unbind(-1)
    square = 2 * (first - 2 * half + last)
    return first, last - first - square, square


def best_weight(losses: Tensor, seed: int = 0) -> float:
    """The weight of least loss, averaged over what it could have been with other rows.

    The loss is a quadratic function of the weight. Where rows are few its minimum is uncertain, and the mean over a Bayesian
    bootstrap of the rows is more cautious than the minimum itself.

    Arguments:
        losses: The losses of each row with the weights 0, 1/2 and 1, of shape `(M, 3)`.
        seed: The seed of the bootstrap.

    References:
        Rubin, 1981, The Bayesian bootstrap.

    Example:
        >>> best_weight(torch.tensor([[1.0, 0.25, 0.0]]))  # (1 - w)²
        1.0
    """
    _, linear, square = _coefficients(losses.double())
    u = Samples(seed, 0, _REPEATS, "bootstrap").uniform((_REPEATS, len(losses)), torch.float64)
    counts = -torch.log1p(-u)
    slope, bend = counts @ linear, counts @ square
    curved = (-slope / (2 * bend).clamp_min(1e-300)).clamp(0, 1)
    return round(float(torch.where(bend > 0, curved, (slope < 0).double()).mean()), 3)
