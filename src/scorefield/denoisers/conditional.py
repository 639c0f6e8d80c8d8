"""A denoiser with what it is given: samplers and likelihoods never see it."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Denoiser
from .precondition import Preconditioned

__all__ = ["ComposedDenoiser", "Conditioned", "Guided", "part_of"]


class Conditioned(Denoiser):
    """D(x, σ) = E[x_0 | x_0 + σ z = x, context].

    Arguments:
        denoiser: A denoiser whose network takes what is given as its third argument.
        context: What is given, as the network takes it: a row for all states, or one for each, `(B, size)` or
            `(B, size, *S)`.
    """

    context: Tensor

    def __init__(self, denoiser: Preconditioned, context: Tensor) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("context", context)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        if len(self.context) not in (1, len(x)):
            raise ValueError(f"{len(x)} states are given one context or as many, got {len(self.context)}")
        return self.denoiser(x, level, self.context.expand(len(x), *self.context.shape[1:]))

    def exactly(self) -> Conditioned:
        """The same in full precision."""
        return Conditioned(self.denoiser.exactly(), self.context).train(self.training)


class Guided(Denoiser):
    """D = weak + weight · (strong - weak) at levels from `low` to `high`, and strong elsewhere.

    With a weak denoiser that is given nothing this is classifier-free guidance (Ho & Salimans, 2022), with a smaller or less
    trained one autoguidance (Karras et al., 2024); the interval is that of Kynkäänniemi et al. (2024). A weight of 1 is the
    strong denoiser. Others sharpen what is given; no law of the data has such a denoiser, so that samples of different
    samplers and log-densities under it mean nothing exact.

    Arguments:
        strong: The denoiser to be guided.
        weak: What it is led away from.
        weight: How far; 1 leaves it alone.
        low: The smallest level at which it is led.
        high: The largest.

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

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        strong = self.strong(x, level)
        inside = (level >= self.low) & (level <= self.high)
        if self.weight == 1 or not bool(inside.any()):
            return strong
        weak = self.weak(x, level)
        return torch.where(inside, weak + self.weight * (strong - weak), strong)

    def exactly(self) -> Guided:
        """The same in full precision."""
        strong, weak = (d.exactly() if hasattr(d, "exactly") else d for d in (self.strong, self.weak))  # type: ignore[operator]
        return Guided(strong, weak, self.weight, self.low, self.high).train(self.training)


class ComposedDenoiser(Denoiser):
    """What several independent observations of one datum say together: Σ D(x | c_i) - (n - 1) D(x | nothing).

    Its score is that of the law given all of them at level 0, and of no law above (Geffner et al., 2023): it is for annealed
    Langevin dynamics, which needs no more.

    Arguments:
        denoiser: A denoiser whose network takes what is given as its third argument.
        context: The n observations, as the network takes them, `(n, size)`.
        nothing: What the network is given where nothing is, `(1, size)`.
    """

    context: Tensor
    nothing: Tensor

    def __init__(self, denoiser: Preconditioned, context: Tensor, nothing: Tensor) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("context", context)
        self.register_buffer("nothing", nothing)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        rows = torch.cat((self.context, self.nothing))
        count = len(rows)
        states = x.repeat_interleave(count, 0)
        levels = level.repeat_interleave(count, 0) if level.ndim and len(level) == len(x) else level
        means = self.denoiser(states, levels, rows.repeat(len(x), *(1,) * (rows.ndim - 1)))
        means = means.unflatten(0, (len(x), count))
        return means[:, :-1].sum(1) - (count - 2) * means[:, -1]


def part_of(denoiser: Denoiser, samples: Tensor) -> Denoiser:
    """The denoiser of some samples, by their numbers, of shape `(B,)`: given M contexts, sample i has that of row i mod M."""
    if isinstance(denoiser, Conditioned) and len(denoiser.context) > 1:
        rows = samples.to(denoiser.context.device) % len(denoiser.context)
        return Conditioned(denoiser.denoiser, denoiser.context[rows])
    if isinstance(denoiser, Guided):
        strong, weak = (part_of(each, samples) for each in (denoiser.strong, denoiser.weak))
        if strong is not denoiser.strong or weak is not denoiser.weak:
            return Guided(strong, weak, denoiser.weight, denoiser.low, denoiser.high)
    return denoiser
