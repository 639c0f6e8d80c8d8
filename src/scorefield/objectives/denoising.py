"""Denoising score matching: the target is the clean data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..denoisers.base import Denoiser
from ..rng import Rng
from .levels import LevelDistribution
from .per_level import LevelObjective
from .weighting import Weighting

__all__ = ["DenoisingScoreMatching", "posterior_mean"]


@dataclass(frozen=True)
class DenoisingScoreMatching(LevelObjective):
    """w(σ) ‖D(x_0 + σ z, σ) - x_0‖² / n with w = 1/σ² + 1/scale² (Vincent, 2011; Karras et al., 2022, Table 1).

    With the EDM parametrization of the same scale this is the mean squared error of the network's output: it is 1 at every
    level for a network whose output is 0, if the data have mean 0 and standard deviation `scale`. Losses of other codes (sums,
    halves) differ by a constant factor. The exact denoiser has the loss w(σ) E‖E[x_0|x] - x_0‖² / n, which is not 0: with
    w = 1/σ² it is 1 - σ² E‖∇ log p_σ‖² / n (`excess` subtracts it if it is known).

    Arguments:
        levels: The distribution of the noise levels; `SingleLevel` for one level.
        scale: The standard deviation of the data. `math.inf` gives the weight 1/σ² of NCSN and DDPM.
        weighting: Another weighting, which replaces the one by `scale`.

    Raises:
        ValueError: If `scale` is not positive.
    """

    levels: LevelDistribution
    scale: float = 1.0
    weighting: Weighting | None = None

    denoising: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.scale > 0:
            need = "scale > 0, the standard deviation of the data, or math.inf for the weight 1/σ²"
            raise ValueError(f"DenoisingScoreMatching needs {need}, got {self.scale:g}")

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        return denoiser.denoising_loss(x0, level, self.weight(level), rng)

    def weight(self, level: Tensor) -> Tensor:
        return 1 / level**2 + 1 / self.scale**2 if self.weighting is None else self.weighting(level)


def posterior_mean(
    x: Tensor, level: Tensor, reference: Tensor, x0: Tensor | None = None, same: Tensor | None = None
) -> Tensor:
    """E[x_0 | x] by self-normalized importance weights over the data: a target of lower variance than x_0 (Xu et al., 2023).

    With the whole data set as `reference` this is the exact mean under the empirical distribution. With a part of it and the
    `x0` behind x it is still unbiased: x_0 is a draw from the conditional distribution given x, the others are draws from the
    data distribution, and choosing one of them by weight leaves the conditional distribution unchanged (iterated sampling
    importance resampling; Andrieu et al., 2010). A denoising loss therefore has the same minimizer with this target.

    Arguments:
        x: Data plus noise, of shape `(B, *D)`.
        level: The noise level, of shape `(B, 1, …, 1)`.
        reference: Data, of shape `(R, *D)`: the whole data set, or samples other than `x0`, drawn without regard to it.
        x0: The clean data of `x`, of shape `(B, *D)`, if `reference` is not the whole data set.
        same: Which of the others is the example of `x0` again, and does not count, of shape `(B, R)`; None: none is.

    Returns:
        The means, of shape `(B, *D)`.

    Example:
        >>> data = torch.tensor([[-1.0], [1.0]])
        >>> posterior_mean(torch.zeros(1, 1), torch.ones(1, 1), data)
        tensor([[0.]])
    """
    points, others = x.flatten(1), reference.flatten(1)
    precision = level.reshape(-1, 1) ** -2
    logits = points @ others.T - others.square().sum(1) / 2
    if x0 is None:
        return ((logits * precision).softmax(1) @ others).reshape(x.shape)
    own = x0.flatten(1)
    logits = logits if same is None else logits.masked_fill(same, -math.inf)
    first = (points * own - own.square() / 2).sum(1, keepdim=True)
    weights = (torch.cat((first, logits), 1) * precision).softmax(1)
    return (weights[:, :1] * own + weights[:, 1:] @ others).reshape(x.shape)
