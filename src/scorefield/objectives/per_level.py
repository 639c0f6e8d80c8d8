"""Objectives at levels of noise, and what is left above their optimum."""

from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from ..denoisers.base import Denoiser, DenoiserModule
from ..rng import Rng
from ..tensors import expand, sum_events
from .base import Objective
from .levels import LevelDistribution

__all__ = ["LevelObjective", "excess"]


class LevelObjective(Objective):
    """An objective that is a mean over a law of noise levels: what the trainer takes. To add one, write `at` and `weight`."""

    levels: LevelDistribution
    """The law of the noise levels."""

    denoising: ClassVar[bool] = False
    """Whether the denoiser is compared with data, as targets, which may be averaged over other data."""

    @property
    def measure(self) -> LevelObjective:
        """The loss that measures any denoiser; another one where this one also trains something else."""
        return self

    def wrap(self, denoiser: DenoiserModule) -> DenoiserModule:
        """What is trained so that a denoiser, or a conditional one, learns: itself, or one that holds what else is learned.

        Raises:
            ValueError: If the objective does not train denoisers of this kind.
        """
        return denoiser

    def unwrap(self, trained: DenoiserModule) -> DenoiserModule:
        """The denoiser in what was trained."""
        return trained

    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        return self.at(denoiser, x0, self.draw(x0, rng), rng)

    def draw(self, x0: Tensor, rng: Rng) -> Tensor:
        """A level for each datum, of shape `(B, 1, …, 1)`."""
        return expand(self.levels.draw(rng.spread(len(x0), x0.dtype, x0.device)), x0)

    @abc.abstractmethod
    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        """The loss of each datum at a given level, which broadcasts against `x0`: `(B,)`."""

    @abc.abstractmethod
    def weight(self, level: Tensor) -> Tensor:
        """w(σ), the factor of ‖D - x_0‖² / n, of the shape of `level`."""


@torch.no_grad()
def excess(objective: LevelObjective, denoiser: Denoiser, truth: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
    """The loss less its optimum, w(σ) ‖D(x) - D*(x)‖² / n at x = x_0 + σ z: 0 for the truth, and never below.

    It has the mean of the difference of two losses, and none of what both share: on exact targets (`denoisers.Gaussian`,
    `denoisers.Mixture`, …) a small error of the score is seen where the losses themselves scatter a hundred times as much.

    Arguments:
        objective: An objective.
        denoiser: The denoiser.
        truth: The exact one.
        x0: Data, of shape `(B, *D)`.
        rng: The levels and the noise.

    Returns:
        The excess of each datum, of shape `(B,)`.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.objectives import DenoisingScoreMatching, SingleLevel
        >>> from scorefield.rng import Samples
        >>> truth, wrong = Gaussian(torch.zeros(2), torch.ones(2)), Gaussian(torch.zeros(2), 2 * torch.ones(2))
        >>> x0, objective = torch.zeros(3, 2), DenoisingScoreMatching(SingleLevel(1.0))
        >>> excess(objective, truth, truth, x0, Samples(seed=0, count=3))
        tensor([0., 0., 0.])
        >>> bool((excess(objective, wrong, truth, x0, Samples(seed=0, count=3)) > 0).all())
        True
    """
    level = objective.draw(x0, rng)
    x = x0 + level * rng.normal_like(x0)
    error = denoiser(x, level) - truth(x, level)
    return sum_events(objective.weight(level) * error**2) / x0[0].numel()
