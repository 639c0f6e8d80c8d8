"""Distributions of noise levels for training."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..processes import Process

__all__ = ["LevelDistribution", "LogNormal", "LogUniform", "ProcessLevels", "SingleLevel", "WithLowTail"]


class LevelDistribution(abc.ABC):
    """A distribution of noise levels. To add one, write its quantile function `draw`."""

    single: ClassVar[bool] = False
    """Whether it is one level."""

    @abc.abstractmethod
    def draw(self, u: Tensor) -> Tensor:
        """The quantile function: maps `u`, uniform on [0, 1), to noise levels of the same shape."""


@dataclass(frozen=True)
class LogNormal(LevelDistribution):
    """ln σ ~ N(mean, std²), as in EDM (Karras et al., 2022).

    Arguments:
        mean: The mean of ln σ, with σ in the units of the state.
        std: The standard deviation of ln σ.

    Raises:
        ValueError: If `mean` is not finite, or `std` is not positive and finite.
    """

    mean: float = -0.5
    std: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.std < math.inf or not math.isfinite(self.mean):
            raise ValueError(f"LogNormal needs a finite mean and std > 0, got mean={self.mean:g}, std={self.std:g}")

    def draw(self, u: Tensor) -> Tensor:
        return torch.exp(self.mean + self.std * torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6)))


@dataclass(frozen=True)
class LogUniform(LevelDistribution):
    """ln σ uniform between two levels.

    Arguments:
        low: The smallest level, in the units of the state.
        high: The largest level.

    Raises:
        ValueError: Unless 0 < low < high < ∞.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"LogUniform needs 0 < low < high, got low={self.low:g}, high={self.high:g}")

    def draw(self, u: Tensor) -> Tensor:
        return self.low * torch.exp(u * math.log(self.high / self.low))


@dataclass(frozen=True)
class WithLowTail(LevelDistribution):
    """A distribution whose lower tail is replaced by a longer, log-uniform one.

    Arguments:
        distribution: The distribution of the levels above the tail.
        low: The smallest level of the tail.
        fraction: The probability of the tail.
        cut: The quantile of `distribution` at which the tail begins.

    Raises:
        ValueError: If `fraction` or `cut` is not between 0 and 1, or `low` is not below the quantile.
    """

    distribution: LevelDistribution
    low: float
    fraction: float
    cut: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1 or not 0 < self.cut < 1 or not 0 < self.low < self.high:
            got = f"fraction={self.fraction:g}, cut={self.cut:g}, low={self.low:g} (the cut is at {self.high:g})"
            need = "fraction and cut between 0 and 1, and a low level below the cut"
            raise ValueError(f"WithLowTail needs {need}, got {got}")

    @property
    def high(self) -> float:
        """The largest level of the tail."""
        return float(self.distribution.draw(torch.tensor(self.cut, dtype=torch.float64)))

    def draw(self, u: Tensor) -> Tensor:
        tail = LogUniform(self.low, self.high).draw((u / self.fraction).clamp_max(1.0))
        above = ((u - self.fraction) / (1 - self.fraction)).clamp_min(0.0)
        return torch.where(u < self.fraction, tail, self.distribution.draw(self.cut + (1 - self.cut) * above))


@dataclass(frozen=True)
class ProcessLevels(LevelDistribution):
    """The levels of a process at uniform times.

    Arguments:
        process: The process.
        count: If given, only this many equally spaced times from 0 to 1 are used, as in NCSN and DDPM.

    Raises:
        ValueError: If `count` is below 2.
    """

    process: Process
    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 2:
            got = f"got count={self.count}: leave it out for all times"
            raise ValueError(f"ProcessLevels needs at least 2 times, {got}")

    def draw(self, u: Tensor) -> Tensor:
        return self.process.level(u if self.count is None else torch.floor(u * self.count) / (self.count - 1))


@dataclass(frozen=True)
class SingleLevel(LevelDistribution):
    """A single level, as in Vincent (2011), or as the label of an implicit objective without noise.

    Arguments:
        level: The level, in the units of the state.

    Raises:
        ValueError: If the level is not positive and finite.
    """

    level: float

    single: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.level < math.inf:
            got = f"got {self.level:g}: use a small one for no noise"
            raise ValueError(f"SingleLevel needs a positive, finite level, {got}")

    def draw(self, u: Tensor) -> Tensor:
        return torch.full_like(u, self.level)
