"""Laws of the random directions along which a divergence is probed."""

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
    """A law of vectors v with E[v vᵀ] = I: then E[vᵀ A v] = tr A, for any matrix A."""

    @abc.abstractmethod
    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        """A vector for each sample, of the shape `(B, *D)` of `x`."""


@dataclass(frozen=True)
class Rademacher(Probe):
    """Random signs. vᵀAv scatters by 2 (‖S‖² - Σ S_ii²), S the symmetric part of A: independent numbers cannot do better."""

    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        return torch.where(rng.uniform(x.shape, x.dtype, x.device) < 0.5, -1.0, 1.0).to(x)


@dataclass(frozen=True)
class GaussianProbe(Probe):
    """Standard normal numbers: vᵀAv scatters by 2 ‖S‖². What the code of Song et al. (2019) draws with variance reduction."""

    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        return rng.normal_like(x)


@dataclass(frozen=True)
class Sphere(Probe):
    """Uniform on the sphere of radius √n: what the code of Song et al. (2019) draws without, on the unit sphere."""

    def draw(self, x: Tensor, rng: Rng) -> Tensor:
        z = rng.normal_like(x)
        return z * expand(math.sqrt(x[0].numel()) / sum_events(z**2).sqrt(), x)
