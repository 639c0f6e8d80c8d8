"""Training objectives. None needs a noise process: a law of noise levels is enough."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoise.base import Denoiser
from .process import Process
from .rng import Rng
from .tensors import expand, sum_events

__all__ = ["Clock", "DenoisingScoreMatching", "Levels", "LogNormal", "LogUniform", "Objective", "posterior_mean"]


class Levels(abc.ABC):
    """A law of noise levels."""

    @abc.abstractmethod
    def draw(self, u: Tensor) -> Tensor:
        """Maps `u`, uniform on [0, 1), to noise levels of the same shape: the quantile function."""


@dataclass(frozen=True)
class LogNormal(Levels):
    """ln σ ~ N(mean, std²): the law of EDM (Karras et al., 2022).

    Arguments:
        mean: The mean of ln σ, with σ in the units of the state.
        std: The standard deviation of ln σ.
    """

    mean: float = -0.5
    std: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.std < math.inf or not math.isfinite(self.mean):
            raise ValueError(f"LogNormal needs a finite mean and std > 0, got mean={self.mean:g}, std={self.std:g}")

    def draw(self, u: Tensor) -> Tensor:
        return torch.exp(self.mean + self.std * torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6)))


@dataclass(frozen=True)
class LogUniform(Levels):
    """ln σ uniform between two levels.

    Arguments:
        low: The smallest level, in the units of the state.
        high: The largest level.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"LogUniform needs 0 < low < high, got low={self.low:g}, high={self.high:g}")

    def draw(self, u: Tensor) -> Tensor:
        return self.low * torch.exp(u * math.log(self.high / self.low))


@dataclass(frozen=True)
class Clock(Levels):
    """The levels of a process at uniform times.

    Arguments:
        process: The process.
        count: With it, that many times alone, the first 0 and the last 1: NCSN and DDPM.
    """

    process: Process
    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 2:
            raise ValueError(f"a clock needs at least 2 times, got count={self.count}: leave it out for all times")

    def draw(self, u: Tensor) -> Tensor:
        return self.process.level(u if self.count is None else torch.floor(u * self.count) / (self.count - 1))


class Objective(abc.ABC):
    """A loss that the true denoiser minimizes."""

    @abc.abstractmethod
    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        """The loss of each datum: `x0` of shape `(B, *D)` to `(B,)`."""


@dataclass(frozen=True)
class DenoisingScoreMatching(Objective):
    """w(σ) ‖D(x_0 + σ z, σ) - x_0‖² / n with w = 1/σ² + 1/scale² (Vincent, 2011; Karras et al., 2022, Table 1).

    With the Karras parametrization of the same scale this is the mean square error of the network's output: it is 1 for
    a network that answers 0, at every level, if data have mean 0 and standard deviation `scale`. Losses of other codes
    (sums, halves) are this one times a constant.

    Arguments:
        levels: The law of the noise levels.
        scale: The standard deviation of the data.
    """

    levels: Levels
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(
                f"DenoisingScoreMatching needs scale > 0, the standard deviation of data, got {self.scale:g}"
            )

    def __call__(self, denoiser: Denoiser, x0: Tensor, rng: Rng) -> Tensor:
        level = expand(self.levels.draw(rng.spread(len(x0), x0.dtype, x0.device)), x0)
        return self.at(denoiser, x0, level, rng)

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        """The loss of each datum at a given level, which broadcasts against `x0`: `(B,)`."""
        error = denoiser(x0 + level * rng.normal_like(x0), level) - x0
        return sum_events(self.weight(level) * error**2) / x0[0].numel()

    def weight(self, level: Tensor) -> Tensor:
        """w(σ), of the shape of `level`."""
        return 1 / level**2 + 1 / self.scale**2


def posterior_mean(x: Tensor, level: Tensor, reference: Tensor, x0: Tensor | None = None) -> Tensor:
    """E[x_0 | x] by self-normalized weights over data: a target with less noise than x_0 itself (Xu et al., 2023).

    With all data as `reference` this is the exact mean under their empirical law. With some of them and the `x0` that x was
    made of, it is unbiased all the same: x_0 is a draw from the law given x, the others are draws from the law of the data,
    and choosing among them by weight leaves the law given x as it is (iterated sampling importance resampling; Andrieu et
    al., 2010). The minimizer of a denoising loss is therefore the same with this target as with x_0.

    Arguments:
        x: Data plus noise, of shape `(B, *D)`.
        level: The noise level, of shape `(B, 1, …, 1)`.
        reference: Data, of shape `(R, *D)`: all there are, or some that `x` was not made of.
        x0: The data that `x` was made of, of shape `(B, *D)`, if `reference` are not all data.

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
    first = (points * own - own.square() / 2).sum(1, keepdim=True)
    weights = (torch.cat((first, logits), 1) * precision).softmax(1)
    return (weights[:, :1] * own + weights[:, 1:] @ others).reshape(x.shape)
