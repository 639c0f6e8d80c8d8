"""Objectives that are means over noise levels, and their excess over the minimum."""

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
    """An objective that is a mean over a distribution of noise levels. To add one, write `at` and `weight`."""

    levels: LevelDistribution
    """The distribution of the noise levels."""

    denoising: ClassVar[bool] = False
    """Whether the denoiser is compared with data, as targets, which may be averaged over other data."""

    @property
    def measure(self) -> LevelObjective:
        """The loss that measures any denoiser; another one where this one also trains something else."""
        return self

    def check_samples(self) -> None:
        """Whether what it teaches can draw samples, which start from noise and pass all levels.

        Raises:
            ValueError: If it teaches one level alone, or the score of data without noise.
        """
        if self.levels.single:
            what = f"{type(self).__name__} at {self.levels} teaches one level, and samples start from noise and pass all levels"
            raise ValueError(
                f"{what}: leave the levels out, or train for the score alone with scorefield.training.Trainer"
            )

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
        """Draws one level per sample, of shape `(B, 1, …, 1)`."""
        return expand(self.levels.draw(rng.stratified(len(x0), x0.dtype, x0.device)), x0)

    @abc.abstractmethod
    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        """The losses of data `(B, *D)` at noise levels that broadcast against them, of shape `(B,)`, with noise of `rng`."""

    @abc.abstractmethod
    def weight(self, level: Tensor) -> Tensor:
        """The weight w(σ) of ‖D - x_0‖² / n, of the shape of `level`."""


@torch.no_grad()
def excess(objective: LevelObjective, denoiser: Denoiser, truth: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
    """The excess of the loss over its minimum, w(σ) ‖D(x) - D*(x)‖² / n at x = x_0 + σ z: `(B,)`, at least 0.

    It has the mean of the difference of the two losses without the variance that they share: where the exact denoiser D* is
    known, it shows errors of the score that are a hundred times smaller than the fluctuations of the losses.

    Arguments:
        objective: An objective.
        denoiser: The denoiser.
        truth: The exact denoiser.
        x0: Data, of shape `(B, *D)`.
        rng: The source of the levels and the noise.

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
