"""Hutchinson probes: random vectors that estimate a trace."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rng import Rng
from ..tensors import expand, sum_events

__all__ = ["GaussianProbe", "Probe", "Rademacher", "Sphere"]


class Probe(abc.ABC):
    """A distribution of vectors v with E[v vᵀ] = I, so that E[vᵀ A v] = tr A for any matrix A."""

    @abc.abstractmethod
    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        """Draws one vector per sample, of the shape `(B, *D)` of `x`."""


@dataclass(frozen=True)
class Rademacher(Probe):
    """Random signs. With the symmetric part S of A, vᵀAv has the variance 2 (‖S‖² - Σ S_ii²).

    This is the lowest variance that independent components can have.
    """

    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        return torch.where(rng.uniform(x.shape, x.dtype, x.device) < 0.5, -1.0, 1.0).to(x)


@dataclass(frozen=True)
class GaussianProbe(Probe):
    """Standard normal vectors: vᵀAv has the variance 2 ‖S‖². Used by Song et al. (2019) with variance reduction."""

    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        return rng.normal_like(x)


@dataclass(frozen=True)
class Sphere(Probe):
    """Uniform on the sphere of radius √n. Used by Song et al. (2019) without variance reduction, on the unit sphere."""

    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        z = rng.normal_like(x)
        return z * expand(math.sqrt(x[0].numel()) / sum_events(z**2).sqrt(), x)
