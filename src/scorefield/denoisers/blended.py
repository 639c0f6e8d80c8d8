"""Two denoisers of the same data, averaged."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import Denoiser
from .exact import Gaussian

__all__ = ["Blended"]

_FAR = 8.0  # standard deviations of a squared distance above its mean, where half of the weight is left


class Blended(Denoiser):
    """A weighted mean of two denoisers,  D = (1 - w) D_baseline + w D_learned.

    Scores are averaged with these weights at every noise level. For few data, a network and a simple distribution that was
    fitted to them err in different directions, and their mean is closer to the truth than either. Far from all data a
    network is arbitrary, and a single new row there could cost thousands of nats: with `reach` its weight falls to 0 there.

    Arguments:
        baseline: The denoiser of a simple distribution that resembles the data, such as a `Mixture`.
        learned: The denoiser that was learned.
        weight: The weight w of what was learned, from 0 to 1.
        reach: A Gaussian with the moments of the data, of shape `(n,)`. Where the squared distance from its mean, in its own
            units and those of the noise, is eight standard deviations too large, half of the weight is left. None: everywhere
            the same weight.

    Raises:
        ValueError: If the weight is not between 0 and 1.

    References:
        Breiman, 1996, Stacked regressions.

    Example:
        >>> import torch
        >>> from scorefield.denoisers import Gaussian
        >>> narrow, wide = (Gaussian(torch.zeros(2), torch.full((2,), variance)) for variance in (1.0, 3.0))
        >>> Blended(narrow, wide, 0.5)(torch.ones(1, 2), torch.tensor(1.0))  # between 1/2 and 3/4
        tensor([[0.6250, 0.6250]])
    """

    def __init__(self, baseline: Denoiser, learned: Denoiser, weight: float, reach: Gaussian | None = None) -> None:
        super().__init__()
        if not (math.isfinite(weight) and 0 <= weight <= 1):
            raise ValueError(f"the weight of what was learned lies between 0 and 1, got {weight:g}")
        self.baseline, self.learned, self.weight, self.reach = baseline, learned, weight, reach

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        known: Tensor = self.baseline(x, level)
        learned: Tensor = self.learned(x, level)
        return known + self._weight(x, level) * (learned - known)

    def _weight(self, x: Tensor, level: Tensor) -> Tensor | float:
        """The weight of what was learned at each state, which broadcasts against it."""
        if self.reach is None:
            return self.weight
        square: Tensor = self.reach.whiten(x, level).square().sum(1, keepdim=True)
        n = x[0].numel()  # of n squares of normal numbers: the mean; the variance is 2n
        return self.weight * torch.sigmoid(_FAR - (square - n) / math.sqrt(2 * n))
