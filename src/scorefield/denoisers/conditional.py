"""Denoisers made of conditional ones: guidance, and several observations of one data point."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Denoiser, DenoiserModule

__all__ = ["ComposedDenoiser", "Guided"]


class Guided(Denoiser):
    """D = weak + weight · (strong - weak) at levels from `low` to `high`, and strong elsewhere.

    With the unconditional denoiser as the weak one this is classifier-free guidance (Ho & Salimans, 2022), with a smaller or
    less trained one autoguidance (Karras et al., 2024); the interval is that of Kynkäänniemi et al. (2024). No distribution of
    data has such a denoiser: different samplers draw from different distributions, and log-densities are those of the flow.

    Arguments:
        strong: The denoiser to be guided.
        weak: The denoiser that it is guided away from.
        weight: How strongly; 1 for none.
        low: The smallest level with guidance.
        high: The largest.

    Raises:
        ValueError: If the weight is NaN, or the levels do not rise.

    Example:
        >>> from .exact import Gaussian
        >>> strong, weak = Gaussian(torch.ones(1), torch.ones(1)), Gaussian(torch.zeros(1), torch.ones(1))
        >>> Guided(strong, weak, weight=2.0)(torch.zeros(1, 1), torch.tensor(1.0))
        tensor([[1.]])
    """

    def __init__(
        self, strong: Denoiser, weak: Denoiser, weight: float, low: float = 0.0, high: float = float("inf")
    ) -> None:
        super().__init__()
        if not low < high or weight != weight:
            raise ValueError(f"guidance needs a weight, and levels low < high; got weight={weight}, {low} and {high}")
        self.strong = strong
        self.weak = weak
        self.weight = weight
        self.low = low
        self.high = high

    def unguided(self) -> Denoiser:
        return self.strong.unguided()

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        strong = self.strong(x, level)
        inside = (level >= self.low) & (level <= self.high)
        if self.weight == 1 or not bool(inside.any()):
            return strong  # type: ignore[no-any-return]
        weak = self.weak(x, level)
        return torch.where(inside, weak + self.weight * (strong - weak), strong)


class ComposedDenoiser(Denoiser):
    """Several independent observations c_i of one data point together: Σ D(x | c_i) - (n - 1) D(x).

    At level 0 its score is that of the data given all of them; at higher levels no distribution has it (Geffner
    et al., 2023). It is made for annealed Langevin dynamics, which needs no more.

    Arguments:
        denoiser: A conditional denoiser that has also learned the distribution of data without context.
        context: The n observations, as the network takes them, `(n, size)`.

    Raises:
        ValueError: If it takes no context, or the unconditional distribution was not learned.
    """

    context: Tensor

    def __init__(self, denoiser: DenoiserModule, context: Tensor) -> None:
        super().__init__()
        for rows in (context, None):  # raises where there is none
            denoiser.conditioned_on(rows)
        self.denoiser = denoiser
        self.register_buffer("context", context)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        count, size = len(self.context), len(x)
        each = level.repeat_interleave(count, 0) if level.ndim and len(level) == size else level
        rows = self.context.repeat(size, *(1,) * (self.context.ndim - 1))
        means = self.denoiser.conditioned_on(rows)(x.repeat_interleave(count, 0), each).unflatten(0, (size, count))
        return means.sum(1) - (count - 1) * self.denoiser.conditioned_on(None)(x, level)  # type: ignore[no-any-return]
