"""Two denoisers of the same data, averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Denoiser
from .exact import Gaussian

__all__ = ["Blended"]

_FAR = 8.0  # standard deviations of a squared distance above its mean, where half of the weight is left


class Blended(Denoiser):
    """A weighted mean of two denoisers,  D = (1 - w) D_baseline + w D_learned.

    Scores are averaged with these weights, which may depend on the noise level. For few data, a network and a simple
    distribution that was fitted to them err in different directions, and their mean is closer to the truth than either. Far
    from all data a network is arbitrary, and a single new row there could cost thousands of nats: with `reach` its weight falls
    to 0 there.

    Arguments:
        baseline: The denoiser of a simple distribution that resembles the data, such as a `Mixture`.
        learned: The denoiser that was learned.
        weight: The weight w of what was learned, from 0 to 1; or K of them, for K levels.
        reach: A Gaussian with the moments of the data, of shape `(n,)`. Where the squared distance from its mean, in its own
            units and those of the noise, is eight standard deviations too large, half of the weight is left. None: everywhere
            the same weight.
        levels: The levels of K weights, increasing: between them weights are linear in the logarithm of the level, beyond
            them constant.

    Raises:
        ValueError: If a weight is not between 0 and 1, or levels do not increase, or are not as many as the weights.

    References:
        Breiman, 1996, Stacked regressions.

    Example:
        >>> import torch
        >>> from scorefield.denoisers import Gaussian
        >>> narrow, wide = (Gaussian(torch.zeros(2), torch.full((2,), variance)) for variance in (1.0, 3.0))
        >>> Blended(narrow, wide, 0.5)(torch.ones(1, 2), torch.tensor(1.0))  # between 1/2 and 3/4
        tensor([[0.6250, 0.6250]])
    """

    logs: Tensor
    rise: Tensor

    def __init__(
        self,
        baseline: Denoiser,
        learned: Denoiser,
        weight: float | Sequence[float],
        reach: Gaussian | None = None,
        levels: Sequence[float] = (),
    ) -> None:
        super().__init__()
        weights = tuple(weight) if isinstance(weight, Sequence) else (weight,)
        bad = [w for w in weights if not 0 <= w <= 1]
        if bad:
            raise ValueError(f"the weight of what was learned lies between 0 and 1, got {bad[0]:g}")
        at = torch.tensor([*levels] or [1.0], dtype=torch.float64)
        if len(at) != len(weights) or not bool((at > 0).all() & (at.diff() > 0).all()):
            what = f"{len(weights)} weights need as many levels, above 0 and increasing"
            raise ValueError(f"{what}: got {', '.join(f'{level:g}' for level in levels) or 'none'}")
        self.baseline, self.learned, self.reach = baseline, learned, reach
        self.weight, self.levels = weight if isinstance(weight, int | float) else weights, tuple(levels)
        self.register_buffer("logs", at.log(), persistent=False)
        rise = torch.tensor(weights, dtype=torch.float64).diff() / at.log().diff()
        self.register_buffer("rise", rise, persistent=False)

    @property
    def share(self) -> float:
        """The weight, at the highest level."""
        return self.weight if isinstance(self.weight, int | float) else self.weight[-1]

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        known: Tensor = self.baseline(x, level)
        learned: Tensor = self.learned(x, level)
        return known + self._weight(x, level) * (learned - known)

    def _weight(self, x: Tensor, level: Tensor) -> Tensor | float:
        """The weight of what was learned at each state, which broadcasts against it."""
        weight = self._at(level).to(x.dtype) if self.levels else self.share
        if self.reach is None:
            return weight
        square: Tensor = self.reach.whiten(x, level).square().sum(1, keepdim=True)
        n = x[0].numel()  # of n squares of normal numbers: the mean; the variance is 2n
        return weight * torch.sigmoid(_FAR - (square - n) / math.sqrt(2 * n))

    def _at(self, level: Tensor) -> Tensor:
        """The weights at levels, of the same shape."""
        first = self.weight[0] if isinstance(self.weight, tuple) else self.share
        passed = (level.double().log()[..., None] - self.logs[:-1]).clamp_min(0).minimum(self.logs.diff())
        return first + (passed * self.rise).sum(-1)
