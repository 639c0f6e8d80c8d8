"""How much each noise level weighs.

A weighting is the factor w(σ) of ‖D(x, σ) - x_0‖² / n. In terms of scores, whose errors are those of D over σ², it is
λ(σ) = w(σ) σ⁴ before ‖s + z/σ‖² / n.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..processes import Process

__all__ = ["EDMWeighting", "FisherWeighting", "LikelihoodWeighting", "NoiseWeighting", "Weighting"]


class Weighting(abc.ABC):
    """A weight for each level."""

    @abc.abstractmethod
    def __call__(self, level: Tensor) -> Tensor:
        """w(σ), of the shape of `level`."""


@dataclass(frozen=True)
class NoiseWeighting(Weighting):
    """w = 1/σ², λ = σ²: the noise counts alike at every level (NCSN, Song & Ermon, 2019; DDPM, Ho et al., 2020).

    The loss of the truth is 1 - σ² E‖∇ log p_σ‖² / n, and 1 at most: near 1 it may be a very good one at a small level.
    """

    def __call__(self, level: Tensor) -> Tensor:
        return level**-2


@dataclass(frozen=True)
class EDMWeighting(Weighting):
    """w = 1/σ² + 1/scale²: the output of a network with the Karras parametrization counts alike at every level (EDM).

    A network that answers 0 has the loss 1 at every level, if data have mean 0 and the standard deviation `scale`.

    Arguments:
        scale: The standard deviation of the data.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            need = "0 < scale < ∞, the standard deviation of data"
            raise ValueError(
                f"{type(self).__name__} needs {need}, got scale={self.scale:g}: for 1/σ² alone take NoiseWeighting()"
            )

    def __call__(self, level: Tensor) -> Tensor:
        return 1 / level**2 + 1 / self.scale**2


@dataclass(frozen=True)
class FisherWeighting(Weighting):
    """w = 1/σ⁴, λ = 1: the error of the score itself, as Hyvärinen (2005) has it.

    The excess is E‖s - ∇ log p‖² / n. Small levels outweigh all others: meant for one level, or data without noise.
    """

    def __call__(self, level: Tensor) -> Tensor:
        return level**-4


@dataclass(frozen=True)
class LikelihoodWeighting(Weighting):
    """λ = g²/2 of a process, for the levels `ProcessLevels(process)`: the weighting that bounds the likelihood (Song
    et al., 2021b).

    With it, n times the excess is ½ ∫ g² E‖s - ∇ log p_t‖² dt: a bound, in nats, of the Kullback-Leibler divergence of the
    data from what the reverse SDE of the process draws, less the divergence of their priors. The integral is one over levels,
    ∫ E‖D - D*‖² dσ/σ³, and knows of the process only where it begins and ends: `NoiseWeighting` with levels
    `LogUniform(a, b)` is the same less a factor of ln(b/a), and scatters less.

    Arguments:
        process: The noise process.
    """

    process: Process

    def __call__(self, level: Tensor) -> Tensor:
        with torch.no_grad():
            time = self.process.time(level.double())
            alpha, _ = self.process(time)
            return (self.process.sde(time)[1] / (2 * alpha**2 * level.double() ** 4)).to(level)
