"""Weights of noise levels.

A weighting is the factor w(σ) of ‖D(x, σ) - x_0‖² / n. As errors of the score are those of D over σ², it corresponds to the
factor λ(σ) = w(σ) σ⁴ of ‖s + z/σ‖² / n.
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
    """The weight of each noise level in a loss."""

    @abc.abstractmethod
    def __call__(self, level: Tensor) -> Tensor:
        """w(σ) > 0, of the shape of `level`."""


@dataclass(frozen=True)
class NoiseWeighting(Weighting):
    """w = 1/σ², λ = σ²: equal weight of the noise prediction (NCSN, Song & Ermon, 2019; DDPM, Ho et al., 2020).

    The exact denoiser has the loss 1 - σ² E‖∇ log p_σ‖² / n ≤ 1; at small levels even a very good one has a loss near 1.
    """

    def __call__(self, level: Tensor) -> Tensor:
        return level**-2


@dataclass(frozen=True)
class EDMWeighting(Weighting):
    """w = 1/σ² + 1/scale²: equal weight of the network output with the EDM parametrization (Karras et al., 2022).

    A network whose output is 0 has the loss 1 at every level, if the data have mean 0 and the standard deviation `scale`.

    Arguments:
        scale: The standard deviation of the data.

    Raises:
        ValueError: If `scale` is not positive and finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            need = "0 < scale < ∞, the standard deviation of the data"
            what = f"EDMWeighting needs {need}, got scale={self.scale:g}"
            raise ValueError(f"{what}: use NoiseWeighting() for 1/σ² alone")

    def __call__(self, level: Tensor) -> Tensor:
        return 1 / level**2 + 1 / self.scale**2


@dataclass(frozen=True)
class FisherWeighting(Weighting):
    """w = 1/σ⁴, λ = 1: the squared error of the score itself (Hyvärinen, 2005).

    The excess is E‖s - ∇ log p‖² / n. Small levels dominate: it is meant for a single level, or for data without noise.
    """

    def __call__(self, level: Tensor) -> Tensor:
        return level**-4


@dataclass(frozen=True)
class LikelihoodWeighting(Weighting):
    """λ = g²/2 of a process, for the levels `ProcessLevels(process)`: it bounds the likelihood (Song et al., 2021b).

    With it, n times the excess is ½ ∫ g² E‖s - ∇ log p_t‖² dt. This bounds, in nats, the Kullback-Leibler divergence of the
    data from the samples of the reverse SDE, minus the divergence of their priors. As an integral over levels,
    ∫ E‖D - D*‖² dσ/σ³, it depends on the process only through its lowest and highest level: `NoiseWeighting` with levels
    `LogUniform(a, b)` is the same up to the factor ln(b/a), with less variance.

    Arguments:
        process: The noise process.
    """

    process: Process

    def __call__(self, level: Tensor) -> Tensor:
        with torch.no_grad():
            time = self.process.time(level.double())
            alpha, _ = self.process(time)
            return (self.process.sde(time)[1] / (2 * alpha**2 * level.double() ** 4)).to(level)
