"""Laws of noise levels."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..processes import Process

__all__ = ["LevelDistribution", "LogNormal", "LogUniform", "ProcessLevels", "SingleLevel", "WithLowTail"]


class LevelDistribution(abc.ABC):
    """A law of noise levels."""

    @abc.abstractmethod
    def draw(self, u: Tensor) -> Tensor:
        """Maps `u`, uniform on [0, 1), to noise levels of the same shape: the quantile function."""


@dataclass(frozen=True)
class LogNormal(LevelDistribution):
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
class LogUniform(LevelDistribution):
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
class WithLowTail(LevelDistribution):
    """A law with a longer tail: the levels below a quantile of it give way to log-uniform ones, down to a smaller level.

    Arguments:
        law: The law of the other levels, which keep their proportions.
        low: The smallest level of the tail.
        part: The part of all levels that the tail has.
        cut: The probability under the law of the levels that give way.
    """

    law: LevelDistribution
    low: float
    part: float
    cut: float = 0.02

    def __post_init__(self) -> None:
        if not 0 < self.part < 1 or not 0 < self.cut < 1 or not 0 < self.low < self.high:
            got = f"part={self.part:g}, cut={self.cut:g}, low={self.low:g} (the cut is at {self.high:g})"
            raise ValueError(
                f"WithLowTail needs part and cut between 0 and 1, and a low level below the cut, got {got}"
            )

    @property
    def high(self) -> float:
        """The largest level of the tail."""
        return float(self.law.draw(torch.tensor(self.cut, dtype=torch.float64)))

    def draw(self, u: Tensor) -> Tensor:
        tail = LogUniform(self.low, self.high).draw((u / self.part).clamp_max(1.0))
        above = ((u - self.part) / (1 - self.part)).clamp_min(0.0)
        return torch.where(u < self.part, tail, self.law.draw(self.cut + (1 - self.cut) * above))


@dataclass(frozen=True)
class ProcessLevels(LevelDistribution):
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


@dataclass(frozen=True)
class SingleLevel(LevelDistribution):
    """One level alone: the denoising score matching of Vincent (2011), and the level that an implicit objective names.

    Arguments:
        level: The level, in the units of the state.
    """

    level: float

    def __post_init__(self) -> None:
        if not 0 < self.level < math.inf:
            raise ValueError(f"Single needs a level above 0, got level={self.level:g}: a small one stands for no noise")

    def draw(self, u: Tensor) -> Tensor:
        return torch.full_like(u, self.level)
