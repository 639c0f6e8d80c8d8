"""How much a network adds to a simple distribution of the same data, by their losses on held-out rows."""

from __future__ import annotations

import torch
from torch import Tensor

from ..denoisers import Blended, Denoiser, Gaussian
from ..objectives import LevelObjective
from ..rng import Samples
from ..training import held_out_losses

__all__ = ["best_weight", "blended"]

_COPIES = 2048  # noisy copies of the held-out rows
_REPEATS = 500  # of the bootstrap


def blended(
    baseline: Denoiser,
    learned: Denoiser,
    held_out: Tensor,
    objective: LevelObjective,
    seed: int = 0,
    reach: Gaussian | None = None,
) -> tuple[Blended, float]:
    """The mean of two denoisers with the weight that held-out rows ask for, and its loss on them.

    Arguments:
        baseline: The denoiser of a simple distribution, which has not seen the held-out rows.
        learned: The denoiser that was learned, which has not seen them either.
        held_out: Standardized rows, of shape `(M, n)`.
        objective: The loss.
        seed: The seed of the bootstrap.
        reach: The moments of the data, if what was learned is to count near them alone (`Blended`).

    Example:
        >>> from ..objectives import DenoisingScoreMatching, LogNormal
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> right, wrong = (Gaussian(torch.zeros(2), torch.full((2,), variance)) for variance in (1.0, 0.1))
        >>> found, _ = blended(wrong, right, x, DenoisingScoreMatching(LogNormal()))
        >>> found.weight > 0.9
        True
    """
    parts = (Blended(baseline, learned, weight, reach) for weight in (0.0, 0.5, 1.0))
    losses = torch.stack([held_out_losses(part, held_out, objective, _COPIES).data for part in parts], 1)
    found = Blended(baseline, learned, best_weight(losses, seed), reach)
    return found, float(held_out_losses(found, held_out, objective, _COPIES).data.mean())


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
    first, half, last = losses.double().unbind(1)
    square = 2 * (first - 2 * half + last)
    linear = last - first - square
    u = Samples(seed, 0, _REPEATS, "bootstrap").uniform((_REPEATS, len(losses)), torch.float64)
    counts = -torch.log1p(-u)
    slope, bend = counts @ linear, counts @ square
    curved = (-slope / (2 * bend).clamp_min(1e-300)).clamp(0, 1)
    return round(float(torch.where(bend > 0, curved, (slope < 0).double()).mean()), 3)
