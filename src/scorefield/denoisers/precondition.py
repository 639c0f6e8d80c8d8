"""Denoisers made of networks.

Whatever a network predicts (the mean, the noise, the score, a velocity, …) is an affine map away from the denoised
mean, with coefficients that depend on the noise level σ alone:

    D(x, σ) = c_skip x + c_out F(c_in x, c),    c_in = 1/√(σ² + scale²),    c = ¼ ln(σ / scale).

To add a parametrization, write c_skip and c_out.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn as nn
from torch import Tensor

from ..tensors import per_sample
from .base import Denoiser

__all__ = [
    "Coefficients",
    "DataPrediction",
    "EDMPrediction",
    "FlowPrediction",
    "NoisePrediction",
    "Parametrization",
    "Preconditioned",
    "ScorePrediction",
    "VPrediction",
]


class Coefficients(NamedTuple):
    """The factors of the state and of the network's output."""

    skip: Tensor
    out: Tensor


@dataclass(frozen=True)
class Parametrization(abc.ABC):
    """What the network predicts.

    Arguments:
        scale: The standard deviation of the data, in the units of the state.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(
                f"{type(self).__name__} needs scale > 0, the standard deviation of data, got {self.scale:g}"
            )

    @abc.abstractmethod
    def coefficients(self, level: Tensor) -> Coefficients:
        """The coefficients (c_skip, c_out), each of the shape of `level`."""


class DataPrediction(Parametrization):
    """F = E[x_0 | x]."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(torch.zeros_like(level), torch.ones_like(level))


class NoisePrediction(Parametrization):
    """F = E[z | x], the ε of DDPM (Ho et al., 2020)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(torch.ones_like(level), -level)


class ScorePrediction(Parametrization):
    """F = σ ∇ log p_σ(x), the scaled score of NCSN (Song & Ermon, 2019)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(torch.ones_like(level), level)


class VPrediction(Parametrization):
    """F = α E[z | x] - σ E[x_0 | x] with α² + σ² = 1, the v of Salimans & Ho (2022)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(1 / (1 + level**2), -level * torch.rsqrt(1 + level**2))


class FlowPrediction(Parametrization):
    """F = E[z - x_0 | x], the velocity of flow matching (Lipman et al., 2023)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        return Coefficients(1 / (1 + level), -level / (1 + level))


class EDMPrediction(Parametrization):
    """F has unit variance at every level, and -F is the velocity in arctan(σ/scale) (Karras et al., 2022, Table 1)."""

    def coefficients(self, level: Tensor) -> Coefficients:
        total = level**2 + self.scale**2
        return Coefficients(self.scale**2 / total, level * self.scale * torch.rsqrt(total))


Precision = Literal["float32", "bfloat16"]


class Preconditioned(Denoiser):
    """A denoiser made of a network.

    The network computes in its own type, or in bfloat16 where `precision` says so; what surrounds it keeps the type of
    the state, float64 included.

    Arguments:
        network: A network F(x, c) with x of shape `(B, *D)` and c, a label of the noise, of shape `(B,)`; or one of three,
            the last being what is given beside a datum.
        parametrization: What F predicts.
        precision: "float32", or "bfloat16" for automatic mixed precision.
        trend: What a vector of n features is on average given something, as a linear function of what is given, of shape
            `(size, n)`: it is taken off the state and added to the answer, so that the network sees what it leaves open.
    """

    trend: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        parametrization: Parametrization | None = None,
        precision: Precision = "float32",
        trend: Tensor | None = None,
    ) -> None:
        super().__init__()
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        self.network = network
        self.parametrization = parametrization or EDMPrediction()
        self.precision = precision
        self.register_buffer("trend", trend)

    def forward(self, x: Tensor, level: Tensor, context: Tensor | None = None) -> Tensor:
        skip, out = self.parametrization.coefficients(level)
        center = self.center(context)
        if center is None:
            return skip * x + out * self.answer(*self.question(x, level), context).to(x.dtype)
        x = x - (center := center.to(x.dtype))
        return center + skip * x + out * self.answer(*self.question(x, level), context).to(x.dtype)

    def center(self, context: Tensor | None) -> Tensor | None:
        """The mean by the trend, of shape `(B, n)`, if there is one."""
        return None if self.trend is None or context is None else context.to(self.trend.dtype) @ self.trend

    def question(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is given for a noisy state: c_in x, of shape `(B, *D)`, and c, of shape `(B,)`."""
        scale = self.parametrization.scale
        return torch.rsqrt(level**2 + scale**2) * x, per_sample(torch.log(level / scale) / 4, x)

    def answer(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> Tensor:
        """The network's answer, of shape `(B, *D)`, in the precision that was asked for."""
        full = self.precision == "float32"
        dtype = self._dtype(x) if full else torch.float32
        given = () if context is None else (context.to(dtype),)
        if full:
            return self.network(x.to(dtype), c.to(dtype), *given)
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x.float(), c.float(), *given).float()

    def _dtype(self, x: Tensor) -> torch.dtype:
        return next((p.dtype for p in self.network.parameters()), x.dtype)

    def exactly(self) -> Preconditioned:
        """The same denoiser, sharing its network, in full precision."""
        return Preconditioned(self.network, self.parametrization, "float32", self.trend).train(self.training)
