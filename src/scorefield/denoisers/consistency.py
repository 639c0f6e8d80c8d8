"""Consistency functions: where the probability flow takes a state, in one evaluation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import ConditionalDenoiser, Denoiser

__all__ = ["ConditionalConsistency", "ConsistencyFunction"]


class ConsistencyFunction(Denoiser):
    """f(x_t, t) = x_0, the data to which the probability flow of a model takes a state: its flow map (Song et al., 2023).

    It is asked as a denoiser is, but does not answer with a mean: `samplers.Consistency` draws with it, and whatever needs
    E[x_0 | x], a score or a log-density refuses it (`distilled_from`). At level 0 it is the identity. Below the smallest level
    that was learned it goes on as the flow does where the score no longer changes: x + (level/smallest)² (f - x), with f at
    the smallest level.

    Arguments:
        denoiser: The network that was trained to be it (`objectives.FlowMapMatching`), in the form of a denoiser.
        smallest: The smallest level that it has learned.
        teacher: The model whose flow it follows, in words: its run, say.

    Raises:
        ValueError: If the smallest level is not a positive number.

    Example:
        >>> from .exact import Gaussian
        >>> f = ConsistencyFunction(Gaussian(torch.zeros(1), torch.ones(1)), smallest=0.01, teacher="run")
        >>> f(torch.ones(1, 1), torch.tensor(0.0)), f.distilled_from
        (tensor([[1.]]), 'run')
    """

    def __init__(self, denoiser: Denoiser, smallest: float, teacher: str = "") -> None:
        super().__init__()
        _check_smallest(smallest)
        self.denoiser = denoiser
        self.smallest = smallest
        self.teacher = teacher

    @property
    def distilled_from(self) -> str:
        return self.teacher

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        known = level.clamp_min(self.smallest)
        found: Tensor = self.denoiser(x, known)
        return torch.where(level >= self.smallest, found, x + (level / known) ** 2 * (found - x))


class ConditionalConsistency(ConditionalDenoiser):
    """A consistency function for each context.

    Arguments:
        denoiser: The network that was trained to be them, in the form of a conditional denoiser.
        smallest, teacher: As for `ConsistencyFunction`.

    Raises:
        ValueError: If the smallest level is not a positive number.
    """

    def __init__(self, denoiser: ConditionalDenoiser, smallest: float, teacher: str = "") -> None:
        super().__init__()
        _check_smallest(smallest)
        self.denoiser = denoiser
        self.smallest = smallest
        self.teacher = teacher

    @property
    def distilled_from(self) -> str:
        return self.teacher

    @property
    def unconditional(self) -> bool:  # type: ignore[override]  # a property here, a constant of others
        """Whether it knows the flow without a context."""
        return self.denoiser.unconditional

    def given(self, context: Tensor) -> Denoiser:
        return ConsistencyFunction(self.denoiser.given(context), self.smallest, self.teacher)

    def free(self) -> Denoiser:
        return ConsistencyFunction(self.denoiser.free(), self.smallest, self.teacher)


def _check_smallest(smallest: float) -> None:
    if not 0 < smallest < math.inf:
        raise ValueError(f"a consistency function needs smallest > 0, the smallest level it learned, got {smallest:g}")
