"""Weights that are learned: each level counts by how well it is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers.base import Denoiser, DenoiserModule
from ..denoisers.uncertainty import WithUncertainty
from ..rng import Rng
from ..tensors import per_sample
from .levels import LevelDistribution
from .per_level import LevelObjective

__all__ = ["LearnedUncertainty"]


@dataclass(frozen=True)
class LearnedUncertainty(LevelObjective):
    """loss · e^-u(σ) + u(σ), with u learned beside the denoiser (Kendall et al., 2018; Karras et al., 2024, EDM2).

    At its optimum u is the logarithm of the mean loss of each level, so that gradients of all levels are alike in size, and
    the value is 1 + E[u]: a relative measure, to be compared with others of this kind alone. The mean loss must be positive,
    as those of this package are. The denoiser is an `WithUncertainty` one; the trainer needs to know nothing of it.

    Arguments:
        objective: The loss.

    Example:
        >>> from scorefield.denoisers import Preconditioned
        >>> from scorefield.nn import MLP
        >>> from scorefield.objectives import DenoisingScoreMatching, LogNormal
        >>> from scorefield.rng import Steps
        >>> denoiser = WithUncertainty(Preconditioned(MLP(2, 16, 1)))
        >>> objective = LearnedUncertainty(DenoisingScoreMatching(LogNormal()))
        >>> objective(denoiser, torch.zeros(5, 2), Steps(0)).shape
        torch.Size([5])
    """

    objective: LevelObjective

    @property
    def levels(self) -> LevelDistribution:  # type: ignore[override]  # that of the loss
        """The law of the noise levels."""
        return self.objective.levels

    @property
    def measure(self) -> LevelObjective:
        """The loss itself, which needs no learned weights."""
        return self.objective.measure

    def wrap(self, denoiser: DenoiserModule) -> DenoiserModule:
        """The denoiser with a head for its mean loss at each level.

        Raises:
            ValueError: If the denoiser is a conditional one.
        """
        inner = self.objective.wrap(denoiser)
        if not isinstance(inner, Denoiser):
            inside = type(self.objective).__name__
            raise ValueError(f"LearnedUncertainty trains unconditional models: for a conditional one, take its {inside}")
        return WithUncertainty(inner)

    def unwrap(self, trained: DenoiserModule) -> DenoiserModule:
        """The denoiser without the head."""
        return self.objective.unwrap(trained.denoiser if isinstance(trained, WithUncertainty) else trained)

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        if not isinstance(denoiser, WithUncertainty):
            need = "an WithUncertainty(denoiser), which holds what is learned of the levels"
            raise TypeError(f"LearnedUncertainty needs {need}; got a {type(denoiser).__name__}")
        u = per_sample(denoiser.log_loss(level), x0)
        return self.objective.at(denoiser, x0, level, rng) * torch.exp(-u) + u

    def weight(self, level: Tensor) -> Tensor:
        return self.objective.weight(level)
