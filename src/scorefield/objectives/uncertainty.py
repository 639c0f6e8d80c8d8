"""Learned weights: each level is weighted by the inverse of its loss."""

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
    """loss · e^-u(σ) + u(σ), with u learned along with the denoiser (Kendall et al., 2018; Karras et al., 2024, EDM2).

    At the minimum, u is the logarithm of the mean loss at each level, so that the gradients of all levels have similar
    magnitudes, and the value is 1 + E[u], which can only be compared with other values of this objective. The mean loss must
    be positive, as those of this package are. The denoiser must be a `WithUncertainty`.

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
        """The distribution of the noise levels."""
        return self.objective.levels

    @property
    def measure(self) -> LevelObjective:
        """The loss itself, which needs no learned weights."""
        return self.objective.measure

    def check_samples(self) -> None:
        self.objective.check_samples()

    def wrap(self, denoiser: DenoiserModule) -> DenoiserModule:
        """The denoiser with a head for its mean loss at each level.

        Raises:
            ValueError: If the denoiser is a conditional one.
        """
        inner = self.objective.wrap(denoiser)
        if not isinstance(inner, Denoiser):
            advice = f"for a conditional one, take its {type(self.objective).__name__}"
            raise ValueError(f"LearnedUncertainty trains unconditional models: {advice}")
        return WithUncertainty(inner)

    def unwrap(self, trained: DenoiserModule) -> DenoiserModule:
        """The denoiser without the head."""
        return self.objective.unwrap(trained.denoiser if isinstance(trained, WithUncertainty) else trained)

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        if not isinstance(denoiser, WithUncertainty):
            need = "a WithUncertainty(denoiser), which holds the learned u(σ)"
            raise TypeError(f"LearnedUncertainty needs {need}, got {type(denoiser).__name__}: wrap the denoiser")
        u = per_sample(denoiser.log_loss(level), x0)
        return self.objective.at(denoiser, x0, level, rng) * torch.exp(-u) + u

    def weight(self, level: Tensor) -> Tensor:
        return self.objective.weight(level)
